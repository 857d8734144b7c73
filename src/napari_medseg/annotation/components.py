"""Clean a class by its connected parts: keep the largest, take away small ones, fill holes.

Parts are joined through faces (4 neighbours in a slice, 6 in a volume). In two dimensions each slice stands alone. What
is taken away becomes background, as under the eraser; holes are filled whether they were looked at or not.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.annotation.change import LabelChange, Mask, box_of, changed, check, slices_of
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, Box

#: Whether slices stand alone (2) or a part reaches through them (3).
Dims = Literal[2, 3]


def keep_largest(labels: Labels, value: int, *, dims: Dims = 3, axis: int = 0, box: Box | None = None) -> LabelChange:
    """Take away all parts of a class but the largest: of the box, or of each slice.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x); not changed.
    value
        The class.
    dims, axis
        2: each slice across `axis` for itself; 3: through all slices.
    box
        Where; None for everywhere. A part ends where the box ends.

    Raises
    ------
    AnnotationError
        The class is not drawn there.
    """
    place, mask = find_class(labels, value, box)
    parts, sizes = _parts(mask, dims, axis)
    kept = np.zeros(len(sizes), bool)
    if _alone(mask, dims):
        planes = np.moveaxis(parts, axis, 0)
        for plane in planes:
            here = np.unique(plane[plane > 0])
            if here.size:
                kept[here[sizes[here].argmax()]] = True
    else:
        kept[sizes.argmax()] = True
    return _without(labels, place, value, parts, ~kept)


def remove_small(
    labels: Labels, value: int, smallest: int, *, dims: Dims = 3, axis: int = 0, box: Box | None = None
) -> LabelChange:
    """Take away the parts of a class that have fewer than `smallest` voxels; the rest as `keep_largest`."""
    place, mask = find_class(labels, value, box)
    parts, sizes = _parts(mask, dims, axis)
    return _without(labels, place, value, parts, sizes < smallest)


def keep_part(labels: Labels, at: tuple[int, ...], *, dims: Dims = 3, axis: int = 0) -> LabelChange:
    """Take away all parts of the class at a voxel but the one that holds it; with 2, in its slice alone.

    Raises
    ------
    AnnotationError
        There is no class at the voxel.
    """
    return _one_part(labels, at, dims, axis, keep=True)


def remove_part(labels: Labels, at: tuple[int, ...], *, dims: Dims = 3, axis: int = 0) -> LabelChange:
    """Take away the part of a class that holds a voxel; with 2, in its slice alone.

    Raises
    ------
    AnnotationError
        There is no class at the voxel.
    """
    return _one_part(labels, at, dims, axis, keep=False)


def fill_holes(
    labels: Labels,
    value: int,
    *,
    dims: Dims = 3,
    axis: int = 0,
    box: Box | None = None,
    protected: Collection[int] = (),
) -> LabelChange:
    """Fill what a class encloses: in each slice, or cavities of the volume.

    Parameters
    ----------
    labels, value, dims, axis, box
        As `keep_largest`.
    protected
        Values that stay in a hole.
    """
    check(labels, [value], protected)
    place, mask = find_class(labels, value, box)
    # One voxel more on every side, so that all of the outside is one part.
    outside = np.pad(~mask, 1, constant_values=True)
    parts = ndimage.label(outside, _neighbours(labels.ndim, dims, axis))[0]
    if _alone(mask, dims):
        # The margin's own slices reach nothing; in every other slice the corner is outside.
        first = np.moveaxis(parts, axis, 0)[:, 0, 0]
        free = np.zeros(int(parts.max()) + 1, bool)
        free[first] = True
    else:
        free = np.arange(int(parts.max()) + 1) == parts[(0,) * parts.ndim]
    holes = (outside & ~free[parts])[(slice(1, -1),) * parts.ndim]
    after = labels[slices_of(place)].copy()
    after[holes] = value
    return changed(labels, place, after, "Holes filled", protected)


def _one_part(labels: Labels, at: tuple[int, ...], dims: Dims, axis: int, *, keep: bool) -> LabelChange:
    inside = len(at) == labels.ndim and all(0 <= i < n for i, n in zip(at, labels.shape, strict=True))
    value = int(labels[at]) if inside else BACKGROUND
    box = None
    if dims == 2 and labels.ndim == 3:
        sides = [(0, n) for n in labels.shape]
        sides[axis] = (at[axis], at[axis] + 1)
        box = tuple(sides)
    try:
        place, mask = find_class(labels, value, box)
    except AnnotationError:
        raise AnnotationError("No class is drawn under the pointer: point at the part that you mean.") from None
    parts, sizes = _parts(mask, dims, axis)
    chosen = np.arange(len(sizes)) == parts[tuple(i - start for i, (start, _) in zip(at, place, strict=True))]
    return _without(labels, place, value, parts, ~chosen if keep else chosen)


def find_class(labels: Labels, value: int, box: Box | None) -> tuple[Box, Mask]:
    """The smallest box around a class, inside another one or everywhere, and where in it the class is.

    Raises
    ------
    AnnotationError
        The class is not drawn there.
    """
    check(labels, [value], ())
    place = box or tuple((0, n) for n in labels.shape)
    mask = labels[slices_of(place)] == value
    inner = box_of(mask)
    if inner[0] == (0, 0):
        raise AnnotationError("The class is not drawn here: draw it first, or choose another class.")
    moved = tuple((start + a, start + b) for (start, _), (a, b) in zip(place, inner, strict=True))
    return moved, mask[slices_of(inner)]


def _alone(mask: Mask, dims: Dims) -> bool:
    """Whether each slice of a volume stands alone."""
    return dims == 2 and mask.ndim == 3


def _neighbours(ndim: int, dims: Dims, axis: int) -> Mask:
    """Which neighbours of a voxel belong to its part."""
    faces: Mask = ndimage.generate_binary_structure(ndim, 1)
    if dims == 2 and ndim == 3:
        across = np.moveaxis(faces, axis, 0)
        across[[0, 2]] = False
    return faces


def _parts(mask: Mask, dims: Dims, axis: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.intp]]:
    """Number of each voxel's part, 0 outside, and how many voxels each part has (0 for the outside)."""
    parts, count = ndimage.label(mask, _neighbours(mask.ndim, dims, axis))
    sizes = np.bincount(parts[mask], minlength=count + 1)
    return parts, sizes


def _without(
    labels: Labels, place: Box, value: int, parts: npt.NDArray[np.int32], gone: npt.NDArray[np.bool_]
) -> LabelChange:
    """The change that takes parts away; entry 0 of `gone` is the outside and counts for nothing."""
    gone = gone.copy()
    gone[0] = False
    after = labels[slices_of(place)].copy()
    after[gone[parts]] = BACKGROUND
    count = int(np.count_nonzero(gone))
    return changed(labels, place, after, f"{count} part{'' if count == 1 else 's'} removed")
