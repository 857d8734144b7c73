"""A small line to add a named thing: a plus that turns into a text field."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QLineEdit, QToolButton, QWidget


class NameEntry(QWidget):
    """A plus; a click opens a field, Enter gives the name, Escape closes the field."""

    entered = Signal(str)

    def __init__(self, what: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.plus = QToolButton()
        self.plus.setText("+")
        self.plus.setAutoRaise(True)
        self.plus.setToolTip(f"Add a {what}")
        self.field = QLineEdit()
        self.field.setPlaceholderText(f"{what}, then Enter")
        self.field.setVisible(False)
        self.plus.clicked.connect(self._toggle)
        self.field.returnPressed.connect(self._enter)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.plus)
        layout.addWidget(self.field, 1)
        layout.addStretch(0)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape closes the field."""
        if event is not None and event.key() == Qt.Key.Key_Escape and self.field.isVisible():
            self._toggle()
        else:
            super().keyPressEvent(event)

    def _toggle(self) -> None:
        self.field.setVisible(not self.field.isVisible())
        if self.field.isVisible():
            self.field.setFocus()

    def _enter(self) -> None:
        name = self.field.text().strip()
        self.field.clear()
        self._toggle()
        if name:
            self.entered.emit(name)
