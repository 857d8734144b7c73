"""Candidates side by side: what each scores and costs, while they train and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QBrush, QColor, QIcon, QPixmap
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QLabel, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.parts import button, row

Standing = Literal["waiting", "running", "stopping", "done", "reused", "stopped", "failed", "chosen"]

#: One colour per candidate, repeating: safe for colour-blind eyes (Okabe and Ito), visible on dark and on light.
COLORS = ("#3b82c4", "#d07a1e", "#1b8f62", "#b55a94", "#8a8a2c", "#5aa7d6", "#a5502a", "#7a6bc2")
_HEADERS = ("Score", "Time", "Weights", "Size", "State")
#: A candidate takes two rows of the table: its name, which may be long, and its figures.
_ROWS_EACH = 2
_ROW_HEIGHT = 20
#: Candidates that show without scrolling.
_MOST_SHOWN = 6
_TIPS: Mapping[Standing, str] = {
    "waiting": "waiting",
    "running": "training: epochs done and wanted",
    "stopping": "ends after this epoch",
    "done": "trained",
    "reused": "trained before",
    "stopped": "stopped early",
    "failed": "failed",
    "chosen": "its weights are the model",
}
_BYTES_PER_PARAMETER = 4
_NO_BAR = Qt.ScrollBarPolicy.ScrollBarAlwaysOff


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What is known of one candidate.

    Parameters
    ----------
    stage, title
        Its stage's name, and words for people.
    name
        What a scheme's setting ``target`` calls it; empty while that is not known.
    score
        Best score so far; None before the first validation.
    seconds
        Time spent in training.
    parameters
        Weights of the network.
    standing, note
        How far it has come; a few words beside it.
    """

    stage: str
    title: str
    name: str = ""
    score: float | None = None
    seconds: float | None = None
    parameters: int | None = None
    standing: Standing = "waiting"
    note: str = ""


