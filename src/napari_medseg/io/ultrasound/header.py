"""What the header of a DICOM ultrasound says of machine, regions, time and distances; checked before it is believed.

Machines and archives scale pictures down and leave the header as it was: a region that does not lie in the picture is
about another one, and so are the distances beside it (DICOM PS3.3, C.8.5.5).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from napari_medseg.io.units import PIXEL
from napari_medseg.io.volume.volume import MILLIMETER
from napari_medseg.structures import Box

if TYPE_CHECKING:
    from pydicom import Dataset

MILLISECOND = "millisecond"
#: Spatial format of a region with a picture of tissue; others hold curves and spectra.
_PICTURE = 1
#: Unit of `PhysicalDelta`: centimetres per pixel.
_CENTIMETERS = 3
#: A region smaller or larger than these shares of the picture tells nothing.
_LEAST, _MOST = 0.05, 0.98
#: Pixels by which regions reach over the edge, as some machines count from 1.
_OVERSHOOT = 2
_OTHER_SIZE = (
    "Its header describes regions that do not lie in the picture, so it was scaled since: its regions and distances "
    "are not used."
)


def device_of(header: Dataset) -> str:
    """Maker and model; empty where the file names none."""
    words = (" ".join(str(header.get(key) or "").split()) for key in ("Manufacturer", "ManufacturerModelName"))
    return " ".join(word for word in words if word)[:64]


def regions_of(header: Dataset, shape: Sequence[int]) -> tuple[tuple[Box, ...], tuple[float, float] | None, list[str]]:
    """Regions of tissue, millimetres per pixel along (y, x), and warnings.

    Parameters
    ----------
    shape
        (rows, columns) of the picture.

    Returns
    -------
    boxes (y, x) without repetitions; spacing, None where it is not known or differs between regions
    """
    items = list(header.get("SequenceOfUltrasoundRegions") or [])
    boxes = [_box(item) for item in items]
    if any(box is not None and not _lies_in(box, shape) for box in boxes):
        return (), None, [_OTHER_SIZE]
    found: list[Box] = []
    steps: set[tuple[float, float] | None] = set()
    for item, box in zip(items, boxes, strict=True):
        if box is None or _whole(item.get("RegionSpatialFormat")) != _PICTURE:
            continue
        clipped: Box = tuple((low, min(high, n)) for (low, high), n in zip(box, shape, strict=True))
        steps.add(_step(item))
        share = math.prod(high - low for low, high in clipped) / math.prod(shape)
        if _LEAST <= share <= _MOST and clipped not in found:
            found.append(clipped)
    if len(steps) > 1:
        told = ["Its regions have different scales, so distances are not known: open a frame with one picture."]
        return tuple(found), None, told
    return tuple(found), _one(steps) if items else _pixel_spacing(header), []


def frame_ms_of(header: Dataset) -> tuple[float | None, list[str]]:
    """Milliseconds between frames, and warnings; None where the file does not say."""
    if (step := _positive(header.get("FrameTime"))) is not None:
        return step, []
    steps = [_positive(step) for step in list(header.get("FrameTimeVector") or [])[1:]]
    known = [step for step in steps if step is not None]
    if known:
        mean = math.fsum(known) / len(known)
        uneven = max(known) - min(known) > 0.02 * mean
        return mean, ["Its frames were taken at uneven times; their mean distance is used."] if uneven else []
    for key in ("CineRate", "RecommendedDisplayFrameRate"):
        if (rate := _positive(header.get(key))) is not None:
            return 1000 / rate, []
    return None, []


def spacing_of_frames(
    axes: str, frame_ms: float | None, step: tuple[float, float] | None
) -> tuple[tuple[float, ...] | None, tuple[str, ...] | None]:
    """Spacing and units of an image of axes ``"yx[c]"`` or ``"tyx[c]"``; what is not known counts in frames or pixels.

    >>> spacing_of_frames("tyx", 40.0, None)
    ((40.0, 1.0, 1.0), ('millisecond', 'pixel', 'pixel'))
    """
    is_cine = "t" in axes
    if step is None and not (is_cine and frame_ms is not None):
        return None, None
    inside, unit = ((1.0, 1.0), PIXEL) if step is None else (step, MILLIMETER)
    if not is_cine:
        return inside, (unit, unit)
    between, time = (1.0, PIXEL) if frame_ms is None else (frame_ms, MILLISECOND)
    return (between, *inside), (time, unit, unit)


def _box(item: Dataset) -> Box | None:
    """The place of a region, one past its last pixel; None where the item gives none."""
    ends = [_whole(item.get(f"RegionLocation{end}")) for end in ("MinY0", "MaxY1", "MinX0", "MaxX1")]
    y0, y1, x0, x1 = ends
    if y0 is None or y1 is None or x0 is None or x1 is None:
        return None
    return (y0, y1 + 1), (x0, x1 + 1)


def _lies_in(box: Box, shape: Sequence[int]) -> bool:
    return all(0 <= low < high <= n + _OVERSHOOT for (low, high), n in zip(box, shape, strict=True))


def _step(item: Dataset) -> tuple[float, float] | None:
    """Millimetres per pixel along (y, x)."""
    units = {_whole(item.get(f"PhysicalUnits{axis}Direction")) for axis in "YX"}
    down, across = (_positive(item.get(f"PhysicalDelta{axis}"), signed=True) for axis in "YX")
    if units != {_CENTIMETERS} or down is None or across is None:
        return None
    return down * 10, across * 10


def _one(steps: set[tuple[float, float] | None]) -> tuple[float, float] | None:
    return next(iter(steps)) if len(steps) == 1 else None


def _pixel_spacing(header: Dataset) -> tuple[float, float] | None:
    """The general element for distances, which few machines fill."""
    given = header.get("PixelSpacing")
    try:
        down, across = (_positive(value) for value in given)
    except (TypeError, ValueError):
        return None
    return None if down is None or across is None else (down, across)


def _positive(value: Any, *, signed: bool = False) -> float | None:
    """A finite number above 0; with `signed`, its size."""
    try:
        number = abs(float(value)) if signed else float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return None
