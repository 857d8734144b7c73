"""What a source layout has to tell: which image goes with which mask and which cells of a table."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data.naming import stem_of
from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.data.table import Table, read_table
from napari_medseg.errors import DatasetError, InputNotFoundError

Say = Callable[[str], None]

#: Usual names of the folders that images and masks are kept in.
IMAGE_FOLDERS = ("images", "image", "imgs", "img")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "segmentations", "gt")

_MASK_SUFFIX = re.compile(
    r"[-_ .](mask|masks|seg|segmentation|label|labels|labelmap|gt|anno|annotation)$", re.IGNORECASE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnMask:
    """A mask that a file describes by other things than pixels: polygons, runs.

    Parameters
    ----------
    name
        For messages.
    draw
        Given the image's size (y, x), the mask of that size, uint8.
    """

    name: str
    draw: Callable[[tuple[int, ...]], npt.NDArray[np.uint8]]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedCase:
    """A case that is to be made: image file, mask and the cells that are known.

    Where there are `contours`, the mask is what they become on a picture; on a whole slide they stay what they are.
    """

    case: str
    image: Path
    mask: Path | DrawnMask | None = None
    contours: SlideContours | None = None
    cells: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a source holds.

    Parameters
    ----------
    cases
        In the order of the source.
    classes, ignore
        What the source itself says of the values in its masks; None and nothing where it does not.
    """

    cases: Sequence[PlannedCase]
    classes: Mapping[int, str] | None = None
    ignore: Sequence[int] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Where to look; see `napari_medseg.data.importing.import_dataset`.

    Parameters
    ----------
    columns
        Column of the source's table by the field of `Case` that it fills; None where there is none.
    """

    source: Path
    images: str | None
    masks: str | None
    table: str | None
    id_column: str | None
    columns: Mapping[str, str | None]
    say: Say


Planner = Callable[[Options], Plan]


def pair(images: Sequence[Path], masks: Sequence[Path]) -> list[PlannedCase]:
    """Images with the mask of the same name; names of images in several folders begin with their folder's.

    Raises
    ------
    DatasetError
        Two images share a name, two masks fit one image, or a mask fits none.
    """
    name_of = _names_of(images)
    by_stem: dict[str, Path] = {}
    problems = []
    for image in images:
        first = by_stem.setdefault(name_of(image), image)
        if first is not image:
            problems.append(f"images {first.name} and {image.name} share a name; rename one")
    mask_of: dict[str, Path] = {}
    for mask in masks:
        stem = name_of(mask)
        stem = stem if stem in by_stem else _MASK_SUFFIX.sub("", stem)
        if stem not in by_stem:
            problems.append(f"mask {mask.name} has no image of its name; add the image or remove the mask")
            continue
        first = mask_of.setdefault(stem, mask)
        if first is not mask:
            problems.append(f"masks {first.name} and {mask.name} both fit image {by_stem[stem].name}; keep one")
    refuse(problems)
    return [PlannedCase(case=stem, image=image, mask=mask_of.get(stem)) for stem, image in by_stem.items()]


def _names_of(images: Sequence[Path]) -> Callable[[Path], str]:
    """How images and their masks are called: by their own name, where no two folders have images of one name."""
    homes: dict[str, set[Path]] = {}
    for image in images:
        homes.setdefault(stem_of(image), set()).add(home_of(image)[0])
    if all(len(folders) == 1 for folders in homes.values()):
        return stem_of
    return lambda path: f"{home_of(path)[0].name}_{stem_of(path)}"


def home_of(path: Path) -> tuple[Path, str]:
    """The folder of a file, without one of `IMAGE_FOLDERS` or `MASK_FOLDERS` in it, which is named apart.

    >>> folder, kept_in = home_of(Path("eyes/patient 1/masks/a.png"))
    >>> folder.name, kept_in
    ('patient 1', 'masks')
    """
    name = path.parent.name.lower()
    return (path.parent.parent, name) if name in (*IMAGE_FOLDERS, *MASK_FOLDERS) else (path.parent, "")


def is_mask_name(path: Path) -> bool:
    """Whether a file's name ends like a mask's (``..._mask.png``)."""
    return _MASK_SUFFIX.search(stem_of(path)) is not None


def with_table(cases: Sequence[PlannedCase], options: Options) -> list[PlannedCase]:
    """Cases with the cells that the options' table has for them.

    Raises
    ------
    InputNotFoundError
        There is no such table.
    DatasetError
        A column is missing, an id stands there twice, or no id matches an image.
    """
    if options.table is None:
        named = next((column for column in options.columns.values() if column), None)
        if named:
            raise DatasetError(f"Column '{named}' was named but no table: give it with --table.")
        return list(cases)
    table = read_table(_find_table(options))
    id_column = options.id_column or table.columns[0]
    wanted = {name: column for name, column in options.columns.items() if column}
    for column in (id_column, *wanted.values()):
        if not table.has(column):
            raise DatasetError(f"Table {options.table} has no column '{column}': it has {', '.join(table.columns)}.")
    rows = _rows_by_id(table, id_column, {case.case for case in cases})
    matched = [case for case in cases if case.case in rows]
    if not matched:
        raise DatasetError(
            f"No id in column '{id_column}' of {options.table} matches an image name (ids such as "
            f"'{next(iter(rows), '')}', images such as '{cases[0].image.name}'): name the right column with --id."
        )
    if len(rows) > len(matched):
        options.say(f"{len(rows) - len(matched)} rows of {options.table} have no image here and were left out.")
    if len(cases) > len(matched):
        options.say(f"{len(cases) - len(matched)} images have no row in {options.table}.")
    return [replace(case, cells={**case.cells, **_cells(table, rows.get(case.case), wanted)}) for case in cases]


def with_known_grades(cases: Sequence[PlannedCase], grades: Sequence[str], say: Say) -> list[PlannedCase]:
    """Cases whose grade is one of `grades`; another one is taken away, and said once.

    Raises
    ------
    DatasetError
        No case has one of them.
    """
    others = Counter(grade for case in cases if (grade := case.cells.get("grade", "")) not in ("", *grades))
    if not any(case.cells.get("grade") in grades for case in cases):
        found = ", ".join(sorted(others)) or "nothing"
        raise DatasetError(f"No case has one of the grades {', '.join(grades)}; the column holds {found}: see --grade.")
    if others:
        counted = ", ".join(f"{name} ({count})" for name, count in sorted(others.items()))
        say(f"Cases without one of the grades {', '.join(grades)} have none: {counted}.")
    return [
        replace(case, cells={**case.cells, "grade": ""}) if case.cells.get("grade") in others else case
        for case in cases
    ]


def refuse(problems: Sequence[str]) -> None:
    """Raise a `DatasetError` that names up to three problems and counts the others; nothing when there are none."""
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DatasetError(f"Nothing was imported: {'; '.join(problems[:3])}{more}.")


def _find_table(options: Options) -> Path:
    inside = options.source / str(options.table)
    path = inside if inside.exists() else Path(str(options.table))
    if not path.exists():
        raise InputNotFoundError(f"Table {inside} does not exist: check --table.")
    return path


def _rows_by_id(table: Table, id_column: str, stems: set[str]) -> dict[str, int]:
    rows: dict[str, int] = {}
    problems = []
    for row, text in enumerate(table.column(id_column)):
        name = text.strip()
        # Ids may be written as file names, with folder and ending.
        key = name if name in stems else stem_of(Path(name.replace("\\", "/"))) if name else ""
        if key and rows.setdefault(key, row) != row:
            problems.append(f"id '{name}' stands twice in column '{id_column}'; keep one row")
    refuse(problems)
    return rows


def _cells(table: Table, row: int | None, wanted: Mapping[str, str]) -> dict[str, str]:
    if row is None:
        return {}
    return {name: table.cell(row, column).strip() for name, column in wanted.items()}
