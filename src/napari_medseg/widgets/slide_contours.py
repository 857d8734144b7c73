"""Contours on a slide: drawn as polygons or freehand, in the class chosen in the panel, saved while one draws."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Layer
from qtpy.QtCore import QObject, Signal

from napari_medseg.annotation.contour_drawing import ContourDrawing, How, Look
from napari_medseg.data.contour_sheet import ContourSheet
from napari_medseg.data.slide_contours import REGION, SlideContours
from napari_medseg.errors import AnnotationError, MedsegError
from napari_medseg.io.contour_file import Contour
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, MaskClass
from napari_medseg.widgets.contour_layer import ContourLayer, Edits, Style
from napari_medseg.widgets.contour_picture import ContourPicture
from napari_medseg.widgets.file_saving import FileSaving

Mask = npt.NDArray[np.bool_]

#: What the mouse does with contours.
Tool = Literal["polygon", "freehand", "rectangle", "select", "corners"]
#: The same in napari's words.
_MODES: dict[Tool, str] = {
    "polygon": "add_polygon",
    "freehand": "add_polygon_lasso",
    "rectangle": "add_rectangle",
    "select": "select",
    "corners": "direct",
}
#: A region that is complete; dark, as slides are bright.
REGION_LOOK = Look(REGION, "#303030")
#: Files of more bytes are read in a thread.
_LARGE_FILE = 2 << 20


class SlideContoursTool(QObject):
    """The contours of the slide on screen.

    Parameters
    ----------
    viewer, beside
        Where layers are added, and the slide's image layer.
    shape
        Of the slide's finest level.
    name
        Of the case.
    path
        ``labels/<case>.geojson``; it need not exist.
    kept
        Folder for a file that another program wrote meanwhile, or that could not be read.
    classes, value, hidden
        Classes of the data set now, the value of the one that is drawn, and values of those that are not shown.
    refusal
        Why nothing may be changed now, one sentence; empty otherwise.
    """

    #: The file was written.
    saved = Signal()
    #: It could not be written or read, or what was drawn was refused: one sentence.
    failed = Signal(str)
    #: What there is, or what the next shape becomes, changed.
    changed = Signal()
    _loaded = Signal(object)

    def __init__(
        self,
        viewer: napari.Viewer,
        beside: Layer,
        shape: tuple[int, int],
        *,
        name: str,
        path: Path,
        kept: Path,
        classes: Callable[[], Sequence[MaskClass]],
        value: Callable[[], int],
        hidden: Callable[[], Collection[int]],
        refusal: Callable[[], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._classes, self._value, self._hidden = classes, value, hidden
        self._refusal = refusal
        self._draws_region = False
        #: What becomes of the next shape.
        self.how: How = "new"
        #: Why the file could not be read; empty otherwise.
        self.trouble = ""
        self._sheet = ContourSheet()
        self.saving = FileSaving(path, self._prepare, kept, what="Contours", parent=self)
        self.saving.saved.connect(self.saved)
        self.saving.failed.connect(self.failed)
        self.drawing = ContourDrawing(SlideContours(), self._on_change)
        self.picture = ContourPicture(viewer, beside, f"{name} · many contours", shape)
        self.contours = ContourLayer(viewer, beside, f"{name} · contours", self._style, self)
        self.contours.layer.metadata["slide_contours"] = True
        self.contours.edited.connect(self._take)
        self._select = partial(setattr, viewer.layers.selection, "active", self.contours.layer)
        self._active = viewer.layers.selection
        self._active.events.active.connect(self._tell)
        self.contours.layer.events.mode.connect(self._tell)
        self._reader: ThreadPoolExecutor | None = None
        self._loaded.connect(self._on_loaded)
        self._load(path)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What belongs to the case."""
        return tuple(layer for layer in (self.picture.layer, self.contours.layer) if layer is not None)

    @property
    def is_loading(self) -> bool:
        """Whether the file is still being read; nothing can be drawn meanwhile."""
        return self._reader is not None

    @property
    def is_in_hand(self) -> bool:
        """Whether the mouse draws or changes contours now."""
        return self._active.active is self.contours.layer

    @property
    def present(self) -> SlideContours:
        """The contours that can be drawn on, now."""
        return self.drawing.present

    @property
    def found(self) -> SlideContours:
        """The contours that are only shown."""
        return self._sheet.found

    @property
    def draws_region(self) -> bool:
        """Whether the next shape is a region that is complete."""
        return self._draws_region

    @property
    def look(self) -> Look:
        """What the next shape is drawn as.

        Raises
        ------
        AnnotationError
            There is no class.
        """
        if self._draws_region:
            return REGION_LOOK
        chosen = next((c for c in self._classes() if c.value == self._value()), None)
        if chosen is None:
            raise AnnotationError("There is no class to draw: add one, or choose one of the list.")
        return Look(chosen.name, chosen.color)

    def use(self, tool: Tool) -> None:
        """Let the mouse do this with contours; raises `AnnotationError` where it may not."""
        self._refuse_now()
        self._select()
        self.contours.layer.mode = _MODES[tool]
        self._show_look()

    @property
    def tool(self) -> Tool | None:
        """What the mouse does with contours now; None for nothing, or for something of napari's own."""
        if not self.is_in_hand:
            return None
        return next((tool for tool, mode in _MODES.items() if mode == str(self.contours.layer.mode)), None)

    def choose_how(self, how: How) -> None:
        """What becomes of the next shape: a contour of its own, a part of others, a gap in them."""
        self.how = how
        self.changed.emit()

    def follow_class(self) -> None:
        """Draw the class that is chosen now; contours that are selected become of it."""
        self._draws_region = False
        self._mark_chosen()

    def choose_region(self, on: bool = True) -> None:
        """Draw regions that are complete from now on, or the class again; selected contours become regions."""
        self._draws_region = on
        if on:
            self._mark_chosen()
        else:
            self._show_look()

    def restyle(self) -> None:
        """Follow a change of the classes' names, colours or visibility."""
        self.contours.restyle()
        self.picture.restyle(self._classes(), self._hidden())
        self._show_look()

    def rename_class(self, old: str, new: str) -> None:
        """Follow a class's new name, after that of the file's contours was changed."""
        self.contours.look_again()
        self.saving.trust_file()
        self._sheet = self._sheet.with_class_renamed(old, new)
        self.drawing.rename_class(old, new)
        self._show_found()

    def add(self, contours: Sequence[Contour]) -> None:
        """Take contours of a file in, above all others; those to draw on as one step that can be undone.

        Raises
        ------
        AnnotationError
            The case's own file is still being read, or nothing may be changed.
        """
        self._refuse_now()
        self.contours.look_again()
        before = self._sheet.found
        self._sheet, drawn = self._sheet.with_more(contours, self.present.contours)
        if self._sheet.found is not before:
            self._show_found()
            self._on_change()
        self.drawing.add(drawn)

    def export(self, path: Path) -> None:
        """Write all contours to another file, as QuPath reads them; raises `WriteError`."""
        self.contours.look_again()
        self._sheet.write(path, self._as_written())

    def undo(self) -> None:
        """Take the last act back; raises `AnnotationError` where it may not."""
        self._refuse_now()
        self.contours.look_again()
        self.drawing.undo()

    def redo(self) -> None:
        """Do again what was undone last; raises `AnnotationError` where it may not."""
        self._refuse_now()
        self.contours.look_again()
        self.drawing.redo()

    def covers(self, box: Box, downsample: int) -> Mask | None:
        """Where contours say what is there, bool (y, x) of a box in pixels of `downsample` pixels of the finest level.

        None for nowhere.
        """
        whole = tuple((start * downsample, stop * downsample) for start, stop in box)
        shape = tuple(stop - start for start, stop in box)
        covered = np.zeros(shape, bool)
        for contours in (self.found, self.present):
            labels = contours.labels(whole, downsample, self._classes())
            covered |= (labels != NOT_LOOKED_AT) & (labels != BACKGROUND)
        return covered if covered.any() else None

    def flush(self) -> None:
        """Save now; raises `WriteError`."""
        self.contours.look_again()
        self.saving.flush()

    def stop(self) -> None:
        """Listen no longer, without saving: call `flush` before."""
        self._loaded.disconnect(self._on_loaded)
        if self._reader is not None:
            self._reader.shutdown(wait=True)
        self._active.events.active.disconnect(self._tell)
        self.contours.layer.events.mode.disconnect(self._tell)
        self.contours.close()
        self.saving.stop()

    def _tell(self) -> None:
        self.changed.emit()

    def _load(self, path: Path) -> None:
        if not path.exists() or path.stat().st_size <= _LARGE_FILE:
            self._take_in(partial(_read, path))
            return
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-contours")
        self.contours.layer.editable = False
        self._reader.submit(_read, path).add_done_callback(self._loaded.emit)

    def _on_loaded(self, done: Future[ContourSheet]) -> None:
        if self._reader is not None:
            self._reader.shutdown(wait=False)
            self._reader = None
        self.contours.layer.editable = True
        self._take_in(done.result)

    def _take_in(self, result: Callable[[], ContourSheet]) -> None:
        try:
            self._sheet = result()
        except MedsegError as error:
            # Drawing goes on; the file is kept aside before it is replaced.
            self.trouble = str(error)
            self.failed.emit(self.trouble)
        else:
            self.saving.trust_file()
        self.drawing = ContourDrawing(SlideContours(contours=self._sheet.drawn), self._on_change)
        self._show_found()
        self._show()
        self._show_look()

    def _prepare(self) -> Callable[[], None]:
        return partial(self._sheet.write, self.saving.path, self._as_written())

    def _as_written(self) -> list[Contour]:
        """What is drawn, in the colours that its classes have now."""
        colors = {c.name: c.color for c in self._classes()}
        return [replace(c, color=colors.get(c.class_name, c.color)) for c in self.present.contours]

    def _refuse_now(self) -> None:
        reading = "The contours of this slide are still being read: wait a moment."
        if text := reading if self.is_loading else self._refusal():
            raise AnnotationError(text)

    def _take(self, edits: Edits) -> None:
        """Do what the person did in the layer."""
        chosen = self.contours.chosen
        if text := self._refusal():
            self.failed.emit(text)
            self._show()
            return
        if edits.removed:
            self.drawing.remove(edits.removed)
        if edits.moved:
            self.drawing.reshape(edits.moved)
        for ring in edits.drawn:
            try:
                self.drawing.draw(ring, "new" if self._draws_region else self.how, self.look, chosen)
            except AnnotationError as error:
                self.failed.emit(str(error))
        if edits.refused:
            self.failed.emit("This corner joins the outline to a hole and stays: move another one.")
        # What was drawn raw, or refused, is shown as it counts.
        self._show()

    def _on_change(self) -> None:
        self._show()
        self.saving.note_change()
        self.changed.emit()

    def _show(self) -> None:
        self.contours.show(self.present.contours)

    def _show_found(self) -> None:
        self.picture.show(self.found)
        self.picture.restyle(self._classes(), self._hidden())

    def _style(self, contour: Contour) -> Style | None:
        if contour.class_name == REGION:
            return Style(REGION_LOOK.color, filled=False)
        known = next((c for c in self._classes() if c.name == contour.class_name), None)
        if known is None:
            return Style(contour.color)
        return None if known.value in self._hidden() else Style(known.color)

    def _mark_chosen(self) -> None:
        self.contours.look_again()
        if self.contours.chosen:
            self._refuse_now()
            self.drawing.mark(self.contours.chosen, self.look)
        self._show_look()

    def _show_look(self) -> None:
        if self._draws_region or any(c.value == self._value() for c in self._classes()):
            self.contours.draw_in(self.look.color, filled=not self._draws_region)
        self.changed.emit()


def _read(path: Path) -> ContourSheet:
    return ContourSheet.of(SlideContours.read(path))
