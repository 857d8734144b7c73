"""Measures the work on the case on screen and tells it to the data set's history."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

import napari
import numpy as np
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.work_log import Outcome, log_work, outcome_of
from napari_medseg.errors import MedsegError
from napari_medseg.structures import Case
from napari_medseg.widgets.work_clock import WorkClock

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset

#: A shorter visit is not worth a line.
_LEAST_SECONDS = 0.5


class CaseWork(QObject):
    """The work on one case, from opening it to closing it or marking it done.

    Parameters
    ----------
    viewer, labels
        Where the person works: moves of the mouse over the picture, steps through slices, zooming, and changes of the
        labels are signs of work.
    dataset, case_id
        Whose history is told.
    """

    #: The history could not be written: one sentence.
    failed = Signal(str)

    def __init__(self, viewer: napari.Viewer, labels: Labels, dataset: Dataset, case_id: str, parent: QObject) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._labels = labels
        self._dataset = dataset
        self._case = case_id
        self.clock = WorkClock()
        self._has_changed = False
        self._signs = (viewer.cursor.events.position, viewer.dims.events.current_step, viewer.scene.camera.events.zoom)
        for sign in self._signs:
            sign.connect(self._on_sign)
        for change in (labels.events.paint, labels.events.data):
            change.connect(self.note_change)

    def note_change(self, *_: object) -> None:
        """Something was drawn, tagged or written in this visit."""
        self._has_changed = True
        self.clock.touch()

    def finish(self, case: Case, *, has_labels: bool) -> None:
        """The case was marked done: tell what it took, and what there is now."""
        try:
            labels = np.asarray(self._labels.data) if has_labels else None
            self._tell(case, outcome_of(self._dataset, self._case, labels))
        except MedsegError as error:
            self.failed.emit(str(error))

    def stop(self, case: Case) -> None:
        """The case is closed: tell what it took so far, where something was changed."""
        for sign in self._signs:
            sign.disconnect(self._on_sign)
        for change in (self._labels.events.paint, self._labels.events.data):
            change.disconnect(self.note_change)
        if not self._has_changed:
            return
        try:
            self._tell(case, None)
        except MedsegError as error:
            self.failed.emit(str(error))

    def _on_sign(self, *_: object) -> None:
        self.clock.touch()

    def _tell(self, case: Case, outcome: Outcome | None) -> None:
        seconds = self.clock.restart()
        if outcome is not None or seconds >= _LEAST_SECONDS:
            log_work(self._dataset, self._case, seconds, origin=case.origin, finished=outcome)
        self._has_changed = False
