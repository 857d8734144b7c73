"""A contour of several rings as one closed line, and back.

Drawing programs hold a polygon as one line. From the first corner of the first ring the line goes to each further ring,
around it and back the same way; ways that are gone twice enclose nothing, so that filling the line by the even-odd rule
fills the contour. Which corners belong to which ring follows from the rings' lengths.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.io.contour_file import Part

Line = npt.NDArray[np.float64]


def one_line(parts: Sequence[Part]) -> Line:
    """All rings of a contour as one line (n, 2), not closed; a contour of one ring is that ring.

    Examples
    --------
    >>> square = np.array([(0, 0), (0, 9), (9, 9), (9, 0)], float)
    >>> len(one_line([Part(outer=square)])), len(one_line([Part(outer=square, holes=(square[::-1] / 3 + 2,))]))
    (4, 10)
    """
    first, *others = _rings(parts)
    if not others:
        return first
    home = first[:1]
    legs = [leg for ring in others for leg in (ring, ring[:1], home)]
    # The last way home is the one that closes the line.
    return np.concatenate([first, home, *legs[:-1]])


def parts_of_line(line: Line, old_line: Line, parts: Sequence[Part]) -> tuple[Part, ...] | None:
    """The contour after its line was changed.

    Parameters
    ----------
    line, old_line
        Now and before. Corners may have moved; and one corner, not an end of a way between rings, may have been added
        or taken away.
    parts
        The contour before.

    Returns
    -------
    None where the change leaves no such contour.
    """
    rings = _rings(parts)
    owners, places = _layout([len(ring) for ring in rings])
    if len(line) == len(old_line):
        changed = [ring.copy() for ring in rings]
        # A corner that the line passes several times is dragged at one of them.
        for i in np.flatnonzero((line != old_line).any(axis=1)).tolist():
            changed[owners[i]][places[i]] = line[i]
        return _regrouped(changed, parts)
    if len(rings) == 1:
        return _regrouped([line], parts) if len(line) >= 3 else None
    step = len(line) - len(old_line)
    if abs(step) != 1:
        return None
    longer, shorter = (line, old_line) if step > 0 else (old_line, line)
    differs = np.flatnonzero((longer[:-1] != shorter).any(axis=1))
    place = int(differs[0]) if differs.size else len(longer) - 1
    owner = owners[min(place, len(owners) - 1)]
    sizes = [len(ring) + (step if i == owner else 0) for i, ring in enumerate(rings)]
    if min(sizes) < 3:
        return None
    owners, places = _layout(sizes)
    changed = [np.empty((size, 2)) for size in sizes]
    for i in reversed(range(len(line))):
        changed[owners[i]][places[i]] = line[i]
    regrouped = _regrouped(changed, parts)
    # Otherwise it was one of a way's two ends.
    return regrouped if np.array_equal(one_line(regrouped), line) else None


def _rings(parts: Sequence[Part]) -> list[Line]:
    return [ring for part in parts for ring in (part.outer, *part.holes)]


def _layout(sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Ring and place in it of every corner of the line."""
    owners, places = [0] * sizes[0], list(range(sizes[0]))
    if len(sizes) > 1:
        owners, places = [*owners, 0], [*places, 0]
    for number, size in enumerate(sizes[1:], start=1):
        owners += [*[number] * (size + 1), 0]
        places += [*range(size), 0, 0]
    return (owners[:-1], places[:-1]) if len(sizes) > 1 else (owners, places)


def _regrouped(rings: Sequence[Line], parts: Sequence[Part]) -> tuple[Part, ...]:
    left = iter(rings)
    return tuple(Part(outer=next(left), holes=tuple(next(left) for _ in part.holes)) for part in parts)
