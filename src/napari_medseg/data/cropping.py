"""A part of an image as an image, without reading it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.label_files import shape_text
from napari_medseg.data.rows import format_region
from napari_medseg.errors import DatasetError
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.volume.space import moved
from napari_medseg.structures import ArrayLike, Box, Image, OctScan, UltrasoundScan


def crop(image: Image, box: Box) -> Image:
    """An image cut to a box; coarser levels are cut to the nearest pixels and stay lazy.

    Parameters
    ----------
    box
        ``(start, stop)`` per spatial axis, in level-0 pixels. A box of rows and columns alone cuts every slice.

    Raises
    ------
    DatasetError
        The box has another number of axes than the image, or reaches outside it.
    """
    if len(box) == 2 and len(image.spatial_shape) == 3:
        box = ((0, image.spatial_shape[0]), *box)
    fits = len(box) == len(image.spatial_shape) and all(
        stop <= n for (_, stop), n in zip(box, image.spatial_shape, strict=True)
    )
    if not fits:
        raise DatasetError(
            f"region '{format_region(box)}' does not lie in the image of {shape_text(image.spatial_shape)} pixels: "
            "correct it or empty the cell."
        )
    levels = tuple(_crop_level(image, level, box) for level in range(len(image.levels)))
    scan = None if image.oct is None else _crop_scan(image.oct, box, image.spatial_shape[-1])
    affine = None if image.affine is None else moved(image.affine, [start for start, _ in box])
    ultrasound = None if image.ultrasound is None else _crop_ultrasound(image.ultrasound, box)
    return replace(image, levels=levels, oct=scan, affine=affine, ultrasound=ultrasound)


def _crop_ultrasound(scan: UltrasoundScan, box: Box) -> UltrasoundScan:
    """Regions as they lie in a box; those outside it are gone."""
    regions = []
    for region in scan.regions:
        sides = zip(region, box[-2:], strict=True)
        inside = tuple((max(low, start) - start, min(high, stop) - start) for (low, high), (start, stop) in sides)
        if all(low < high for low, high in inside):
            regions.append(inside)
    return replace(scan, regions=tuple(regions))


def _crop_scan(scan: OctScan, box: Box, width: int) -> OctScan:
    """What a scanner told of the whole image, for the B-scans, rows and columns of a box."""
    (top, bottom), (left, right) = box[-2:]
    bscans = slice(*box[0]) if len(box) == 3 else slice(None)
    surfaces = {}
    for name, rows in scan.surfaces.items():
        part = rows[bscans, left:right] - np.float32(top)
        surfaces[name] = np.where((part > -1) & (part < bottom - top + 1), part, np.float32(np.nan))
    positions = None if scan.positions is None else scan.positions[bscans]
    if positions is not None and (left, right) != (0, width):
        # A part of a circle has no start and centre of its own.
        is_line = scan.pattern != "circle"
        positions = _part_of_lines(positions, left / width, right / width) if is_line else None
    return replace(scan, surfaces=surfaces, positions=positions)


def _part_of_lines(positions: npt.NDArray[np.float64], begin: float, end: float) -> npt.NDArray[np.float64]:
    start, along = positions[:, :1], positions[:, 1:] - positions[:, :1]
    return np.concatenate([start + begin * along, start + end * along], axis=1)


def _crop_level(image: Image, level: int, box: Box) -> ArrayLike:
    array = image.levels[level]
    sides = iter(zip(box, image.spatial_shape, image.level_shape(level), strict=True))
    block = []
    for axis, n in zip(image.axes, array.shape, strict=True):
        if axis == "c":
            block.append(slice(0, n))
            continue
        (start, stop), finest, here = next(sides)
        low = min(here - 1, round(start * here / finest))
        block.append(slice(low, max(low + 1, round(stop * here / finest))))
    shape = tuple(s.stop - s.start for s in block)
    return LazyArray(shape, array.dtype, partial(_read_part, array, tuple(block)), source=image.name or "image")


def _read_part(array: ArrayLike, outer: Block, inner: Block) -> npt.NDArray[Any]:
    shifted = tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(outer, inner, strict=True))
    return np.asarray(array[shifted])
