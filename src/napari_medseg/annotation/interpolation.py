"""Fill the slices between drawn ones by interpolating signed distances.

Shape-based interpolation after Raya and Udupa, "Shape-based interpolation of multidimensional objects", IEEE
Transactions on Medical Imaging 9 (1990): in each drawn slice every pixel gets its distance to the shape's outline,
positive inside; the distances of two drawn slices are mixed linearly in between, and a pixel is inside where the mix is
positive. A shape must overlap with itself in the next drawn slice: where it has moved by more than its own width, it
vanishes in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from napari_medseg.annotation.change import LabelChange, Mask, box_of, changed, check, grown, slices_of, spacing_of
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box

#: What becomes of a class that the next drawn slice does not hold: it shrinks to nothing halfway, or is not continued.
Ends = Literal["shrink", "stop"]
Distances = npt.NDArray[np.float32]


def interpolate(
    labels: Labels,
    values: Sequence[int],
    *,
    drawn: Sequence[int] | None = None,
    axis: int = 0,
    protected: Collection[int] = (),
    spacing: tuple[float, ...] | None = None,
    ends: Ends = "shrink",
    background: bool = False,
) -> LabelChange:
    """Fill classes between drawn slices.

    Several classes are filled at once. A voxel is filled where the mixed distance of a class, or of all classes taken
    as one shape, is positive; it gets the class whose mixed distance is the largest. So classes never overlap, and
    those that touch in both drawn slices have no gap between them.

    Parameters
    ----------
    labels
        uint8 (z, y, x); not changed.
    values
        The classes to fill.
    drawn
        The drawn slices, which are never changed. None: those that hold any of the classes. Named slices may be empty,
        to say that nothing is there. What slices between them hold of the classes is replaced.
    axis
        The axis along which slices were left out.
    protected
        Values that no voxel loses.
    spacing
        Distance between voxels per axis; None where unknown.
    ends
        What becomes of a class that the next drawn slice does not hold.
    background
        Whether voxels in between that were not looked at and stay outside become background.

    Raises
    ------
    AnnotationError
        There are no two drawn slices with a slice between them.
    """
    check(labels, values, protected)
    if labels.ndim != 3:
        raise AnnotationError("A single slice has nothing between slices; open a volume to interpolate.")
    volume = np.moveaxis(labels, axis, 0)
    in_plane = tuple(np.delete(spacing_of(spacing, 3), axis))
    slices = _drawn_slices(volume, values, drawn)
    gaps = [(a, b) for a, b in pairwise(slices) if b - a > 1]
    if not gaps:
        raise AnnotationError(
            "There is no slice to fill: draw the classes in at least two slices that leave one between them."
        )
    rows_columns = _plane_box(volume[slices], values)
    box: Box = ((gaps[0][0], gaps[-1][1] + 1), *(tuple((0, n) for n in volume.shape[1:]) if background else rows_columns))
    after = volume[slices_of(box)].copy()
    inner = tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(rows_columns, box[1:], strict=True))
    known: dict[int, Distances] = {}
    for first, last in gaps:
        known = {s: known[s] if s in known else _distances(volume[s][slices_of(rows_columns)], values, in_plane)
                 for s in (first, last)}
        between = after[first + 1 - box[0][0] : last - box[0][0]]
        if background:
            between[between == NOT_LOOKED_AT] = BACKGROUND
        steps = np.arange(1, last - first, dtype=np.float32) / (last - first)
        for part, step in zip(between, steps, strict=True):
            _fill(part[inner], values, known[first], known[last], float(step), ends)
    text = f"{_named(values)} filled between {len(slices)} drawn slices"
    original = tuple(np.insert(np.asarray(box[1:]), axis, box[0], axis=0).tolist())
    box = tuple((start, stop) for start, stop in original)
    return changed(labels, box, np.moveaxis(after, 0, axis), text, protected)


def _drawn_slices(volume: Labels, values: Sequence[int], drawn: Sequence[int] | None) -> list[int]:
    """Indices of the drawn slices, in order."""
    if drawn is None:
        return [i for i, part in enumerate(volume) if _holds(part, values).any()]
    outside = [i for i in drawn if not 0 <= i < len(volume)]
    if outside:
        raise AnnotationError(f"There is no slice {outside[0]}; the volume has the slices 0 to {len(volume) - 1}.")
    return sorted(set(drawn))


def _holds(part: Labels, values: Sequence[int]) -> Mask:
    return np.isin(part, list(values))


def _plane_box(slices: Labels, values: Sequence[int]) -> Box:
    """Rows and columns that hold the classes, and one more: no other pixel can be inside, or decide a distance."""
    box = box_of(_holds(slices, values).any(axis=0))
    return grown(box, (1, 1), slices.shape[1:])


def _distances(part: Labels, values: Sequence[int], spacing: tuple[float, ...]) -> Distances:
    """Signed distance of each class, float32 (class, y, x); NaN for a class that is not there."""
    return np.stack([_signed(part == value, spacing) for value in values])


def _signed(mask: Mask, spacing: tuple[float, ...]) -> Distances:
    if not mask.any():
        return np.full(mask.shape, np.nan, np.float32)
    if mask.all():  # a picture without an outline: as deep as the picture is wide
        return np.full(mask.shape, np.dot(mask.shape, spacing), np.float32)
    inside = distance_transform_edt(mask, sampling=spacing)
    outside = distance_transform_edt(~mask, sampling=spacing)
    return (inside - outside).astype(np.float32)
