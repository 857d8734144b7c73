"""Curves that follow the edge between two layers, from click to click and from B-scan to B-scan.

Every place that a curve can pass in a column has a cost, low where the picture looks there as it does where the curve
is known (`napari_medseg.annotation.strips`); the curve is the cheapest path from column to column, found by dynamic
programming. The method is that of Chiu et al., "Automatic segmentation of seven retinal layers in SDOCT images
congruent with expert manual segmentation", Optics Express 18 (2010) 19413, doi:10.1364/OE.18.019413, with clicks in
place of their automatic limits, and the pattern of layers at the clicks beside the bare edge.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from napari_medseg.annotation.strips import PATTERN, Floats, Strip, cut_strip
from napari_medseg.annotation.surfaces import Rows
from napari_medseg.structures import Edge

#: Cost of leaving the course by one row from one column to the next, squared for more: at the first look, along a
#: straight line, and at the second, along what was found.
FIRST_STIFFNESS, STIFFNESS = 0.3, 0.8
#: Furthest that a curve leaves its course from one column to the next, in rows.
MAX_JUMP = 3
#: The second look: how far from the first, in rows, and how much that is smoothed, in columns.
SECOND_REACH, SECOND_SMOOTHING = 6, 8.0
#: Widths from which the first look takes every second and every third column, and its largest jump between them.
COARSE, COARSE_JUMP = (200, 400), 5
#: Cost of what cannot be: more than a path through all other columns.
_NEVER = np.float32(1e4)


def trace(
    picture: Floats,
    anchors: Mapping[int, float],
    edge: Edge,
    *,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    max_jump: int = MAX_JUMP,
) -> Rows:
    """The curve through anchors along an edge.

    Parameters
    ----------
    picture
        float32 (y, x), see `strips.recorded`.
    anchors
        Row by column, at least one; the curve runs from the first to the last and through all of them.
    edge
        What the intensity does on the way down.
    low, high
        Rows that the curve must not leave, per column (x,): those of its neighbours. NaN: no limit.
    max_jump
        Furthest that the curve leaves the straight course between two anchors from one column to the next.

    Returns
    -------
    float32 (x,), NaN left of the first and right of the last anchor

    Raises
    ------
    ValueError
        No anchor is given, or one lies outside the picture.
    """
    width = picture.shape[1]
    columns = sorted(anchors)
    if not columns or columns[0] < 0 or columns[-1] >= width:
        raise ValueError(f"Anchors must lie in columns 0 to {width - 1}: {columns}")
    rows = np.full(width, np.nan, np.float32)
    limits = _limits(low, high, picture.shape)
    for left, right in itertools.pairwise(columns):
        part = slice(left, right + 1)
        bounds = limits[0][part], np.maximum(limits[0][part], limits[1][part])
        line = np.linspace(anchors[left], anchors[right], right - left + 1, dtype=np.float32)
        found = _first_look(picture, left, line, edge, bounds, max_jump)
        # Along what was found, layers are blurred less than along the line, so it is looked at once more.
        aside = gaussian_filter1d(found - line, SECOND_SMOOTHING, mode="nearest")
        course = line + aside - np.linspace(aside[0], aside[-1], len(line), dtype=np.float32)
        places = np.arange(left, right + 1)
        rows[part] = _between(picture, places, course, edge, bounds, SECOND_REACH, max_jump, STIFFNESS)
    for column in columns:  # a click lies up to half a row from the places that were judged, and counts itself
        rows[column] = anchors[column]
    return rows


def follow(
    picture: Floats,
    prior: Rows,
    edge: Edge,
    patterns: Floats,
    contrast: float,
    *,
    low: npt.ArrayLike | None = None,
    high: npt.ArrayLike | None = None,
    reach: float,
) -> Rows:
    """The curve near another one, without anchors.

    Parameters
    ----------
    picture
        float32 (y, x), see `strips.recorded`.
    prior
        Rows (x,), NaN where it is not.
    edge
        What the intensity does on the way down.
    patterns, contrast
        What is known of the curve elsewhere, as for `strips.Strip.costs`; patterns are those of all columns.
    low, high
        As for `trace`.
    reach
        Furthest from the prior, in rows.

    Returns
    -------
    float32 (x,), NaN where the prior is
    """
    limits = _limits(low, high, picture.shape)
    rows = np.full(len(prior), np.nan, np.float32)
    for start, stop in runs(prior):
        part = slice(start, stop)
        bounds = limits[0][part], np.maximum(limits[0][part], limits[1][part])
        course = np.clip(prior[part], *bounds)
        lowest, highest = np.maximum(bounds[0], course - reach), np.minimum(bounds[1], course + reach)
        strip = cut_strip(picture, np.arange(start, stop), course, *_span(course, lowest, highest))
        cost = _within(strip, strip.costs(edge, patterns[:, part], contrast), course, lowest, highest, ends=False)
        rows[part] = np.clip(_along(course, cost, strip, MAX_JUMP, STIFFNESS), *bounds)
    return rows


def movement(costs: Sequence[Floats], *, block: int = 32) -> Rows:
    """How far the surfaces of one B-scan have to move along the depth to suit another: eyes move between the two.

    All surfaces move together, by a distance that changes slowly over the width.

    Parameters
    ----------
    costs
        Per surface, float32 (distance, x): cost of moving by so far, the middle entry being no movement; 0 in columns
        where the surface is not.
    block
        Columns that move together.

    Returns
    -------
    float32 (x,)
    """
    total = np.sum(costs, axis=0).T  # (x, distance)
    width, distances = total.shape
    starts = np.arange(0, width, block)
    per_block = np.add.reduceat(total, starts, axis=0).astype(np.float32)
    chosen = cheapest_path(per_block, 4, 0.2 * block) - distances // 2
    moved = np.interp(np.arange(width), np.minimum(starts + block / 2, width - 1), chosen)
    return np.asarray(moved, np.float32)


def cheapest_path(costs: Floats, max_jump: int, stiffness: float) -> npt.NDArray[np.intp]:
    """Entry per column of the cheapest path.

    Parameters
    ----------
    costs
        float32 (x, entry).
    max_jump
        Most entries between neighbouring columns.
    stiffness
        Cost of one entry's jump, times the square of how many.
    """
    width, entries = costs.shape
    steps = np.arange(-max_jump, max_jump + 1)
    bend = (stiffness * steps.astype(np.float32) ** 2)[:, None]
    padded = np.full(entries + 2 * max_jump, np.inf, np.float32)
    # Row s of the window holds, for each entry, the total of the entry s - max_jump away in the column before.
    window = np.lib.stride_tricks.sliding_window_view(padded, entries)
    total = padded[max_jump : max_jump + entries]
    total[:] = costs[0]
    came = np.empty((width, entries), np.int8)
    for column in range(1, width):
        reached = window + bend
        came[column] = reached.argmin(axis=0)
        np.add(reached.min(axis=0), costs[column], out=total)
        total -= total.min()  # float32 keeps its precision over many columns
    path = np.empty(width, np.intp)
    path[-1] = int(total.argmin())
    for column in range(width - 1, 0, -1):
        path[column - 1] = path[column] + steps[came[column, path[column]]]
    return path


def _limits(low: npt.ArrayLike | None, high: npt.ArrayLike | None, shape: tuple[int, ...]) -> tuple[Rows, Rows]:
    """Lowest and highest row per column (x,), the picture's edges where there is no other limit."""
    edges = np.float32(-0.5), np.float32(shape[0] - 0.5)
    given = (np.full(shape[1], np.nan) if limit is None else np.asarray(limit, np.float32) for limit in (low, high))
    lowest, highest = (np.where(np.isnan(limit), edge, limit) for limit, edge in zip(given, edges, strict=True))
    return np.asarray(lowest, np.float32), np.asarray(highest, np.float32)


