"""The case on screen: its layers, where its labels are saved, and its row of the table."""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer
from napari.utils.notifications import show_error
from qtpy.QtCore import QObject, Signal

from napari_medseg.annotation.surfaces import outside_of_layers, pile_of
from napari_medseg.data.dataset import reviewed_text
from napari_medseg.data.finishing import mark_done, mark_empty, mark_region_complete, record_labels
from napari_medseg.data.reviewing import add_reviewed_region, mark_reviewed, unlock, unlock_regions
from napari_medseg.errors import DatasetError, MedsegError, ReviewedError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Case, Image, MaskClass
from napari_medseg.widgets._layers import add_image, add_labels, class_colormap, class_features
from napari_medseg.widgets.areas import count_values
from napari_medseg.widgets.autosave import Autosave, Store
from napari_medseg.widgets.case_curves import CaseCurves
from napari_medseg.widgets.case_work import CaseWork
from napari_medseg.widgets.curve_tool import CurveTool
from napari_medseg.widgets.locks import ClassLocks
from napari_medseg.widgets.rescue import may_close_unsaved
from napari_medseg.widgets.reviewed_area import ReviewedArea
from napari_medseg.widgets.volume_tools import VolumeTools
from napari_medseg.widgets.window import quick_removal

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.label_store import LabelStore


