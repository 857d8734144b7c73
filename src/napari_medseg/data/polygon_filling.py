"""Fill many polygons at once, pixel centre by pixel centre.

A pixel belongs to an area when its centre does, by the even-odd rule over all rings of the area: holes are rings like
the outer one. All edges of all areas are cut with the rows in one go; between the first and the second cut of a row,
the third and the fourth, and so on, lie the pixels (J. D. Foley et al., "Computer Graphics: Principles and Practice",
2nd ed. 1990, section 3.6, scan conversion of polygons). Edges are half open, so that two areas with a common border
share no pixel and leave none out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Areas:
    """Polygons as arrays; `areas_of` makes them.

    Parameters
    ----------
    edges
        float64 (edges, 4): y and x of both ends, the edges of an area side by side.
    begins
        (areas + 1,): where the edges of each area begin, and where the last one's end.
    boxes
        float64 (areas, 4): least y, largest y, least x, largest x.
    """

    edges: Floats
    begins: Places
    boxes: Floats

    def touching(self, box: tuple[tuple[float, float], ...]) -> npt.NDArray[np.bool_]:
        """Which areas (areas,) may hold a place in a box, ``(start, stop)`` along y and x."""
        (top, bottom), (left, right) = box
        y0, y1, x0, x1 = self.boxes.T
        return np.asarray((y1 > top) & (y0 < bottom) & (x1 > left) & (x0 < right))


def areas_of(areas: Sequence[Sequence[Floats]]) -> Areas:
    """Areas from their rings.

    Parameters
    ----------
    areas
        For each area its rings, float64 (n, 2) as (y, x); not closed, in any direction.
    """
    rings = [ring for area in areas for ring in area]
    edges = [np.concatenate([ring, np.roll(ring, -1, axis=0)], axis=1) for ring in rings]
    sizes = [sum(len(ring) for ring in area) for area in areas]
    all_edges = np.concatenate(edges) if edges else np.empty((0, 4))
    begins = np.concatenate([[0], np.cumsum(sizes, dtype=np.intp)]).astype(np.intp)
    if not areas:
        return Areas(edges=all_edges, begins=begins, boxes=np.empty((0, 4)))
    low = np.minimum.reduceat(all_edges[:, :2], begins[:-1])
    high = np.maximum.reduceat(all_edges[:, :2], begins[:-1])
    boxes = np.stack([low[:, 0], high[:, 0], low[:, 1], high[:, 1]], axis=1)
    return Areas(edges=all_edges, begins=begins, boxes=boxes)


def fill(
    out: npt.NDArray[np.uint8], areas: Areas, chosen: Places, values: npt.NDArray[np.uint8], low: Floats, step: Floats
) -> None:
    """Write the value of each chosen area into its pixels; later ones lie on top.

    Parameters
    ----------
    out
        (y, x), in C order; changed.
    areas, chosen
        The polygons, and which of them in the order of filling.
    values
        One per chosen area.
    low, step
        (y, x) of the upper left corner of `out` in the areas' coordinates, and the side of a pixel there.
    """
    if not out.flags.c_contiguous:
        raise ValueError("out must be in C order: give a copy.")
    flat = out.reshape(-1)
    for start, stop, rank in _spans(areas, chosen, out.shape, low, step):
        flat[start:stop] = values[rank]


def _spans(
    areas: Areas, chosen: Places, shape: tuple[int, ...], low: Floats, step: Floats
) -> Iterator[tuple[int, int, int]]:
    """Runs of pixels as (start, stop) in the flat picture, with the place of their area in `chosen`, in its order."""
    height, width = shape
    sizes = areas.begins[chosen + 1] - areas.begins[chosen]
    rank = np.repeat(np.arange(len(chosen)), sizes)
    edges = areas.edges[np.repeat(areas.begins[chosen], sizes) + _counted(sizes)]
    # In pixels, counted from the centre of the first one.
    y0, x0, y1, x1 = ((edges - np.tile(low, 2)) / np.tile(step, 2) - 0.5).T
    first = np.ceil(np.minimum(y0, y1)).clip(0, height).astype(np.intp)
    last = np.ceil(np.maximum(y0, y1)).clip(0, height).astype(np.intp)
    cut = last > first
    first, last, rank, y0, x0, y1, x1 = (each[cut] for each in (first, last, rank, y0, x0, y1, x1))
    lengths = last - first
    row = np.repeat(first, lengths) + _counted(lengths)
    slope = np.repeat((x1 - x0) / (y1 - y0), lengths)
    column = np.repeat(x0, lengths) + (row - np.repeat(y0, lengths)) * slope
    ranks = np.repeat(rank, lengths)
    order = np.lexsort((column, row, ranks))
    place = np.ceil(column[order]).clip(0, width).astype(np.intp) + row[order] * width
    start, stop = place[0::2], place[1::2]
    seen = stop > start
    return zip(start[seen].tolist(), stop[seen].tolist(), ranks[order][0::2][seen].tolist(), strict=True)


def _counted(sizes: Places) -> Places:
    """0, 1, ... anew for each size.

    >>> _counted(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    ends = np.cumsum(sizes)
    return np.asarray(np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes), np.intp)
