"""Rows of ``cases.csv`` as `Case`s, what is wrong with a row, and how regions are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import PurePosixPath
from typing import Any, get_args

from napari_medseg.data.scan_columns import check_laterality, parse_series, parse_spacing
from napari_medseg.data.table import Table
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Box, Case, DatasetInfo, Split, Status

#: Columns of ``cases.csv`` in the order in which a new table has them.
COLUMNS = tuple(f.name for f in fields(Case) if f.name != "extra")
STATUSES: tuple[str, ...] = get_args(Status)
SPLITS: tuple[str, ...] = get_args(Split)

_RANGE = re.compile(r"\s*(\d+)\s*:\s*(\d+)\s*")
_MANGLED = re.compile(
    r"\d([.,]\d+)?E[+-]?\d+"  # 1.00E+05
    r"|\d{1,2}[-./ ](jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*([-./ ]\d{2,4})?"  # 3-Mar
    r"|(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[-./ ]\d{2,4}"  # Mar-05
    r"|#(name|value|ref|n/a|div/0)[?!]?|#{3,}",
    re.IGNORECASE,
)


def case_of_row(table: Table, row: int) -> Case:
    """A row as a case: what cannot be understood counts as not given, and `row_problems` says so.

    The table's own cells stay as they are.
    """
    values: dict[str, Any] = {name: table.cell(row, name).strip() for name in COLUMNS}
    status = values["status"].lower()
    values["status"] = status if status in STATUSES else "todo"
    split = values["split"].lower()
    values["split"] = split if split in SPLITS else ""
    values["revision"] = int(values["revision"]) if _is_count(values["revision"]) else 0
    known = {*COLUMNS}
    values["extra"] = {name: table.cell(row, name) for name in table.columns if name.strip().lower() not in known}
    return Case(**values)


def row_problems(table: Table, row: int, info: DatasetInfo) -> list[str]:
    """What is wrong with the cells of one row, each with its mend."""
    text = {name: table.cell(row, name).strip() for name in COLUMNS}
    problems = []
    if not text["case"]:
        problems.append("there is no case id: give the row a unique one.")
    if not text["image"]:
        problems.append("there is no image: name its file.")
    problems += _choice("status", text["status"].lower(), STATUSES)
    problems += _choice("split", text["split"].lower(), SPLITS)
    problems += _choice("tag", text["tag"], [tag.name for tag in info.tags])
    problems += _choice("grade", text["grade"], info.grades)
    if text["revision"] and not _is_count(text["revision"]):
        problems.append(f"revision '{text['revision']}' is not a whole number: write 0.")
    for name, check in _CHECKS.items():
        if written := table.cell(row, name).strip():
            try:
                check(written)
            except DatasetError as error:
                problems.append(str(error))
    if len(table.rows[row]) > len(table.columns):
        problems.append("it has more cells than there are columns: look for a stray delimiter.")
    return problems


def looks_mangled(case: str, image: str) -> bool:
    """Whether a spreadsheet may have changed an id: numbers in scientific form, dates, lost leading zeros."""
    stem = PurePosixPath(image.replace("\\", "/")).name.split(".")[0]
    lost_zeros = case.isdigit() and stem != case and stem.isdigit() and stem.lstrip("0") == case.lstrip("0")
    return _MANGLED.fullmatch(case) is not None or lost_zeros


def parse_region(text: str) -> Box | None:
    """``"y0:y1,x0:x1"`` or ``"z0:z1,y0:y1,x0:x1"`` as a box; None for an empty cell.

    Raises
    ------
    DatasetError
        The text is none of these, or a range is empty.

    Examples
    --------
    >>> parse_region("0:512,100:356")
    ((0, 512), (100, 356))
    """
    if not text.strip():
        return None
    ranges = [_RANGE.fullmatch(part) for part in text.split(",")]
    box = tuple((int(m[1]), int(m[2])) for m in ranges if m is not None)
    if len(box) != len(ranges) or len(box) not in (2, 3) or any(start >= stop for start, stop in box):
        raise DatasetError(f"region '{text}' is not understood: write y0:y1,x0:x1 (or z0:z1,y0:y1,x0:x1) in pixels.")
    return box


def format_region(box: Box) -> str:
    """A box as ``cases.csv`` writes it.

    Examples
    --------
    >>> format_region(((0, 512), (100, 356)))
    '0:512,100:356'
    """
    return ",".join(f"{start}:{stop}" for start, stop in box)


def check_origin(text: str) -> None:
    """Refuse an origin that is neither ``person`` nor ``model:<name>`` nor empty; raises `DatasetError`."""
    if text not in ("", "person") and not (text.startswith("model:") and len(text) > len("model:")):
        raise DatasetError(f"origin '{text}' is not understood: write 'person' or 'model:' and the model's name.")


def check_label_name(text: str) -> None:
    """Refuse a label path that leaves the folder ``labels``; raises `DatasetError`."""
    path = PurePosixPath(text.replace("\\", "/"))
    if not path.parts or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DatasetError(f"label '{text}' lies outside the folder 'labels': move the file there and name it alone.")


def checked_cells(changes: Mapping[str, Any], info: DatasetInfo) -> dict[str, str]:
    """Changes to a case as cells.

    Parameters
    ----------
    changes
        By field of `Case`; ``extra`` holds further columns.

    Raises
    ------
    DatasetError
        A field is unknown or kept by the table itself, or a value would be a fault in the table.
    """
    changes = dict(changes)
    cells = {str(name): str(value) for name, value in dict(changes.pop("extra", None) or {}).items()}
    reserved = {"case", "revision", "updated"}
    for name, value in changes.items():
        if name not in COLUMNS or name in reserved:
            raise DatasetError(f"A case has no field '{name}' that can be changed: choose from {_list(COLUMNS)}.")
        # Spaces around a cell are not read back, so they are not written either.
        cells[name] = str(value).strip()
    table = Table(columns=("case", "image")).with_row({"case": "-", "image": "-", **cells})
    problems = row_problems(table, 0, info)
    if problems:
        raise DatasetError(f"The change cannot be saved: {problems[0]}")
    return cells


def _choice(column: str, value: str, allowed: Sequence[str]) -> list[str]:
    if not value or value in allowed:
        return []
    if not allowed:
        return [f"{column} '{value}' is not declared: dataset.json names no {column}s; add it there."]
    return [f"{column} '{value}' is not one of {_list(allowed)}: correct it."]


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


#: Columns whose text has a form of its own, and what refuses it.
_CHECKS: Mapping[str, Callable[[str], object]] = {
    "region": parse_region,
    "origin": check_origin,
    "label": check_label_name,
    "spacing": parse_spacing,
    "series": parse_series,
    "laterality": check_laterality,
}
