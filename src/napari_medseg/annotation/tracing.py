"""Curves that follow the edge between two layers, from click to click.

A surface of a B-scan of ``y`` rows can pass through ``y + 1`` *cuts* per column: cut ``k`` lies above pixel ``k``, at
row ``k - 0.5``. Every cut has a cost, low where the picture has an edge of the wanted kind, and the curve between two
clicks is the cheapest path from column to column, found by dynamic programming. The method is that of Chiu et al.,
"Automatic segmentation of seven retinal layers in SDOCT images congruent with expert manual segmentation", Optics
Express 18 (2010) 19413, doi:10.1364/OE.18.019413, with anchors in place of their automatic limits.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, maximum_filter

from napari_medseg.annotation.surfaces import Rows
from napari_medseg.structures import Edge

Cost = npt.NDArray[np.float32]

#: Smoothing before the gradient, in pixels along depth and width: speckle is as wide as it is deep, layers are not.
SMOOTHING = (1.5, 3.0)
#: Cost of leaving the direction between two anchors by one cut from one column to the next, squared for more.
STIFFNESS = 0.05
#: Furthest that a curve leaves that direction from one column to the next, in cuts.
MAX_JUMP = 3
#: Cost of what cannot be.
_NEVER = np.float32(1e6)


def edge_cost(bscan: npt.NDArray[np.floating | np.integer], edge: Edge) -> Cost:
    """How little each cut of a B-scan looks like an edge.

    Parameters
    ----------
    bscan
        (y, x), of any intensity.
    edge
        What happens to the intensity on the way down.

    Returns
    -------
    float32 (y + 1, x) in [0, 1]: 0 at the strongest edges around, 1 where there is none or one of the other sign
    """
    gradient = _gradient(bscan)
    wanted = {"dark-to-bright": gradient, "bright-to-dark": -gradient, "any": np.abs(gradient)}[edge]
    wanted = np.maximum(wanted, 0)
    # Edges are judged by their surroundings: what is strong in the dark outer retina is weak beside the pigment
    # epithelium. A floor keeps noise in empty regions from looking like an edge.
    floor = 0.1 * float(wanted.max(initial=0.0))
    around = np.maximum(maximum_filter(np.abs(gradient), size=(41, 21)), floor)
    strength = np.divide(wanted, around, out=np.zeros_like(wanted), where=around > 0)
    return np.asarray(1 - strength, np.float32)


def trace(
    cost: Cost,
    anchors: Mapping[int, float],
    *,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    max_jump: int = MAX_JUMP,
    stiffness: float = STIFFNESS,
    prior: Rows | None = None,
    reach: float | None = None,
) -> Rows:
    """The cheapest curve through anchors.

    Parameters
    ----------
    cost
        float32 (y + 1, x), see `edge_cost`.
    anchors
        Row by column, at least one; the curve runs from the first to the last and through all of them.
    low, high
        Rows that the curve must not leave, per column (x,): those of its neighbours. NaN: no limit.
    max_jump, stiffness
        How much the curve may leave its course from one column to the next, and what that costs.
    prior
        Rows (x,) of a curve like the one that is looked for: its course is followed. NaN: none. Without it the course
        from anchor to anchor is a straight line.
    reach
        Furthest from the course, in rows.

    Returns
    -------
    float32 (x,), NaN left of the first and right of the last anchor

    Raises
    ------
    ValueError
        No anchor is given, or one lies outside the picture.
    """
    cuts, width = cost.shape
    columns = sorted(anchors)
    if not columns or columns[0] < 0 or columns[-1] >= width:
        raise ValueError(f"Anchors must lie in columns 0 to {width - 1}: {columns}")
    rows = np.full(width, np.nan, np.float32)
    lowest = _limit(low, width, -0.5)
    highest = _limit(high, width, cuts - 1.5)
    for left, right in itertools.pairwise(columns):
        part = slice(left, right + 1)
        ends = (float(anchors[left]), float(anchors[right]))
        course = _course(ends, None if prior is None else prior[part], right - left + 1)
        limits = (lowest[part], highest[part])
        if reach is not None:
            limits = (np.maximum(limits[0], course - reach), np.minimum(limits[1], course + reach))
        rows[part] = _path(cost[:, part], course, limits, max_jump, stiffness)
    # Cuts lie at most half a row from what was clicked; the click itself counts.
    for column in columns:
        rows[column] = anchors[column]
    return rows


def _gradient(bscan: npt.NDArray[np.floating | np.integer]) -> npt.NDArray[np.float32]:
    """Change of intensity across each cut, float32 (y + 1, x)."""
    picture = np.asarray(bscan, np.float32)
    empty = padding(picture)
    smooth = gaussian_filter(_filled(picture, empty), SMOOTHING, mode="nearest")
    gradient = np.zeros((picture.shape[0] + 1, picture.shape[1]), np.float32)
    gradient[1:-1] = np.diff(smooth, axis=0)
    return gradient


def padding(bscan: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Pixels that no scanner recorded: runs of the darkest or brightest value from the top or the bottom edge.

    Registration leaves white or black wedges there, whose border is the strongest edge of all.

    Parameters
    ----------
    bscan
        float32 (y, x).

    Returns
    -------
    bool (y, x); with two pixels more, because pictures are often resampled across the border
    """
    extremes = (bscan == bscan.min(initial=np.inf)) | (bscan == bscan.max(initial=-np.inf))
    found = np.zeros(bscan.shape, bool)
    for view, out in ((bscan, found), (bscan[::-1], found[::-1])):
        flat = extremes[:: 1 if view is bscan else -1] & (view == view[:1])
        run = np.logical_and.accumulate(flat, axis=0)
        long = run.sum(axis=0) >= 4
        run[:, ~long] = False
        run[2:] |= run[:-2]
        run[1:] |= run[:-1]
        out |= run
    return found


