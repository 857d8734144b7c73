"""Fit the outline of a nodule to the picture, from a rough ellipse that a person drew.

An active contour that is found exactly rather than by small steps: the picture is sampled along rays from the ellipse's
middle, and dynamic programming finds the closed path across all rays of least energy (A. A. Amini, T. E. Weymouth,
R. C. Jain, "Using dynamic programming for solving variational problems in vision", IEEE PAMI 1990;12:855-867). Its
energy has four parts: an edge in the direction that most of the outline has, grey values that fit inside and outside
(as in T. F. Chan, L. A. Vese, "Active contours without edges", IEEE TIP 2001;10:266-277, with histograms in place of
means), nearness to the ellipse, and smoothness. Against level sets it has no iterations and cannot leak: every ray is
left once. ``benchmarks/smart_contour.py`` compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import AnnotationError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Rays, and places along each of them as shares of the ellipse's radius.
_RAYS = 128
_RADII = np.linspace(0.4, 1.6, 97)
_AT_ELLIPSE = int(np.argmin(np.abs(_RADII - 1)))
#: Standard deviation of the smoothing against speckle, in pixels.
_SMOOTHING = 1.5
#: Reach of an edge's two sides along a ray, in places.
_REACH = 10
#: Places by which neighbouring rays may differ.
_STEEPEST = 3
#: Weights of the energy's parts; the edge's is 1.
_GREYS, _NEARNESS, _SMOOTHNESS = 2.0, 17.5, 0.1
#: Grey values are told apart by so many steps.
_BINS = 32
#: Neither axis of an ellipse may be shorter, in pixels: there would be nothing to sample.
_LEAST_AXIS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ellipse:
    """A rough outline.

    Parameters
    ----------
    middle
        (y, x) in pixels, counted from the middle of the first pixel.
    axes
        The two half axes as vectors, ((y, x), (y, x)).
    """

    middle: tuple[float, float]
    axes: tuple[tuple[float, float], tuple[float, float]]

    def points(self, radii: npt.NDArray[np.float64]) -> Floats:
        """Places (2, ray, place) along rays all around, `radii` being (ray, place) shares of the half axes."""
        angles = np.arange(len(radii)) * (2 * np.pi / len(radii))
        first, second = (np.asarray(axis, np.float64) for axis in self.axes)
        directions = np.outer(first, np.cos(angles)) + np.outer(second, np.sin(angles))
        return np.asarray(np.asarray(self.middle)[:, np.newaxis, np.newaxis] + directions[:, :, np.newaxis] * radii)


def ellipse_in(corners: npt.ArrayLike) -> Ellipse:
    """The ellipse in a box, that may be turned.

    Parameters
    ----------
    corners
        (4, 2) rows and columns, in order around the box.

    Raises
    ------
    AnnotationError
        The box has no area to speak of.

    Examples
    --------
    >>> ellipse_in([(10, 20), (10, 60), (30, 60), (30, 20)])
    Ellipse(middle=(20.0, 40.0), axes=((0.0, 20.0), (10.0, 0.0)))
    """
    given = np.asarray(corners, np.float64)
    middle = given.mean(axis=0)
    first, second = (given[1] - given[0]) / 2, (given[2] - given[1]) / 2
    if min(np.hypot(*first), np.hypot(*second)) < _LEAST_AXIS / 2:
        raise AnnotationError("The ellipse is too small to fit anything to: draw it around the nodule.")
    (y, x), axes = middle.tolist(), (first.tolist(), second.tolist())
    return Ellipse(middle=(y, x), axes=((axes[0][0], axes[0][1]), (axes[1][0], axes[1][1])))


def fit_contour(grey: npt.NDArray[np.number], ellipse: Ellipse) -> Floats:
    """The outline that fits the picture near an ellipse.

    Parameters
    ----------
    grey
        (y, x), any number type.
    ellipse
        Around the nodule; off by a fifth of its size is near enough.

    Returns
    -------
    corners (n, 2) of a closed polygon, rows and columns; the ellipse itself in a picture without any contrast.

    Raises
    ------
    AnnotationError
        The picture has other axes, or the ellipse lies outside of it.
    """
    if grey.ndim != 2:
        raise AnnotationError(f"A contour is fitted to one grey picture (y, x), not to one with {grey.ndim} axes.")
    height, width = grey.shape
    y, x = ellipse.middle
    if not (0 <= y < height and 0 <= x < width):
        raise AnnotationError("The ellipse's middle lies outside the image: draw it on the image.")
    samples = _sampled(grey, ellipse)
    spread = float(samples.std())
    if not spread > 0:
        path = np.full(_RAYS, _AT_ELLIPSE)
    else:
        away = _NEARNESS * (_RADII - 1) ** 2
        path = _closed_path(_edge_energy(samples, spread) + _GREYS * _grey_energy(samples) + away)
    return np.asarray(ellipse.points(_RADII[path][:, np.newaxis])[..., 0].T)


def contour_mask(contour: Floats, shape: tuple[int, int]) -> Mask:
    """Pixels whose middles lie in a polygon (n, 2)."""
    from skimage.draw import polygon2mask

    inside = polygon2mask(shape, contour)  # type: ignore[no-untyped-call]  # scikit-image has no types
    return np.asarray(inside, bool)


def _sampled(grey: npt.NDArray[np.number], ellipse: Ellipse) -> Floats:
    """Smoothed grey values (ray, place); outside the picture the nearest ones."""
    from scipy import ndimage

    places = ellipse.points(np.broadcast_to(_RADII, (_RAYS, len(_RADII))))
    # Only what is near the ellipse is smoothed: the picture may be large.
    margin = int(4 * _SMOOTHING) + 2
    low = np.clip(np.floor(places.min(axis=(1, 2))).astype(int) - margin, 0, np.array(grey.shape) - 1)
    high = np.clip(np.ceil(places.max(axis=(1, 2))).astype(int) + margin, low + 1, grey.shape)
    part = np.asarray(grey[low[0] : high[0], low[1] : high[1]], np.float64)
    smooth = ndimage.gaussian_filter(part, _SMOOTHING)
    moved = places - low[:, np.newaxis, np.newaxis]
    return np.asarray(ndimage.map_coordinates(smooth, moved, order=1, mode="nearest"))


def _edge_energy(samples: Floats, spread: float) -> Floats:
    """Low where grey values rise outwards, or fall where the nodule is brighter than what is around it."""
    sums = np.pad(np.cumsum(samples, axis=1), ((0, 0), (1, 0)))
    here = np.arange(len(_RADII))
    low, high = np.maximum(here - _REACH, 0), np.minimum(here + _REACH, len(_RADII))
    inside = (sums[:, here] - sums[:, low]) / np.maximum(here - low, 1)
    outside = (sums[:, high] - sums[:, here]) / np.maximum(high - here, 1)
    is_dark = samples[:, _RADII > 1.15].mean() >= samples[:, _RADII < 0.8].mean()
    rise = (outside - inside) * (1.0 if is_dark else -1.0)
    return -np.clip(rise / spread, -1.0, 3.0)


def _grey_energy(samples: Floats) -> Floats:
    """Low where what lies inside has grey values of the ellipse's inner part, and what lies outside does not."""
    from scipy import ndimage

    low, high = np.percentile(samples, [0.5, 99.5])
    steps = np.clip((samples - low) / max(high - low, 1e-9) * _BINS, 0, _BINS - 1).astype(int)
    shares = []
    for part in (steps[:, _RADII < 0.8], steps[:, _RADII > 1.2]):
        # Some of every grey value may occur anywhere.
        counts = np.bincount(part.ravel(), minlength=_BINS) + 5.0
        shares.append(ndimage.gaussian_filter1d(counts / counts.sum(), 1.5))
    evidence = np.log(shares[0] / shares[1])[steps] * (_RADII[1] - _RADII[0])
    energy = evidence - np.cumsum(evidence, axis=1)
    return np.asarray(energy - energy[:, [_AT_ELLIPSE]])


