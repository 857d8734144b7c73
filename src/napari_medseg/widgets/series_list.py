"""The images of a file or folder, to choose one from: each with all that tells it from the others."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QSizePolicy, QWidget

from napari_medseg.widgets.look import COLORS

#: Pixels above which the list scrolls.
_HIGHEST = 190
#: Room for the frame, so that a list that just fits has no scroll bar.
_FRAME = 4


class SeriesList(QListWidget):
    """Names of images, one chosen; long ones in several lines, as the last words tell phases and choices apart."""

    #: A person chose another image: its number.
    picked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("series")
        self.setWordWrap(True)
        self.setSpacing(1)
        self.setStyleSheet(f"#series::item:selected {{ background: {COLORS['info']}; color: white; }}")
        self.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.setResizeMode(QListWidget.ResizeMode.Adjust)
        self._shown = 0
        # Once per choice: a click makes the row current, and so do the arrow keys.
        self.currentRowChanged.connect(self._pick)

    def offer(self, names: Sequence[str], current: int) -> None:
        """Show these names, with the one on screen chosen; unnamed ones are numbered."""
        self._shown = current
        self.blockSignals(True)
        self.clear()
        for index, name in enumerate(names):
            item = QListWidgetItem(name or f"{index + 1}")
            item.setToolTip(name)
            self.addItem(item)
        self.setCurrentRow(current)
        self.blockSignals(False)
        self._fit()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Names break anew (Qt's hook)."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.scheduleDelayedItemsLayout()
        self.executeDelayedItemsLayout()
        rows = sum(self.visualItemRect(self.item(row)).height() + 2 * self.spacing() for row in range(self.count()))
        self.setFixedHeight(min(rows + _FRAME, _HIGHEST))
        current = self.currentItem()
        if current is not None:
            self.scrollToItem(current)

    def _pick(self, row: int) -> None:
        if row >= 0 and row != self._shown:
            self._shown = row
            self.picked.emit(row)
