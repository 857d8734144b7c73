"""Where in an ultrasound frame the scan is: without the machine's frame, its bars and its text.

``"largest"`` is the scheme's own method: binarise (Otsu), close gaps, keep the largest of the connected regions. On
some machines' frames it keeps the colours of flow alone, or cuts the sides of a fan. ``"robust"`` believes a valid
region of the header first, then what moves in a cine, then everything that is no background and thicker than text
(`napari_medseg.data.scan_masks`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.data.regions import bounding_box
from napari_medseg.data.scan_masks import (
    Frame,
    above_background_mask,
    background_of,
    moving_mask,
    otsu_mask,
)
from napari_medseg.io.oct.grey import to_grey
from napari_medseg.structures import Box, Image

Pixels = npt.NDArray[Any]

ScanRegionMethod = Literal["robust", "largest", "whole"]
METHODS: tuple[ScanRegionMethod, ...] = ("robust", "largest", "whole")

#: A region smaller than this share of the frame is none.
LEAST_SHARE = 0.05
#: Smaller pictures have no room for a machine's frame.
_LEAST_SIDE = 100
#: Less of the rim than this is background where no machine's frame is around the scan.
_FRAMED = 0.3
#: Frames of a cine that are looked at, and the fewest that tell what moves.
_MOST_FRAMES, _LEAST_FRAMES = 24, 3
#: What moves is the scan only if it is as large as this share of what one frame shows.
_MOVES = 0.5
_WHOLE = "whole image"
_NOTHING = "No scan was found in the frame: draw the box by hand."
_PARTLY = "Only a part of the picture moves, so one frame was judged."
_UNFRAMED = "The picture has no machine's frame around it, so all of it is used."


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRegion:
    """Where the scan is.

    Parameters
    ----------
    box
        ((y0, y1), (x0, x1)) in pixels of the frame.
    source
        How it was found: ``"header"``, ``"motion"``, ``"low threshold"``, ``"Otsu, largest region"`` or
        ``"whole image"``.
    notes
        Sentences for people.
    """

    box: Box
    source: str
    notes: tuple[str, ...] = ()


def find_scan_region(image: Image, method: ScanRegionMethod = "robust") -> ScanRegion:
    """Where the scan is in an ultrasound frame or cine.

    Parameters
    ----------
    image
        Of axes ``"yx"``, ``"yxc"``, ``"tyx"`` or ``"tyxc"``.
    method
        See the module's first lines.

    Returns
    -------
    one box for all frames of a cine; the whole image, with a note, where no scan is found
    """
    height, width = image.spatial_shape[-2:]
    whole: Box = ((0, height), (0, width))
    if method == "whole":
        return ScanRegion(box=whole, source=_WHOLE)
    if method == "robust" and image.ultrasound is not None and image.ultrasound.regions:
        return ScanRegion(box=_around(image.ultrasound.regions), source="header")
    if method == "largest":
        frame = _frame(image, _count(image) // 2)
        grey = to_grey(frame) if frame.shape[2:] == (3,) else frame.max(axis=-1) if frame.ndim == 3 else frame
        return _found(bounding_box(otsu_mask(_scaled(grey))), whole, "Otsu, largest region")
    still = _of_frame(_brightest(_frame(image, _count(image) // 2)), whole)
    moving = bounding_box(moving_mask(_sampled(image))) if _count(image) >= _LEAST_FRAMES else None
    if moving is None or _area(moving) < LEAST_SHARE * _area(whole):
        return still
    if still.source != _WHOLE and _area(moving) < _MOVES * _area(still.box):
        return replace(still, notes=(*still.notes, _PARTLY))
    return ScanRegion(box=moving, source="motion")


def _of_frame(brightest: Frame, whole: Box) -> ScanRegion:
    """Where the scan is, as one frame shows it."""
    if min(brightest.shape) < _LEAST_SIDE or background_of(brightest)[1] < _FRAMED:
        return ScanRegion(box=whole, source=_WHOLE, notes=(_UNFRAMED,))
    return _found(bounding_box(above_background_mask(brightest)), whole, "low threshold")


def _found(box: Box | None, whole: Box, source: str) -> ScanRegion:
    if box is None or _area(box) < LEAST_SHARE * _area(whole):
        return ScanRegion(box=whole, source=_WHOLE, notes=(_NOTHING,))
    return ScanRegion(box=box, source=source)


def device_key(image: Image) -> str | None:
    """What names the machine and its picture size, for boxes that are remembered; None where it is not known.

    >>> pixels = np.zeros((48, 64), np.uint8)
    >>> from napari_medseg.structures import UltrasoundScan
    >>> device_key(Image(levels=(pixels,), axes="yx", ultrasound=UltrasoundScan(device="Acme One")))
    'Acme One 48x64'
    """
    if image.ultrasound is None or not image.ultrasound.device:
        return None
    height, width = image.spatial_shape[-2:]
    return f"{image.ultrasound.device} {height}x{width}"


def _count(image: Image) -> int:
    """Frames of a cine or slices of a stack; 1 for a picture."""
    return math.prod(image.spatial_shape[:-2])


def _frame(image: Image, index: int) -> Pixels:
    """A frame as stored, (y, x) or (y, x, c)."""
    lead = image.spatial_shape[:-2]
    places = iter((*((int(place), int(place) + 1) for place in np.unravel_index(index, lead)),) if lead else ())
    box = tuple(next(places, (0, n)) for n in image.spatial_shape)
    pixels = image.region(box)
    frame = pixels.reshape(pixels.shape[0], *pixels.shape[-2:])
    return frame[0] if frame.shape[0] == 1 else np.moveaxis(frame, 0, -1)


def _sampled(image: Image) -> Frame:
    """Frames at even distances over a cine, (t, y, x)."""
    count = _count(image)
    chosen = np.linspace(0, count - 1, min(count, _MOST_FRAMES)).round().astype(int)
    return np.stack([_brightest(_frame(image, int(index))) for index in chosen])


def _brightest(frame: Pixels) -> Frame:
    """The brightest channel, (y, x), 0..255."""
    return _scaled(frame.max(axis=-1) if frame.ndim == 3 else frame)


def _scaled(grey: Pixels) -> Frame:
    """Grey values of any type as 0..255."""
    values = np.nan_to_num(grey.astype(np.float32), posinf=0.0, neginf=0.0)
    if grey.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * np.float32(255.0 / (high - low)) if high > low else np.zeros_like(values))


def _around(boxes: tuple[Box, ...]) -> Box:
    """The smallest box that holds all."""
    return tuple((min(b[axis][0] for b in boxes), max(b[axis][1] for b in boxes)) for axis in range(2))


def _area(box: Box) -> int:
    return (box[0][1] - box[0][0]) * (box[1][1] - box[1][0])
