"""Outlines of labelled areas as polygons with holes, along the edges of pixels: filling them gives the same pixels.

The corners of an outline on one horizontal grid line, sorted, are the ends of its edges on that line, two by two; so
are those on a vertical line. Sorting all corners once each way therefore links them all, without following any pixel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]
Corners = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Outline:
    """A polygon.

    Parameters
    ----------
    outer
        Corners (n, 2) of the outer border, (y, x) counted from the upper left corner of the first pixel; not closed.
    holes
        The same for each hole.
    """

    outer: Corners
    holes: tuple[Corners, ...]


def outlines(mask: Mask, *, least: int = 1) -> Iterator[Outline]:
    """The polygons of a mask, one per piece (pixels joined by sides), from top to bottom.

    Parameters
    ----------
    mask
        (y, x)
    least
        Pieces and holes of fewer pixels are left out, and filled.

    Examples
    --------
    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> (found,) = outlines(ring)
    >>> found.outer.tolist(), [hole.tolist() for hole in found.holes]
    ([[0, 0], [0, 3], [3, 3], [3, 0]], [[[1, 1], [1, 2], [2, 2], [2, 1]]])
    """
    pieces, count = ndimage.label(mask)
    corners, turn, piece = _corners(mask, pieces)
    del pieces
    rings: dict[int, list[tuple[float, Corners]]] = {}
    for ring in _rings(corners, turn):
        points = corners[ring]
        # Every second edge is horizontal: the area lies between those and the first grid line.
        area = abs(float((points[0::2, 0] * (points[1::2, 1] - points[0::2, 1])).sum()))
        rings.setdefault(int(piece[ring[0]]), []).append((area, points))
    for number in range(1, count + 1):
        found = rings.pop(number)
        largest = max(range(len(found)), key=lambda i: found[i][0])
        holes = tuple(points for i, (area, points) in enumerate(found) if i != largest and area >= least)
        filled = found[largest][0] - sum(area for i, (area, _) in enumerate(found) if i != largest)
        if filled >= least:
            yield Outline(found[largest][1], holes)


def _corners(mask: Mask, pieces: npt.NDArray[np.int32]) -> tuple[Corners, npt.NDArray[np.bool_], npt.NDArray[np.int32]]:
    """Corners (n, 2) of all outlines sorted by row, whether each is met later than its twin in its column, its piece.

    Where two pixels touch at a corner only, there are two corners at one place: outlines pass each other there.
    """
    padded = np.pad(mask, 1)
    parts = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    odd = parts[0] ^ parts[1] ^ parts[2] ^ parts[3]
    crossing = (parts[0] == parts[3]) & (parts[1] == parts[2]) & (parts[0] != parts[1])
    falling = crossing & parts[0]  # the pixels at the upper left and the lower right
    del parts
    places = [np.argwhere(odd), np.argwhere(crossing), np.argwhere(crossing)]
    down = falling[tuple(places[1].T)]
    # The left of two twins belongs to the upper left pixel, or to the lower left one.
    left = np.where(down[:, np.newaxis], [0, 0], [1, 0])
    right = np.where(down[:, np.newaxis], [1, 1], [0, 1])
    numbers = np.pad(pieces, 1)
    around = np.stack([numbers[places[0][:, 0] + i, places[0][:, 1] + j] for i in (0, 1) for j in (0, 1)])
    piece = [
        around.max(axis=0),
        *(numbers[tuple((at + to).T)] for at, to in zip(places[1:], (left, right), strict=True)),
    ]
    late = [np.zeros(len(places[0]), bool), ~down, down]
    later = [np.zeros(len(places[0]), bool), np.zeros(len(down), bool), np.ones(len(down), bool)]
    corners = np.concatenate(places)
    order = np.lexsort((np.concatenate(later), corners[:, 1], corners[:, 0]))
    return corners[order], np.concatenate(late)[order], np.concatenate(piece)[order]


def _rings(corners: Corners, late: npt.NDArray[np.bool_]) -> Iterator[npt.NDArray[np.int64]]:
    """Indices of the corners of each closed line, beginning with its uppermost edge from left to right."""
    count = len(corners)
    by_column = np.lexsort((late, corners[:, 0], corners[:, 1]))
    below = np.empty(count, np.int64)
    below[by_column[0::2]], below[by_column[1::2]] = by_column[1::2], by_column[0::2]
    partner = below.tolist()
    seen = bytearray(count)
    for start in range(0, count, 2):
        if seen[start]:
            continue
        ring, at = [], start
        while not seen[at]:
            beside = at ^ 1  # corners of one row lie side by side, two by two
            seen[at] = seen[beside] = 1
            ring += [at, beside]
            at = partner[beside]
        yield np.array(ring, np.int64)
