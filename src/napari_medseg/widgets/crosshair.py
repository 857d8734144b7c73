"""Lines over napari's canvas that show where the other planes of a volume cut it."""

from __future__ import annotations

from collections.abc import Callable

import napari
from qtpy.QtCore import QEvent, QObject, QPointF, QRectF, Qt
from qtpy.QtGui import QPainter, QPaintEvent
from qtpy.QtWidgets import QWidget

from napari_medseg.widgets.slice_view import draw_cross
from napari_medseg.widgets.window import canvas_of, follow, real_viewer


class Crosshair(QWidget):
    """A crosshair that lets the mouse through; not a layer, so that it is in no list, export or selection.

    Parameters
    ----------
    viewer
        Over whose canvas it lies. It follows the camera and `Viewer.dims`.
    is_wanted
        Whether there is a volume to show it on.
    """

    def __init__(self, viewer: napari.Viewer, is_wanted: Callable[[], bool]) -> None:
        self._canvas = canvas_of(viewer)
        super().__init__(self._canvas)
        self._viewer = real_viewer(viewer)
        self._is_wanted = is_wanted
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAttribute(Qt.WidgetAttribute.WA_NoSystemBackground)
        camera, dims = self._viewer.scene.camera.events, self._viewer.dims.events
        for emitter in (camera.center, camera.zoom, camera.orientation, dims.point, dims.order, dims.ndisplay):
            follow(self, emitter, self._on_change)
        self._canvas.installEventFilter(self)
        self.setGeometry(self._canvas.rect())
        self.show()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Stay as large as the canvas (Qt's hook)."""
        if event is not None and event.type() == QEvent.Type.Resize:
            self.setGeometry(self._canvas.rect())
        return False

    def place(self) -> QPointF | None:
        """Where on the canvas the planes meet; None where nothing is to be shown."""
        dims, camera = self._viewer.dims, self._viewer.scene.camera
        if dims.ndisplay != 2 or self._viewer.canvas.grid.enabled or not self._is_wanted():
            return None
        row, column = (dims.point[axis] for axis in dims.order[-2:])
        down, right = camera.orientation2d
        y = (row - camera.center[-2]) * camera.zoom * (1 if down == "down" else -1)
        x = (column - camera.center[-1]) * camera.zoom * (1 if right == "right" else -1)
        return QPointF(self.width() / 2 + x, self.height() / 2 + y)

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw the lines (Qt's hook)."""
        at = self.place()
        if at is None:
            return
        painter = QPainter(self)
        draw_cross(painter, QRectF(self.rect()), at)
        painter.end()

    def _on_change(self, *_: object) -> None:
        self.update()
