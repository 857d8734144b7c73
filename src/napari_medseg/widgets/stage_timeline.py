"""The stages of a training, one under the other: waiting, running, done, reused or stopped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_medseg.widgets.look import Meaning, sign

State = Literal["waiting", "running", "done", "reused", "stopped", "failed"]

_SIGNS: Mapping[State, Meaning] = {
    "waiting": "waiting",
    "running": "info",
    "done": "ok",
    "reused": "ok",
    "stopped": "warning",
    "failed": "error",
}


class StageRow(QWidget):
    """One stage: sign, title, and what there is to say of it. A click on the title chooses its curves."""

    chosen = Signal(str)

    def __init__(self, name: str, title: str) -> None:
        super().__init__()
        self.name = name
        self.state: State = "waiting"
        self._sign, self._note = QLabel(), QLabel()
        self._sign.setFixedWidth(20)
        self._title = QPushButton(title)
        self._title.setFlat(True)
        self._title.setAutoDefault(False)
        self._title.setToolTip("Show the curves of this stage")
        self._title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self._title.setStyleSheet(
            "QPushButton { text-align: left; border: none; background: transparent; padding: 2px; }"
        )
        self._title.clicked.connect(lambda: self.chosen.emit(self.name))
        self._note.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._sign)
        layout.addWidget(self._title, 1)
        layout.addWidget(self._note)
        self.set_state("waiting", "")

    def set_state(self, state: State, note: str) -> None:
        """Show where the stage is, and a few words at the right."""
        self.state = state
        self._sign.setText(sign(_SIGNS[state]))
        self._note.setText(note or {"waiting": "waiting", "reused": "reused", "stopped": "stopped"}.get(state, ""))

    @property
    def note(self) -> str:
        """The words at the right."""
        return self._note.text()


class StageTimeline(QWidget):
    """All stages in order; a scheme that finds its stages as it goes (candidates) has rows added."""

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, StageRow] = {}
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._layout.setSpacing(1)

    def set_stages(self, stages: Iterable[tuple[str, str]]) -> None:
        """Show (name, title) pairs, all waiting."""
        for row in self._rows.values():
            self._layout.removeWidget(row)
            row.deleteLater()
        self._rows = {}
        for name, title in stages:
            self._add(name, title)

    def set_state(self, name: str, state: State, note: str = "", title: str = "") -> None:
        """Show where a stage is; one that is not in the list yet is added with its title."""
        row = self._rows.get(name) or self._add(name, title or name)
        row.set_state(state, note)

    def stop_running(self, state: State) -> None:
        """Mark the stage that was running when the run ended."""
        for row in self._rows.values():
            if row.state == "running":
                row.set_state(state, "")

    def states(self) -> dict[str, State]:
        """Where every stage is, in order."""
        return {name: row.state for name, row in self._rows.items()}

    def note(self, name: str) -> str:
        """What is said of a stage."""
        return self._rows[name].note

    def _add(self, name: str, title: str) -> StageRow:
        row = StageRow(name, title)
        row.chosen.connect(self.chosen)
        self._rows[name] = row
        self._layout.addWidget(row)
        return row
