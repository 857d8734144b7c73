"""Small pieces that panels are built from, so that all panels look alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

#: Colour of the one button of a panel that does what the panel is for; white words stand out on it in both themes.
PRIMARY = "#1f6fb2"
#: What is said until a job tells of itself: importing torch takes long after a cold start.
LOADING = "Loading the program (some seconds the first time) …"


def panel_layout(panel: QWidget) -> QVBoxLayout:
    """The column that a panel fills from the top."""
    layout = QVBoxLayout(panel)
    layout.setContentsMargins(10, 8, 10, 10)
    layout.setSpacing(8)
    return layout


def scrolling(inner: QWidget) -> QScrollArea:
    """The part of a panel that scrolls, so that what is below it stays on screen."""
    scroll = QScrollArea()
    scroll.setWidget(inner)
    scroll.setWidgetResizable(True)
    scroll.setFrameShape(QFrame.Shape.NoFrame)
    scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return scroll


def aside(widget: QWidget) -> QVBoxLayout:
    """A widget below pages that have margins of their own, in line with what they show."""
    layout = QVBoxLayout()
    layout.setContentsMargins(10, 0, 10, 0)
    layout.addWidget(widget)
    return layout


def row(*widgets: QWidget, stretch: QWidget | None = None) -> QHBoxLayout:
    """Widgets side by side; `stretch` takes the width that is left."""
    layout = QHBoxLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    for widget in widgets:
        layout.addWidget(widget, 1 if widget is stretch else 0)
    return layout


def button(text: str, slot: Callable[..., Any], *, tip: str = "", name: str = "", primary: bool = False) -> QPushButton:
    """A button; `primary` makes it the one that catches the eye."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.setObjectName(name)
    made.setAutoDefault(False)
    made.clicked.connect(slot)
    if primary:
        made.setStyleSheet(
            f"QPushButton {{ background-color: {PRIMARY}; color: white; font-weight: bold; padding: 6px; }}"
            "QPushButton:hover { background-color: #2b82cc; }"
            "QPushButton:disabled { background-color: rgba(128, 128, 128, 60); color: rgba(128, 128, 128, 200); }"
        )
    return made


def heading(text: str) -> QLabel:
    """The name of a part of a panel."""
    label = QLabel(text)
    font = label.font()
    font.setBold(True)
    label.setFont(font)
    return label


def words(text: str = "", *, faint: bool = False) -> QLabel:
    """A text that wraps and never widens its panel."""
    label = QLabel(text)
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    if faint:
        label.setStyleSheet("QLabel { color: rgba(140, 140, 140, 255); }")
    return label
