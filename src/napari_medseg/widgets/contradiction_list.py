"""Contradictions as a list: a click opens the case, a button says that all is right as it is."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_medseg.data.contradictions import KIND_NAMES, Contradiction
from napari_medseg.widgets.parts import button, row, words

_HEIGHT = 150


class ContradictionList(QWidget):
    """What is to be resolved, one below the other."""

    #: A case is to be opened: its id.
    opened = Signal(str)
    #: A contradiction is none: the `Contradiction`.
    confirmed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.found: list[Contradiction] = []
        self._list = QListWidget()
        self._list.setObjectName("contradictions")
        self._list.setWordWrap(True)
        self._list.setMaximumHeight(_HEIGHT)
        self._list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._state = words(faint=True)
        self._twin = button("Its twin", self._open_twin, tip="Open the other case of the pair", name="open_twin")
        self._right = button("Right as it is", self._confirm, name="confirm_contradiction")
        self._right.setToolTip("Not an error: say no more of it until the tag or the labels of the case change")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._state)
        layout.addWidget(self._list)
        layout.addLayout(row(self._twin, self._right, stretch=self._right))
        self._list.itemClicked.connect(lambda _: self._open())
        self._list.itemActivated.connect(lambda _: self._open())
        self._list.currentRowChanged.connect(lambda _: self._follow())
        self.show_found([])

    @property
    def current(self) -> Contradiction | None:
        """The chosen one."""
        number = self._list.currentRow()
        return self.found[number] if 0 <= number < len(self.found) else None

    def show_found(self, found: Sequence[Contradiction]) -> None:
        """List contradictions; the place that was chosen stays chosen."""
        place = self._list.currentRow()
        self.found = list(found)
        self._list.clear()
        for each in found:
            item = QListWidgetItem(f"{each.case}: {each.text}")
            item.setToolTip(KIND_NAMES[each.kind])
            self._list.addItem(item)
        number = len(self.found)
        self._state.setText(f"{number} contradiction{'' if number == 1 else 's'}." if number else "No contradictions.")
        self._list.setVisible(bool(found))
        self._list.setCurrentRow(min(place, number - 1))
        self._follow()

    def _follow(self) -> None:
        self._right.setVisible(bool(self.found))
        self._right.setEnabled(self.current is not None)
        self._twin.setVisible(self.current is not None and bool(self.current.other))

    def _open(self) -> None:
        if self.current is not None:
            self.opened.emit(self.current.case)

    def _open_twin(self) -> None:
        if self.current is not None:
            self.opened.emit(self.current.other)

    def _confirm(self) -> None:
        if self.current is not None:
            self.confirmed.emit(self.current)
