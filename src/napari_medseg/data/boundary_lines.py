"""The lines of a table of surfaces, read with every fault that they have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_medseg.data.table import Table

BSCAN, COLUMN, ANCHORS = "bscan", "x", "anchors"


class LineFault(NamedTuple):
    """Something wrong with a table of surfaces: what, and how to mend it; `line` is None for its columns."""

    line: int | None
    text: str
    mend: str

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        return f"{place}{self.text}: {self.mend}"


@dataclass(slots=True, kw_only=True)
class SurfaceLines:
    """What a table says of surfaces; made by `read_lines`.

    Parameters
    ----------
    rows
        float32 (bscan, surface, x) as written, NaN where a surface is missing or its cell at fault.
    pinned
        bool, shaped as `rows`.
    faults
        In the order of the table.
    """

    rows: npt.NDArray[np.float32]
    pinned: npt.NDArray[np.bool_]
    faults: list[LineFault] = field(default_factory=list)


def read_lines(table: Table, surfaces: Sequence[str], shape: Sequence[int]) -> SurfaceLines:
    """Surfaces of a table.

    Parameters
    ----------
    table
        With the columns that `napari_medseg.data.boundaries` describes.
    surfaces
        Names that the data set declares, from top to bottom.
    shape
        Of the image, (bscan, y, x).
    """
    bscans, height, width = shape
    rows = np.full((bscans, len(surfaces), width), np.nan, np.float32)
    found = SurfaceLines(rows=rows, pinned=np.zeros(rows.shape, bool))
    names = _columns(table, surfaces, found.faults)
    if not all(table.has(name) for name in (BSCAN, COLUMN)):
        return found
    seen: dict[tuple[int, int], int] = {}
    for line, cells in enumerate(_cells(table), start=2):
        told: list[tuple[str, str]] = []
        bscan, x = _index(cells, BSCAN, bscans, told), _index(cells, COLUMN, width, told)
        values = {index: _row(cells.get(name, ""), name, height, told) for index, name in names.items()}
        anchors = list(_anchors(cells.get(ANCHORS, ""), surfaces, told))
        if bscan is not None and x is not None:
            first = seen.setdefault((bscan, x), line)
            if first != line:
                told.append((f"it repeats the column of line {first}", "remove one of them"))
            else:
                found.rows[bscan, list(values), x] = list(values.values())
                found.pinned[bscan, anchors, x] = True
        found.faults += [LineFault(line, text, mend) for text, mend in told]
    return found


def _columns(table: Table, surfaces: Sequence[str], faults: list[LineFault]) -> Mapping[int, str]:
    """Name of each surface's column as the file writes it, by index of the surface."""
    for name in (BSCAN, COLUMN):
        if not table.has(name):
            faults.append(LineFault(None, f"it has no column '{name}'", f"name '{BSCAN}' and 'x' in its first line"))
    columns: dict[int, str] = {}
    for name in table.columns:
        if name.strip().lower() in ("", BSCAN, COLUMN, ANCHORS):
            continue
        if name.strip() not in surfaces:
            text = f"it has the column '{name}', which is no surface of the data set"
            faults.append(LineFault(None, text, "rename the column, or declare the surface in dataset.json"))
            continue
        index = list(surfaces).index(name.strip())
        if index in columns:
            faults.append(LineFault(None, f"it has the column '{name}' twice", "remove one"))
        columns[index] = name.strip()
    return columns


def _cells(table: Table) -> Iterator[Mapping[str, str]]:
    """The lines of a table by column."""
    names = [name.strip() for name in table.columns]
    names = [name.lower() if name.lower() in (BSCAN, COLUMN, ANCHORS) else name for name in names]
    return (dict(zip(names, (cell.strip() for cell in line), strict=False)) for line in table.rows)


def _anchors(text: str, surfaces: Sequence[str], faults: list[tuple[str, str]]) -> Iterator[int]:
    for name in filter(None, (part.strip() for part in text.split(";"))):
        if name in surfaces:
            yield list(surfaces).index(name)
        else:
            faults.append((f"'{name}' in the column '{ANCHORS}' is no surface", "correct its name"))


def _index(cells: Mapping[str, str], name: str, size: int, faults: list[tuple[str, str]]) -> int | None:
    text = cells.get(name, "")
    if not (text.isascii() and text.isdigit()):
        faults.append((f"{name} '{text}' is no whole number", "correct it"))
        return None
    if int(text) >= size:
        faults.append((f"{name} {text} lies outside the image, which has {size}", "correct or remove it"))
        return None
    return int(text)


def _row(text: str, name: str, height: int, faults: list[tuple[str, str]]) -> float:
    if not text:
        return math.nan
    try:
        # A spreadsheet that separates cells by ';' writes decimals with a comma.
        row = float(text.replace(",", "."))
    except ValueError:
        faults.append((f"{name} '{text}' is no number", "correct it, or leave it empty"))
        return math.nan
    if not -0.5 <= row <= height - 0.5:
        limits = f"whose rows go from -0.5 to {height - 0.5}"
        faults.append((f"{name} {text} lies outside the image, {limits}", "correct it"))
        return math.nan
    return row
