"""One surface of one B-scan as a person edits it: anchors, gaps, and the rows between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from napari_medseg.annotation.surfaces import Rows
from napari_medseg.annotation.tracing import runs

#: Furthest that the straight lines between derived anchors lie from the curve, in rows.
TOLERANCE = 1.5
#: Derived anchors within so many columns of an anchor that a person sets give way to it.
FREED = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """A curve; every piece of it begins and ends at an anchor.

    Parameters
    ----------
    rows
        float32 (x,), NaN where the curve is not.
    anchors
        Row by column, in the order of columns.
    pinned
        Columns of the anchors that a person set; the others were derived, to have something to drag.
    stops
        Columns of the anchors at which the curve ends, to resume at the next one.
    straight
        Columns of the anchors from which the curve runs to the next one without looking at the picture.
    """

    rows: Rows
    anchors: Mapping[int, float] = field(default_factory=dict)
    pinned: frozenset[int] = frozenset()
    stops: frozenset[int] = frozenset()
    straight: frozenset[int] = frozenset()

    @classmethod
    def empty(cls, width: int) -> Curve:
        """A curve that is nowhere."""
        return cls(rows=np.full(width, np.nan, np.float32))

    @classmethod
    def of_rows(cls, rows: Rows, pinned: frozenset[int] = frozenset(), straight: frozenset[int] = frozenset()) -> Curve:
        """A curve from its rows.

        Parameters
        ----------
        rows
            float32 (x,), NaN where the curve is not.
        pinned
            Columns that a person set. Pieces without any get derived anchors.
        straight
            As the attribute; columns that become no anchor are left out.
        """
        columns: list[int] = []
        stops: list[int] = []
        for start, stop in runs(rows):
            own = [x for x in sorted(pinned) if start <= x < stop]
            inner = own or derived_columns(rows[start:stop], start)
            columns += sorted({start, *inner, stop - 1})
            stops.append(stop - 1)
        return cls(
            rows=rows,
            anchors={x: float(rows[x]) for x in columns},
            pinned=pinned.intersection(columns),
            stops=frozenset(stops[:-1]),
            straight=straight.intersection(columns),
        )

    @property
    def columns(self) -> list[int]:
        """Columns of the anchors, from left to right."""
        return list(self.anchors)

    def neighbours(self, x: int) -> tuple[int | None, int | None]:
        """The anchors next to a column on either side, itself left out."""
        left = [column for column in self.anchors if column < x]
        right = [column for column in self.anchors if column > x]
        return (left[-1] if left else None, right[0] if right else None)

    def intervals(self) -> Iterator[tuple[int, int]]:
        """Neighbouring anchors between which the curve runs."""
        return ((a, b) for a, b in itertools.pairwise(self.anchors) if a not in self.stops)

    def gap(self, x: int) -> tuple[int, int] | None:
        """The anchors on either side of the gap that a column lies in, or None."""
        return next(((a, b) for a, b in itertools.pairwise(self.anchors) if a < x < b and a in self.stops), None)

    def smooth(self, a: int, b: int) -> npt.NDArray[np.float64]:
        """Rows from one anchor to the next on a smooth curve through the anchors around (it does not overshoot)."""
        columns = self.columns
        around = columns[max(columns.index(a) - 1, 0) : columns.index(b) + 2]
        interpolate = PchipInterpolator(around, [self.anchors[x] for x in around])
        smooth: npt.NDArray[np.float64] = interpolate(np.arange(a, b + 1))
        return smooth

    def freed_around(self, x: int) -> Curve:
        """The curve without derived anchors near a column, so that pulling there moves more than a few columns."""
        columns = self.columns
        resumed = (b for a, b in itertools.pairwise(columns) if a in self.stops)
        lasting = {x, *columns[:1], *columns[-1:], *self.stops, *resumed, *self.pinned}
        kept = {c for c in columns if c in lasting or abs(c - x) > FREED}
        return replace(
            self,
            anchors={c: row for c, row in self.anchors.items() if c in kept},
            straight=self.straight.intersection(kept),
        )

    def same(self, other: Curve) -> bool:
        """Whether another curve is equal in all that shows."""
        return (
            dict(self.anchors) == dict(other.anchors)
            and (self.pinned, self.stops, self.straight) == (other.pinned, other.stops, other.straight)
            and np.array_equal(self.rows, other.rows, equal_nan=True)
        )


def derived_columns(rows: Rows, offset: int = 0, tolerance: float = TOLERANCE) -> list[int]:
    """Few columns of a piece (x,) such that the straight lines between its points there stay close to it.

    The method of Ramer, Douglas and Peucker, with the distance along the depth.

    Returns
    -------
    columns in ascending order, counted from `offset`, with both ends
    """
    found = {0, len(rows) - 1}
    open_parts = [(0, len(rows) - 1)]
    while open_parts:
        a, b = open_parts.pop()
        if b - a < 2:
            continue
        line = rows[a] + (rows[b] - rows[a]) * np.arange(b - a + 1) / (b - a)
        far = np.abs(rows[a : b + 1] - line)
        middle = a + int(far.argmax())
        if far.max() > tolerance:
            found.add(middle)
            open_parts += [(a, middle), (middle, b)]
    return [offset + x for x in sorted(found)]
