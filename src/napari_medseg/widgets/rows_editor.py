"""An editor for several settings of one class: a table with a row each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHeaderView, QTableWidget, QToolButton, QVBoxLayout, QWidget

from napari_medseg.config import Settings
from napari_medseg.widgets.editors import Editor, NumberEditor, editor_for
from napari_medseg.widgets.number_edit import NumberEdit
from napari_medseg.widgets.parts import button, row
from napari_medseg.widgets.settings_fields import (
    constant_of,
    is_constant,
    leaves_of,
    name_of,
    put_at,
    tooltip_of,
    value_at,
)

#: Widths of columns and heights of rows, in pixels.
_NUMBER_WIDTH, _OTHER_WIDTH, _REMOVE_WIDTH, _ROW_HEIGHT, _HEADER_HEIGHT = 46, 138, 24, 28, 54
#: Rows that show without scrolling.
_MOST_ROWS = 8


def rows_type(field: FieldInfo) -> type[Settings] | None:
    """The settings class of a field that holds any number of settings (``tuple[Candidate, ...]``); None for others."""
    annotation = field.annotation
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    arguments = [item for item in get_args(annotation) if item is not Ellipsis]
    if get_origin(annotation) in (tuple, list) and len(arguments) == 1:
        item = arguments[0]
        if isinstance(item, type) and issubclass(item, Settings):
            return item
    return None


class RowsEditor(Editor):
    """A table of settings; rows can be added (as copies of the last one) and removed.

    Parameters
    ----------
    item_type
        Class of one row's settings; its fields, nested ones included, are the columns.
    """

    is_wide = True

    def __init__(self, item_type: type[Settings]) -> None:
        self._item_type = item_type
        self._fields = [(path, field) for path, field in leaves_of(item_type) if not is_constant(field)]
        self._constants = [(path, constant_of(field)) for path, field in leaves_of(item_type) if is_constant(field)]
        self._silent = False
        self._table = _table(self._fields)
        self._add = button("Add a row", self._on_add, tip="Add a copy of the last row", name="add_row")
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._table)
        layout.addLayout(row(self._add, QWidget()))
        super().__init__(inner)
        self._fit()

    def get(self) -> list[dict[str, Any]]:
        """The rows as plain values."""
        return [self._row_values(index) for index in range(self._table.rowCount())]

    def put(self, value: Any) -> None:
        """Show rows."""
        self._silent = True
        self._table.setRowCount(0)
        for item in value:
            self._append(item)
        self._silent = False
        self._fit()
        self.changed.emit()

    def editor(self, index: int, name: str) -> Editor:
        """The editor of a row's field, e.g. ``(1, "base_width")``."""
        column = [".".join(path) for path, _ in self._fields].index(name)
        found = self._table.cellWidget(index, column)
        assert isinstance(found, Editor)
        return found

    def _row_values(self, index: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for path, constant in self._constants:
            put_at(values, path, constant)
        for column, (path, field) in enumerate(self._fields):
            cell = self._table.cellWidget(index, column)
            assert isinstance(cell, Editor)
            try:
                put_at(values, path, cell.get())
            except ValueError as error:
                raise ValueError(f"Row {index + 1}, {name_of(path, field).lower()}: {error}") from None
        return values

    def _append(self, item: Mapping[str, Any] | None) -> None:
        index = self._table.rowCount()
        self._table.insertRow(index)
        for column, (path, field) in enumerate(self._fields):
            cell = editor_for(field)
            cell.setToolTip(tooltip_of(field))
            for number in cell.findChildren(NumberEdit):
                # The arrow keys and Page Up and Down still move it.
                number.setButtonSymbols(NumberEdit.ButtonSymbols.NoButtons)
            if item is not None:
                cell.put(value_at(dict(item), path))
            cell.changed.connect(self._on_change)
            self._table.setCellWidget(index, column, cell)
        remove = QToolButton()
        remove.setText("✕")
        remove.setAutoRaise(True)
        remove.setToolTip("Remove this row")
        remove.clicked.connect(lambda: self._on_remove(remove))
        self._table.setCellWidget(index, len(self._fields), remove)

    def _on_add(self) -> None:
        count = self._table.rowCount()
        self._append(self._row_values(count - 1) if count else self._fresh())
        self._fit()
        self._on_change()

    def _fresh(self) -> dict[str, Any] | None:
        """The defaults of a row; None where a field has none."""
        try:
            return self._item_type().model_dump(mode="json")
        except ValidationError:
            return None

    def _on_remove(self, remove: QToolButton) -> None:
        column = len(self._fields)
        found = [i for i in range(self._table.rowCount()) if self._table.cellWidget(i, column) is remove]
        self._table.removeRow(found[0])
        self._fit()
        self._on_change()

    def _on_change(self) -> None:
        if not self._silent:
            self.changed.emit()

    def _fit(self) -> None:
        """As high as its rows, up to a limit."""
        bar = self._table.horizontalScrollBar()
        assert bar is not None
        rows = min(max(self._table.rowCount(), 1), _MOST_ROWS)
        self._table.setFixedHeight(_HEADER_HEIGHT + rows * _ROW_HEIGHT + bar.sizeHint().height() + 4)


def _table(fields: list[tuple[tuple[str, ...], FieldInfo]]) -> QTableWidget:
    """An empty table with a column per field and one for the buttons that remove a row."""
    table = QTableWidget(0, len(fields) + 1)
    table.setSelectionMode(QTableWidget.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setHorizontalScrollMode(QTableWidget.ScrollMode.ScrollPerPixel)
    table.setHorizontalHeaderLabels([*(name_of(path, field) for path, field in fields), ""])
    for column, (_, field) in enumerate(fields):
        is_number = isinstance(editor_for(field), NumberEditor)
        table.setColumnWidth(column, _NUMBER_WIDTH if is_number else _OTHER_WIDTH)
        header = table.horizontalHeaderItem(column)
        assert header is not None
        header.setToolTip(tooltip_of(field))
    table.setColumnWidth(len(fields), _REMOVE_WIDTH)
    numbers, names = table.verticalHeader(), table.horizontalHeader()
    assert numbers is not None
    assert names is not None
    numbers.setVisible(False)
    numbers.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
    numbers.setDefaultSectionSize(_ROW_HEIGHT)
    names.setFixedHeight(_HEADER_HEIGHT)
    names.setMinimumSectionSize(_REMOVE_WIDTH)
    names.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.TextFlag.TextWordWrap)
    return table
