"""Label by intensity: what lies inside a range of values, such as Hounsfield units."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.change import LabelChange, box_of, changed, check, slices_of
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, Box


def fill_range(
    labels: Labels,
    image: npt.NDArray[Any],
    value: int,
    low: float,
    high: float,
    *,
    box: Box | None = None,
    protected: Collection[int] = (),
) -> LabelChange:
    """Give a class to the voxels whose intensity lies in a range.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x); not changed.
    image
        Intensities, of the labels' shape.
    value
        The class.
    low, high
        The range; both ends belong to it.
    box
        Where; None for everywhere.
    protected
        Values that no voxel loses.

    Raises
    ------
    AnnotationError
        The range is empty, or the image has another shape.
    """
    place = _checked(labels, image, value, low, high, box, protected)
    after = labels[slices_of(place)].copy()
    after[_inside(image[slices_of(place)], low, high)] = value
    return changed(labels, place, after, f"Filled from {low:g} to {high:g}", protected)


def cut_range(
    labels: Labels,
    image: npt.NDArray[Any],
    value: int,
    low: float,
    high: float,
    *,
    box: Box | None = None,
) -> LabelChange:
    """Take a class away where the intensity lies outside a range; parameters and errors as `fill_range`."""
    place = _checked(labels, image, value, low, high, box, ())
    inner = box_of(labels[slices_of(place)] == value)
    held: Box = tuple((start + a, start + b) for (start, _), (a, b) in zip(place, inner, strict=True))
    after = labels[slices_of(held)].copy()
    after[(after == value) & ~_inside(image[slices_of(held)], low, high)] = BACKGROUND
    return changed(labels, held, after, f"Cut to {low:g} to {high:g}")


def _inside(image: npt.NDArray[Any], low: float, high: float) -> npt.NDArray[np.bool_]:
    """Where the range holds; not-a-number is never inside."""
    if np.issubdtype(image.dtype, np.integer):
        # Limits of the image's own type: comparing 16 bits with floats would make a copy of 64 bits.
        info = np.iinfo(image.dtype)
        first, last = np.ceil(low), np.floor(high)
        if first > info.max or last < info.min or first > last:
            return np.zeros(image.shape, bool)
        bounds = (image.dtype.type(max(first, info.min)), image.dtype.type(min(last, info.max)))
        return np.asarray((image >= bounds[0]) & (image <= bounds[1]))
    return np.asarray((image >= low) & (image <= high))


def _checked(
    labels: Labels,
    image: npt.NDArray[Any],
    value: int,
    low: float,
    high: float,
    box: Box | None,
    protected: Collection[int],
) -> Box:
    check(labels, [value], protected)
    if image.shape != labels.shape:
        raise AnnotationError(
            f"The image has the shape {image.shape} and the labels {labels.shape}; open the image that was labelled."
        )
    if not low <= high:
        raise AnnotationError(f"The range from {low:g} to {high:g} is empty; type the lower number first.")
    return box or tuple((0, n) for n in labels.shape)
