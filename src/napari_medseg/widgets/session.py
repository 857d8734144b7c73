"""What the panels of one viewer share: the data set, the case on screen, the model to predict with.

There is one session per viewer, found with `session_of`; two viewers never share one. Panels listen to its signals
and never to each other.
"""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import napari
from napari.utils.notifications import show_info
from qtpy.QtCore import QEvent, QObject, Signal

from napari_medseg.data.dataset import Dataset
from napari_medseg.structures import Case
from napari_medseg.widgets.following import TableFollower
from napari_medseg.widgets.window import main_window, real_viewer

if TYPE_CHECKING:
    from napari.layers import Labels

    from napari_medseg.widgets.open_case import OpenCase
    from napari_medseg.widgets.windowing import Window


class Session(QObject):
    """State of one viewer; use `session_of` to get it.

    Signals
    -------
    dataset_changed
        Another data set was opened, or its description (classes, tags) changed: the `Dataset`, or None.
    case_changed
        Another case is on screen: the `Case`, or None.
    cases_changed
        Rows of the table changed, were added or removed; no arguments.
    saved
        Labels of the case on screen were written: local time, e.g. ``"12:03:41"``.
    save_failed
        They could not be; they stay in memory and are tried again: one sentence.
    model_changed
        Another model was chosen for prediction: its path, or None.
    panel_asked
        A panel is to be shown: its name, e.g. ``"Train"``; the Workspace listens.
    keys_asked
        The sheet of keys is to be shown; no arguments.
    form_asked
        The form of the case on screen is to be answered; no arguments.
    told
        Something happened that a key asked for: one sentence (`tell`).
    trouble
        Something that no panel was asked for failed, by a key for example: one sentence and details.
    """

    dataset_changed = Signal(object)
    case_changed = Signal(object)
    cases_changed = Signal()
    saved = Signal(str)
    save_failed = Signal(str)
    model_changed = Signal(object)
    panel_asked = Signal(str)
    keys_asked = Signal()
    form_asked = Signal()
    told = Signal(str)
    trouble = Signal(str, str)

    def __init__(self, viewer: napari.Viewer) -> None:
        window = main_window(viewer)
        super().__init__(window)
        self._viewer = weakref.ref(viewer)
        self._dataset: Dataset | None = None
        self._open: OpenCase | None = None
        self._model: Path | None = None
        #: Ids of the cases that previous and next walk through, in the order of the list on screen.
        self.order: tuple[str, ...] = ()
        self.has_shortcuts = False
        #: Size of pixels that paintings of slides are begun with (`SlideCase`); None: the usual one.
        self.painting_size: float | None = None
        #: Windows of intensities chosen last, by kind of image (`windowing`); None before anybody asked.
        self.windows: dict[str, str | Window] | None = None
        window.installEventFilter(self)
        self.follower = TableFollower(self)

    @property
    def viewer(self) -> napari.Viewer:
        """The viewer this session belongs to."""
        viewer = self._viewer()
        if viewer is None:
            raise RuntimeError("the session outlived its viewer")
        return viewer

    @property
    def dataset(self) -> Dataset | None:
        """The open data set."""
        return self._dataset

    @property
    def open(self) -> OpenCase | None:
        """The case on screen with its layers and its autosave."""
        return self._open

    @property
    def case(self) -> Case | None:
        """The row of the case on screen."""
        return self._open.case if self._open is not None else None

    @property
    def labels(self) -> Labels | None:
        """The layer that holds the labels of the case on screen."""
        return self._open.labels if self._open is not None else None

    @property
    def model(self) -> Path | None:
        """The model file to predict with."""
        return self._model

    def set_model(self, path: Path | None) -> None:
        """Choose the model to predict with."""
        if path != self._model:
            self._model = path
            self.model_changed.emit(path)

    def show_panel(self, name: str) -> None:
        """Show another panel: as a tab of the Workspace where that is open, else docked beside the others."""
        if self.receivers(self.panel_asked):
            self.panel_asked.emit(name)
        else:
            self.viewer.window.add_plugin_dock_widget("napari-medseg", name, tabify=True)

    def tell(self, text: str) -> None:
        """Say what happened: in the Annotate panel where there is one, else as napari does."""
        if self.receivers(self.told):
            self.told.emit(text)
        else:
            show_info(text)

    def open_dataset(self, path: Path) -> None:
        """Open a data set folder, or raise `MedsegError` and keep the one that is open."""
        self.set_dataset(Dataset.open(path))

    def set_dataset(self, dataset: Dataset | None) -> None:
        """Make a data set the one that all panels show; the case on screen is saved and closed.

        Raises
        ------
        WriteError
            The labels on screen cannot be saved; nothing was changed.
        """
        self.close_case()
        self._dataset = dataset
        self.order = tuple(case.case for case in dataset.cases) if dataset is not None else ()
        self.dataset_changed.emit(dataset)

    def open_case(self, case_id: str) -> None:
        """Show a case: save and remove the one on screen, then add its image and labels.

        Raises
        ------
        WriteError
            The labels on screen cannot be saved; they stay on screen.
        MedsegError
            The case cannot be read; nothing is on screen then.
        """
        from napari_medseg.widgets.foreign_layers import hide_other_spaces
        from napari_medseg.widgets.slide_case import opened_case
        from napari_medseg.widgets.windowing import show_as_remembered

        if self._dataset is None or (self._open is not None and self._open.case.case == case_id):
            return
        dataset, case = self._dataset, self._dataset.case(case_id)
        tool = self._open.tool if self._open is not None else {}
        self._close_open_case()
        others = [*self.viewer.layers]
        try:
            self._open = opened_case(self.viewer, dataset, case, self.painting_size)
            self._open.take_tool(tool)
            for layer in self._open.image_layers:
                show_as_remembered(self, layer)
            self._open.autosave.saved.connect(self.saved)
            self._open.autosave.failed.connect(self.save_failed)
            self._open.row_changed.connect(self.cases_changed)
            self._open.closed.connect(self._forget_case)
        finally:
            self.case_changed.emit(self.case)
        # Panels may have put some of them aside.
        others = [layer for layer in others if layer in self.viewer.layers]
        hidden = hide_other_spaces(others, self._open.image_layers[0])
        if hidden:
            # What was hidden does not count for what is in view.
            self.viewer.reset_view()
            names = ", ".join(f"'{name}'" for name in hidden)
            self.tell(f"{names} cannot lie over this case, because only one of them has a pixel size: hidden.")

    def close_case(self) -> None:
        """Save the case on screen and remove its layers; raises `WriteError` when it cannot be saved."""
        if self._open is not None:
            self._close_open_case()
            self.case_changed.emit(None)

    def update_case(self, case_id: str, **fields: Any) -> None:
        """Change cells of a case's row, in the revision that is in memory, and tell every panel.

        Raises
        ------
        ConflictError
            Somebody else changed the row meanwhile; both versions are kept.
        WriteError, LockedError
            The table cannot be written now.
        """
        if self._dataset is None:
            return
        if self._open is not None and self._open.case.case == case_id:
            self._open.update_row(**fields)
            return
        self._dataset.update_case(case_id, revision=self._dataset.case(case_id).revision, **fields)
        self.cases_changed.emit()

    def step(self, by: int, *, within_group: bool = False) -> None:
        """Open the case that stands `by` places after (before, if negative) the present one in `order`.

        `within_group` passes over cases of other patients.
        """
        order, present = self.order, self.case
        if within_group and self._dataset is not None and present is not None:
            order = tuple(each for each in order if self._dataset.case(each).group == present.group != "")
        if not order:
            return
        place = 0
        if present is not None and present.case in order:
            place = min(max(order.index(present.case) + by, 0), len(order) - 1)
        self.open_case(order[place])

    def open_next_todo(self) -> bool:
        """Open the next case of the list that is to do, from the one on screen on, then from the top; False: none."""
        return self._open_next("todo")

    def _open_next(self, status: str) -> bool:
        if self._dataset is None:
            return False
        present = self.case.case if self.case is not None else ""
        start = self.order.index(present) + 1 if present in self.order else 0
        for case_id in (*self.order[start:], *self.order[:start]):
            if case_id != present and self._dataset.case(case_id).status == status:
                self.open_case(case_id)
                return True
        return False

    def finish_case(self) -> None:
        """Mark the case on screen done, then open the next one that is to do, or say that there is none."""
        if self._open is None:
            return
        finished, was_done = self._open.case.case, self._open.case.status in ("done", "reviewed")
        if self._open.case.status != "reviewed":
            self._open.mark_done()
        how = "was done already" if was_done else "is done"
        if not self.open_next_todo():
            self.tell(f"{finished} {how}; no other case is to do.")
        elif was_done:
            self.tell(f"{finished} {how}; this is the next case to do.")

    def review_case(self) -> None:
        """Mark the case on screen reviewed, then open the next one that is done, or say that there is none."""
        if self._open is None:
            return
        reviewed = self._open.case.case
        if self._open.case.status != "reviewed":
            self._open.mark_reviewed()
        if not self._open_next("done"):
            self.tell(f"{reviewed} is reviewed; no other case waits for review.")

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Save before the window closes."""
        if event is not None and event.type() == QEvent.Type.Close and self._open is not None:
            return not self._open.may_close(ask=event.spontaneous())
        return False

    def _close_open_case(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None

    def _forget_case(self) -> None:
        """The person removed the labels layer: it was saved, and the case is not open any more."""
        self._open = None
        self.case_changed.emit(None)


_sessions: WeakKeyDictionary[napari.Viewer, Session] = WeakKeyDictionary()


def session_of(viewer: napari.Viewer) -> Session:
    """The session of a viewer, made on first use; it ends with the viewer's window."""
    viewer = real_viewer(viewer)
    if viewer not in _sessions:
        _sessions[viewer] = Session(viewer)
    return _sessions[viewer]
