"""The window that is painted on a slide goes where the person looks: saved, moved and loaded by itself."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.data.slide_window import SlideWindow, contains, window_around
from napari_medseg.errors import MedsegError
from napari_medseg.structures import Box
from napari_medseg.widgets.autosave import Autosave
from napari_medseg.widgets.painted_layer import PaintedLayer, master_place
from napari_medseg.widgets.window import canvas_of
from napari_medseg.widgets.window_history import move_history

#: Milliseconds that the view has to rest before the window follows.
_REST = 100
_NOTE = "Zoom in to paint"


class PaintingWindow(QObject):
    """Moves an editable layer over a slide.

    Parameters
    ----------
    viewer
        Whose view is followed.
    labels
        The layer that is painted; it shows `window`.
    window
        Which part of the painting that is, and where it is saved.
    painted
        Shows the rest of the painting.
    autosave
        Saves `labels`.
    beside
        The slide's layer.
    """

    #: Whether the view can be painted is another now.
    opened = Signal(bool)
    #: The window could not be saved, so it stays where it is: one sentence.
    failed = Signal(str)

    def __init__(
        self,
        viewer: napari.Viewer,
        labels: Labels,
        window: SlideWindow,
        painted: PaintedLayer,
        autosave: Autosave,
        beside: ImageLayer,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer_ref = weakref.ref(viewer)
        self._labels, self._window, self._painted = labels, window, painted
        self._autosave, self._beside = autosave, beside
        #: Whether what is in view can be painted.
        self.is_open = False
        self._is_held = False
        #: Mode and eye of the layer as they are to be when it opens again.
        self._mode, self._was_visible = str(labels.mode), True
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self.follow)
        self._text = viewer.canvas.overlays.text
        self._text_before = (self._text.text, self._text.visible, self._text.position)
        labels.bounding_box.points = False
        labels.bounding_box.line_color = "#f0e442"
        labels.bounding_box.visible = True
        for emitter in self._camera_events():
            emitter.connect(self._note_view)
        viewer.mouse_drag_callbacks.append(self._before_press)
        labels.mouse_drag_callbacks.append(self._while_held)
        labels.events.visible.connect(self._keep_hidden)
        self._hide()

    def stop(self) -> None:
        """Follow the view no longer."""
        self._timer.stop()
        self._labels.events.visible.disconnect(self._keep_hidden)
        self._labels.mouse_drag_callbacks.remove(self._while_held)
        viewer = self._viewer_ref()
        if viewer is not None:
            viewer.mouse_drag_callbacks.remove(self._before_press)
            for emitter in self._camera_events():
                emitter.disconnect(self._note_view)
        self._text.text, self._text.visible, self._text.position = self._text_before
        if self.is_open:
            # The layer stays where a person has removed the labels alone.
            self._painted.show(None)

    @property
    def is_following(self) -> bool:
        """Whether the view has changed and the window has not followed yet."""
        return self._timer.isActive()

    @property
    def mode(self) -> str:
        """Mode of the layer, also while it is hidden."""
        return str(self._labels.mode) if self.is_open else self._mode

    @mode.setter
    def mode(self, mode: str) -> None:
        self._mode = mode
        if self.is_open:
            self._labels.mode = mode

    def view(self) -> Box | None:
        """What is in view, in pixels of the painting; None where that is nothing of the slide."""
        viewer = self._viewer_ref()
        if viewer is None or viewer.dims.ndisplay != 2:
            return None
        canvas, camera = canvas_of(viewer), viewer.scene.camera
        half = np.array([canvas.height(), canvas.width()]) / 2 / camera.zoom
        center = np.array(camera.center[-2:])
        corners = [(center + sign * half - self._beside.translate) / self._beside.scale + 0.5 for sign in (-1, 1)]
        first, last = (np.asarray(corner) / self._window.master.downsample for corner in corners)
        shape = self._window.master.shape
        box = tuple(
            (max(0, int(np.floor(a))), min(n, int(np.ceil(b)))) for a, b, n in zip(first, last, shape, strict=True)
        )
        return None if any(start >= stop for start, stop in box) else box

    def follow(self) -> None:
        """Bring the window to what is in view now, or hide it where it cannot hold that."""
        self._timer.stop()
        if self._is_busy():
            self._timer.start()
            return
        view = self.view()
        if view is None:
            return
        master = self._window.master
        box = window_around(view, master.shape, master.chunks[0])
        try:
            if box is None:
                self._close()
            elif contains(self._window.box, view):
                self._open()
            else:
                self._move(box)
                self._open()
        except MedsegError as error:
            self.failed.emit(str(error))

    def _is_busy(self) -> bool:
        """Whether a stroke is being made, or a polygon is open."""
        return self._is_held or len(self._labels._overlays["polygon"].points) > 0

    def _move(self, box: Box) -> None:
        """Save what was painted, then show another part."""
        self._autosave.flush()
        by = [old - new for (old, _), (new, _) in zip(self._window.box, box, strict=True)]
        before, self._window.box = self._window.box, box
        try:
            pixels = self._window.read()
        except MedsegError:
            self._window.box = before
            raise
        move_history(self._labels, by, pixels.shape)
        place = master_place(self._beside, self._window.master.downsample, [start for start, _ in box])
        self._labels.data = pixels
        self._labels.translate = place["translate"]
        self._autosave.begin_anew()
        if self.is_open:
            self._painted.show(box)

    def _open(self) -> None:
        if self.is_open:
            return
        self.is_open = True
        self._painted.show(self._window.box)
        self._labels.visible = self._was_visible
        self._labels.mode = self._mode
        self._text.visible = False
        self.opened.emit(True)

    def _close(self) -> None:
        if self.is_open:
            self._autosave.flush()
            self._mode, self._was_visible = self.mode, self._labels.visible
            self._hide()
            self.opened.emit(False)

    def _hide(self) -> None:
        self.is_open = False
        self._labels.visible = False
        self._painted.show(None)
        self._text.text, self._text.position, self._text.visible = _NOTE, "top_center", True

    def _keep_hidden(self) -> None:
        """Its eye cannot open the layer while it does not hold what is in view."""
        if not self.is_open and self._labels.visible:
            self._labels.visible = False

    def _note_view(self) -> None:
        self._timer.start()

    def _before_press(self, viewer: napari.Viewer, event: Any) -> None:
        """Strokes outside the window would be lost: follow, also in a canvas that grew (napari's hook)."""
        self.follow()

    def _while_held(self, layer: Labels, event: Any) -> Iterator[None]:
        """Know when a button of the mouse is held over the layer (napari's hook)."""
        self._is_held = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_held = False

    def _camera_events(self) -> tuple[Any, ...]:
        viewer = self._viewer_ref()
        if viewer is None:
            return ()
        camera = viewer.scene.camera.events
        return (camera.center, camera.zoom)
