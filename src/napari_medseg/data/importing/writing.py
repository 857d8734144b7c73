"""Check planned cases together and write them as a data set in one step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_medseg.data import naming
from napari_medseg.data.cases_table import write_cases
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import check_info, tag_classes, write_info
from napari_medseg.data.history import History, author_name, now
from napari_medseg.data.importing.mask_grid import mask_on_image
from napari_medseg.data.importing.plan import PlannedCase, Say, refuse
from napari_medseg.data.importing.values import ValueMap, map_values, values_in
from napari_medseg.data.label_files import bands
from napari_medseg.data.layer_order import layer_values, layer_votes, order_fault
from napari_medseg.data.layers import surfaces_of_layers, with_structure_colors
from napari_medseg.data.making import made_at_once, refuse_full_folder
from napari_medseg.data.rows import COLUMNS
from napari_medseg.data.scan_columns import SCAN_COLUMNS, check_laterality, parse_spacing, with_spacing
from napari_medseg.data.slide_cases import is_large
from napari_medseg.data.slide_contours import contours_path
from napari_medseg.data.table import Table
from napari_medseg.errors import MedsegError
from napari_medseg.io import read, write_labels
from napari_medseg.io.plausibility import implausible_spacing
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import DatasetInfo, Image, Kind, Progress


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a first look at a planned case found."""

    image: Image
    values: frozenset[int]


def write_dataset(
    out: Path,
    cases: Sequence[PlannedCase],
    *,
    name: str,
    kind: Kind,
    classes: Mapping[int, str] | None,
    ignore: Sequence[int],
    instances: str | None,
    implies: Mapping[str, str],
    grades: Sequence[str],
    layers: Sequence[str],
    resample: bool,
    say: Say,
    progress: Progress,
) -> Dataset:
    """Look at every file, then write everything under another name and rename it.

    `resample`: bring masks on another grid onto their image's; `say` is told what that did to each.

    Raises
    ------
    DatasetError
        A file cannot be read, a mask does not fit its image or holds an undeclared value, the masks show `layers` in
        another order, or `out` holds something.
    WriteError
        `out` cannot be written.
    """
    refuse_full_folder(out)
    seen = _look(cases, kind, resample, say, progress)
    values = map_values(classes, ignore, instances, {value for s in seen for value in s.values})
    surfaces = surfaces_of_layers(layers, values.classes)
    _refuse_undeclared(cases, seen, values)
    info = DatasetInfo(
        name=name,
        kind=kind,
        classes=with_structure_colors(values.classes) if kind == "oct" else values.classes,
        tags=tag_classes(_distinct(cases, "tag")),
        grades=tuple(grades or _in_order(_distinct(cases, "grade"))),
        implies=implies,
        surfaces=surfaces,
    )
    check_info(info)
    with made_at_once(out) as folder:
        _write(folder, out, cases, seen, values, info, resample, progress)
    return Dataset.open(out)


def _look(cases: Sequence[PlannedCase], kind: Kind, resample: bool, say: Say, progress: Progress) -> list[_Seen]:
    seen, problems = [], []
    doubts: dict[str, list[str]] = {}
    for number, case in enumerate(cases):
        progress(number, 2 * len(cases), f"Looking at {case.image.name}")
        try:
            check_laterality(case.cells.get("laterality", ""))
            image = read(case.image, kind=None if kind == "image" else kind)
            image = with_spacing(image, parse_spacing(case.cells.get("spacing", "")))
            for doubt in implausible_spacing(image).values():
                doubts.setdefault(doubt, []).append(case.image.name)
            values: frozenset[int] = frozenset()
            if case.mask is not None and not _keeps_contours(case, image):
                labels, told = mask_on_image(case.mask, image, resample=resample)
                values = frozenset(value for band in bands(labels) for value in values_in(band))
                if told:
                    say(told)
            seen.append(_Seen(image, values))
        except MedsegError as error:
            place = f"{case.image.name}: " if case.image.name not in str(error) else ""
            problems.append(f"{place}{str(error).rstrip('.')}")
    refuse(problems)
    for doubt, names in doubts.items():
        say(f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {doubt}")
    return seen


def _refuse_undeclared(cases: Sequence[PlannedCase], seen: Sequence[_Seen], values: ValueMap) -> None:
    files: dict[int, list[str]] = {}
    for case, found in zip(cases, seen, strict=True):
        for value in values.undeclared(found.values):
            files.setdefault(value, []).append(case.mask.name if case.mask is not None else "")
    if not files:
        return
    named = [
        f"value {value} in mask {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else "")
        for value, names in sorted(files.items())
    ]
    more = f", and {len(named) - 3} more values" if len(named) > 3 else ""
    mend = "name them with --classes, drop them with --ignore, or say --instances if they are object numbers"
    refuse([f"{', '.join(named[:3])}{more}: no declared class; {mend}"])


def _write(
    folder: Path,
    out: Path,
    cases: Sequence[PlannedCase],
    seen: Sequence[_Seen],
    values: ValueMap,
    info: DatasetInfo,
    resample: bool,
    progress: Progress,
) -> None:
    (folder / "labels").mkdir()
    rows = []
    layers = layer_values(info)
    votes = np.zeros((len(layers), len(layers)), np.int64)
    for number, (case, found) in enumerate(zip(cases, seen, strict=True)):
        progress(len(cases) + number, 2 * len(cases), f"Writing {case.case}")
        label = ""
        if case.contours is not None and _keeps_contours(case, found.image):
            case.contours.write(contours_path(folder / "labels", case.case))
        elif case.mask is not None:
            mask, _ = mask_on_image(case.mask, found.image, resample=resample)
            path = naming.free_path(folder / "labels", case.case, ".tif")
            labels = np.concatenate([values.convert(band) for band in bands(mask)])
            votes += layer_votes(labels, layers)
            write_labels(path, labels, classes=info.classes, spacing=found.image.spacing, units=found.image.units)
            label = path.name
        rows.append(_row(case, out, label))
    if fault := order_fault(votes, info):
        refuse([f"in the masks {fault}; list them in this order"])
    columns = (*COLUMNS, *(name for name in SCAN_COLUMNS if any(row.get(name) for row in rows)))
    table = Table(columns=columns, rows=tuple(tuple(row.get(name, "") for name in columns) for row in rows))
    history = History(folder / "history", author_name())
    history.write(*(history.change(row["case"], "add", after=row, revision=1) for row in rows))
    write_cases(folder, table)
    write_info(folder, info)


def _keeps_contours(case: PlannedCase, image: Image) -> bool:
    """Whether contours of a case are drawn on as such: a label image of a whole slide would be huge."""
    return case.contours is not None and is_slide(image) and is_large(image)


def _row(case: PlannedCase, out: Path, label: str) -> dict[str, str]:
    known = bool(
        label or (case.contours and case.contours.contours) or case.cells.get("tag") or case.cells.get("grade")
    )
    return {
        **dict.fromkeys(COLUMNS, ""),
        **case.cells,
        "case": case.case,
        "image": naming.image_cell(case.image, out),
        "label": label,
        "origin": "person" if known else "",
        "author": "import" if known else "",
        "status": "done" if known else "todo",
        "revision": "1",
        "updated": now(),
    }


def _distinct(cases: Sequence[PlannedCase], field: str) -> list[str]:
    return sorted({case.cells[field] for case in cases if case.cells.get(field)})


def _in_order(grades: Sequence[str]) -> list[str]:
    """Grades by number where all are numbers, else by name; whoever imports can give another order."""
    try:
        return sorted(grades, key=float)
    except ValueError:
        return list(grades)