def runs(rows: Rows) -> list[tuple[int, int]]:
    """Start and stop of each run of columns in which a curve (x,) is there.

    Examples
    --------
    >>> runs(np.array([np.nan, 1, 2, np.nan, 3], np.float32))
    [(1, 3), (4, 5)]
    """
    there = np.concatenate([[False], np.isfinite(rows), [False]])
    edges = np.flatnonzero(there[1:] != there[:-1])
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _first_look(picture: Floats, start: int, line: Rows, edge: Edge, bounds: tuple[Rows, Rows], max_jump: int) -> Rows:
    """Rows (x,) of a curve between two clicks of which nothing but the straight line (x,) between them is known."""
    # No layer is so steep that a curve leaves the line further than this.
    reach = 20 + len(line) / 2
    step = 1 + sum(len(line) >= width for width in COARSE)
    chosen = np.unique(np.append(np.arange(0, len(line), step), len(line) - 1))
    jump = max_jump if step == 1 else min(step * max_jump, COARSE_JUMP)
    coarse = bounds[0][chosen], bounds[1][chosen]
    found = _between(picture, start + chosen, line[chosen], edge, coarse, reach, jump, FIRST_STIFFNESS / step)
    return np.asarray(np.interp(np.arange(len(line)), chosen, found), np.float32)


