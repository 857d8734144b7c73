"""Which value in somebody's masks is which class: a row per value that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCompleter, QHeaderView, QLineEdit, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_medseg.data.retina import BACKGROUND_WORD

_ROW_HEIGHT = 26
#: Rows that show without scrolling.
_MOST_ROWS = 11


class ValueTable(QWidget):
    """Values with their number of masks and a field for the class's name.

    Several values may share a name; a value without a name becomes "not looked at".
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._values: list[int] = []
        self._suggestions: Sequence[str] = ()
        self._table = QTableWidget(0, 3)
        self._table.setHorizontalHeaderLabels(["Value", "Class", "Masks"])
        self._table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
        self._table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._table.setToolTip("Leave a name empty where nobody looked; several values may share a name.")
        numbers, names = self._table.verticalHeader(), self._table.horizontalHeader()
        assert numbers is not None
        assert names is not None
        numbers.setVisible(False)
        numbers.setDefaultSectionSize(_ROW_HEIGHT)
        for column, mode in enumerate(("ResizeToContents", "Stretch", "ResizeToContents")):
            names.setSectionResizeMode(column, QHeaderView.ResizeMode[mode])
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)

    def suggest(self, names: Sequence[str]) -> None:
        """Offer names while one is typed."""
        self._suggestions = names
        for row in range(self._table.rowCount()):
            self._complete(self.field(self._values[row]))

    def set_values(self, found: Mapping[int, int]) -> None:
        """Show values, each with the number of masks that hold it; names that were typed stay."""
        typed = {value: self.field(value).text() for value in self._values}
        self._values = sorted(found)
        self._table.setRowCount(0)
        self._table.setRowCount(len(found))
        for row, value in enumerate(self._values):
            for column, text in ((0, str(value)), (2, str(found[value]))):
                item = QTableWidgetItem(text)
                item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
                self._table.setItem(row, column, item)
            field = QLineEdit(typed.get(value, BACKGROUND_WORD if value == 0 else f"class {value}"))
            field.setPlaceholderText("not looked at")
            field.setObjectName(f"class_{value}")
            self._complete(field)
            field.textChanged.connect(self.changed)
            self._table.setCellWidget(row, 1, field)
        header = self._table.horizontalHeader()
        assert header is not None
        rows = min(max(len(found), 1), _MOST_ROWS)
        self._table.setFixedHeight(header.sizeHint().height() + rows * _ROW_HEIGHT + 6)
        self.changed.emit()

    def field(self, value: int) -> QLineEdit:
        """Where the name of a value's class is typed."""
        found = self._table.cellWidget(self._values.index(value), 1)
        assert isinstance(found, QLineEdit)
        return found

    def classes(self) -> dict[int, str]:
        """Name by value, for values that have one; 0 is listed only where it is a class of its own."""
        names = {value: self.field(value).text().strip() for value in self._values}
        return {v: name for v, name in names.items() if name and not (v == 0 and name == BACKGROUND_WORD)}

    def ignored(self) -> list[int]:
        """Values without a name."""
        return [value for value in self._values if not self.field(value).text().strip()]

    def names(self) -> list[str]:
        """Names of the classes, in the order of their values."""
        return [name for name in dict.fromkeys(self.classes().values()) if name != BACKGROUND_WORD]

    def _complete(self, field: QLineEdit) -> None:
        completer = QCompleter(list(self._suggestions), field)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        field.setCompleter(completer)
