"""Below the result of a training: is the model better than the one in use, and the click that puts it in use."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QHeaderView, QProgressBar, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_medseg.api.models import promote_model
from napari_medseg.api.prediction import model_name
from napari_medseg.data.models_in_use import Promotion, model_in_use, promotions
from napari_medseg.errors import MedsegError
from napari_medseg.structures import Progress
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.jobs import ChildJob, ThreadJob
from napari_medseg.widgets.look import Meaning, SentenceLabel
from napari_medseg.widgets.parts import LOADING, button, row, words
from napari_medseg.widgets.result_card import figures_table

_MEANINGS: Mapping[str, Meaning] = {"better": "ok", "worse": "error", "unclear": "info"}
_SIGNS = {"better": "▲ ", "worse": "▼ ", "unclear": ""}


class ComparisonCard(QFrame):
    """Compares a new model with the one in use, in a process of its own; nothing is put in use without a click.

    Call `begin` when a training has ended and `forget` when the next one starts.
    """

    #: A model was put in use: its file.
    promoted = Signal(Path)
    failed = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.job: ChildJob | ThreadJob | None = None
        self._dataset: Path | None = None
        self._model: Path | None = None
        self._sentence, self._alarms = SentenceLabel(), SentenceLabel()
        self._alarms.setObjectName("alarms")
        self._state, self._notes = words(faint=True), words(faint=True)
        self._bar = QProgressBar()
        self._bar.setTextVisible(False)
        self._classes = Fold("By class")
        self._table = comparison_table()
        self._classes.content.addWidget(self._table)
        self._promote = button("Put in use", self._on_promote, name="promote_model")
        self._promote.setToolTip("Predict with it from now on; the model before it is kept, and can be gone back to")
        self._stop = button("Do not compare", self._on_stop, name="stop_comparing")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 4, 0, 0)
        shown = (self._sentence, self._alarms, self._state, self._bar, self._classes, self._notes)
        for widget in shown:
            layout.addWidget(widget)
        layout.addLayout(row(self._stop, self._promote, stretch=self._promote))
        self.forget()

    @property
    def sentence(self) -> str:
        """What is said of the model."""
        return self._sentence.words

    def begin(self, dataset: Path, model: Path) -> None:
        """Compare a model file with the data set's model in use; without one, only offer to put it in use."""
        self.forget()
        self._dataset, self._model = dataset, model
        self.setVisible(True)
        try:
            in_use = model_in_use(dataset)
        except MedsegError as error:
            self._sentence.say("warning", str(error))
            self._offer()
            return
        if in_use is None:
            self._sentence.say("info", "This data set has no model in use yet.")
            self._offer()
            return
        name = promotions(dataset)[-1].name
        self._state.setText(f"Comparing with {name}, which is in use. {LOADING}")
        self._state.setVisible(True)
        job = ChildJob(["compare", str(in_use), str(model), str(dataset)])
        job.reported.connect(self._on_event)
        job.finished.connect(partial(self._on_compared, name))
        self._stop.setVisible(True)
        self._start(job)

    def forget(self) -> None:
        """Stop and show nothing: another training starts."""
        if self.job is not None:
            self.job.end()
        for label in (self._sentence, self._alarms):
            label.say("info", "")
        for widget in (self._state, self._notes, self._bar, self._classes, self._promote, self._stop, self):
            widget.setVisible(False)

    def _start(self, job: ChildJob | ThreadJob) -> None:
        self.job = job
        job.end_with(self)
        job.failed.connect(self.failed)
        self._bar.setRange(0, 0)
        self._bar.setVisible(True)
        job.start()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "progress":
            self._bar.setRange(0, event["of"])
            self._bar.setValue(event["done"])
        elif event["event"] == "done":
            self.show_document(event["result"])

    def show_document(self, document: Mapping[str, Any]) -> None:
        """Show what ``compare`` found."""
        self._sentence.say(_MEANINGS[document["verdict"]], document["sentence"])
        self._alarms.say("error", " ".join(document["alarms"]))
        self._notes.setText(" ".join(document["notes"]))
        self._notes.setVisible(bool(document["notes"]))
        fill_comparison(self._table, document)
        self._classes.setVisible(self._table.rowCount() > 0)

    def _on_compared(self, name: str, outcome: str) -> None:
        self.job = None
        self._bar.setVisible(False)
        self._state.setVisible(False)
        self._stop.setVisible(False)
        if outcome != "done":
            self._sentence.say("info", f"Not compared with {name}, which is in use.")
        self._offer()

    def _offer(self) -> None:
        self._promote.setVisible(True)
        self._promote.setEnabled(True)

    def _on_stop(self) -> None:
        if self.job is not None:
            self.job.cancel()

    def _on_promote(self) -> None:
        dataset, model, reason = self._dataset, self._model, self._sentence.words
        if dataset is None or model is None or self.job is not None:
            return

        def work(progress: Progress) -> Promotion:
            return promote_model(dataset, model, reason=reason)

        job = ThreadJob(work)
        job.result.connect(partial(self._on_promoted, dataset, model))
        job.finished.connect(self._on_promotion_ended)
        self._promote.setEnabled(False)
        self._start(job)

    def _on_promoted(self, dataset: Path, model: Path, made: Promotion) -> None:
        before = [each.name for each in promotions(dataset)[:-1]]
        follows = f"; it follows {before[-1]}" if before else ""
        self._sentence.say("ok", f"{model_name(model)} is in use now{follows}.")
        self._promote.setVisible(False)
        path = model_in_use(dataset)
        if path is not None:
            self.promoted.emit(path)

    def _on_promotion_ended(self, outcome: str) -> None:
        self.job = None
        self._bar.setVisible(False)
        self._promote.setEnabled(True)


def comparison_table() -> QTableWidget:
    """An empty table of figures of two models."""
    table = figures_table()
    table.setColumnCount(3)
    header = table.horizontalHeader()
    if header is not None:
        for column in (1, 2):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
    return table


def fill_comparison(table: QTableWidget, document: Mapping[str, Any]) -> None:
    """One row per class and tag: before and after, and the difference with its interval, marked where it is sure."""
    entries = [(name, "dice", entry) for name, entry in (document["segmentation"] or {}).items()]
    tags = document["classification"]
    if tags:
        entries.append(("AUC", "auc", tags["auc"]))
        entries += [(f"finds {tag}", "sensitivity", entry) for tag, entry in tags["per_class"].items()]
    entries = [(name, key, entry) for name, key, entry in entries if entry["difference"] is not None]
    table.setRowCount(len(entries))
    for number, (name, key, entry) in enumerate(entries):
        interval = entry["difference_ci"]
        bounds = f" [{interval[0]:+.2f}, {interval[1]:+.2f}]" if interval else ""
        figures = f"{entry[f'{key}_a']:.2f} → {entry[f'{key}_b']:.2f}"
        texts = (name, figures, f"{_SIGNS[entry['verdict']]}{entry['difference']:+.2f}{bounds}")
        for column, text in enumerate(texts):
            item = QTableWidgetItem(text)
            item.setToolTip(text)
            if column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            table.setItem(number, column, item)
        table.setRowHeight(number, 22)
    table.setFixedHeight(22 * len(entries) + 4)