def _filled(picture: npt.NDArray[np.float32], empty: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    """The picture with each column's padding replaced by its nearest recorded pixel."""
    if not empty.any():
        return picture
    recorded = ~empty
    first = recorded.argmax(axis=0)
    last = len(picture) - 1 - recorded[::-1].argmax(axis=0)
    nearest = np.clip(np.arange(len(picture))[:, None], first, last)
    return np.take_along_axis(picture, nearest, axis=0)


def _limit(rows: npt.ArrayLike | None, width: int, missing: float) -> npt.NDArray[np.float32]:
    if rows is None:
        return np.full(width, missing, np.float32)
    limit = np.asarray(rows, np.float32)
    return np.where(np.isnan(limit), np.float32(missing), limit)


def _course(ends: tuple[float, float], prior: Rows | None, width: int) -> npt.NDArray[np.float32]:
    """Rows that a curve is expected at, (x,): the prior moved so that it meets both ends, or a straight line."""
    line = np.linspace(ends[0], ends[1], width, dtype=np.float32)
    if prior is None or np.isnan(prior[0]) or np.isnan(prior[-1]):
        return line
    x = np.arange(width)
    known = np.isfinite(prior)
    filled = np.interp(x, x[known], prior[known])
    return (filled + line - np.linspace(filled[0], filled[-1], width)).astype(np.float32)


def _path(
    cost: Cost,
    course: npt.NDArray[np.float32],
    limits: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    max_jump: int,
    stiffness: float,
    *,
    pinned: bool = True,
) -> npt.NDArray[np.float32]:
    """Rows (x,) of the cheapest path along a course, within limits; `pinned`: from its first to its last row."""
    width = cost.shape[1]
    centre = np.floor(course + 1).astype(np.intp)  # cut k is row k - 0.5
    low, high = (np.floor(limit + 1).astype(np.intp) for limit in limits)
    if pinned:
        low[[0, -1]] = high[[0, -1]] = centre[[0, -1]]
    lowest, highest = int((low - centre).min()), int((high - centre).max())
    band = np.arange(lowest, highest + 1)[:, None] + centre  # cuts, (offset, x)
    allowed = (band >= low) & (band <= high)
    local = np.take_along_axis(cost, np.clip(band, 0, len(cost) - 1), axis=0)
    local[~allowed] = _NEVER
    offsets = _cheapest(np.ascontiguousarray(local.T), max_jump, stiffness)
    rows = (band[offsets, np.arange(width)] - 0.5).astype(np.float32)
    return np.clip(rows, limits[0], np.maximum(limits[0], limits[1]))


def _cheapest(local: Cost, max_jump: int, stiffness: float) -> npt.NDArray[np.intp]:
    """Entry per column of the cheapest path through costs (x, entry)."""
    width, entries = local.shape
    steps = np.arange(-max_jump, max_jump + 1)
    bend = (stiffness * steps.astype(np.float32) ** 2)[:, None]
    padded = np.full(entries + 2 * max_jump, _NEVER, np.float32)
    # Row s of the window holds, for each entry, the total of the entry s - max_jump away in the column before.
    window = np.lib.stride_tricks.sliding_window_view(padded, entries)
    total = padded[max_jump : max_jump + entries]
    total[:] = local[0]
    came = np.empty((width, entries), np.int8)
    for column in range(1, width):
        reached = window + bend
        best = reached.argmin(axis=0)
        came[column] = best
        total[:] = reached.min(axis=0) + local[column]
    path = np.empty(width, np.intp)
    path[-1] = int(total.argmin())
    for column in range(width - 1, 0, -1):
        path[column - 1] = path[column] + steps[came[column, path[column]]]
    return np.clip(path, 0, entries - 1)


def follow(
    cost: Cost,
    prior: Rows,
    *,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    reach: float,
    max_jump: int = MAX_JUMP,
    stiffness: float = STIFFNESS,
) -> Rows:
    """The cheapest curve near another one, without anchors.

    Parameters
    ----------
    cost
        float32 (y + 1, x), see `edge_cost`.
    prior
        Rows (x,), NaN where it is not.
    low, high, max_jump, stiffness
        As for `trace`.
    reach
        Furthest from the prior, in rows.

    Returns
    -------
    float32 (x,), NaN where the prior is
    """
    cuts, width = cost.shape
    lowest, highest = _limit(low, width, -0.5), _limit(high, width, cuts - 1.5)
    rows = np.full(width, np.nan, np.float32)
    known = np.isfinite(prior)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], known.astype(np.int8), [0]])))
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        part = slice(start, stop)
        course = np.clip(prior[part], lowest[part], np.maximum(lowest[part], highest[part]))
        limits = (np.maximum(lowest[part], course - reach), np.minimum(highest[part], course + reach))
        rows[part] = _path(cost[:, part], course, limits, max_jump, stiffness, pinned=False)
    return rows