class OpenCase(QObject):
    """A case with its image and labels in a viewer, saved while it is drawn.

    Parameters
    ----------
    viewer
        Where the layers are added.
    dataset, case
        What is opened.
    image
        Its image, from `Dataset.read_image`.

    Raises
    ------
    MedsegError
        Labels cannot be read; no layer was added.
    """

    #: Whether what nobody looked at becomes background when the case is done.
    fills_rest = True

    #: The case's row was written.
    row_changed = Signal()
    #: The person removed the labels layer.
    closed = Signal()
    #: A stroke met locked classes, which stayed.
    locked_kept = Signal()

    def __init__(self, viewer: napari.Viewer, dataset: Dataset, case: Case, image: Image) -> None:
        super().__init__()
        # Sessions are kept by viewer: a strong reference from here would keep the viewer for ever.
        self._viewer_ref = weakref.ref(viewer)
        self._dataset = dataset
        self.case = case
        image = dataclasses.replace(image, name=case.case)
        self.store = self._open_store(image)
        pixels = self._read_pixels()
        #: When the labels were last written; None where there are none.
        self.last_saved = _last_change(self.store.path) if self.store.exists else None
        self.hidden: frozenset[int] = frozenset()
        #: Status before "nothing there" was said, while it is true; None otherwise.
        self._status_before_empty: str | None = None
        #: Whether what nobody looked at is darkened.
        self.veiled = False
        self.image_layers = add_image(viewer, image)
        self.labels: Labels = self._add_labels(viewer, pixels)
        for layer in self.layers:
            layer.metadata["case"] = case.case
        self._chosen = BACKGROUND
        self._choose_first_class()
        self.autosave = Autosave(self.labels, self._saved_to(), self)
        self.locks = ClassLocks(self.labels, self.locked_kept.emit)
        self.curves: CaseCurves | None = None
        self.curve_tool: CurveTool | None = None
        if dataset.info.surfaces and image.spatial_axes in ("yx", "zyx"):
            self._add_curves(viewer, image)
        #: Tools for volumes; None for a flat image, and for OCT, whose layers are curves.
        self.volume: VolumeTools | None = None
        if self.curves is None and image.spatial_axes == "zyx" and "c" not in image.axes:
            self.volume = VolumeTools(viewer, self.labels, self.image_layers[0], self.locks, lambda: self.classes)
        self.reviewed = ReviewedArea(dataset, self.labels, self.locks, has_regions=self.fills_rest)
        self.work = CaseWork(viewer, self.labels, dataset, case.case, self)
        self.work.failed.connect(show_error)
        self._follow_review()
        self.autosave.saved.connect(self._note_saved)
        self.labels.events.selected_label.connect(self._refuse_unknown_class)
        viewer.layers.events.removed.connect(self._on_removed)
        viewer.layers.selection.active = self.labels
        # napari does so for the first layer alone; results of the case before may still be there.
        viewer.reset_view()

    @property
    def _viewer(self) -> napari.Viewer:
        viewer = self._viewer_ref()
        if viewer is None:
            raise RuntimeError("the case outlived its viewer")
        return viewer

    @property
    def classes(self) -> tuple[MaskClass, ...]:
        """The classes that can be drawn."""
        return self._dataset.info.classes

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers that come and go with the case."""
        return (*self.image_layers, self.labels)

    def _open_store(self, image: Image) -> LabelStore:
        return self._dataset.label_store(self.case, image.spatial_shape, spacing=image.spacing, units=image.units)

    def _read_pixels(self) -> npt.NDArray[np.uint8]:
        """What the labels layer shows at first."""
        return self.store.read()

    def _add_labels(self, viewer: napari.Viewer, pixels: npt.NDArray[np.uint8]) -> Labels:
        name = f"{self.case.case} · labels"
        return add_labels(viewer, pixels, self.classes, name=name, beside=self.image_layers[0])

    def _saved_to(self) -> Store:
        """Where the labels layer is saved."""
        return self.store

    def _add_curves(self, viewer: napari.Viewer, image: Image) -> None:
        self.curves = CaseCurves(
            viewer,
            self.labels,
            image,
            self._dataset.info,
            folder=self._dataset.path,
            case=self.case.case,
            predicted=lambda: self.case.origin.startswith("model:"),
            parent=self,
        )
        self.curve_tool = CurveTool(self.curves, self.labels)
        self.curves.failed.connect(self.autosave.failed)

    def edit_curves(self, on: bool) -> None:
        """Let the mouse edit curves, or the labels again."""
        if self.curves is None or self.curve_tool is None:
            return
        if on:
            self._refuse_reviewed()
            self.curves.follow()
            self.curve_tool.start()
            self._viewer.layers.selection.active = self.curves.layers.anchors
        else:
            self.curve_tool.stop()
            self._viewer.layers.selection.active = self.labels

    @property
    def edits_curves(self) -> bool:
        """Whether the mouse edits curves now."""
        return (
            self.curves is not None
            and self.curve_tool is not None
            and self.curve_tool.on
            and self._viewer.layers.selection.active is self.curves.layers.anchors
        )

    def restyle(self) -> None:
        """Follow a change of the classes' names, colours or visibility."""
        if self.curves is not None and self.curves.surfaces and self._dataset.info.surfaces:
            self.curves.recolor(self._dataset.info)
        self.labels.colormap = class_colormap(self.classes, self.hidden, veiled=self.veiled)
        self.labels.features = class_features(self.classes)

    def choose_class(self, value: int) -> None:
        """Draw this class from now on; a viewer that only moves the picture starts to paint."""
        self._viewer.layers.selection.active = self.labels
        self.labels.selected_label = value
        if self.labels.mode in ("pan_zoom", "transform", "pick", "erase"):
            self.labels.mode = "paint"

    @property
    def tool(self) -> dict[str, Any]:
        """What the person draws with, to go on with in the next case."""
        layer = self.labels
        tool = {name: getattr(layer, name) for name in ("selected_label", "brush_size", "opacity", "contour", "mode")}
        return tool if self.curves is None else {**tool, "surface": self.curves.chosen, "curves": self.edits_curves}

    def take_tool(self, tool: Mapping[str, Any]) -> None:
        """Go on with the tool of another case."""
        for name, value in tool.items():
            if name not in ("surface", "curves"):
                setattr(self.labels, name, value)
        if self.curves is not None:
            self.curves.choose(tool.get("surface", 0))
            if tool.get("curves") and not self.locks.closed:
                self.edit_curves(True)

    def count_values(self) -> npt.NDArray[np.int64] | None:
        """Pixels of the case per value, int64 (256,); None where there are too many to count."""
        return count_values(self.labels)

    def fill_not_looked_at(self, box: Box | None = None, mask: npt.NDArray[np.bool_] | None = None) -> int:
        """Turn "not looked at" into background as one step that can be undone.

        Parameters
        ----------
        box
            Part of the image; None for all of it.
        mask
            Pixels of the box to change; None for all of them.

        Returns
        -------
        number of pixels that changed.
        """
        box = box or tuple((0, n) for n in self.labels.data.shape)
        part = self.labels.data[tuple(slice(*side) for side in box)]
        change = part == NOT_LOOKED_AT if mask is None else (part == NOT_LOOKED_AT) & mask
        return self.locks.set_box(box, np.where(change, np.uint8(BACKGROUND), part))

    def mark_region_complete(self, box: Box, mask: npt.NDArray[np.bool_] | None = None) -> int:
        """Say that everything in a region is drawn: its 255 become background; number of pixels that changed.

        Raises
        ------
        ReviewedError
            The case is reviewed.
        MedsegError
            It cannot be saved now; the layer keeps the change.
        """
        self._refuse_reviewed()
        changed = self.fill_not_looked_at(box, mask)
        self._flush()
        with self._new_row() as revision:
            self.case = mark_region_complete(self._dataset, self.case.case, self.store, box, mask, revision=revision)
        return changed

    def mark_empty(self) -> None:
        """Say "looked at, nothing there": everything becomes background, in one step that can be undone.

        An undo, or a stroke, also gives the case the status back that it had.

        Raises
        ------
        DatasetError
            A locked class is drawn here.
        MedsegError
            It cannot be saved now; the layer keeps the change.
        """
        self._refuse_reviewed()
        data, before = self.labels.data, self.case.status
        self._refuse_locked(data)
        self.locks.set_box(tuple((0, n) for n in data.shape), np.full_like(data, BACKGROUND))
        self._flush()
        with self._new_row() as revision:
            self.case = mark_empty(self._dataset, self.case.case, self.store, revision=revision)
        self.work.finish(self.case, has_labels=True)
        if self._status_before_empty is None:
            self._status_before_empty = before

    def _refuse_locked(self, labels: npt.NDArray[np.uint8]) -> None:
        for c in self.classes:
            if c.value in self.locks.locked and (labels == c.value).any():
                raise DatasetError(f"The class '{c.name}' is drawn here and locked: unlock it, then try again.")
        if self.locks.area is not None and (labels[self.locks.area] != BACKGROUND).any():
            raise DatasetError(
                "A part of this case is drawn and reviewed: unlock it in the tab Review, then try again."
            )

    def _refuse_reviewed(self) -> None:
        if self.case.status == "reviewed":
            raise ReviewedError(reviewed_text(self.case))

    def mark_done(self) -> None:
        """Say that the case is finished; where something was looked at and no region marked complete, all of it is.

        What is open between layers stays so.

        Raises
        ------
        MedsegError
            It cannot be saved now.
        """
        has_labels = self.is_looked_at()
        pile = pile_of(self._dataset.info)
        if has_labels and not self.store.complete_regions:
            self.fill_not_looked_at(mask=outside_of_layers(np.asarray(self.labels.data), pile) if pile else None)
        self._flush()
        with self._new_row() as revision:
            # Labels that were drawn and taken back say nothing: such a case is finished by its tag alone.
            store = self.store if has_labels else None
            self.case = mark_done(self._dataset, self.case.case, store, revision=revision, fill=not pile)
        self.work.finish(self.case, has_labels=has_labels)

    def mark_reviewed(self) -> None:
        """Say that the case is right: from then on it stays as it is.

        Raises
        ------
        DatasetError
            The case is not done.
        MedsegError
            It cannot be saved now.
        """
        self._flush()
        with self._new_row() as revision:
            self.case = mark_reviewed(self._dataset, self.case.case, revision=revision)

    def unlock(self) -> None:
        """Let a reviewed case be changed again; it is a draft then. Raises as `Dataset.update_case`."""
        with self._new_row() as revision:
            self.case = unlock(self._dataset, self.case.case, revision=revision)

    def review_region(self, box: Box, outline: Sequence[Sequence[float]] = ()) -> None:
        """Say that a part of the case is right, so that it stays as it is; raises as `add_reviewed_region`."""
        self._flush()
        add_reviewed_region(self._dataset, self.case.case, box, outline)
        self._follow_review()
        self.row_changed.emit()

    def unlock_regions(self, at: Sequence[int] | None = None) -> int:
        """Let reviewed parts be changed again, those that hold a pixel or all of them; how many they were."""
        count = unlock_regions(self._dataset, self.case.case, at)
        self._follow_review()
        self.row_changed.emit()
        return count

    def _follow_review(self) -> None:
        """Lock what is reviewed; what was drawn there cannot be undone any more."""
        try:
            grew = self.reviewed.follow(self._viewer, self.case)
        except MedsegError as error:
            show_error(str(error))
            return
        if not grew:
            return
        self.labels._reset_history()
        if self.curves is not None:
            self.curves.history.forget()
        if self.edits_curves and self.locks.closed:
            self.edit_curves(False)

    def is_looked_at(self) -> bool:
        """Whether any pixel holds a class or background."""
        return bool(self.labels.data.min(initial=NOT_LOOKED_AT) < NOT_LOOKED_AT)

    def follow_row(self) -> None:
        """Go on with the row as the data set has it, after it was changed together with others."""
        self.case = self._dataset.case(self.case.case)
        self._follow_review()

    def update_row(self, **fields: Any) -> None:
        """Change cells of the row; raises `ConflictError`, `WriteError` or `LockedError` as the data set does."""
        self.work.note_change()
        with self._new_row() as revision:
            self.case = self._dataset.update_case(self.case.case, revision=revision, **fields)

    @contextmanager
    def _new_row(self) -> Iterator[int]:
        """The revision to change; afterwards every panel is told."""
        try:
            yield self.case.revision
        except MedsegError:
            # After a conflict the row on disk is the other person's; go on from that.
            self.case = self._dataset.case(self.case.case)
            raise
        finally:
            self._follow_review()
            self.row_changed.emit()

    def close(self) -> None:
        """Save, then take the layers away.

        Raises
        ------
        WriteError, LockedError
            The labels cannot be saved; everything stays as it was.
        """
        self._flush()
        self._stop()
        region = [layer for layer in self._viewer.layers if layer.name == f"{self.case.case} · region"]
        with quick_removal():
            for layer in (*self.layers, *region):
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)

    def may_close(self, *, ask: bool) -> bool:
        """Save before the window closes; whether it may.

        Parameters
        ----------
        ask
            Whether somebody is there to choose what becomes of labels that cannot be saved. Otherwise they are kept
            in a file beside the data set or in the folder for temporary files.
        """
        try:
            self._flush()
        except MedsegError as error:
            return may_close_unsaved(self.labels, self.store, str(error), ask=ask)
        return True

    def _flush(self) -> None:
        """Save labels, then curves; raises `WriteError` or `LockedError`."""
        if self.curves is not None:
            self.curves.follow()
        self.autosave.flush()
        if self.curves is not None:
            self.curves.flush()

    def _stop(self) -> None:
        self.work.stop(self.case)
        self.reviewed.stop(self._viewer)
        self._viewer.layers.events.removed.disconnect(self._on_removed)
        if self.curves is not None:
            self.curves.close()
        self.labels.events.selected_label.disconnect(self._refuse_unknown_class)
        if self.volume is not None:
            self.volume.stop()
        self.locks.stop()
        self.autosave.stop()

    def _choose_first_class(self) -> None:
        if self.classes:
            self._chosen = self.classes[0].value
            self.labels.selected_label = self._chosen

    def _refuse_unknown_class(self) -> None:
        """Numbers that are no class would be a fault of the data set; go back to the class before."""
        value = int(self.labels.selected_label)
        if value == BACKGROUND or any(c.value == value for c in self.classes):
            self._chosen = value
        elif value != self._chosen:
            self.labels.selected_label = self._chosen

    def _note_saved(self) -> None:
        """The first stroke makes the row say that there are labels; the labels themselves are on disk by now."""
        self.last_saved = datetime.now()
        if self._status_before_empty is not None and self.labels.data.any():
            self._take_back_empty(self._status_before_empty)
            return
        if self.case.label == self.store.name and self.case.status != "todo" and self.case.origin:
            return
        try:
            with self._new_row() as revision:
                origin = self.case.origin or "person"
                self.case = record_labels(self._dataset, self.case.case, self.store, revision=revision, origin=origin)
        except MedsegError as error:
            self.autosave.failed.emit(str(error))

    def _take_back_empty(self, status: str) -> None:
        """After an undo, or a stroke, there is something: the case is what it was before "nothing there" was said."""
        self._status_before_empty = None
        if self.case.status != "done":
            return
        try:
            self.update_row(status=status)
        except MedsegError as error:
            self.autosave.failed.emit(str(error))

    def _on_removed(self, event: Any) -> None:
        if event.value is not self.labels:
            return
        try:
            self._flush()
        except MedsegError as error:
            self._viewer.layers.append(self.labels)
            show_error(f"{error} The layer was put back.")
            return
        self._stop()
        self.closed.emit()


def _last_change(path: Path) -> datetime:
    """When a file of the folder was last written."""
    return datetime.fromtimestamp(max(p.stat().st_mtime for p in (path, *path.rglob("*"))))
