"""The list of surfaces: colour, name, key, eye, and how far each is drawn."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_medseg.widgets.icons import color_icon, eye_icon

COLOR, NAME, KEY, EYE, SHARE = range(5)
_ROW = 22
#: Rows that are shown at most, while surfaces are edited and while they are not; more scroll.
_MOST_ROWS, _FEW_ROWS = 12, 4
#: Rows that show in a low window too.
_LEAST_ROWS = 7
_TIPS = {
    COLOR: "Colour of the layer below",
    NAME: "Click to edit this surface",
    KEY: "Key that chooses this surface",
    EYE: "Shown or hidden",
    SHARE: "Share of the columns of this B-scan in which it is drawn",
}


class SurfaceList(QTableWidget):
    """Surfaces from top to bottom; the selected row is the one that clicks edit."""

    #: The person chose a surface: its index.
    chosen = Signal(int)
    #: The person clicked an eye: the surface's index.
    eye_clicked = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, len(_TIPS), parent)
        self.setObjectName("surfaces")
        self._most_rows = _MOST_ROWS
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setShowGrid(False)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        columns, rows = self.horizontalHeader(), self.verticalHeader()
        assert columns is not None
        assert rows is not None
        columns.hide()
        rows.hide()
        rows.setDefaultSectionSize(_ROW)
        columns.setMinimumSectionSize(24)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.cellClicked.connect(self._on_clicked)

    def set_surfaces(self, names: Sequence[str], colors: Sequence[str], keys: Sequence[str]) -> None:
        """Show these surfaces."""
        self.setRowCount(len(names))
        for index, (name, color, key) in enumerate(zip(names, colors, keys, strict=True)):
            for column, text in {COLOR: "", NAME: name, KEY: key, EYE: "", SHARE: ""}.items():
                item = QTableWidgetItem(text)
                item.setToolTip(_TIPS[column])
                self.setItem(index, column, item)
            self._item(index, COLOR).setIcon(color_icon(color))
            self._item(index, KEY).setForeground(QColor(140, 140, 140))
            self._item(index, SHARE).setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.setMaximumHeight(self.sizeHint().height())
        self.updateGeometry()

    def show_state(self, chosen: int, hidden: frozenset[int], coverage: Sequence[float]) -> None:
        """Mark the chosen surface, closed eyes, and how far each surface is drawn."""
        for index, share in enumerate(coverage[: self.rowCount()]):
            self._item(index, EYE).setIcon(eye_icon(index not in hidden))
            self._item(index, SHARE).setText(share_text(share))
        self.selectRow(chosen)

    def set_edited(self, on: bool) -> None:
        """Take the room for most rows while surfaces are edited, and leave it to others while they are not."""
        most = _MOST_ROWS if on else _FEW_ROWS
        if most != self._most_rows:
            self._most_rows = most
            self.setMaximumHeight(self.sizeHint().height())
            self.updateGeometry()
            self.scrollToItem(self.currentItem())

    def sizeHint(self) -> QSize:
        """As high as its rows, up to a number of them."""
        return QSize(260, self._height(self._most_rows))

    def minimumSizeHint(self) -> QSize:
        """Fewer rows than wanted where there is no room; the panel scrolls before there are less."""
        return QSize(120, self._height(min(self._most_rows, _LEAST_ROWS)))

    def _height(self, most: int) -> int:
        return min(max(self.rowCount(), 1), most) * _ROW + 2 * self.frameWidth() + 2

    def _item(self, row: int, column: int) -> QTableWidgetItem:
        item = self.item(row, column)
        assert item is not None
        return item

    def _on_clicked(self, row: int, column: int) -> None:
        (self.eye_clicked if column == EYE else self.chosen).emit(row)


def share_text(share: float) -> str:
    """How far a surface is drawn.

    >>> share_text(0.0), share_text(0.004), share_text(0.996), share_text(1.0)
    ('-', '1 %', '99 %', '✓')
    """
    if share <= 0:
        return "-"
    return "✓" if share >= 1 else f"{min(max(round(100 * share), 1), 99)} %"
