"""Where a panel says that something went wrong: one sentence, with details to unfold and copy."""

from __future__ import annotations

from napari.utils.notifications import show_error, show_warning
from qtpy.QtGui import QGuiApplication
from qtpy.QtWidgets import QPlainTextEdit, QPushButton, QVBoxLayout, QWidget

from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.look import SentenceLabel


class Notice(QWidget):
    """A sentence, hidden while there is nothing to say; napari's notifications say it where the panel is hidden."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._label = SentenceLabel()
        self._fold = Fold("Details")
        self._text = QPlainTextEdit()
        self._text.setReadOnly(True)
        self._text.setMaximumHeight(140)
        copy = QPushButton("Copy details")
        copy.clicked.connect(self._copy)
        self._fold.content.addWidget(self._text)
        self._fold.content.addWidget(copy)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._label)
        layout.addWidget(self._fold)
        self.clear()

    @property
    def words(self) -> str:
        """The sentence shown; empty when there is none."""
        return self._label.words

    def show_error(self, text: str, details: str = "") -> None:
        """Say what failed: here, or in napari's notifications while nobody can see it here."""
        self._label.say("error", text)
        self._set_details(details)
        if not self.isVisible():
            show_error(text)

    def show_warning(self, text: str) -> None:
        """Say what was odd: here, or in napari's notifications while nobody can see it here."""
        self._label.say("warning", text)
        self._set_details("")
        if not self.isVisible():
            show_warning(text)

    def show_info(self, text: str) -> None:
        """Say what happened, here alone."""
        self._label.say("ok", text)
        self._set_details("")

    def show_hint(self, text: str) -> None:
        """Say why something was not done, here alone: a click that missed needs no notification."""
        self._label.say("warning", text)
        self._set_details("")

    def clear(self) -> None:
        """Say nothing."""
        self._label.say("ok", "")
        self._set_details("")

    def _set_details(self, details: str) -> None:
        self._text.setPlainText(details)
        self._fold.setVisible(bool(details))
        self._fold.set_open(False)
        self.setVisible(bool(self._label.words))

    def _copy(self) -> None:
        clipboard = QGuiApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(f"{self.words}\n{self._text.toPlainText()}")
