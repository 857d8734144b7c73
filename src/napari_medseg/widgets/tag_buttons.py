"""The tags of a data set as buttons; one of them, or none, is the tag of the case."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QCursor, QKeyEvent
from qtpy.QtWidgets import QColorDialog, QGridLayout, QLineEdit, QMenu, QPushButton, QSizePolicy, QWidget

from napari_medseg.structures import TagClass
from napari_medseg.widgets.icons import color_icon

_COLUMNS = 2
#: Widest words in pixels, key and all, with which two columns fit the Workspace.
_WIDEST = 128


class TagButtons(QWidget):
    """Buttons in two columns, each with colour, name and key; in one where names are long."""

    #: A tag was clicked; the one that was set already is taken away: its name, or an empty string.
    chosen = Signal(str)
    #: Another name was typed for a tag: old and new one.
    renamed = Signal(str, str)
    #: Another colour was chosen for a tag: its name and ``#rrggbb``.
    recolored = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(6)
        self.buttons: dict[str, QPushButton] = {}
        self.field = QLineEdit()
        self.field.setObjectName("tag_name")
        self.field.setToolTip("Enter gives the tag this name, Escape leaves it as it is")
        self.field.setVisible(False)
        self.field.returnPressed.connect(self._on_renamed)
        self._edited = ""

    def set_tags(self, tags: Sequence[TagClass], keys: Sequence[str]) -> None:
        """Show these tags, with their keys in the same order."""
        for old in self.buttons.values():
            self._grid.removeWidget(old)
            old.deleteLater()
        self.buttons = {}
        self._grid.removeWidget(self.field)
        self.field.setVisible(False)
        metrics = self.fontMetrics()
        texts = [f"{tag.name}   {key}".strip() for tag, key in zip(tags, keys, strict=True)]
        columns = _COLUMNS if all(metrics.horizontalAdvance(text) <= _WIDEST for text in texts) else 1
        for place, (tag, text) in enumerate(zip(tags, texts, strict=True)):
            made = QPushButton(color_icon(tag.color), text)
            made.setCheckable(True)
            made.setObjectName(f"tag_{tag.name}")
            made.setToolTip(f"{text}\nRight-click: rename, change colour")
            made.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
            made.customContextMenuRequested.connect(lambda place, tag=tag: self._menu(tag).popup(QCursor.pos()))
            made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            # The focus stays where it is, so that the next key still reaches the picture.
            made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
            made.setStyleSheet(
                # A border in both states: a tag that is chosen is as high as one that is not.
                "QPushButton { text-align: left; padding: 4px 6px; border: 2px solid transparent; }"
                f"QPushButton:checked {{ border-color: {tag.color}; font-weight: bold; }}"
            )
            made.clicked.connect(lambda checked, name=tag.name: self.chosen.emit(name if checked else ""))
            self.buttons[tag.name] = made
            self._grid.addWidget(made, place // columns, place % columns)
        self._grid.addWidget(self.field, self._grid.rowCount(), 0, 1, columns)

    def show_tag(self, name: str) -> None:
        """Mark the case's tag."""
        for tag, shown in self.buttons.items():
            shown.setChecked(tag == name)

    def keyPressEvent(self, event: QKeyEvent | None) -> None:
        """Escape closes the field of the name (Qt's hook)."""
        if event is not None and event.key() == Qt.Key.Key_Escape and self.field.isVisible():
            self.field.setVisible(False)
        else:
            super().keyPressEvent(event)

    def edit_name(self, name: str) -> None:
        """Ask for another name of a tag, below the buttons."""
        self._edited = name
        self.field.setText(name)
        self.field.selectAll()
        self.field.setVisible(True)
        self.field.setFocus()

    def _menu(self, tag: TagClass) -> QMenu:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        menu.addAction("Rename …", lambda: self.edit_name(tag.name))
        menu.addAction("Colour …", lambda: self._ask_color(tag))
        return menu

    def _ask_color(self, tag: TagClass) -> None:
        color = QColorDialog.getColor(QColor(tag.color), self, f"Colour of {tag.name}")
        if color.isValid():
            self.recolored.emit(tag.name, color.name())

    def _on_renamed(self) -> None:
        name = self.field.text().strip()
        self.field.setVisible(False)
        if name and name != self._edited:
            self.renamed.emit(self._edited, name)
