"""One order of undo for curves and for painting.

napari keeps the history of a Labels layer, the curves keep theirs. A step here says how many entries of each belong
together: a dragged anchor is one act of the curves and one entry of the labels, a brush stroke is one entry of the
labels and, where the curves follow it, one act of theirs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from napari.layers import Labels

from napari_medseg.annotation.curves import Curves


@dataclass(slots=True)
class _Step:
    entries: int = 0
    acts: int = 0


class CurveHistory:
    """Undo and redo of a Labels layer together with curves.

    Parameters
    ----------
    layer
        Its `undo` and `redo` are replaced, so that all of napari's own ways to them do the same.
    curves
        What is drawn beside it.
    on_stroke
        Called after somebody else changed the labels: the curves are to follow, soon.
    before, after
        Called before and after an undo or redo.
    """

    def __init__(
        self,
        layer: Labels,
        curves: Curves,
        *,
        on_stroke: Callable[[], None],
        before: Callable[[], None],
        after: Callable[[], None],
    ) -> None:
        self._layer = layer
        self._curves = curves
        self._on_stroke, self._before, self._after = on_stroke, before, after
        # As many as the layer remembers entries, so that none of them is asked for in vain.
        self._done: deque[_Step] = deque(maxlen=layer._history_limit)
        self._undone: deque[_Step] = deque(maxlen=layer._history_limit)
        self._own: _Step | None = None
        self._undo_labels, self._redo_labels = layer.undo, layer.redo
        layer.undo, layer.redo = self.undo, self.redo
        layer.events.paint.connect(self._on_paint)

    @property
    def in_step(self) -> bool:
        """Whether a step is being made now, e.g. an anchor dragged."""
        return self._own is not None

    @contextmanager
    def step(self) -> Iterator[None]:
        """All changes of curves and labels inside are one step."""
        self._own = _Step()
        try:
            with self._layer.block_history():
                yield
        finally:
            step, self._own = self._own, None
            if step.entries or step.acts:
                self._remember(step)

    def note_act(self) -> None:
        """The curves made an act: of the step that is being made, or of the stroke that they follow."""
        step = self._own or (self._done[-1] if self._done else None)
        if step is None:
            step = _Step()
            self._remember(step)
        step.acts += 1

    def undo(self) -> None:
        """Take the last step back, whichever tool made it."""
        self._go(self._done, self._undone, self._undo_labels, self._curves.undo)

    def redo(self) -> None:
        """Do again what was undone last."""
        self._go(self._undone, self._done, self._redo_labels, self._curves.redo)

    def forget(self) -> None:
        """What was done so far cannot be undone any more."""
        self._done.clear()
        self._undone.clear()

    def stop(self) -> None:
        """Give the layer its own undo back."""
        self._layer.events.paint.disconnect(self._on_paint)
        self._layer.undo, self._layer.redo = self._undo_labels, self._redo_labels

    def _go(
        self, source: deque[_Step], target: deque[_Step], labels: Callable[[], None], curves: Callable[[], object]
    ) -> None:
        if self.in_step:
            return
        self._before()
        if not source:
            return
        step = source.pop()
        target.append(step)
        for _ in range(step.entries):
            labels()
        for _ in range(step.acts):
            curves()
        self._after()

    def _remember(self, step: _Step) -> None:
        self._done.append(step)
        self._undone.clear()

    def _on_paint(self) -> None:
        """An entry was added to the layer's history."""
        if self._own is not None:
            self._own.entries += 1
            return
        self._remember(_Step(entries=1))
        self._on_stroke()