def _between(
    picture: Floats,
    columns: npt.NDArray[np.intp],
    course: Rows,
    edge: Edge,
    bounds: tuple[Rows, Rows],
    reach: float,
    max_jump: int,
    stiffness: float,
) -> Rows:
    """Rows (x,) in some columns of a curve along a course that starts and ends at clicks."""
    lowest, highest = np.maximum(bounds[0], course - reach), np.minimum(bounds[1], course + reach)
    strip = cut_strip(picture, columns, course, *_span(course, lowest, highest))
    ends = strip.patterns()[:, [0, -1]]
    share = np.linspace(0, 1, len(course), dtype=np.float32)
    patterns = ends[:, :1] * (1 - share) + ends[:, 1:] * share
    cost = strip.costs(edge if edge != "any" else _edge_of(ends), patterns, float(strip.contrast()[[0, -1]].mean()))
    allowed = _within(strip, cost, course, lowest, highest, ends=True)
    return np.clip(_along(course, allowed, strip, max_jump, stiffness), *bounds)


def _edge_of(patterns: Floats) -> Edge:
    """The edge in the middle of patterns (2 * PATTERN, any number), if all have the same."""
    rises = patterns[PATTERN : PATTERN + 2].mean(axis=0) > patterns[PATTERN - 2 : PATTERN].mean(axis=0)
    if rises.all():
        return "dark-to-bright"
    return "any" if rises.any() else "bright-to-dark"


def _span(course: Rows, lowest: Rows, highest: Rows) -> tuple[int, int]:
    """First and last whole distance from a course that limits allow somewhere, with the course itself."""
    return min(int(np.floor((lowest - course).min())), -1), max(int(np.ceil((highest - course).max())), 1)


def _within(strip: Strip, cost: Floats, course: Rows, lowest: Rows, highest: Rows, *, ends: bool) -> Floats:
    """Costs with what lies outside limits forbidden; `ends`: and at both ends all but the course."""
    distance = np.arange(len(cost))[:, None] - strip.reach
    # Half a row of play, because limits lie between the places that are judged.
    outside = (course + distance < lowest - 0.5) | (course + distance > highest + 0.5)
    if ends:
        outside[:, [0, -1]] = distance != 0
    return np.where(outside, _NEVER, cost)


def _along(course: Rows, cost: Floats, strip: Strip, max_jump: int, stiffness: float) -> Rows:
    """Rows of the cheapest path through costs (offset, x), to a fraction of a row."""
    costs = np.ascontiguousarray(cost.T)
    path = cheapest_path(costs, max_jump, stiffness)
    return np.asarray(course + (path - strip.reach) + _fractions(costs, path), np.float32)


def _fractions(costs: Floats, path: npt.NDArray[np.intp]) -> Floats:
    """How far from the path the cost is least in each column (x,), by a parabola through it and its neighbours."""
    columns = np.arange(len(path))
    upper, lower = np.maximum(path - 1, 0), np.minimum(path + 1, costs.shape[1] - 1)
    above, here, below = (costs[columns, entry] for entry in (upper, path, lower))
    bend = above - 2 * here + below
    # A path on a slope of the cost or beside what is forbidden stays where it is.
    lowest = (here < above) & (here < below) & (np.maximum(above, below) < _NEVER)
    shift = np.divide((above - below) / 2, bend, out=np.zeros_like(here), where=lowest)
    return np.asarray(np.clip(shift, -0.5, 0.5), np.float32)
