"""The contours of one slide while a person draws them: every act is one step that can be undone."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.contour_editing import cut_out, overlaps, parts_of_ring, united, with_parts
from napari_medseg.data.contour_classes import renamed
from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.errors import AnnotationError
from napari_medseg.io.contour_file import Contour, Part

Ring = npt.NDArray[np.float64]

#: What a drawn ring becomes: a contour of its own, a part of those of its class that it meets, or a gap in them.
How = Literal["new", "add", "cut"]

#: Steps that are remembered.
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Look:
    """A class by name, with its colour (``#rrggbb``)."""

    name: str
    color: str


class ContourDrawing:
    """Contours with a history.

    Parameters
    ----------
    contours
        As they were read.
    on_change
        Called after every act, undo and redo.
    """

    def __init__(self, contours: SlideContours, on_change: Callable[[], None]) -> None:
        self._present = contours
        self._on_change = on_change
        self._done: deque[SlideContours] = deque(maxlen=_MOST_STEPS)
        self._undone: list[SlideContours] = []

    @property
    def present(self) -> SlideContours:
        """All contours now."""
        return self._present

    def draw(self, ring: Ring, how: How, look: Look, chosen: Collection[str] = ()) -> None:
        """Take a drawn ring in.

        Parameters
        ----------
        ring
            float64 (n, 2), (y, x) in pixels of the finest level; it may cross itself.
        how
            What becomes of it.
        look
            The class that is drawn.
        chosen
            Ids of the contours to add to or to cut from; when none of them meets the ring, those of the class do.

        Raises
        ------
        AnnotationError
            The ring encloses nothing, or there is nothing to cut from; nothing was changed.
        """
        parts = parts_of_ring(ring)
        met = self._met(ring, look, chosen) if how != "new" else []
        if how == "cut":
            if not met:
                raise AnnotationError(f"No contour of '{look.name}' lies there: choose the class of what is to be cut.")
            self._replace({contour.id: cut_out(contour, ring) for contour in met})
        elif met:
            first, *others = met
            self._replace({first.id: united(met, ring), **{contour.id: None for contour in others}})
        else:
            new = Contour(parts=parts, class_names=(look.name,), color=look.color)
            self._step(replace(self._present, contours=(*self._present.contours, new)))

    def add(self, contours: Sequence[Contour]) -> None:
        """Take contours from elsewhere in, above all others; ids that are taken already are replaced by new ones."""
        taken = {contour.id for contour in self._present.contours}
        new = [contour if contour.id not in taken else replace(contour, id=str(uuid.uuid4())) for contour in contours]
        if new:
            self._step(replace(self._present, contours=(*self._present.contours, *new)))

    def reshape(self, outlines: Mapping[str, tuple[Part, ...]]) -> None:
        """Give contours, by id, other outlines."""
        self._replace({c.id: with_parts(c, outlines[c.id]) for c in self._present.contours if c.id in outlines})

    def mark(self, ids: Collection[str], look: Look) -> None:
        """Give contours another class."""
        wanted = [c for c in self._present.contours if c.id in ids and c.class_names != (look.name,)]
        self._replace({c.id: replace(c, class_names=(look.name,), color=look.color) for c in wanted})

    def remove(self, ids: Collection[str]) -> None:
        """Take contours away."""
        self._replace({c.id: None for c in self._present.contours if c.id in ids})

    def rename_class(self, old: str, new: str) -> None:
        """Follow a class's new name, in all steps that can be undone too."""
        self._present = _with_class_renamed(self._present, old, new)
        for steps in (self._done, self._undone):
            before = list(steps)
            steps.clear()
            steps.extend(_with_class_renamed(step, old, new) for step in before)
        self._on_change()

    def undo(self) -> bool:
        """Take the last act back; whether there was one."""
        if not self._done:
            return False
        self._undone.append(self._present)
        self._present = self._done.pop()
        self._on_change()
        return True

    def redo(self) -> bool:
        """Do again what was undone last; whether there was anything."""
        if not self._undone:
            return False
        self._done.append(self._present)
        self._present = self._undone.pop()
        self._on_change()
        return True

    def _met(self, ring: Ring, look: Look, chosen: Collection[str]) -> list[Contour]:
        low, high = ring.min(axis=0), ring.max(axis=0)
        boxes = self._present.boxes()
        near = (boxes[:, 0::2] <= high).all(axis=1) & (boxes[:, 1::2] >= low).all(axis=1)
        found = [c for c, is_near in zip(self._present.contours, near, strict=True) if is_near]
        for candidates in (
            [c for c in found if c.id in chosen],
            [c for c in found if c.class_name == look.name],
        ):
            if met := [c for c in candidates if overlaps(c, ring)]:
                return met
        return []

    def _replace(self, changed: Mapping[str, Contour | None]) -> None:
        """Put contours, by id, in place of the old ones; None takes one away."""
        if not changed:
            return
        kept = [changed.get(c.id, c) for c in self._present.contours]
        self._step(replace(self._present, contours=tuple(c for c in kept if c is not None)))

    def _step(self, contours: SlideContours) -> None:
        self._done.append(self._present)
        self._undone.clear()
        self._present = contours
        self._on_change()


def _with_class_renamed(contours: SlideContours, old: str, new: str) -> SlideContours:
    return replace(contours, contours=tuple(renamed(contour, old, new) for contour in contours.contours))
