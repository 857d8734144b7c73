"""The table of the Measure panel: one line per structure; the selected one is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

_SWATCH = 12
_ROW = 22
#: Pixels of height: what is always taken, and what many lines may take where nothing else needs the room.
HEIGHTS = (156, 376)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the table.

    Parameters
    ----------
    name, color, cells
        The structure's, and what is said of it; names differ from line to line.
    is_doubtful
        Shown grey.
    place
        Voxel ([z,] y, x) where the structure can be looked at; None where it lies in several places.
    tip
        What the pointer is told of it.
    """

    name: str
    color: str
    cells: tuple[str, ...]
    is_doubtful: bool = False
    place: tuple[int, ...] | None = None
    tip: str = ""


class MeasureTable(QTableWidget):
    """Lines that follow the labels; which one is selected stays while its name does."""

    #: Another structure was selected: its name.
    structure_changed = Signal(str)
    #: A line was clicked, or Enter pressed on it: the voxel where it can be looked at.
    place_chosen = Signal(tuple)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("measure_table")
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setFixedHeight(HEIGHTS[0])
        # The end of a name tells parts of one class apart.
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        vertical = self.verticalHeader()
        if vertical is not None:
            vertical.setVisible(False)
            vertical.setDefaultSectionSize(_ROW)
        self._places: dict[str, tuple[int, ...]] = {}
        self.itemSelectionChanged.connect(lambda: self.structure_changed.emit(self.structure))
        self.cellClicked.connect(self._choose_place)
        self.cellActivated.connect(self._choose_place)

    @property
    def structure(self) -> str:
        """Name of the selected structure; empty when the table is."""
        item = self.item(self.currentRow(), 0)
        return "" if item is None else item.text()

    def show_lines(self, headings: Sequence[str], lines: Sequence[Line], *, highest: int = HEIGHTS[0]) -> None:
        """Replace what is shown; the table grows with its lines up to a height in pixels, then scrolls."""
        selected = self.structure
        self.blockSignals(True)
        self.setColumnCount(len(headings))
        self.setHorizontalHeaderLabels(list(headings))
        self.setRowCount(len(lines))
        for row, line in enumerate(lines):
            for column, text in enumerate((line.name, *line.cells)):
                self.setItem(row, column, _item(text, line, is_name=column == 0))
        header = self.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        needed = 2 * self.frameWidth() + _ROW * len(lines) + (0 if header is None else header.sizeHint().height())
        self.setFixedHeight(int(np.clip(needed, HEIGHTS[0], highest)))
        self._places = {line.name: line.place for line in lines if line.place}
        names = [line.name for line in lines]
        if names:
            self.setCurrentCell(names.index(selected) if selected in names else 0, 0)
        self.blockSignals(False)
        if self.structure != selected:
            self.structure_changed.emit(self.structure)

    def _choose_place(self, row: int, column: int) -> None:
        place = self._places.get(self.structure)
        if place is not None:
            self.place_chosen.emit(place)

    def cell(self, name: str, column: int) -> str:
        """Text of a cell, by the structure's name."""
        for row in range(self.rowCount()):
            first, item = self.item(row, 0), self.item(row, column)
            if first is not None and item is not None and first.text() == name:
                return item.text()
        return ""


def _item(text: str, line: Line, *, is_name: bool) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    if is_name:
        swatch = QPixmap(_SWATCH, _SWATCH)
        swatch.fill(QColor(line.color))
        item.setData(Qt.ItemDataRole.DecorationRole, swatch)
    else:
        item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    item.setToolTip(line.tip)
    if line.is_doubtful:
        item.setForeground(QColor(140, 140, 140))
        item.setToolTip("Known in less than 95 % of the columns.")
    return item
