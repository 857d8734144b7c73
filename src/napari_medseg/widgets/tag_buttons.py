"""The tags of a data set as buttons; one of them, or none, is the tag of the case."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QPushButton, QSizePolicy, QWidget

from napari_medseg.structures import TagClass
from napari_medseg.widgets.icons import color_icon

_COLUMNS = 2


class TagButtons(QWidget):
    """Buttons in two columns, each with colour, name and key."""

    #: A tag was clicked; the one that was set already is taken away: its name, or an empty string.
    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        self.buttons: dict[str, QPushButton] = {}

    def set_tags(self, tags: Sequence[TagClass], keys: Sequence[str]) -> None:
        """Show these tags, with their keys in the same order."""
        for old in self.buttons.values():
            self._grid.removeWidget(old)
            old.deleteLater()
        self.buttons = {}
        for place, (tag, key) in enumerate(zip(tags, keys, strict=True)):
            made = QPushButton(color_icon(tag.color), tag.name)
            made.setCheckable(True)
            made.setObjectName(f"tag_{tag.name}")
            made.setToolTip(f"{tag.name}   {key}".strip())
            made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            # The focus stays where it is, so that the next key still reaches the picture.
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            made.setStyleSheet(
                # A border in both states: a tag that is chosen is as high as one that is not.
                "QPushButton { text-align: left; padding: 4px 6px; border: 2px solid transparent; }"
                f"QPushButton:checked {{ border-color: {tag.color}; font-weight: bold; }}"
            )
            made.clicked.connect(lambda checked, name=tag.name: self.chosen.emit(name if checked else ""))
            if key:
                made.setText(f"{tag.name}   {key}")
            self.buttons[tag.name] = made
            self._grid.addWidget(made, place // _COLUMNS, place % _COLUMNS)

    def show_tag(self, name: str) -> None:
        """Mark the case's tag."""
        for tag, shown in self.buttons.items():
            shown.setChecked(tag == name)
