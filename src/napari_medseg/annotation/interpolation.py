"""Fill the slices between drawn ones by interpolating signed distances.

Shape-based interpolation after Raya and Udupa, "Shape-based interpolation of multidimensional objects", IEEE
Transactions on Medical Imaging 9 (1990): in each drawn slice every pixel gets its distance to the shape's outline,
positive inside; the distances of two drawn slices are mixed linearly in between, and a pixel is inside where the mix is
positive.

By itself this lets a shape vanish that moves by more than its own width. So two shapes that lie on each other better
when their centroids do are moved along the line between these (as Higgins et al., "Shape-based interpolation of
tree-like structures in three-dimensional images", IEEE Transactions on Medical Imaging 12 (1993), match parts before
they mix). What that gains is measured in ``docs/measured-ct.md``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.ndimage import center_of_mass, distance_transform_edt, gaussian_filter, shift

from napari_medseg.annotation.change import LabelChange, Mask, box_of, changed, check, grown, slices_of, spacing_of
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box

#: What becomes of a class that the next drawn slice does not hold: it shrinks to nothing halfway, or is not continued.
Ends = Literal["shrink", "stop"]
Distances = npt.NDArray[np.float32]

#: Share of blurred distances, and their blur in pixels. Mixed whole distances are 0 in many pixels; there these decide.
_SHARE, _BLUR = 0.01, 0.5
#: Pixels around all shapes beyond which nothing is decided: the reach of the blur, and one more.
_MARGIN = 4


@dataclass(frozen=True, slots=True)
class _Pair:
    """A shape in two drawn slices.

    Parameters
    ----------
    first, last
        Signed distances (y, x); None where the slice does not hold the shape.
    move
        Rows and columns by which the shape moves from the first to the last.
    """

    first: Distances | None
    last: Distances | None
    move: tuple[float, float]


class _Way(NamedTuple):
    """A shape on its way: mixed distances (y, x), and where either drawn slice holds it, moved there."""

    mixed: Distances
    held: Mask


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
    as one shape, is positive; it gets the class whose mixed distance is the largest, of those that a drawn slice holds
    there. So classes never overlap, and those that touch in both drawn slices have no gap between them.

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
    gaps = _gaps(slices)
    reach = max(_reach(volume[a], volume[b], values) for a, b in gaps)
    plane = _plane_box(volume[gaps[0][0] : gaps[-1][1] + 1], values, reach)
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


def _gaps(slices: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring drawn slices with others between them."""
    gaps = [(a, b) for a, b in pairwise(slices) if b - a > 1]
    if not gaps:
        raise AnnotationError(
            "There is no slice to fill: draw the classes in at least two slices that leave one between them."
        )
    return gaps


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


def _plane_box(slices: Labels, values: Sequence[int], reach: int) -> Box:
    """Rows and columns that hold the classes, and what their shapes may pass: no other pixel can be inside."""
    held = np.logical_or.reduce([_holds(part, values) for part in slices])
    return grown(box_of(held), (_MARGIN + reach,) * 2, slices.shape[1:])


def _reach(first: Labels, last: Labels, values: Sequence[int]) -> int:
    """How many rows or columns any shape moves at most."""
    masks = [(_holds(first, [value]), _holds(last, [value])) for value in values]
    masks.append((_holds(first, values), _holds(last, values)))
    return max(math.ceil(abs(part)) for a, b in masks for part in _move(a, b))


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
    pairs = [_pair(first == value, last == value, spacing) for value in values]
    together = [
        value
        for value, pair in zip(values, pairs, strict=True)
        if (pair.first is not None and pair.last is not None)
        or (ends == "shrink" and (pair.first is not None or pair.last is not None))
    ]
    if len(together) > 1:  # their union, which closes the gaps between classes that touch or take turns
        pairs.append(_pair(_holds(first, together), _holds(last, together), spacing))
    for i, part in enumerate(between, start=1):
        step = i / (len(between) + 1)
        ways = [_between(pair, step, ends, part.shape) for pair in pairs]
        mixed = np.stack([way.mixed for way in ways])
        held = np.stack([way.held for way in ways[: len(values)]])
        inside = (mixed > 0).any(axis=0) & held.any(axis=0)
        part[_holds(part, values) & ~inside] = BACKGROUND
        # What only the union holds goes to a class that is there in one of the drawn slices, not to any neighbour.
        winner = np.where(held, mixed[: len(values)], -np.inf).argmax(axis=0)
        part[inside] = np.asarray(values, np.uint8)[winner[inside]]


def _pair(first: Mask, last: Mask, spacing: tuple[float, ...]) -> _Pair:
    return _Pair(_signed(first, spacing), _signed(last, spacing), _move(first, last))


def _move(first: Mask, last: Mask) -> tuple[float, float]:
    """From centroid to centroid, where the masks (y, x) then cover each other better than where they are."""
    if not first.any() or not last.any():
        return 0.0, 0.0
    rows, columns = np.subtract(center_of_mass(last), center_of_mass(first))
    moved = shift(first, (round(rows), round(columns)), order=0)
    if np.count_nonzero(moved & last) <= np.count_nonzero(first & last):
        return 0.0, 0.0
    return float(rows), float(columns)


def _between(pair: _Pair, step: float, ends: Ends, shape: tuple[int, ...]) -> _Way:
    """A shape between two slices, ``step`` of the way from the first to the last.

    A class that is missing in one of them is given the other's distances, less twice its depth: it is gone halfway.
    """
    if pair.first is not None and pair.last is not None:
        first, last = _moved(pair.first, pair.move, step), _moved(pair.last, pair.move, step - 1)
        return _Way(np.float32(1 - step) * first + np.float32(step) * last, (first > 0) | (last > 0))
    alone, way = (pair.first, step) if pair.first is not None else (pair.last, 1 - step)
    if alone is None or ends == "stop":
        return _Way(np.full(shape, -np.inf, np.float32), np.zeros(shape, bool))
    return _Way(alone - np.float32(2 * way) * alone.max(), alone > 0)


def _moved(distances: Distances, move: tuple[float, float], part: float) -> Distances:
    """Distances moved by a part of the way."""
    if move == (0.0, 0.0):
        return distances
    return np.asarray(shift(distances, (part * move[0], part * move[1]), order=1, mode="nearest"), np.float32)


def _signed(mask: Mask, spacing: tuple[float, ...]) -> Distances | None:
    """Distance to the outline, positive inside, float32 (y, x); None for an empty mask."""
    if not mask.any():
        return None
    if mask.all():  # a picture without an outline: as deep as the picture is wide
        return np.full(mask.shape, np.dot(mask.shape, spacing), np.float32)
    inside = distance_transform_edt(mask, sampling=spacing)
    outside = distance_transform_edt(~mask, sampling=spacing)
    signed = (inside - outside).astype(np.float32)
    return np.asarray(signed + np.float32(_SHARE) * gaussian_filter(signed, _BLUR, mode="nearest"))
