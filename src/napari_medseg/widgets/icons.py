"""Small icons that are drawn, so that they look alike with every font, theme and screen."""

from __future__ import annotations

import functools
from collections.abc import Callable

from qtpy.QtCore import QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPainterPath, QPen, QPixmap

_SIDE = 16
#: Drawn this much larger and shown smaller, for sharp screens.
_FINE = 3
#: Readable on napari's dark and light backgrounds alike.
_STRONG, _FAINT = QColor("#c98a1b"), QColor(140, 140, 140)


@functools.cache
def color_icon(color: str) -> QIcon:
    """A filled square of a colour (``#rrggbb``), with a rim that shows on any background."""

    def draw(painter: QPainter) -> None:
        painter.setPen(QPen(_FAINT, 1))
        painter.setBrush(QColor(color))
        painter.drawRoundedRect(QRectF(2, 2, 12, 12), 3, 3)

    return _icon(draw)


@functools.cache
def lock_icon(closed: bool) -> QIcon:
    """A padlock."""

    def draw(painter: QPainter) -> None:
        color = _STRONG if closed else _FAINT
        painter.setPen(QPen(color, 1.6))
        lift = 0 if closed else -1.5
        shackle = QPainterPath(QPointF(5, 8))
        shackle.lineTo(5, 5 + lift)
        shackle.arcTo(QRectF(5, 2 + lift, 6, 6), 180, -180)
        if closed:
            shackle.lineTo(11, 8)
        painter.drawPath(shackle)
        painter.setBrush(color if closed else Qt.BrushStyle.NoBrush)
        painter.drawRoundedRect(QRectF(3.5, 8, 9, 6), 1, 1)

    return _icon(draw)


@functools.cache
def eye_icon(is_open: bool) -> QIcon:
    """An eye; crossed out when closed."""

    def draw(painter: QPainter) -> None:
        painter.setPen(QPen(_FAINT, 1.4))
        lid = QPainterPath(QPointF(1.5, 8))
        lid.quadTo(8, 1.5, 14.5, 8)
        lid.quadTo(8, 14.5, 1.5, 8)
        painter.drawPath(lid)
        if is_open:
            painter.setBrush(_FAINT)
            painter.drawEllipse(QPointF(8, 8), 2, 2)
        else:
            painter.setPen(QPen(_STRONG, 1.6))
            painter.drawLine(QPointF(3, 13), QPointF(13, 3))

    return _icon(draw)


def _icon(draw: Callable[[QPainter], None]) -> QIcon:
    pixmap = QPixmap(_SIDE * _FINE, _SIDE * _FINE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.scale(_FINE, _FINE)
    draw(painter)
    painter.end()
    icon = QIcon(pixmap)
    # Otherwise Qt tints the icon of a selected row, and a class's colour would not be its colour.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
