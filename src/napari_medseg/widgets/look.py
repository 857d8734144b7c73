"""How panels say that something is fine, doubtful or wrong: a coloured sign before words in the theme's own colour.

The colours have at least three times the contrast of napari's dark and light backgrounds alike, so nothing has to
follow the theme; the signs differ in shape, so nothing depends on telling colours apart.
"""

from __future__ import annotations

import html
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QSizePolicy, QWidget

Meaning = Literal["error", "warning", "ok", "info", "waiting"]

COLORS: dict[Meaning, str] = {
    "error": "#d9483b",
    "warning": "#b07d1c",
    "ok": "#1b8f62",
    "info": "#3b82c4",
    "waiting": "#858585",
}
SIGNS: dict[Meaning, str] = {"error": "✕", "warning": "▲", "ok": "✓", "info": "●", "waiting": "○"}


def sign(meaning: Meaning) -> str:
    """The coloured sign as rich text."""
    return f'<span style="color:{COLORS[meaning]}">{SIGNS[meaning]}</span>'


class SentenceLabel(QLabel):
    """One sentence with its sign; hidden while there is none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.words = ""
        self.setWordWrap(True)
        self.setTextFormat(Qt.TextFormat.RichText)
        # A word longer than a narrow panel (a path) must not widen it.
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)

    def say(self, meaning: Meaning, text: str) -> None:
        """Show a sentence; an empty one hides the label."""
        self.words = text
        # A path without blanks would not wrap: allow breaks after its separators.
        breakable = html.escape(text).replace("/", "/\u200b").replace("_", "_\u200b")
        self.setText(f"{sign(meaning)} {breakable}" if text else "")
        self.setVisible(bool(text))