def shift_between(costs: Mapping[int, Cost], rows: Rows, *, furthest: int = 40, block: int = 32) -> Rows:
    """How far the surfaces of one B-scan have to move along the depth to lie on the edges of another.

    Eyes move between two B-scans. All surfaces are moved together, by a distance that changes slowly over the width.

    Parameters
    ----------
    costs
        Of the other B-scan, by the index of each surface.
    rows
        float32 (surfaces, x) of the first B-scan.
    furthest
        Largest distance looked for, in rows.
    block
        Columns that move together.

    Returns
    -------
    float32 (x,)
    """
    width = rows.shape[1]
    moves = np.arange(-furthest, furthest + 1)
    total = np.zeros((width, len(moves)), np.float32)
    for index, cost in costs.items():
        known = np.flatnonzero(np.isfinite(rows[index]))
        cut = np.floor(rows[index][known] + 1).astype(np.intp)
        total[known] += cost[np.clip(cut[:, None] + moves, 0, len(cost) - 1), known[:, None]]
    starts = np.arange(0, width, block)
    per_block = np.add.reduceat(total, starts, axis=0)
    chosen = moves[_cheapest(per_block, 4, STIFFNESS * block)]
    middles = np.minimum(starts + block / 2, width - 1)
    return np.interp(np.arange(width), middles, chosen).astype(np.float32)
