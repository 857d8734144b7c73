"""The levels of a network that grows: a box each, narrower with depth, and what each of them does at present."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_medseg.widgets.look import COLORS, Meaning

#: Pixels that the box of the finest level is wide, and what each level is narrower.
_WIDTH, _STEP, _HEIGHT = 88, 10, 20
_LOOKS: Mapping[str, tuple[Meaning, str, str]] = {
    "training": ("info", "solid", "learns"),
    "frozen": ("ok", "solid", "frozen"),
    "waiting": ("waiting", "dashed", "waits"),
}


class LevelBoxes(QWidget):
    """Boxes of the parts of a network, fed with the events of its stages; hidden where a scheme names no parts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._parts: list[Mapping[str, Any]] = []
        self._scores: dict[str, str] = {}
        self._layout = QGridLayout(self)
        self._layout.setContentsMargins(0, 4, 0, 4)
        self._layout.setVerticalSpacing(2)
        self._layout.setColumnStretch(1, 1)
        self.setVisible(False)

    def clear(self) -> None:
        """Forget a run."""
        self._scores = {}
        self.show_parts(())

    def show_parts(self, parts: Sequence[Mapping[str, Any]]) -> None:
        """Draw the parts (name, stage, state, parameters) of the network that a stage trains, the finest first."""
        self._parts = list(parts)
        while (item := self._layout.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.deleteLater()
        for row, part in enumerate(self._parts):
            self._layout.addWidget(self._box(row, part), row, 0)
            label = QLabel(self.words(row))
            label.setToolTip(f"{part['parameters']} weights")
            label.setMinimumWidth(1)
            self._layout.addWidget(label, row, 1)
        for row, part in enumerate(self._parts):
            # One score for all levels that a stage trains, at the last of them.
            is_last = row + 1 == len(self._parts) or self._parts[row + 1]["stage"] != part["stage"]
            if is_last and (score := self._scores.get(part["stage"])):
                self._layout.addWidget(QLabel(score), row, 2)
        self.setVisible(bool(self._parts))

    def set_score(self, stage: str, text: str) -> None:
        """Show what a stage has reached beside the levels that it trains."""
        if self._scores.get(stage) != text and any(part["stage"] == stage for part in self._parts):
            self._scores[stage] = text
            self.show_parts(self._parts)

    def words(self, row: int) -> str:
        """What is said beside a box."""
        part = self._parts[row]
        return f"{_LOOKS[part['state']][2]} \u00b7 {_counted(part['parameters'])}"

    def score(self, stage: str) -> str:
        """What is shown beside the levels of a stage."""
        return self._scores.get(stage, "")

    @staticmethod
    def _box(row: int, part: Mapping[str, Any]) -> QLabel:
        meaning, line, _ = _LOOKS[part["state"]]
        box = QLabel(part["name"])
        box.setFixedSize(max(_WIDTH - _STEP * row, 54), _HEIGHT)
        box.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        fill = f"background: {COLORS[meaning]}; color: white;" if part["state"] == "training" else ""
        box.setStyleSheet(
            f"QLabel {{ border: 1px {line} {COLORS[meaning]}; border-radius: 3px; padding-left: 4px; {fill} }}"
        )
        return box


def _counted(number: int) -> str:
    """A number of weights for people.

    Examples
    --------
    >>> _counted(950), _counted(12_300), _counted(1_234_567)
    ('950', '12 k', '1.2 M')
    """
    if number < 1000:
        return str(number)
    return f"{number / 1000:.0f} k" if number < 1_000_000 else f"{number / 1_000_000:.1f} M"
