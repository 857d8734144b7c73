"""Grow regions from seeds over the whole of a structure: a marker watershed.

The watershed of the gradient's size (Meyer and Beucher, "Morphological segmentation", Journal of Visual Communication
and Image Representation 1 (1990)) lets all seeds grow at once, over even ground first; fronts meet on edges. It costs a
second for two million voxels, so it is run on a picture of half the size, again and again halved until that is small;
on the way back only the voxels near a border are decided anew.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.annotation.change import LabelChange, Mask, box_of, changed, check, grown, slices_of, spacing_of
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Progress

Picture = npt.NDArray[np.float32]

#: Voxels that are decided at once; larger pictures are halved first.
_AT_ONCE = 1 << 18
#: Shortest side that is halved: shorter ones hold too little.
_SHORTEST = 16
#: Marker of "no class grows here"; no class has this number.
_NOTHING = 254 + 1
#: Steps of the gradient: the watershed sorts whole numbers of 16 bits faster than reals.
_STEPS = 4095
#: Standard deviation of the gradient's Gaussian, in voxels.
_SIGMA = 1.0


def grow_seeds(
    labels: Labels,
    image: npt.NDArray[Any],
    values: Sequence[int],
    *,
    spacing: tuple[float, ...] | None = None,
    box: Box | None = None,
    margin: int = 0,
    protected: Collection[int] = (),
    progress: Progress | None = None,
) -> LabelChange:
    """Let strokes of classes, and of background, grow until they meet on the edges of the picture.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x); not changed. Everything that is drawn is a seed: classes, and background (the eraser's 0)
        as long as some voxels were not looked at (255). Where all were looked at, only classes are seeds.
    image
        Intensities, of the labels' shape.
    values
        The classes that may take voxels; what others or background win stays as it is.
    spacing
        Distance between voxels per axis; None where unknown.
    box
        Where to grow; None for the smallest box around all seeds.
    margin
        How many voxels the box is wider on each side.
    protected
        Values that no voxel loses.
    progress
        Told of each size of the picture.

    Raises
    ------
    AnnotationError
        A class has no seeds, or there is nothing for it to grow against or into.
    """
    check(labels, values, protected)
    if image.shape != labels.shape:
        raise AnnotationError(
            f"The image has the shape {image.shape} and the labels {labels.shape}; open the image that was labelled."
        )
    place = _place(labels, box, margin)
    part = labels[slices_of(place)]
    markers = _markers(part, values)
    steps = spacing_of(spacing, labels.ndim)
    picture = np.asarray(image[slices_of(place)], np.float32)
    grown_to = _grow(picture, markers, steps, progress)
    after = part.copy()
    won = np.isin(grown_to, list(values)) & ((part == NOT_LOOKED_AT) | (part == BACKGROUND))
    after[won] = grown_to[won]
    return changed(labels, place, after, "Grown from seeds", protected)


def _place(labels: Labels, box: Box | None, margin: int) -> Box:
    """The box to grow in: asked for, or around all that is drawn."""
    if box is None:
        unseen = labels == NOT_LOOKED_AT
        box = box_of(~unseen if unseen.any() else labels != BACKGROUND)
    return grown(box, (margin,) * labels.ndim, labels.shape)


def _markers(part: Labels, values: Sequence[int]) -> npt.NDArray[np.int32]:
    """Seeds by value; 0 where something may grow, `_NOTHING` for background."""
    unseen = part == NOT_LOOKED_AT
    markers = part.astype(np.int32)
    if unseen.any():
        markers[part == BACKGROUND] = _NOTHING
        markers[unseen] = 0
    present = set(np.unique(markers).tolist()) - {0}
    if not set(values) <= present:
        raise AnnotationError("The class has no seeds here: draw a stroke inside the structure.")
    if len(present) < 2:
        raise AnnotationError(
            "There is nothing to grow against: erase a stroke around the structure (the eraser marks background), or "
            "draw another class there."
        )
    if not (markers == 0).any():
        raise AnnotationError("Everything between the seeds is drawn already; there is nothing to grow into.")
    return markers


def _grow(
    picture: Picture, markers: npt.NDArray[np.int32], steps: tuple[float, ...], progress: Progress | None
) -> npt.NDArray[np.int32]:
    """Label of every voxel."""
    halved = _halved_axes(picture.shape, steps)
    if picture.size <= _AT_ONCE or not any(halved):
        if progress is not None:
            progress(1, 2, "growing")
        return _watershed(picture, markers, None)
    blocks = tuple(2 if half else 1 for half in halved)
    coarse = _grow(
        _block_means(picture, blocks),
        _block_markers(markers, blocks),
        tuple(step * b for step, b in zip(steps, blocks, strict=True)),
        progress,
    )
    if progress is not None:
        progress(1, 2, f"growing, {picture.size:,} voxels")
    band = _near_borders(coarse)
    for axis, block in enumerate(blocks):
        coarse, band = np.repeat(coarse, block, axis), np.repeat(band, block, axis)
    inside = tuple(slice(0, n) for n in picture.shape)
    coarse, band = coarse[inside], band[inside]
    seeds = np.where(markers != 0, markers, np.where(band, 0, coarse))
    return _watershed(picture, seeds, band)


def _halved_axes(shape: tuple[int, ...], steps: tuple[float, ...]) -> tuple[bool, ...]:
    """Axes to halve: long ones, but not those whose voxels are far longer than the shortest."""
    return tuple(n >= _SHORTEST and step < 2 * min(steps) for n, step in zip(shape, steps, strict=True))


def _padded(array: npt.NDArray[Any], blocks: tuple[int, ...]) -> npt.NDArray[Any]:
    return np.pad(array, [(0, -n % b) for n, b in zip(array.shape, blocks, strict=True)], mode="edge")


def _block_means(picture: Picture, blocks: tuple[int, ...]) -> Picture:
    """Mean of each block of voxels."""
    return np.asarray(_strided_reduce(np.add, _padded(picture, blocks), blocks) / np.float32(np.prod(blocks)))


def _block_markers(markers: npt.NDArray[np.int32], blocks: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """The seed of each block; none where two different ones meet, which the finer picture then decides."""
    padded = _padded(markers, blocks)
    highest = _strided_reduce(np.maximum, padded, blocks)
    lowest = _strided_reduce(np.minimum, np.where(padded == 0, np.int32(_NOTHING + 1), padded), blocks)
    return np.where((highest > 0) & (lowest == highest), highest, 0).astype(np.int32)


def _strided_reduce(function: np.ufunc, array: npt.NDArray[Any], blocks: tuple[int, ...]) -> npt.NDArray[Any]:
    """Combine each block's voxels, one axis after the other, without index arrays."""
    for axis, block in enumerate(blocks):
        if block > 1:
            even, odd = (np.take(array, np.arange(i, array.shape[axis], 2), axis) for i in range(2))
            array = function(even, odd)
    return array


def _near_borders(regions: npt.NDArray[np.int32]) -> Mask:
    """Voxels within one of a border between regions: the voxel itself and its neighbours on both sides."""
    near = np.zeros(regions.shape, bool)
    for axis in range(regions.ndim):
        one, other = (np.moveaxis(regions, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
        differ = one != other
        moved = np.moveaxis(near, axis, 0)
        moved[1:] |= differ
        moved[:-1] |= differ
    return np.asarray(ndimage.binary_dilation(near))


def _watershed(picture: Picture, markers: npt.NDArray[np.int32], band: Mask | None) -> npt.NDArray[np.int32]:
    """Watershed of the gradient; with a band, all else must be marked already."""
    from skimage.segmentation import watershed

    flood: Callable[..., npt.NDArray[Any]] = watershed  # scikit-image has no types

    size = ndimage.gaussian_gradient_magnitude(picture, _SIGMA)
    top = float(size.max())
    ground = (size * np.float32(_STEPS / top if top > 0 else 0)).astype(np.uint16)
    if band is None:
        return np.asarray(flood(ground, markers), np.int32)
    # Markers next to the band are its only sources; deeper ones would be sorted for nothing.
    near = np.asarray(ndimage.binary_dilation(band))
    flooded = flood(ground, np.where(near, markers, 0), mask=near)
    return np.asarray(np.where(band & (markers == 0), flooded, markers), np.int32)
