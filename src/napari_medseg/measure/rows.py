"""Measurements as rows of one long table, and the table as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Measure = Literal["thickness", "etdrs", "size", "part", "line"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table; None where a column does not apply or a figure is not known.

    Parameters
    ----------
    case
        Id of the case, or the label file's name.
    measure
        ``"thickness"`` (of a B-scan, or with an empty `bscan` of the whole scan), ``"etdrs"``, ``"size"`` (area or
        volume of a class), ``"part"`` (of one connected part of a class), or ``"line"`` (a diameter that was drawn).
    structure
        What was measured.
    bscan
        Number of the B-scan, from 0.
    field
        Field of the ETDRS grid.
    mean_um, min_um, max_um
        Thickness in micrometres; None without axial spacing.
    mean_px, min_px, max_px
        Thickness in pixels of depth.
    coverage
        Share of columns (of the field's area) where the thickness is known.
    doubtful
        Whether the coverage is below 95 %.
    columns
        How many columns that is.
    pixels, area_mm2, volume_mm3
        Size: of a class, or the volume of a field.
    parts, part
        How many connected parts a class has; the number of this one, from 1, the largest first.
    grey_mean, grey_sd, grey_median, grey_p5, grey_p95
        Grey values inside, as `intensities.Intensities`: Hounsfield units of a CT.
    long_mm, short_mm
        Diameters of a part in one slice, as `diameters.Diameters`; the length of a drawn line.
    z, y, x
        A voxel in the middle of a part or line, from 0.
    note
        What to know about the figures.
    """

    case: str
    measure: Measure
    structure: str
    bscan: int | None = None
    field: str | None = None
    mean_um: float | None = None
    min_um: float | None = None
    max_um: float | None = None
    mean_px: float | None = None
    min_px: float | None = None
    max_px: float | None = None
    coverage: float | None = None
    doubtful: bool | None = None
    columns: int | None = None
    pixels: int | None = None
    area_mm2: float | None = None
    volume_mm3: float | None = None
    parts: int | None = None
    part: int | None = None
    grey_mean: float | None = None
    grey_sd: float | None = None
    grey_median: float | None = None
    grey_p5: float | None = None
    grey_p95: float | None = None
    long_mm: float | None = None
    short_mm: float | None = None
    z: int | None = None
    y: int | None = None
    x: int | None = None
    note: str = ""


COLUMNS = tuple(f.name for f in fields(Row))


def document_of(row: Row) -> dict[str, Any]:
    """A row as JSON has it: only what applies."""
    return {key: value for key, value in asdict(row).items() if value is not None and value != ""}


def csv_text(rows: Sequence[Row]) -> str:
    """The table as CSV: numbers with seven digits, ``yes`` and ``no``, empty cells for what is not known.

    >>> csv_text([Row(case="a", measure="size", structure="fluid", pixels=3)]).splitlines()[1]
    'a,size,fluid,,,,,,,,,,,,3,,,,,,,,,,,,,,,'
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(value) for value in asdict(row).values()])
    return text.getvalue()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.7g}" if isinstance(value, float) else _unformulated(str(value))


def _unformulated(text: str) -> str:
    """Names come from files; one that a spreadsheet would take for a formula is shown as text."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def defined(value: float) -> float | None:
    """A number, or None for NaN."""
    return None if math.isnan(value) else value