class LeagueTable(QWidget):
    """A row per candidate, in the order of training; hidden while there is none."""

    #: A person chose a row: the name of its stage.
    chosen = Signal(str)
    #: The running candidate shall end with what it has: the name of its stage.
    stop = Signal(str)
    #: Another candidate shall be the model: its name.
    use = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._candidates: dict[str, Candidate] = {}
        self._may_use = False
        self._selected = ""
        self._table = _table()
        self._table.currentCellChanged.connect(self._on_current)
        tip = "End the candidate that is training; its best weights so far compete with the others."
        self._stop = button("Stop this one", self._on_stop, tip=tip, name="stop_candidate")
        tip = "Write the model anew with the weights of the selected candidate; nothing is trained."
        self._use = button("Use that one instead", self._on_use, tip=tip, name="use_candidate")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._table)
        layout.addLayout(row(self._stop, self._use, QLabel()))
        self.clear()

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """What the table shows, in order."""
        return tuple(self._candidates.values())

    @property
    def selected(self) -> str:
        """Name of the selected candidate's stage; empty for none."""
        return self._selected

    def select(self, stage: str) -> None:
        """Select a candidate, as a click on it does."""
        self._table.setCurrentCell(_ROWS_EACH * [*self._candidates].index(stage), 0)

    def color(self, stage: str) -> str:
        """The colour of a candidate, in the table and in plots."""
        return COLORS[[*self._candidates].index(stage) % len(COLORS)]

    def clear(self) -> None:
        """Forget all candidates."""
        self._candidates = {}
        self._may_use = False
        self._selected = ""
        # Qt would keep its current cell, and a click on it would change nothing.
        self._table.setRowCount(0)
        self._show()

    def put(self, stage: str, **changes: Any) -> None:
        """Add a candidate, or change what is known of one (fields of `Candidate`)."""
        known = self._candidates.get(stage) or Candidate(stage=stage, title=changes.get("title", stage))
        self._candidates[stage] = replace(known, **changes)
        self._show()

    def name_scores(self, name: str) -> None:
        """Say what the score is, e.g. ``"mean IoU"``."""
        header = self._table.horizontalHeaderItem(0)
        assert header is not None
        header.setText(name)

    def end(self, standing: Literal["stopped", "failed"]) -> None:
        """The run is over: nothing runs any more."""
        for stage, candidate in self._candidates.items():
            if candidate.standing in ("running", "stopping"):
                self._candidates[stage] = replace(candidate, standing=standing, note="")
        self._show()

    def finish(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Show the table that a finished run wrote (``candidates`` of its ``summary.json``)."""
        for entry in entries:
            found = candidate_of(entry)
            known = self._candidates.get(found.stage)
            if known is not None and found.standing == "done":
                found = replace(found, standing=known.standing)
            self._candidates[found.stage] = found
        self._may_use = True
        self._show()

    def show_only(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Show a table that a run wrote, without anything to do about it."""
        self.clear()
        self._candidates = {found.stage: found for found in map(candidate_of, entries)}
        self._show()

    def texts(self) -> list[list[str]]:
        """Name and figures of every candidate, as shown."""

        def text(line: int, column: int) -> str:
            cell = self._table.item(line, column)
            return cell.text() if cell is not None else ""

        firsts = range(0, self._table.rowCount(), _ROWS_EACH)
        return [[text(i, 0), *(text(i + 1, column) for column in range(len(_HEADERS)))] for i in firsts]

    def _show(self) -> None:
        self.setVisible(bool(self._candidates))
        self._table.setRowCount(_ROWS_EACH * len(self._candidates))
        scores = [c.score for c in self._candidates.values() if c.score is not None]
        for index, candidate in enumerate(self._candidates.values()):
            is_best = candidate.score is not None and candidate.score == max(scores)
            self._show_candidate(index, candidate, bold=is_best or candidate.standing == "chosen")
        header = self._table.horizontalHeader()
        assert header is not None
        shown = min(len(self._candidates), _MOST_SHOWN)
        self._table.setFixedHeight(header.sizeHint().height() + shown * _ROWS_EACH * _ROW_HEIGHT + 6)
        scrolls = Qt.ScrollBarPolicy.ScrollBarAsNeeded if len(self._candidates) > shown else _NO_BAR
        self._table.setVerticalScrollBarPolicy(scrolls)
        self._refresh()

    def _show_candidate(self, index: int, candidate: Candidate, *, bold: bool) -> None:
        first = _ROWS_EACH * index
        name = QTableWidgetItem(_swatch(self.color(candidate.stage)), candidate.title)
        name.setToolTip(candidate.title)
        figures = [QTableWidgetItem(text) for text in candidate_texts(candidate)]
        figures[-1].setToolTip(_TIPS[candidate.standing])
        self._table.setItem(first, 0, name)
        self._table.setSpan(first, 0, 1, len(_HEADERS))
        for column, item in enumerate(figures):
            item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
            self._table.setItem(first + 1, column, item)
        ground = self.palette().highlight() if candidate.stage == self._selected else QBrush()
        for item in (name, *figures):
            font = item.font()
            font.setBold(bold)
            item.setFont(font)
            item.setBackground(ground)

    def _refresh(self) -> None:
        running = self._running()
        self._stop.setVisible(running is not None)
        self._stop.setEnabled(running is not None and running.standing == "running")
        candidate = self._candidates.get(self.selected)
        self._use.setVisible(self._may_use and len(self._candidates) > 1)
        self._use.setEnabled(candidate is not None and bool(candidate.name) and candidate.standing != "chosen")

    def _running(self) -> Candidate | None:
        return next((c for c in self._candidates.values() if c.standing in ("running", "stopping")), None)

    def _on_current(self, line: int) -> None:
        if 0 <= line < _ROWS_EACH * len(self._candidates):
            self._selected = [*self._candidates][line // _ROWS_EACH]
            self._show()
            self.chosen.emit(self._selected)

    def _on_stop(self) -> None:
        running = self._running()
        if running is not None:
            self.put(running.stage, standing="stopping", note="")
            self.stop.emit(running.stage)

    def _on_use(self) -> None:
        candidate = self._candidates.get(self.selected)
        if candidate is not None:
            self._may_use = False
            self._refresh()
            self.use.emit(candidate.name)


class LeagueFold(Fold):
    """The candidates that a model was chosen from, to look at; hidden where there were none."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Candidates", parent=parent)
        self.table = LeagueTable()
        self.content.addWidget(self.table)

    def show_entries(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Show rows of a summary's ``candidates``."""
        self.table.show_only(entries)
        self.set_title(f"{len(entries)} candidate{'' if len(entries) == 1 else 's'}")
        self.setVisible(bool(entries))


def candidate_of(entry: Mapping[str, Any]) -> Candidate:
    """A row of a summary's ``candidates``."""
    name = str(entry["name"])
    standing: Standing = "chosen" if entry.get("chosen") else "stopped" if entry.get("stopped") else "done"
    return Candidate(
        stage=str(entry.get("stage") or name),
        title=str(entry.get("title") or name),
        name=name,
        score=entry.get("score"),
        seconds=entry.get("seconds"),
        parameters=entry.get("parameters"),
        standing=standing,
    )


def candidate_texts(candidate: Candidate) -> tuple[str, ...]:
    """The figures of a candidate as its row shows them.

    Examples
    --------
    >>> candidate_texts(Candidate(stage="a", title="A", score=0.84, seconds=95, parameters=1_940_000, standing="done"))
    ('0.840', '1:35', '1.9 M', '7.8 MB', 'done')
    """
    parameters = candidate.parameters
    return (
        "" if candidate.score is None else f"{candidate.score:.3f}",
        "" if candidate.seconds is None else _clock(candidate.seconds),
        "" if parameters is None else _short(parameters, ("", " k", " M", " G")),
        "" if parameters is None else _short(parameters * _BYTES_PER_PARAMETER, (" B", " kB", " MB", " GB")),
        candidate.note if candidate.note and candidate.standing == "running" else candidate.standing,
    )


def _clock(seconds: float) -> str:
    """Minutes and seconds, or hours, minutes and seconds, as a clock shows them."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _short(number: float, units: Sequence[str]) -> str:
    """A count in thousands, millions or milliards, with two or three digits."""
    place = 0
    while number >= 999.5 and place < len(units) - 1:
        number, place = number / 1000, place + 1
    return f"{number:.1f}{units[place]}" if place and number < 9.95 else f"{number:.0f}{units[place]}"


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(10, 10)
    pixmap.fill(QColor(color))
    return QIcon(pixmap)


def _table() -> QTableWidget:
    table = QTableWidget(0, len(_HEADERS))
    table.setObjectName("league_table")
    table.setHorizontalHeaderLabels(_HEADERS)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    # The rows of a candidate are marked together, which Qt's selection cannot.
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setHorizontalScrollBarPolicy(_NO_BAR)
    table.setShowGrid(False)
    names, numbers = table.horizontalHeader(), table.verticalHeader()
    assert names is not None
    assert numbers is not None
    numbers.setVisible(False)
    numbers.setMinimumSectionSize(_ROW_HEIGHT)
    numbers.setDefaultSectionSize(_ROW_HEIGHT)
    names.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    names.setHighlightSections(False)
    return table
