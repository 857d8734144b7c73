"""A place to drop files on."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QFrame, QLabel, QVBoxLayout, QWidget

_INVITATION = "Drop an image or a folder here"


class DropArea(QFrame):
    """A dashed frame; says what is going on while a dropped file is looked at."""

    #: Files or folders were dropped: a list of paths.
    dropped = Signal(list)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAcceptDrops(True)
        self.setObjectName("drop")
        self.setStyleSheet("#drop { border: 1px dashed rgba(128, 128, 128, 180); border-radius: 6px; }")
        self.setMinimumHeight(72)
        self._label = QLabel(_INVITATION)
        self._label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._label.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self._label)

    def say(self, text: str) -> None:
        """Show what is going on."""
        self._label.setText(text)

    def rest(self) -> None:
        """Invite again."""
        self._label.setText(_INVITATION)

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:
        """Take local files."""
        if event is not None and _paths(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:
        """Hand the files on."""
        if event is not None:
            event.acceptProposedAction()
            self.dropped.emit(_paths(event))


def _paths(event: QDropEvent) -> list[Path]:
    data = event.mimeData()
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()] if data is not None else []
