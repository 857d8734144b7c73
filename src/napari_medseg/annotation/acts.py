"""Curves of an image, with a memory of what was done to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.curve import Curve
from napari_medseg.annotation.surfaces import Rows
from napari_medseg.structures import Surface

#: Acts that can be undone.
REMEMBERED = 200

#: Index of a surface in a B-scan.
Place = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What an act changed in one B-scan.

    Parameters
    ----------
    bscan
        Index of the B-scan.
    columns
        bool (x,): where the rows of some surface changed.
    before
        float32 (surfaces, x): the rows until then, as `surfaces.paint_surfaces` asks for them.
    """

    bscan: int
    columns: npt.NDArray[np.bool_]
    before: Rows


Changes = tuple[Change, ...]


class RememberedCurves:
    """Curves by B-scan and surface, changed in acts that can be undone one by one.

    Parameters
    ----------
    surfaces
        From top to bottom.
    shape
        ``(bscan, y, x)``; a single B-scan counts as one.
    """

    def __init__(self, surfaces: Sequence[Surface], shape: tuple[int, int, int]) -> None:
        self.surfaces = tuple(surfaces)
        self.shape = shape
        self._curves: dict[Place, Curve] = {}
        self._done: list[dict[Place, Curve]] = []  # curves as they were before each act
        self._undone: list[dict[Place, Curve]] = []

    def curve(self, bscan: int, surface: int) -> Curve:
        """One curve; empty where nothing was drawn."""
        return self._curves.get((bscan, surface)) or Curve.empty(self.shape[2])

    def rows(self, bscan: int) -> Rows:
        """Rows of a B-scan, float32 (surfaces, x); a copy."""
        return np.stack([self.curve(bscan, s).rows for s in range(len(self.surfaces))])

    def pinned(self, bscan: int) -> npt.NDArray[np.bool_]:
        """Where a person set an anchor, bool (surfaces, x)."""
        found = np.zeros((len(self.surfaces), self.shape[2]), bool)
        for s in range(len(self.surfaces)):
            found[s, sorted(self.curve(bscan, s).pinned)] = True
        return found

    def drawn_bscans(self) -> list[int]:
        """B-scans with at least one curve, in order."""
        return sorted({bscan for (bscan, _), curve in self._curves.items() if curve.anchors})

    @property
    def can_undo(self) -> bool:
        """Whether there is an act to undo."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an act to redo."""
        return bool(self._undone)

    def undo(self) -> Changes:
        """Take the last act back; nothing happens without one."""
        return self._swap(self._done, self._undone)

    def redo(self) -> Changes:
        """Do again what was undone last; nothing happens when something else was done since."""
        return self._swap(self._undone, self._done)

    def act(self, curves: Mapping[Place, Curve], *, going_on: bool = False, remember: bool = True) -> Changes:
        """Put curves in place of others.

        Parameters
        ----------
        going_on
            Whether to undo this together with the last act.
        remember
            False: not an act to undo.
        """
        changed = {place: curve for place, curve in curves.items() if not curve.same(self.curve(*place))}
        if not changed:
            return ()
        changes = self._changes(changed)
        before = {place: self.curve(*place) for place in changed}
        if not remember:
            self._curves.update(changed)
            return changes
        if going_on and self._done:
            self._done[-1] = {**before, **self._done[-1]}
        else:
            self._done.append(before)
            del self._done[:-REMEMBERED]
        self._undone.clear()
        self._curves.update(changed)
        return changes

    def _swap(self, source: list[dict[Place, Curve]], target: list[dict[Place, Curve]]) -> Changes:
        if not source:
            return ()
        curves = source.pop()
        target.append({place: self.curve(*place) for place in curves})
        changes = self._changes(curves)
        self._curves.update(curves)
        return changes

    def _changes(self, curves: Mapping[Place, Curve]) -> Changes:
        """What differs from now, by B-scan."""
        columns: dict[int, npt.NDArray[np.bool_]] = {}
        for (bscan, s), curve in curves.items():
            old = self.curve(bscan, s).rows
            different = (old != curve.rows) & ~(np.isnan(old) & np.isnan(curve.rows))
            columns[bscan] = columns.get(bscan, False) | different
        return tuple(Change(bscan=b, columns=c, before=self.rows(b)) for b, c in sorted(columns.items()))
