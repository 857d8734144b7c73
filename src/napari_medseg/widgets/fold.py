"""A part of a panel that opens and closes under its title."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget


class Fold(QWidget):
    """A title with an arrow; a click, Space or Enter shows or hides what is below it.

    Parameters
    ----------
    title
        Words beside the arrow.
    opened
        Whether the body shows at first.
    """

    toggled = Signal(bool)

    def __init__(self, title: str, *, opened: bool = False, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._button = QToolButton()
        self._button.setCheckable(True)
        self._button.setAutoRaise(True)
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._button.toggled.connect(self._show)
        self.body = QWidget()
        self.content = QVBoxLayout(self.body)
        self.content.setContentsMargins(14, 0, 0, 4)
        self.content.setSpacing(4)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._button)
        layout.addWidget(self.body)
        self.set_title(title)
        self._show(opened)

    @property
    def button(self) -> QToolButton:
        """The title, for tests and tab order."""
        return self._button

    def set_title(self, title: str) -> None:
        """Change the words beside the arrow."""
        self._button.setText(title)

    def set_open(self, opened: bool) -> None:
        """Show or hide the body."""
        self._button.setChecked(opened)

    def is_open(self) -> bool:
        """Whether the body shows."""
        return self._button.isChecked()

    def _show(self, opened: bool) -> None:
        self._button.setChecked(opened)
        self._button.setArrowType(Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow)
        self.body.setVisible(opened)
        self.toggled.emit(opened)