def _closed_path(energy: Floats) -> npt.NDArray[np.intp]:
    """Places (ray,) of a closed path of low energy: the middle of the best path around twice."""
    rays = len(energy)
    path = _open_path(np.concatenate([energy, energy]))
    start = rays // 2
    return np.roll(path[start : start + rays], start)


def _open_path(energy: Floats) -> npt.NDArray[np.intp]:
    """The path (row,) of least energy (row, place), from the first row to the last."""
    rows, places = energy.shape
    before = np.zeros((rows, places), np.intp)
    total = energy[0].copy()
    steps = np.arange(-_STEEPEST, _STEEPEST + 1)
    origins = np.arange(places) - steps[:, np.newaxis]
    # A step from beyond either end is none.
    price = np.where((origins >= 0) & (origins < places), _SMOOTHNESS * steps[:, np.newaxis] ** 2, np.inf)
    origins = np.clip(origins, 0, places - 1)
    for row in range(1, rows):
        ways = total[origins] + price
        best = ways.argmin(axis=0)
        before[row] = origins[best, np.arange(places)]
        total = ways[best, np.arange(places)] + energy[row]
    path = np.empty(rows, np.intp)
    path[-1] = total.argmin()
    for row in range(rows - 1, 0, -1):
        path[row - 1] = before[row, path[row]]
    return path
