"""The list of classes: colour, name, key, lock, eye and area."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QSize, Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QColorDialog, QHeaderView, QTableView, QWidget

from napari_medseg.structures import MaskClass
from napari_medseg.widgets.icons import color_icon, eye_icon, lock_icon

COLOR, NAME, KEY, LOCK, EYE, AREA = range(6)
#: Height of a row in pixels.
_ROW = 26
_TIPS = {
    COLOR: "Colour: click to change",
    NAME: "Name: double-click to change",
    KEY: "Key that draws this class",
    LOCK: "Locked: cannot be painted over",
    EYE: "Shown or hidden",
    AREA: "Area (or volume) in this case",
}


class ClassModel(QAbstractTableModel):
    """Classes as a Qt table."""

    renamed = Signal(int, str)
    locks_changed = Signal()
    eyes_changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.classes: tuple[MaskClass, ...] = ()
        self.locked: set[int] = set()
        self.hidden: set[int] = set()
        self._keys: Mapping[int, str] = {}
        self._areas: Mapping[int, str] = {}

    def set_classes(self, classes: Sequence[MaskClass], keys: Mapping[int, str]) -> None:
        """Show these classes, with their keys by value."""
        self.beginResetModel()
        self.classes = tuple(classes)
        self._keys = keys
        self.endResetModel()

    def forget_state(self) -> None:
        """Unlock and show every class, and know no areas."""
        self.locked, self.hidden, self._areas = set(), set(), {}

    def set_areas(self, areas: Mapping[int, str]) -> None:
        """Show areas, already with units, by value."""
        self._areas = areas
        if self.classes:
            self.dataChanged.emit(self.index(0, AREA), self.index(len(self.classes) - 1, AREA))

    def rowCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Number of classes."""
        return 0 if parent.isValid() else len(self.classes)

    def columnCount(self, parent: QModelIndex = QModelIndex()) -> int:  # noqa: B008 - Qt's own default
        """Six."""
        return 0 if parent.isValid() else len(_TIPS)

    def data(self, index: QModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """What a cell shows."""
        if not index.isValid():
            return None
        c = self.classes[index.row()]
        if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.EditRole):
            return self._text(c, index.column())
        if role == Qt.ItemDataRole.DecorationRole:
            icons = {COLOR: color_icon(c.color), LOCK: lock_icon(c.value in self.locked)}
            return {**icons, EYE: eye_icon(c.value not in self.hidden)}.get(index.column())
        if role == Qt.ItemDataRole.ToolTipRole:
            return _TIPS[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() == AREA:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.ForegroundRole and index.column() == KEY:
            return QColor(140, 140, 140)
        return None

    def _text(self, c: MaskClass, column: int) -> str:
        texts = {NAME: c.name, KEY: self._keys.get(c.value, ""), AREA: self._areas.get(c.value, "")}
        return texts.get(column, "")

    def flags(self, index: QModelIndex) -> Qt.ItemFlag:
        """Names can be edited."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NAME else flags

    def setData(self, index: QModelIndex, value: Any, role: int = int(Qt.ItemDataRole.EditRole)) -> bool:
        """Ask for another name; the data set decides."""
        name = str(value).strip()
        if role != Qt.ItemDataRole.EditRole or not name or name == self.classes[index.row()].name:
            return False
        self.renamed.emit(self.classes[index.row()].value, name)
        return True

    def toggle(self, index: QModelIndex) -> None:
        """Lock or unlock, show or hide the class of a cell."""
        value = self.classes[index.row()].value
        if index.column() == LOCK:
            self.locked ^= {value}
            self.locks_changed.emit()
        elif index.column() == EYE:
            self.hidden ^= {value}
            self.eyes_changed.emit()
        self.dataChanged.emit(index, index)


class ClassList(QTableView):
    """The classes of a data set; the selected row is the class that is drawn."""

    #: The person chose a class to draw: its value.
    chosen = Signal(int)
    #: The person chose a colour for a class: value and ``#rrggbb``.
    recolored = Signal(int, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("classes")
        self.classes = ClassModel(self)
        self.setModel(self.classes)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        self.setShowGrid(False)
        columns, rows = QHeaderView(Qt.Orientation.Horizontal), QHeaderView(Qt.Orientation.Vertical)
        self.setHorizontalHeader(columns)
        self.setVerticalHeader(rows)
        columns.hide()
        rows.hide()
        rows.setDefaultSectionSize(_ROW)
        columns.setMinimumSectionSize(24)
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        columns.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._passed_over: frozenset[str] = frozenset()
        self.clicked.connect(self._on_clicked)
        self.classes.modelReset.connect(self._show_rows)

    def show_chosen(self, value: int) -> None:
        """Select the row of the class that is drawn now."""
        values = [c.value for c in self.classes.classes]
        if value in values:
            self.selectRow(values.index(value))
        else:
            self.clearSelection()

    def pass_over(self, names: Collection[str]) -> None:
        """Leave out the rows of these classes: they are drawn by other means now."""
        if frozenset(names) != self._passed_over:
            self._passed_over = frozenset(names)
            self._show_rows()

    def sizeHint(self) -> QSize:
        """As high as its rows, up to eight; more scroll."""
        return QSize(260, self._height(8))

    def minimumSizeHint(self) -> QSize:
        """Two rows at least."""
        return QSize(120, self._height(2))

    def _height(self, most: int) -> int:
        return min(max(self._shown_rows(), 1), most) * _ROW + 2 * self.frameWidth() + 2

    def _shown_rows(self) -> int:
        return sum(c.name not in self._passed_over for c in self.classes.classes)

    def _show_rows(self) -> None:
        for row, c in enumerate(self.classes.classes):
            self.setRowHidden(row, c.name in self._passed_over)
        self.setVisible(self._shown_rows() > 0 or not self._passed_over)
        self.updateGeometry()

    def _on_clicked(self, index: QModelIndex) -> None:
        c = self.classes.classes[index.row()]
        if index.column() in (LOCK, EYE):
            self.classes.toggle(index)
        elif index.column() == COLOR:
            color = QColorDialog.getColor(QColor(c.color), self, f"Colour of {c.name}")
            if color.isValid():
                self.recolored.emit(c.value, color.name())
        else:
            self.chosen.emit(c.value)
