"""Which classes of an OCT data set are layers, and in which order they lie."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QAbstractItemView, QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_medseg.data.retina import BACKGROUND_WORD, STRUCTURES
from napari_medseg.widgets.parts import button, row, words

_HEIGHT = 150


class LayerOrder(QWidget):
    """A list from top to bottom; checked names are layers, the others areas painted over them.

    Names of the retina's structures are checked and in their order at first. The background may stand at both ends.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._names: list[str] = []
        self._list = QListWidget()
        self._list.setObjectName("layers")
        self._list.setDragDropMode(QAbstractItemView.DragDropMode.InternalMove)
        self._list.setFixedHeight(_HEIGHT)
        self._list.setToolTip("Check what is a layer; drag names into their order from top to bottom.")
        up = button("▲", lambda: self._move(-1), tip="Move the selected layer up", name="layer_up")
        down = button("▼", lambda: self._move(1), tip="Move the selected layer down", name="layer_down")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        hint = words("Layers from top to bottom; unchecked classes (fluid, optic disc) are areas.", faint=True)
        for widget in (hint, self._list):
            layout.addWidget(widget)
        layout.addLayout(row(up, down, QWidget()))

    def set_names(self, names: Sequence[str]) -> None:
        """Show classes; what is known of them already (checked, place) stays while they are the same."""
        if list(names) == self._names:
            return
        self._names = list(names)
        self._list.clear()
        known = sorted((name for name in names if is_layer(name)), key=_depth)
        for name in [BACKGROUND_WORD, *known, BACKGROUND_WORD, *(name for name in names if name not in known)]:
            # The vitreous, where it is a layer, has nothing above it.
            is_top = self._list.count() == 0 and known[:1] != ["vitreous"]
            self._insert(self._list.count(), name, checked=name in known or (is_top and bool(known)))

    def add_layer(self, name: str) -> None:
        """Add a layer below the checked ones; it can be dragged to its place. Nothing happens if it is there."""
        if name in self._names:
            return
        self._names.append(name)
        names = [_name(item) for item in self._items()]
        self._insert(len(names) - 1 - names[::-1].index(BACKGROUND_WORD), name, checked=True)

    def layers(self) -> list[str]:
        """The checked names from top to bottom."""
        return [_name(item) for item in self._items() if item.checkState() == Qt.CheckState.Checked]

    def _items(self) -> list[QListWidgetItem]:
        items = (self._list.item(index) for index in range(self._list.count()))
        return [item for item in items if item is not None]

    def _insert(self, place: int, name: str, *, checked: bool) -> None:
        # The background may end the pile at either side.
        end = "above all" if self._list.count() == 0 else "below all"
        item = QListWidgetItem(f"{name}, {end}" if name == BACKGROUND_WORD else name)
        item.setData(Qt.ItemDataRole.UserRole, name)
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsDropEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if checked else Qt.CheckState.Unchecked)
        self._list.insertItem(place, item)

    def _move(self, by: int) -> None:
        place = self._list.currentRow()
        item = self._list.takeItem(place) if 0 <= place + by < self._list.count() and place >= 0 else None
        if item is not None:
            self._list.insertItem(place + by, item)
            self._list.setCurrentRow(place + by)


def _name(item: QListWidgetItem) -> str:
    return str(item.data(Qt.ItemDataRole.UserRole))


def is_layer(name: str) -> bool:
    """Whether a class is named after a structure of the retina that is a layer (joined ones count).

    Examples
    --------
    >>> is_layer("GCL+IPL"), is_layer("fluid"), is_layer("optic disc")
    (True, False, False)
    """
    parts = [part.strip() for part in name.split("+")]
    # The optic disc lies across all layers.
    return all(part in STRUCTURES and part != "optic disc" for part in parts)


def _depth(name: str) -> int:
    return list(STRUCTURES).index(name.split("+")[0].strip())
