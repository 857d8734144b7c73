"""Where in an ultrasound frame the scan is: without the machine's frame, its bars and its text.

``"largest"`` is the scheme's own method: binarise (Otsu), close gaps, keep the largest of the connected regions. On
some machines' frames it keeps the colours of flow alone, or cuts the sides of a fan. ``"robust"`` believes a valid
region of the header first, then what moves in a cine, then everything that is no background and thicker than text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.data.regions import bounding_box, largest_part
from napari_medseg.structures import Box, Image

ScanRegionMethod = Literal["robust", "largest", "whole"]
METHODS: tuple[ScanRegionMethod, ...] = ("robust", "largest", "whole")

Mask = npt.NDArray[np.bool_]
Frame = npt.NDArray[np.float32]

#: A region smaller than this share of the frame is none.
LEAST_SHARE = 0.05
_WHOLE = "whole image"


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
    frame = _grey_frame(image)
    mask = _by_otsu(frame) if method == "largest" else _by_low_threshold(frame)
    box = bounding_box(largest_part(mask))
    if box is None or _area(box) < LEAST_SHARE * height * width:
        return ScanRegion(box=whole, source=_WHOLE, notes=("No scan was found in the frame: draw the box by hand.",))
    return ScanRegion(box=box, source="Otsu, largest region" if method == "largest" else "low threshold")


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


def _grey_frame(image: Image) -> Frame:
    """The middle frame, (y, x), brightest channel, 0..255."""
    pixels: Any = image.data
    if len(image.spatial_shape) == 3:
        pixels = pixels[image.shape[0] // 2]
    frame = np.asarray(pixels[...])
    frame = frame.max(axis=-1) if image.axes.endswith("c") else frame
    values = np.nan_to_num(frame.astype(np.float32), posinf=0.0, neginf=0.0)
    if frame.dtype == np.uint8:
        return values
    low, high = float(values.min()), float(values.max())
    return np.asarray((values - low) * (255.0 / (high - low)) if high > low else np.zeros_like(values))


def _by_otsu(frame: Frame) -> Mask:
    from scipy import ndimage
    from skimage.filters import threshold_otsu

    bright = frame > threshold_otsu(frame)  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray(ndimage.binary_closing(bright, np.ones((3, 3), bool), iterations=2))


def _by_low_threshold(frame: Frame) -> Mask:
    from scipy import ndimage

    bright = ndimage.binary_opening(frame > 8, np.ones((3, 3), bool))
    return np.asarray(ndimage.binary_fill_holes(ndimage.binary_closing(bright, np.ones((5, 5), bool), iterations=2)))


def _around(boxes: tuple[Box, ...]) -> Box:
    """The smallest box that holds all."""
    return tuple((min(b[axis][0] for b in boxes), max(b[axis][1] for b in boxes)) for axis in range(2))


def _area(box: Box) -> int:
    return (box[0][1] - box[0][0]) * (box[1][1] - box[1][0])
