"""From an image's pixels to the network's: windows of an image at another resolution.

Both grids share their outer edges: pixel ``i`` of an axis with ``n`` pixels covers ``[i, i + 1) / n`` of it, so the
centre of pixel ``i`` lies at ``(i + 0.5) * m / n - 0.5`` in a grid of ``m`` pixels. Any window of an image is resampled
to exactly the pixels that resampling the whole image would give, so that neighbouring windows agree.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from napari_medseg.structures import Box, Image


def working_shape(image: Image, scale: tuple[float, ...]) -> tuple[int, ...]:
    """Spatial shape of an image at the network's resolution: at least one pixel per axis."""
    return tuple(max(1, round(n * s)) for n, s in zip(image.spatial_shape, scale, strict=True))


def choose_level(image: Image, shape: tuple[int, ...]) -> int:
    """The coarsest level that is not coarser than `shape` along any axis, so that least is read and nothing lost.

    Levels round their shapes, so 2 % less than wanted will do, except along axes that stay as they are (the slices of
    a stack).
    """
    least = [w if w >= n else 0.98 * w for w, n in zip(shape, image.spatial_shape, strict=True)]
    fitting = [
        level
        for level in range(len(image.levels))
        if all(have >= want for have, want in zip(image.level_shape(level), least, strict=True))
    ]
    return fitting[-1] if fitting else 0


# Windows lie in rows and columns: those of one row share their weights along y, those of one column along x.
@lru_cache(maxsize=256)
def triangle_weights(size: int, target: int, start: int, stop: int) -> tuple[csr_array, int, int]:
    """Linear resampling of an axis, with a support that widens when shrinking (no aliasing).

    Parameters
    ----------
    size, target
        Pixels of the axis before and after.
    start, stop
        The part of the target axis that is wanted.

    Returns
    -------
    weights of shape (stop - start, high - low), whose rows sum to 1; low, high: the source pixels they apply to
    """
    factor = size / target
    support = max(factor, 1.0)
    centres = (np.arange(start, stop) + 0.5) * factor - 0.5
    first = np.ceil(centres - support).astype(np.int64)
    taps = first[:, np.newaxis] + np.arange(int(2 * support) + 1)
    values = np.clip(1.0 - np.abs(taps - centres[:, np.newaxis]) / support, 0.0, None)
    values[(taps < 0) | (taps >= size)] = 0.0
    values /= values.sum(axis=1, keepdims=True)
    used = taps[values > 0]
    low, high = int(np.min(used)), int(np.max(used)) + 1
    rows = np.broadcast_to(np.arange(stop - start)[:, np.newaxis], taps.shape)
    keep = values > 0
    shape = (stop - start, high - low)
    weights = csr_array((values[keep].astype(np.float32), (rows[keep], used - low)), shape=shape)
    return weights, low, high


@dataclass(frozen=True, slots=True)
class WindowReader:
    """Reads windows of an image at the working resolution.

    Parameters
    ----------
    image
        The image.
    shape
        Its spatial shape at the working resolution, as `working_shape` gives it.
    level
        The level to read from, as `choose_level` gives it.
    """

    image: Image
    shape: tuple[int, ...]
    level: int

    def read(self, box: Box) -> npt.NDArray[Any]:
        """Pixels of a box that may reach beyond the end of an axis, where the image is reflected.

        Parameters
        ----------
        box
            (start, stop) per spatial axis in working pixels.

        Returns
        -------
        array (c, [z,] y, x) with the image's dtype
        """
        inside = tuple((start, min(stop, n)) for (start, stop), n in zip(box, self.shape, strict=True))
        pixels = self._resampled(inside)
        missing = [stop - end for (_, stop), (_, end) in zip(box, inside, strict=True)]
        if any(missing):
            pixels = np.pad(pixels, [(0, 0), *((0, n) for n in missing)], mode="reflect")
        return pixels

    def _resampled(self, box: Box) -> npt.NDArray[Any]:
        sizes = self.image.level_shape(self.level)
        if sizes == self.shape:
            return self.image.region(box, self.level)
        parts = [triangle_weights(n, w, *span) for n, w, span in zip(sizes, self.shape, box, strict=True)]
        pixels = self.image.region(tuple((low, high) for _, low, high in parts), self.level)
        result = pixels.astype(np.float32)
        for axis, (weights, _, _) in enumerate(parts, start=1):
            if sizes[axis - 1] != self.shape[axis - 1]:
                result = _apply(weights, result, axis)
        if pixels.dtype.kind in "iub":
            result = np.rint(result)
        return result.astype(pixels.dtype)


def _apply(weights: csr_array, array: npt.NDArray[np.float32], axis: int) -> npt.NDArray[np.float32]:
    front = np.moveaxis(array, axis, 0)
    product = weights @ front.reshape(len(front), -1)
    return np.moveaxis(product.reshape(-1, *front.shape[1:]), 0, axis)
