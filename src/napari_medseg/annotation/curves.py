"""The curves of an OCT image while a person edits them: anchors in, rows and changed columns out.

Every act keeps the surfaces of a column in order, tells which columns it changed, and can be undone by itself. Anchors
lie in whole columns; rows are those of `napari_medseg.annotation.surfaces`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.acts import Changes, Place, RememberedCurves
from napari_medseg.annotation.curve import Curve
from napari_medseg.annotation.giving_way import Limits, most_pushed, yielding
from napari_medseg.annotation.guide import Guide
from napari_medseg.annotation.predicted_surfaces import surfaces_of_prediction
from napari_medseg.annotation.surfaces import Columns, Labels, Rows, in_order, surfaces_of_labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import Surface

#: How far beyond its neighbour a click may lie and still mean the neighbour's own row.
FORGIVEN = 2.0


class Curves(RememberedCurves):
    """Curves of all B-scans of an image, with undo.

    Parameters
    ----------
    surfaces
        From top to bottom.
    shape
        ``(bscan, y, x)``; a single B-scan counts as one.
    bscan
        Gives the pixels (y, x) of a B-scan by its index; asked when a curve has to look for an edge.

    Examples
    --------
    >>> picture = np.repeat(np.where(np.arange(40) < 20, 10.0, 90.0)[:, None], 60, axis=1)
    >>> ilm = Surface(name="ILM", above="", below="RNFL", edge="dark-to-bright")
    >>> curves = Curves([ilm], (1, 40, 60), lambda bscan: picture)
    >>> _ = curves.add_anchor(0, 0, 5, 18.0), curves.add_anchor(0, 0, 50, 20.5)
    >>> round(float(curves.rows(0)[0, 30]), 1)
    19.5
    """

    def __init__(
        self, surfaces: Sequence[Surface], shape: tuple[int, int, int], bscan: Callable[[int], npt.NDArray[np.generic]]
    ) -> None:
        super().__init__(surfaces, shape)
        self._guide = Guide([surface.edge for surface in surfaces], bscan)

    def prepare(self, bscan: int) -> None:
        """Make a B-scan ready before it is clicked on, so that the first click waits for nothing."""
        self._guide.prepare(bscan)

    def limits(self, bscan: int, surface: int, *, of_person: bool = False) -> Limits:
        """Lowest and highest row that a surface can take in each column, (x,): its neighbours or the picture.

        Parameters
        ----------
        of_person
            Only neighbours in which a person set an anchor.
        """
        rows = self.rows(bscan)
        if of_person:
            rows[[not self.curve(bscan, s).pinned for s in range(len(rows))]] = np.nan
        above = np.fmax.reduce(rows[:surface], axis=0, initial=np.float32(-0.5))
        below = np.fmin.reduce(rows[surface + 1 :], axis=0, initial=np.float32(self.shape[1] - 0.5))
        return above, below

    # Acts

    def add_anchor(self, bscan: int, surface: int, x: int, row: float, *, straight: bool = False) -> Changes:
        """Pin a curve to a point; it is drawn anew between the anchors on both sides.

        In a gap the curve resumes here and runs on to the right. A little beyond a neighbour in which a person set no
        anchor (it was predicted, carried on, or taken from labels), the click counts and the neighbour gives way near
        the click: by no more than the click lies beyond it, and the less the further off the column.

        Parameters
        ----------
        straight
            Run smoothly through the anchors on both sides instead of along the edges of the picture.

        Raises
        ------
        AnnotationError
            The point lies beyond a neighbouring surface that a person drew, far beyond another one, or outside the
            picture.
        """
        row, limits = self._allowed_row(bscan, surface, x, row)
        curve = self.curve(bscan, surface).freed_around(x)
        left, right = curve.neighbours(x)
        straight_from = curve.straight - {x}
        if straight:
            straight_from |= {c for c in (left, x) if c is not None}
        elif left in curve.straight and x not in curve.anchors:
            straight_from |= {x}
        anchors = dict(sorted({**curve.anchors, x: row}.items()))
        edited = replace(curve, anchors=anchors, pinned=curve.pinned | {x}, straight=straight_from)
        return self._draw(bscan, surface, edited, (left, x, right), limits=limits)

    def move_anchor(
        self, bscan: int, surface: int, x: int, to_x: int, to_row: float, *, going_on: bool = False
    ) -> Changes:
        """Move an anchor; it stays between the anchors and between the surfaces beside it.

        Parameters
        ----------
        going_on
            Whether this continues the last act (a drag), to be undone with it.

        Raises
        ------
        AnnotationError
            There is no anchor in column `x`.
        """
        curve = self._with_anchor(bscan, surface, x).freed_around(x)
        left, right = curve.neighbours(x)
        to_x = int(np.clip(to_x, 0 if left is None else left + 1, self.shape[2] - 1 if right is None else right - 1))
        low, high = self.limits(bscan, surface)
        row = float(np.clip(to_row, low[to_x], high[to_x]))
        renamed = {to_x if column == x else column: r for column, r in curve.anchors.items()}
        moved = replace(
            curve,
            anchors={**renamed, to_x: row},
            pinned=_renamed(curve.pinned, x, to_x) | {to_x},
            stops=_renamed(curve.stops, x, to_x),
            straight=_renamed(curve.straight, x, to_x),
        )
        return self._draw(bscan, surface, moved, (left, to_x, right), going_on=going_on)

    def delete_anchor(self, bscan: int, surface: int, x: int) -> Changes:
        """Take an anchor away; the curve runs between its neighbours, or ends earlier where it was the last.

        Raises
        ------
        AnnotationError
            There is no anchor in column `x`.
        """
        curve = self._with_anchor(bscan, surface, x)
        left, right = curve.neighbours(x)
        anchors = {column: row for column, row in curve.anchors.items() if column != x}
        # An anchor beside a gap leaves the gap wider.
        stops = curve.stops - {x}
        if x in curve.stops and left is not None and right is not None:
            stops |= {left}
        edited = replace(curve, anchors=anchors, pinned=curve.pinned - {x}, stops=stops, straight=curve.straight - {x})
        return self._draw(bscan, surface, edited, (left, right))

    def stop(self, bscan: int, surface: int, x: int) -> Changes:
        """End a curve in a column; it resumes at the next anchor, if there is one.

        Raises
        ------
        AnnotationError
            The curve is not there.
        """
        curve = self.curve(bscan, surface)
        if not 0 <= x < self.shape[2] or np.isnan(curve.rows[x]):
            name = self.surfaces[surface].name
            raise AnnotationError(f"{name} is not drawn in column {x}: choose a column in which it is.")
        anchors = dict(sorted({**curve.anchors, x: float(curve.rows[x])}.items()))
        right = curve.neighbours(x)[1]
        edited = replace(curve, anchors=anchors, pinned=curve.pinned | {x}, stops=curve.stops | {x})
        return self._draw(bscan, surface, edited, (x, right))

    def resume(self, bscan: int, surface: int, x: int) -> Changes:
        """Close the gap that a column lies in.

        Raises
        ------
        AnnotationError
            The column lies in no gap between two pieces of the curve.
        """
        curve = self.curve(bscan, surface)
        gap = curve.gap(x)
        if gap is None:
            name = self.surfaces[surface].name
            raise AnnotationError(f"{name} has no gap in column {x}: choose a column between two of its pieces.")
        return self._draw(bscan, surface, replace(curve, stops=curve.stops - {gap[0]}), gap)

    def erase(self, bscan: int, surface: int, start: int, stop: int) -> Changes:
        """Take a curve away in the columns from `start` up to but without `stop`; what is beside them stays."""
        rows = self.curve(bscan, surface).rows.copy()
        rows[max(start, 0) : max(stop, 0)] = np.nan
        return self._replace_rows(bscan, {surface: rows})

    def clear(self, bscan: int, surface: int) -> Changes:
        """Take all of a curve away."""
        return self.act({(bscan, surface): Curve.empty(self.shape[2])})

    def set_rows(
        self, bscan: int, rows: Rows, *, pinned: npt.NDArray[np.bool_] | None = None, remember: bool = True
    ) -> Changes:
        """Replace all curves of a B-scan, e.g. by a device's, a model's or those of a file.

        Where surfaces cross, the upper one counts and the lower one is moved down to it.

        Parameters
        ----------
        rows
            (surfaces, x), NaN where a surface is not.
        pinned
            bool (surfaces, x): anchors that a person set. Where there are none, few are derived to have some to drag.
        remember
            False on opening: not an act to undo.
        """
        ordered = in_order(np.clip(rows, -0.5, self.shape[1] - 0.5))
        own = np.zeros(rows.shape, bool) if pinned is None else pinned & np.isfinite(ordered)
        curves = {
            (bscan, s): Curve.of_rows(ordered[s], frozenset(map(int, np.flatnonzero(own[s]))))
            for s in range(len(self.surfaces))
        }
        return self.act(curves, remember=remember)

    def set_from_labels(
        self,
        bscan: int,
        labels: Labels,
        pile: Sequence[int],
        *,
        columns: Columns = slice(None),
        predicted: bool = False,
        remember: bool = True,
    ) -> Changes:
        """Let the curves follow what was painted.

        Rows that the labels do not contradict stay as they are, to a fraction of a pixel and under areas.

        Parameters
        ----------
        labels
            uint8 (y, x), the whole B-scan.
        pile
            Label values from top to bottom.
        columns
            Where something was painted.
        predicted
            Whether a model drew the labels (`surfaces_of_prediction`).
        remember
            False on opening, and where the painting itself can be undone.
        """
        rows = self.rows(bscan)
        if predicted:
            rows[:, columns] = surfaces_of_prediction(labels, pile, before=rows)[:, columns]
        else:
            rows[:, columns] = surfaces_of_labels(labels[:, columns], pile, before=rows[:, columns])
        return self._replace_rows(bscan, dict(enumerate(in_order(rows))), remember=remember)

    def carry_on(self, source: int, target: int) -> Changes:
        """Draw the curves of one B-scan in another one, along its edges near by. Curves that are there stay.

        Raises
        ------
        AnnotationError
            There is no such B-scan, or the first has no curves.
        """
        self._check_bscans(source, target)
        return self.act(self._following(target, {source: self._drawn_rows(source)}))

    def fill_between(self, first: int, last: int) -> Changes:
        """Draw the curves of all B-scans between two, along the edges near the rows between. Curves there stay.

        Raises
        ------
        AnnotationError
            There is no such B-scan, or one of the two has no curves.
        """
        self._check_bscans(first, last)
        first, last = sorted((first, last))
        sources = {bscan: self._drawn_rows(bscan) for bscan in (first, last)}
        found: dict[Place, Curve] = {}
        for bscan in range(first + 1, last):
            found |= self._following(bscan, sources)
        return self.act(found)

    # How

    def _allowed_row(self, bscan: int, surface: int, x: int, row: float) -> tuple[float, Limits | None]:
        """The row that a click means, and the limits (x,) of a curve for which neighbours give way; None: none do."""
        name = self.surfaces[surface].name
        if not 0 <= x < self.shape[2] or not -0.5 <= row <= self.shape[1] - 0.5:
            raise AnnotationError(f"{name} was not changed because the point lies outside the picture: click inside.")
        limits = self.limits(bscan, surface)
        low, high = (float(limit[x]) for limit in limits)
        if low - FORGIVEN <= row <= high + FORGIVEN:
            return min(max(row, low), high), None
        firm = self.limits(bscan, surface, of_person=True)
        firm_low, firm_high = (float(limit[x]) for limit in firm)
        side = "above" if row < low else "below"
        if not firm_low - FORGIVEN <= row <= firm_high + FORGIVEN:
            other = self._neighbour(bscan, surface, x, firm_low if row < low else firm_high)
            raise AnnotationError(
                f"{name} cannot lie {side} {other}: click between its neighbours, or move {other} first."
            )
        row = min(max(row, firm_low), firm_high)
        push = max(low - row, row - high)
        if push > most_pushed(self.shape[1]):
            other = self._neighbour(bscan, surface, x, low if row < low else high)
            raise AnnotationError(
                f"{name} cannot lie {push:.0f} rows {side} {other}: choose the surface that you mean (Ctrl+click on "
                f"it), or move {other} first."
            )
        return row, yielding(limits, firm, x, push)

    def _neighbour(self, bscan: int, surface: int, x: int, row: float) -> str:
        """Name of the other surface that lies in a row of a column, the nearest one if there are several."""
        rows = self.rows(bscan)[:, x]
        found = [s for s in range(len(rows)) if s != surface and rows[s] == np.float32(row)]
        return self.surfaces[min(found, key=lambda s: abs(s - surface))].name

    def _with_anchor(self, bscan: int, surface: int, x: int) -> Curve:
        curve = self.curve(bscan, surface)
        if x not in curve.anchors:
            raise AnnotationError(f"{self.surfaces[surface].name} has no anchor in column {x}: choose one that it has.")
        return curve

    def _check_bscans(self, *bscans: int) -> None:
        for bscan in bscans:
            if not 0 <= bscan < self.shape[0]:
                raise AnnotationError(f"There is no B-scan {bscan + 1}: the image has {self.shape[0]}.")

    def _drawn_rows(self, bscan: int) -> Rows:
        rows = self.rows(bscan)
        if np.isnan(rows).all():
            raise AnnotationError(f"B-scan {bscan + 1} has no curves: draw them there first.")
        return rows

    def _draw(
        self,
        bscan: int,
        surface: int,
        curve: Curve,
        touched: Iterable[int | None],
        *,
        going_on: bool = False,
        limits: Limits | None = None,
    ) -> Changes:
        """Draw a curve anew from the first to the last of the touched anchors, and let the act be done.

        Parameters
        ----------
        limits
            Lowest and highest rows (x,) for which neighbours give way; None: the neighbours themselves.
        """
        inside = [x for x in touched if x is not None]
        first, last = min(inside, default=0), max(inside, default=0)
        columns = curve.columns or [self.shape[2]]
        rows = curve.rows.copy()
        for part in (slice(first, last + 1), slice(columns[0]), slice(columns[-1] + 1, None)):
            rows[part] = np.nan
        between = limits or self.limits(bscan, surface)
        for a, b in curve.intervals():
            if first <= a and b <= last:
                rows[a : b + 1] = self._between(bscan, surface, curve, (a, b), between)
        for x, row in curve.anchors.items():
            rows[x] = row if first <= x <= last else rows[x]
        drawn = {(bscan, surface): replace(curve, rows=rows)}
        return self.act({**drawn, **(self._pushed(bscan, surface, rows) if limits else {})}, going_on=going_on)

    def _between(self, bscan: int, surface: int, curve: Curve, ends: tuple[int, int], limits: Limits) -> Rows:
        """Rows of a curve from one anchor to the next."""
        part = slice(ends[0], ends[1] + 1)
        if ends[0] in curve.straight:
            return np.clip(curve.smooth(*ends), limits[0][part], limits[1][part]).astype(np.float32)
        anchors = {x: curve.anchors[x] for x in ends}
        return self._guide.trace(bscan, surface, anchors, *limits)[part]

    def _pushed(self, bscan: int, surface: int, rows: Rows) -> dict[Place, Curve]:
        """Neighbours that nobody drew, moved to where the rows (x,) of a surface leave them room."""
        pushed: dict[Place, Curve] = {}
        for s in range(len(self.surfaces)):
            old = self.curve(bscan, s)
            if s != surface and not old.pinned:
                nearest = np.fmin(old.rows, rows) if s < surface else np.fmax(old.rows, rows)
                moved = np.where(np.isnan(old.rows), old.rows, nearest)
                if not np.array_equal(moved, old.rows, equal_nan=True):
                    pushed[bscan, s] = Curve.of_rows(moved)
        return pushed

    def _following(self, bscan: int, sources: Mapping[int, Rows]) -> dict[Place, Curve]:
        there = self.rows(bscan)
        missing = [s for s in range(len(self.surfaces)) if np.isnan(there[s]).all()]
        found = self._guide.follow(bscan, sources, there, missing)
        return {(bscan, s): Curve.of_rows(rows) for s, rows in found.items()}

    def _replace_rows(self, bscan: int, rows: Mapping[int, Rows], *, remember: bool = True) -> Changes:
        """Give curves other rows; anchors stay where the rows do."""
        curves: dict[Place, Curve] = {}
        for s, new in rows.items():
            old = self.curve(bscan, s)
            if not np.array_equal(old.rows, new, equal_nan=True):
                pinned = frozenset(x for x in old.pinned if new[x] == old.rows[x])
                curves[bscan, s] = Curve.of_rows(new, pinned, old.straight)
        return self.act(curves, remember=remember)


def _renamed(columns: frozenset[int], old: int, new: int) -> frozenset[int]:
    return frozenset(new if column == old else column for column in columns)
