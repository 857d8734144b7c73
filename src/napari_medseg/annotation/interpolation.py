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
    plane = _plane_box(volume[gaps[0][0] : gaps[-1][1] + 1], values)
    region: Box = ((gaps[0][0], gaps[-1][1] + 1), *(tuple((0, n) for n in volume.shape[1:]) if background else plane))
    after = volume[slices_of(region)].copy()
    inner = tuple(slice(a - c, b - c) for (a, b), (c, _) in zip(plane, region[1:], strict=True))
    for first, last in gaps:
        between = after[first + 1 - region[0][0] : last - region[0][0]]
        if background:
            between[between == NOT_LOOKED_AT] = BACKGROUND
        ends_of_gap = (volume[s][slices_of(plane)] for s in (first, last))
        _fill(between[(slice(None), *inner)], values, *ends_of_gap, spacing=in_plane, ends=ends)
    sides = list(region[1:])
    sides.insert(axis % 3, region[0])
    text = f"{_named(values)} filled between {len(slices)} drawn slices"
    return changed(labels, tuple(sides), np.moveaxis(after, 0, axis), text, protected)


def _named(values: Sequence[int]) -> str:
    return f"Class{'' if len(values) == 1 else 'es'} {', '.join(map(str, values))}"


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
    held = np.logical_or.reduce([_holds(part, values) for part in slices])
    return grown(box_of(held), (1, 1), slices.shape[1:])


def _fill(
    between: Labels,
    values: Sequence[int],
    first: Labels,
    last: Labels,
    *,
    spacing: tuple[float, ...],
    ends: Ends,
) -> None:
    """Fill the slices (z, y, x) between two drawn ones (y, x), in place."""
    pairs = [(_signed(first == value, spacing), _signed(last == value, spacing)) for value in values]
    shared = [value for value, (a, b) in zip(values, pairs, strict=True) if a is not None and b is not None]
    if len(shared) > 1:  # their union, which closes the gaps between classes that touch
        pairs.append((_signed(_holds(first, shared), spacing), _signed(_holds(last, shared), spacing)))
    for i, part in enumerate(between, start=1):
        mixed = np.stack([_mix(a, b, i / (len(between) + 1), ends, part.shape) for a, b in pairs])
        inside = (mixed > 0).any(axis=0)
        part[_holds(part, values) & ~inside] = BACKGROUND
        winner = mixed[: len(values)].argmax(axis=0)
        part[inside] = np.asarray(values, np.uint8)[winner[inside]]


def _mix(a: Distances | None, b: Distances | None, step: float, ends: Ends, shape: tuple[int, ...]) -> Distances:
    """Distances between two slices, ``step`` of the way from the first to the last.

    A class that is missing in one of them is given the other's distances, less twice its depth: it is gone halfway.
    """
    if a is None and b is not None:
        return _mix(b, None, 1 - step, ends, shape)
    if a is None or (b is None and ends == "stop"):
        return np.full(shape, -np.inf, np.float32)
    if b is None:
        gone: Distances = a - np.float32(2 * step) * a.max()
        return gone
    mixed: Distances = np.float32(1 - step) * a + np.float32(step) * b
    return mixed


def _signed(mask: Mask, spacing: tuple[float, ...]) -> Distances | None:
    """Distance to the outline, positive inside, float32 (y, x); None for an empty mask."""
    if not mask.any():
        return None
    if mask.all():  # a picture without an outline: as deep as the picture is wide
        return np.full(mask.shape, np.dot(mask.shape, spacing), np.float32)
    inside = distance_transform_edt(mask, sampling=spacing)
    outside = distance_transform_edt(~mask, sampling=spacing)
    signed: Distances = (inside - outside).astype(np.float32)
    return signed
