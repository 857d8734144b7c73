"""The part of the Cases panel that asks which case is next: to label, to resolve, or to correct."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QProgressBar, QVBoxLayout, QWidget

from napari_medseg.data.contradictions import Contradiction, confirm, unresolved
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.models_in_use import model_in_use
from napari_medseg.structures import Progress
from napari_medseg.widgets.contradiction_list import ContradictionList
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.jobs import ChildJob, ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import LOADING, button, row, words
from napari_medseg.widgets.queue import queue_of_contradictions, queue_of_next, queue_of_quality
from napari_medseg.widgets.session import Session

_QUEUES = (("next label", "next"), ("contradictions", "contradictions"), ("worst results first", "quality"))
_STRATEGIES = (
    ("random among what is there", "foreground-random", "A class at random, then a case in which the model draws it"),
    ("random", "random", "Any case; needs no model"),
    ("where the model is unsure", "entropy", "Highest entropy of pixels and tags first"),
    ("where two opinions differ", "disagreement", "Classifier against segmenter, else image against mirror image"),
    ("unsure, class by class", "clasp", "Every class has its turn, with chance that fades as labels come in"),
)


class QueueSection(QWidget):
    """A fold that shows while a data set is open.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where the panel tells what went wrong.
    """

    #: The list of cases follows another order: a `Queue`, or None for that of the table.
    changed = Signal(object)

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self.job: ChildJob | None = None
        self._session = session
        self._path: Path | None = None
        self._recheck: ThreadJob | None = None
        self._recheck_again = False
        self.fold = Fold("What next")
        self._build()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        session.dataset_changed.connect(self._follow_dataset)
        session.cases_changed.connect(self._look_again)
        session.saved.connect(self._look_again)
        self._follow_dataset()

    @shown_errors
    def look(self) -> None:
        """Ask, in a process of its own."""
        if self._path is None or self.job is not None:
            return
        kind = self.kind.currentData()
        arguments = [kind, str(self._path)]
        model = model_in_use(self._path) or self._session.model
        if kind == "next":
            arguments += ["--strategy", self.strategy.currentData()]
        wants_model = kind != "contradictions" or self.ask_model.isChecked()
        if model is not None and wants_model and arguments[-1] != "random":
            arguments += ["--model", str(model)]
        self.job = ChildJob(arguments)
        self.job.end_with(self)
        self.job.reported.connect(self._on_event)
        self.job.failed.connect(self.notice.show_error)
        self.job.finished.connect(self._on_finished)
        self.notice.clear()
        self._set_busy(True)
        self.job.start()

    def cancel(self) -> None:
        """Stop asking; the list stays as it is."""
        if self.job is not None:
            self.job.cancel()

    @shown_errors
    def clear(self) -> None:
        """Back to the order of the table."""
        self._found.show_found([])
        self._found.setVisible(False)
        self._say("")
        self._clear.setVisible(False)
        self.changed.emit(None)

    def _build(self) -> None:
        self.kind, self.strategy = CalmComboBox(), CalmComboBox()
        self.kind.setObjectName("queue_kind")
        self.strategy.setObjectName("queue_strategy")
        for text, name in _QUEUES:
            self.kind.addItem(text, name)
        for number, (text, name, tip) in enumerate(_STRATEGIES):
            self.strategy.addItem(text, name)
            self.strategy.setItemData(number, tip, int(Qt.ItemDataRole.ToolTipRole))
        self.ask_model = QCheckBox("Ask the model too")
        self.ask_model.setToolTip("Also where the model is sure of something else than the labels say; takes longer")
        self._look = button("Look", self.look, name="queue_look", tip="Looks through the images; labelling goes on")
        self._cancel = button("Cancel", self.cancel, name="queue_cancel")
        self._clear = button("Order of the table", self.clear, name="queue_clear")
        self._bar, self._state, self._words = QProgressBar(), words(faint=True), words()
        self._bar.setTextVisible(False)
        self._found = ContradictionList()
        content = self.fold.content
        content.addLayout(row(self.kind, self._look, self._cancel, stretch=self.kind))
        for widget in (self.strategy, self.ask_model, self._bar, self._state, self._words, self._found, self._clear):
            content.addWidget(widget)
        for widget in (self._found, self._clear):
            widget.setVisible(False)
        self.kind.currentIndexChanged.connect(self._follow_kind)
        self._found.opened.connect(self._open)
        self._found.confirmed.connect(self._confirm)
        self._set_busy(False)

    def _follow_kind(self) -> None:
        kind = self.kind.currentData()
        self.strategy.setVisible(kind == "next")
        self.ask_model.setVisible(kind == "contradictions")

    def _set_busy(self, busy: bool) -> None:
        for widget in (self.kind, self.strategy, self.ask_model):
            widget.setEnabled(not busy)
        self._look.setVisible(not busy)
        for shown in (self._cancel, self._bar, self._state):
            shown.setVisible(busy)
        self._state.setText(LOADING if busy else "")
        self._bar.setRange(0, 0)
        self._follow_kind()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        if event["event"] == "progress":
            self._bar.setRange(0, event["of"])
            self._bar.setValue(event["done"])
            self._state.setText(event.get("text", ""))
        elif event["event"] == "done":
            self._show(self.kind.currentData(), event["result"])

    def _on_finished(self, outcome: str) -> None:
        self.job = None
        self._set_busy(False)

    def _show(self, kind: str, document: Mapping[str, Any]) -> None:
        self._found.setVisible(kind == "contradictions")
        self._say("")
        self._clear.setVisible(True)
        if kind == "contradictions":
            found = [Contradiction(**each) for each in document["contradictions"]]
            self._found.show_found(found)
            self.changed.emit(queue_of_contradictions(found) if found else None)
            return
        self._say(next_text(document) if kind == "next" else worst_text(document))
        self.changed.emit(queue_of_next(document) if kind == "next" else queue_of_quality(document))

    def _say(self, text: str) -> None:
        self._words.setText(text)
        self._words.setVisible(bool(text))

    @shown_errors
    def _open(self, case: str) -> None:
        self._session.open_case(case)

    @shown_errors
    def _confirm(self, contradiction: Contradiction) -> None:
        dataset = self._session.dataset
        if dataset is not None:
            confirm(dataset, contradiction)
            self._keep([each for each in self._found.found if each != contradiction])

    def _keep(self, found: list[Contradiction]) -> None:
        """What is left to resolve."""
        self._found.show_found(found)
        self.changed.emit(queue_of_contradictions(found) if found else None)

    def _look_again(self) -> None:
        """After a change: see in a thread whether what the case on screen contradicted is gone."""
        case, dataset = self._session.case, self._session.dataset
        own = [each for each in self._found.found if case is not None and case.case in (each.case, each.other)]
        if case is None or dataset is None or not own:
            return
        if self._recheck is not None:
            self._recheck_again = True
            return
        folder = dataset.home

        def work(progress: Progress) -> list[Contradiction]:
            return unresolved(Dataset.open(folder), own)

        self._recheck = ThreadJob(work)
        self._recheck.end_with(self)
        self._recheck.result.connect(lambda still: self._forget_resolved(own, still))
        self._recheck.failed.connect(self.notice.show_error)
        self._recheck.finished.connect(self._on_rechecked)
        self._recheck.start()

    def _forget_resolved(self, asked: list[Contradiction], still: list[Contradiction]) -> None:
        gone = [each for each in asked if each not in still]
        if gone:
            self._keep([each for each in self._found.found if each not in gone])

    def _on_rechecked(self, outcome: str) -> None:
        self._recheck = None
        if self._recheck_again:
            self._recheck_again = False
            self._look_again()

    def _follow_dataset(self) -> None:
        dataset = self._session.dataset
        path = None if dataset is None else dataset.home
        self.setVisible(path is not None)
        if path != self._path:
            self._path = path
            if self.job is not None:
                self.job.end()
            self.clear()


def next_text(document: Mapping[str, Any]) -> str:
    """How many cases lack a label, and what kind of label is worth making."""
    head = f"{document['n_unlabelled']} cases lack a {document['kind']}, {document['n_labelled']} have one."
    if document["held_out"]:
        head += f" {document['held_out']} of validation and test are not chosen by a model's doubts."
    advice = document["advice"]
    sentences = [entry["sentence"] for entry in advice["kinds"].values()]
    if len(sentences) > 1:
        sentences.append(advice["sentence"])
    return " ".join([head, *sentences])


def worst_text(document: Mapping[str, Any]) -> str:
    """What the order rests on."""
    basis, unlike = document["calibration"], sum(case["unlike"] for case in document["cases"])
    head = f"{len(document['cases'])} cases that are not done, by {document['model']}."
    if basis["dice_spread"] is not None:
        head += f" The expected Dice is usually off by {basis['dice_spread']:.2f} ({basis['dice_cases']} cases)."
    return f"{head} {unlike} are unlike the training's images." if unlike else head
