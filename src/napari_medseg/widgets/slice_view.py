"""A slice of a volume to look at: picture, labels over it, and a crosshair that a click moves."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QPointF, QRectF, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPen, QWheelEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

Rgb = npt.NDArray[np.uint8]

_CROSS = QColor(240, 228, 66, 190)
#: Pixels of the crosshair's gap around its middle, which leaves the place itself in sight.
_GAP = 9
#: Turns of a mouse wheel are counted in eighths of a degree, 120 to a click.
_CLICK = 120


class SliceView(QWidget):
    """Shows one picture as large as it fits, in true proportions.

    Parameters
    ----------
    name
        Words in the corner.
    """

    #: A place was clicked, or dragged over: row, column.
    pointed = Signal(float, float)
    #: The wheel was turned: slices to go.
    scrolled = Signal(int)
    #: Double-clicked: this plane is to be drawn in.
    chosen = Signal()

    def __init__(self, name: str = "") -> None:
        super().__init__()
        self.name = name
        self._image: QImage | None = None
        self._size = (1.0, 1.0)
        self._place = (0.0, 0.0)
        self._turned = 0
        self.setMinimumSize(120, 100)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("Click: go there. Wheel: next slices. Double click: draw in this plane")

    def sizeHint(self) -> QSize:
        """Wide enough to see something (Qt's hook)."""
        return QSize(300, 260)

    def show_picture(self, picture: Rgb, size: tuple[float, float]) -> None:
        """Show a picture.

        Parameters
        ----------
        picture
            uint8 (row, column, 3).
        size
            Height and width of all of it, in one unit.
        """
        pixels = np.ascontiguousarray(picture)
        rows, columns = pixels.shape[:2]
        # A copy, because Qt does not keep the bytes alive.
        self._image = QImage(pixels.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888).copy()
        self._size = size
        self.update()

    def show_place(self, row: float, column: float) -> None:
        """Move the crosshair."""
        self._place = (row, column)
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._image = None
        self.update()

    def frame(self) -> QRectF:
        """Where the picture lies in the widget."""
        height, width = self._size
        scale = min(self.width() / width, self.height() / height)
        wide, high = width * scale, height * scale
        return QRectF((self.width() - wide) / 2, (self.height() - high) / 2, wide, high)

    def point_of(self, row: float, column: float) -> QPointF:
        """Where the middle of a pixel of the picture lies in the widget."""
        frame = self.frame()
        if self._image is None:
            return frame.center()
        return QPointF(
            frame.left() + (column + 0.5) / self._image.width() * frame.width(),
            frame.top() + (row + 0.5) / self._image.height() * frame.height(),
        )

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw picture, crosshair and name (Qt's hook)."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), Qt.GlobalColor.black)
        if self._image is not None:
            painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
            painter.drawImage(self.frame(), self._image)
            draw_cross(painter, self.frame(), self.point_of(*self._place))
        painter.setPen(Qt.GlobalColor.white)
        painter.drawText(self.rect().adjusted(6, 4, -6, -4), Qt.AlignmentFlag.AlignTop, self.name)
        painter.end()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Go where the person points (Qt's hook)."""
        self._point(event)

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Go along with a drag (Qt's hook)."""
        self._point(event)

    def mouseDoubleClickEvent(self, event: QMouseEvent | None) -> None:
        """Draw in this plane (Qt's hook)."""
        self.chosen.emit()

    def wheelEvent(self, event: QWheelEvent | None) -> None:
        """Step through the slices; touch pads report parts of a click (Qt's hook)."""
        if event is None:
            return
        self._turned += event.angleDelta().y()
        steps = int(self._turned / _CLICK)
        self._turned -= steps * _CLICK
        if steps:
            self.scrolled.emit(steps)
        event.accept()

    def _point(self, event: QMouseEvent | None) -> None:
        if event is None or self._image is None or not event.buttons() & Qt.MouseButton.LeftButton:
            return
        frame, at = self.frame(), event.position()
        row = (at.y() - frame.top()) / frame.height() * self._image.height() - 0.5
        column = (at.x() - frame.left()) / frame.width() * self._image.width() - 0.5
        self.pointed.emit(
            float(np.clip(row, 0, self._image.height() - 1)), float(np.clip(column, 0, self._image.width() - 1))
        )


def draw_cross(painter: QPainter, frame: QRectF, at: QPointF) -> None:
    """Lines through a place, from one side of a frame to the other, that leave the place itself in sight."""
    painter.setPen(QPen(_CROSS, 1))
    for start, stop in ((frame.left(), at.x() - _GAP), (at.x() + _GAP, frame.right())):
        painter.drawLine(QPointF(start, at.y()), QPointF(stop, at.y()))
    for start, stop in ((frame.top(), at.y() - _GAP), (at.y() + _GAP, frame.bottom())):
        painter.drawLine(QPointF(at.x(), start), QPointF(at.x(), stop))


def grey(slab: npt.NDArray[Any], limits: tuple[float, float]) -> npt.NDArray[np.uint8]:
    """Intensities between black and white as uint8; not-a-number is black."""
    low, high = limits
    scaled = (slab.astype(np.float32) - np.float32(low)) * np.float32(255 / max(high - low, 1e-12))
    return np.asarray(np.nan_to_num(np.clip(scaled, 0, 255), nan=0), np.uint8)


def overlaid(
    picture: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8] | None, colors: npt.NDArray[np.float32]
) -> Rgb:
    """A grey picture (row, column) in colour, with labels over it.

    Parameters
    ----------
    picture, labels
        uint8 (row, column).
    colors
        float32 (256, 4): red, green, blue and opacity of each label, 0 to 1.
    """
    rgb = np.repeat(picture[..., None], 3, axis=2)
    if labels is None:
        return rgb
    shown = colors[:, 3] > 0
    inside = shown[labels]
    if inside.any():
        chosen = colors[labels[inside]]
        share = chosen[:, 3:]
        rgb[inside] = (rgb[inside] * (1 - share) + 255 * chosen[:, :3] * share).astype(np.uint8)
    return rgb
