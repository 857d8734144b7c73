"""Columns of ``cases.csv`` that tell how an image is read: ``spacing``, ``series`` and ``laterality``.

They are no columns of every data set: one that needs them has them, and their cells lie in `Case.extra`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

from napari_medseg.errors import DatasetError
from napari_medseg.io.plausibility import implausible_spacing, implausible_steps
from napari_medseg.io.units import PIXEL
from napari_medseg.structures import Case, Image, OctScan

SCAN_COLUMNS = ("spacing", "series", "laterality")

_SEPARATORS = re.compile(r"\s*[,;x×]\s*|\s+")
_MILLIMETER = "millimeter"


def scan_cell(case: Case, name: str) -> str:
    """A case's cell of one of `SCAN_COLUMNS`, however the table capitalises the column; empty where there is none."""
    return next((text.strip() for column, text in case.extra.items() if column.strip().lower() == name), "")


def parse_spacing(text: str) -> tuple[float, ...] | None:
    """Millimetres per pixel, ``"z,y,x"`` or ``"y,x"``; None for an empty cell.

    Raises
    ------
    DatasetError
        These are not two or three lengths.

    Examples
    --------
    >>> parse_spacing("0.12, 0.0039, 0.0115"), parse_spacing("0.0039 × 0.0115"), parse_spacing("")
    ((0.12, 0.0039, 0.0115), (0.0039, 0.0115), None)
    """
    if not text.strip():
        return None
    try:
        steps = tuple(float(part) for part in _SEPARATORS.split(text.strip()))
    except ValueError:
        steps = ()
    if len(steps) not in (2, 3) or not all(math.isfinite(step) and step > 0 for step in steps):
        raise DatasetError(
            f"spacing '{text}' is not understood: write millimetres per pixel as y,x or z,y,x, such as 0.0039,0.0115."
        )
    return steps


def format_spacing(spacing: Sequence[float]) -> str:
    """Millimetres per pixel as ``cases.csv`` writes them.

    >>> format_spacing((0.0038716697599738836, 0.0115))
    '0.00387167,0.0115'
    """
    return ",".join(f"{step:.6g}" for step in spacing)


def parse_series(text: str) -> int | None:
    """Which of a file's series, from 0; None for an empty cell; raises `DatasetError`."""
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise DatasetError(f"series '{text}' is no whole number: write 0 for the first series of the file.")
    return int(text)


def check_laterality(text: str) -> None:
    """Refuse what is neither R nor L nor empty; raises `DatasetError`."""
    if text.strip().upper() not in ("", "R", "L"):
        raise DatasetError(f"laterality '{text}' is not understood: write R or L.")


def completed(image: Image, case: Case) -> Image:
    """An image with what the table knows of it and its file does not.

    Parameters
    ----------
    image
        As read; where it has spacing along an axis, that stays, unless it cannot be true and the given one can.
    case
        Its row. A spacing of two numbers leaves the distance between slices unknown, counted in pixels.

    Raises
    ------
    DatasetError
        A cell cannot be understood.
    """
    check_laterality(scan_cell(case, "laterality"))
    side = scan_cell(case, "laterality").upper()
    image = with_spacing(image, parse_spacing(scan_cell(case, "spacing")))
    scan = image.oct or OctScan()
    if side in ("R", "L") and image.kind == "oct" and not scan.laterality:
        image = replace(image, oct=replace(scan, laterality="R" if side == "R" else "L"))
    return image


def with_spacing(image: Image, millimeters: Sequence[float] | None) -> Image:
    """An image with spacing, in millimetres, along the axes where its file has none or one that cannot be true.

    Parameters
    ----------
    millimeters
        Per axis, ``z, y, x`` or ``y, x``; None: leave the image as it is. What cannot be true becomes a warning.
    """
    if millimeters is None:
        return image
    count = len(image.spatial_axes)
    doubts = implausible_spacing(image)
    given = (None,) * (count - len(millimeters)) + tuple(millimeters[-count:])
    known = list(zip(image.spacing or (1.0,) * count, image.units or (PIXEL,) * count, strict=True))
    steps = dict(zip(image.spatial_axes, given, strict=True))
    worse = implausible_steps(image.kind, image.spatial_axes, image.spatial_shape, given)
    for index, (axis, step) in enumerate(steps.items()):
        if step is not None and (known[index][1] == PIXEL or axis in doubts.keys() - worse.keys()):
            known[index] = (step, _MILLIMETER)
    image = replace(image, spacing=tuple(step for step, _ in known), units=tuple(unit for _, unit in known))
    certain = [text for text in image.warnings if text not in doubts.values()]
    return replace(image, warnings=(*certain, *implausible_spacing(image).values()))
