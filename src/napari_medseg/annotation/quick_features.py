"""What a pixel classifier sees of each pixel: its surroundings at several scales.

The same kinds of features as ilastik's pixel classification (Berg et al., Nature Methods 16 (2019)) and scikit-image's
trainable segmentation use: smoothed colours, the gradient's size, and the eigenvalues of the Hessian matrix and of the
structure tensor. Coarse scales are computed on a picture of half the size, halved again and again, which costs a
fraction of the time and loses nothing that a wide Gaussian would have left.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

#: float32 (y, x, feature) or (y, x, colour).
Planes = npt.NDArray[np.float32]

#: Standard deviations of the Gaussians, in pixels, and how often the picture is halved before each.
SCALES = ((1.0, 0), (2.0, 0), (4.0, 1), (8.0, 2), (16.0, 3))
#: Pixels around a place that its features depend on, but for the last per cent.
HALO = 64
#: Pictures are halved as those around them are when they begin at multiples of this.
GRID = 8
#: The structure tensor is smoothed wider than the gradient by this.
_TENSOR = 1.5
#: Standard deviation across columns, in pixels, of what is summed down them.
_ACROSS = 3.0


def pixel_features(picture: npt.NDArray[Any], *, columns: bool = False) -> Planes:
    """Features of every pixel.

    Parameters
    ----------
    picture
        (y, x) or (y, x, colour), of any type; features keep its units, so that those of two pictures can be compared.
    columns
        Whether columns are rays of light, as in OCT: adds what part of a column's light lies above each pixel, and
        how far below the top of the picture it is.

    Returns
    -------
    float32 (y, x, feature), where each pixel's features lie side by side.
    """
    pixels = np.ascontiguousarray(picture if picture.ndim == 3 else picture[..., np.newaxis], np.float32)
    levels = [pixels]
    for _ in range(SCALES[-1][1]):
        levels.append(_halved(levels[-1]))

    def at(scale: tuple[float, int]) -> Planes:
        sigma, level = scale
        return _enlarged(_features_at(levels[level], sigma / 2**level), level, pixels.shape[:2])

    # The filters do not hold the interpreter's lock.
    with ThreadPoolExecutor(2, thread_name_prefix="features") as pool:
        parts = [pixels, *pool.map(at, SCALES)]
    if columns:
        parts.append(_column_features(pixels))
    return np.concatenate(parts, axis=2)


def _features_at(pixels: Planes, sigma: float) -> Planes:
    """Features of one scale."""
    count = pixels.shape[2]
    out = np.empty((*pixels.shape[:2], (count if count > 1 else 0) + 6), np.float32)
    smooth = [ndimage.gaussian_filter(np.ascontiguousarray(pixels[..., c]), sigma) for c in range(count)]
    grey = sum(smooth[1:], start=smooth[0]) / np.float32(count)
    down, right = (_slope(grey, axis) for axis in (0, 1))
    places: list[Planes] = [grey, np.hypot(down, right)]
    places += _eigenvalues(_slope(down, 0), _slope(down, 1), _slope(right, 1))
    products = (down * down, down * right, right * right)
    places += _eigenvalues(*(ndimage.gaussian_filter(product, _TENSOR * sigma) for product in products))
    places += smooth if count > 1 else []
    for i, plane in enumerate(places):
        out[..., i] = plane
    return out


def _slope(plane: Planes, axis: int) -> Planes:
    """Differences of the two neighbours along an axis, halved; 0 across a single pixel."""
    return np.asarray(ndimage.correlate1d(plane, [-0.5, 0.0, 0.5], axis, mode="nearest"), np.float32)


def _eigenvalues(yy: Planes, yx: Planes, xx: Planes) -> list[Planes]:
    """Larger and smaller eigenvalue of symmetric 2 x 2 matrices."""
    half = np.float32(0.5)
    middle, spread = half * (yy + xx), np.hypot(half * (yy - xx), yx)
    return [middle + spread, middle - spread]


def _column_features(pixels: Planes) -> Planes:
    light = ndimage.gaussian_filter1d(pixels.mean(axis=2), _ACROSS, axis=1)
    light -= light.min(axis=0)
    above = np.cumsum(light, axis=0)
    rows = np.broadcast_to(np.arange(len(light), dtype=np.float32)[:, np.newaxis], light.shape)
    return np.stack([above / np.maximum(above[-1], 1e-6), rows], axis=2)


def _halved(pixels: Planes) -> Planes:
    """Every second pixel, each the mean of four; an odd last row or column counts twice."""
    odd = [(0, n % 2) for n in pixels.shape[:2]]
    padded = np.pad(pixels, [*odd, (0, 0)], mode="edge") if any(n for _, n in odd) else pixels
    rows = padded[0::2] + padded[1::2]
    return np.asarray((rows[:, 0::2] + rows[:, 1::2]) / np.float32(4))


def _enlarged(planes: Planes, times: int, shape: tuple[int, ...]) -> Planes:
    """Doubled so many times by linear interpolation between the pixels' centres, and cut to a shape."""
    for left in range(times - 1, -1, -1):
        for axis in (0, 1):
            planes = _doubled(planes, axis, -(-shape[axis] // 2**left))
    return planes


def _doubled(planes: Planes, axis: int, size: int) -> Planes:
    near = np.moveaxis(planes, axis, 0)
    before, after = (near[np.r_[0, : len(near) - 1]], near[np.r_[1 : len(near), len(near) - 1]])
    out = np.empty((2 * len(near), *near.shape[1:]), np.float32)
    out[0::2] = np.float32(0.75) * near + np.float32(0.25) * before
    out[1::2] = np.float32(0.75) * near + np.float32(0.25) * after
    return np.ascontiguousarray(np.moveaxis(out[:size], 0, axis))
