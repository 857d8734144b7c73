"""The two diameters that radiologists measure of a lesion: the longest in one slice, and the longest across it.

As in RECIST 1.1 (Eisenhauer et al. 2009, doi:10.1016/j.ejca.2008.10.026) both lie in one slice: the long axis is the
greatest distance of two points of the outline in any slice, the short axis the longest line across it, perpendicular to
it, in the same slice. The outline is the convex one, as a caliper would touch it, through the middles of the pixels'
outer edges; so a disc of pixels measures its own diameter, and a single pixel one pixel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import ArrayLike

Floats = npt.NDArray[np.float64]
#: Two points (y, x) in pixels of a slice, counted from the middle of the first pixel.
Line = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diameters:
    """Long and short axis of a lesion.

    Parameters
    ----------
    slice_index
        The slice that they lie in; 0 for a single picture.
    long, short
        Lengths in the unit of the steps that they were measured with.
    long_line, short_line
        Their ends in that slice.
    """

    slice_index: int
    long: float
    short: float
    long_line: Line
    short_line: Line


def diameters(mask: ArrayLike, steps: Sequence[float]) -> Diameters | None:
    """Diameters of a lesion, in the slice in which it is longest (the first of several such slices).

    Parameters
    ----------
    mask
        Array ([z,] y, x), not zero where the lesion is; numpy, zarr or lazy, read slice by slice. A lesion is measured
        with all its parts, so hand over one component at a time where each counts for itself.
    steps
        Distance of neighbouring pixels along y and x (further ones before them are left aside), all above 0.

    Returns
    -------
    None where the mask is empty.

    Examples
    --------
    >>> found = diameters(np.ones((1, 1, 10), bool), steps=(1.0, 0.5))
    >>> found.long, found.short
    (5.0, 1.0)
    """
    scale = np.asarray(steps[-2:], np.float64)
    planes = [mask] if len(mask.shape) == 2 else mask
    longest: tuple[int, Floats, Floats] | None = None
    best = 0.0
    for index in range(1 if len(mask.shape) == 2 else mask.shape[0]):
        outline = _outline(np.asarray(planes[index]) != 0)
        if outline is None:
            continue
        corners = outline * scale
        ends, length = _farthest(corners)
        if length > best:
            longest, best = (index, corners, ends), length
    if longest is None:
        return None
    index, corners, ends = longest
    across = _longest_across(corners, (ends[1] - ends[0]) / best)
    return Diameters(
        slice_index=index,
        long=best,
        short=float(np.hypot(*(across[1] - across[0]))),
        long_line=_line(ends / scale),
        short_line=_line(across / scale),
    )


def _outline(plane: npt.NDArray[np.bool_]) -> Floats | None:
    """Corners (n, 2) of the convex outline through the middles of pixel edges, in order; None for an empty plane."""
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(plane.any(axis=1))
    if not rows.size:
        return None
    first = plane[rows].argmax(axis=1)
    last = plane.shape[1] - 1 - plane[rows, ::-1].argmax(axis=1)
    # No other pixel of a row can be a corner.
    tops = [np.stack([rows + side, column], axis=1) for side in (-0.5, 0.5) for column in (first, last)]
    sides = [np.stack([rows, column], axis=1) for column in (first - 0.5, last + 0.5)]
    cloud = np.concatenate([*tops, *sides]).astype(np.float64)
    return np.asarray(cloud[ConvexHull(cloud).vertices], np.float64)


def _farthest(corners: Floats) -> tuple[Floats, float]:
    """The two corners that are farthest apart, (2, 2), and their distance."""
    apart = corners[:, np.newaxis] - corners[np.newaxis]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    one, other = np.unravel_index(int(distance.argmax()), distance.shape)
    return corners[[one, other]], float(distance[one, other])


def _longest_across(corners: Floats, along: Floats) -> Floats:
    """Ends (2, 2) of the longest line within a convex outline that is perpendicular to the direction `along`.

    How wide a convex outline is at a place along a direction is a concave function of the place, linear between the
    places of its corners: the widest place is that of a corner.
    """
    across = np.array([-along[1], along[0]])
    place, side = corners @ along, corners @ across
    next_place, next_side = np.roll(place, -1), np.roll(side, -1)
    step = next_place - place
    # share[i, j]: where edge j is cut by the line through corner i; its two corners are cut at 0 and 1.
    share = (place[:, np.newaxis] - place) / np.where(step == 0, 1.0, step)
    cut = side + share * (next_side - side)
    hit = (share >= 0) & (share <= 1) & (step != 0)
    low = np.minimum(np.where(hit, cut, np.inf).min(axis=1), side)
    high = np.maximum(np.where(hit, cut, -np.inf).max(axis=1), side)
    widest = int((high - low).argmax())
    ends: Floats = place[widest] * along + np.array([[low[widest]], [high[widest]]]) * across
    return ends


def _line(points: Floats) -> Line:
    (y0, x0), (y1, x1) = points.tolist()
    return (y0, x0), (y1, x1)
