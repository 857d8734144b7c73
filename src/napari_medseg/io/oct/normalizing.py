"""Any image that a person calls OCT, in the form that everything behind the reader expects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_medseg.io.lazy import LazyArray, with_colors
from napari_medseg.io.oct.grey import is_grey, to_grey
from napari_medseg.io.oct.scan import MILLIMETER
from napari_medseg.io.units import PIXEL, millimeters
from napari_medseg.structures import ArrayLike, Image


def as_oct(image: Image) -> Image:
    """The image with grey B-scans and spacing in millimetres.

    - colours whose channels are all equal become grey (judged by up to three B-scans of large stacks);
    - a time axis becomes the axis of B-scans: programs often save stacks as time;
    - spacing in any unit of length becomes millimetres.
    """
    return in_millimeters(_without_time(_grey(image)))


def in_millimeters(image: Image) -> Image:
    """The image with spacing in any unit of length turned into millimetres; other units stay."""
    if image.spacing is None or image.units is None:
        return image
    factors = [millimeters(unit) for unit in image.units]
    return replace(
        image,
        spacing=tuple(step if f is None else step * f for step, f in zip(image.spacing, factors, strict=True)),
        units=tuple(u if f is None else MILLIMETER for u, f in zip(image.units, factors, strict=True)),
    )


def _grey(image: Image) -> Image:
    if not image.rgb or image.axes[-1] != "c" or not _looks_grey(image.levels[0]):
        return image
    return replace(
        image,
        levels=tuple(_grey_level(level) for level in image.levels),
        axes=image.axes[:-1],
        rgb=False,
        channels=(),
    )


def _looks_grey(pixels: ArrayLike) -> bool:
    if isinstance(pixels, np.ndarray) or len(pixels.shape) < 4:
        return is_grey(np.asarray(pixels[...]))
    return all(is_grey(np.asarray(pixels[i])) for i in {0, pixels.shape[0] // 2, pixels.shape[0] - 1})


def _grey_level(level: ArrayLike) -> ArrayLike:
    if isinstance(level, LazyArray):
        return with_colors(level, to_grey, dtype=level.dtype, channels_in=level.shape[-1], channels_out=None)
    return to_grey(np.asarray(level[...]))


def _without_time(image: Image) -> Image:
    if "t" not in image.axes or "z" in image.axes:
        return image
    units = image.units
    spacing = image.spacing
    if units is not None and spacing is not None:
        at = image.spatial_axes.index("t")
        units = tuple(PIXEL if i == at else unit for i, unit in enumerate(units))
        spacing = tuple(1.0 if i == at else step for i, step in enumerate(spacing))
    return replace(image, axes=image.axes.replace("t", "z"), units=units, spacing=spacing)
