"""The Train panel: check the data, choose settings, train in a child process, use the result."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import (
    QCheckBox,
    QLabel,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.errors import MedsegError
from napari_medseg.io.atomic import write_text
from napari_medseg.schemes import SCHEMES
from napari_medseg.widgets.comparison_card import ComparisonCard
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ChildJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, row, scrolling, words
from napari_medseg.widgets.previews import TrainingPreviews
from napari_medseg.widgets.run_files import (
    SETTINGS_NAME,
    RecordedRun,
    ask_to_stop,
    check_name,
    free_name,
    interrupted_runs,
    read_run,
)
from napari_medseg.widgets.run_view import RunView
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.train_setup import TrainSetup


class TrainPanel(QWidget):
    """Trains a scheme on the open data set.

    Parameters
    ----------
    napari_viewer
        The viewer whose session is used.
    session
        Another session than the viewer's own.
    """

    def __init__(self, napari_viewer: napari.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.session = session or session_of(napari_viewer)
        self.job: ChildJob | None = None
        self.setup = TrainSetup(self.session)
        self.run_view = RunView()
        self.comparison = ComparisonCard()
        self.notice = Notice()
        self._previews = TrainingPreviews(self.session.viewer, self.session)
        self._interrupted: RecordedRun | None = None
        self._run: Path | None = None
        self._dataset_path: Path | None = None
        self._proposed = ""
        self._build()
        self._connect()
        self._show_dataset()

    @shown_errors
    def start(self) -> None:
        """Start a new run with the settings as edited; says in the panel what keeps it from starting."""
        dataset = self.session.dataset
        if dataset is None or self.job is not None:
            return
        runs = dataset.home / "runs"
        name = self._name.text().strip()
        check_name(runs, name)
        config = self.setup.config().model_dump(mode="json")
        options = self.setup.start_options.arguments()
        self._launch(self.setup.scheme.key, runs / name, config, options=options, drafts=self.setup.include_drafts)

    @shown_errors
    def resume(self) -> None:
        """Go on with the interrupted run that the panel offers."""
        run = self._interrupted
        if run is None or self.job is not None:
            return
        self._go_on(run, drafts=self.setup.include_drafts)

    @shown_errors
    def use_candidate(self, name: str) -> None:
        """Make another candidate of the run on screen its model; its stages are taken from the disk."""
        run = read_run(self._run) if self._run is not None else None
        if run is None or self.job is not None:
            return
        self._go_on(run, options=["--set", f"target={name}"])

    @shown_errors
    def stop_candidate(self, stage: str) -> None:
        """End one candidate of the run under way with its best weights so far."""
        if self._run is not None and self.job is not None:
            ask_to_stop(self._run, stage)

    def cancel(self) -> None:
        """Stop the run; its last checkpoint stays."""
        if self.job is not None:
            self._cancel.setEnabled(False)
            self.job.cancel()

    def _go_on(self, run: RecordedRun, *, options: Sequence[str] = (), drafts: bool = False) -> None:
        # Another seed than the run's own would train every stage anew.
        again = ["--resume", "--seed", str(run.seed), *options]
        self._launch(run.scheme, run.path, run.config, options=again, drafts=drafts)

    def _launch(
        self, scheme: str, run: Path, config: Mapping[str, Any], *, options: Sequence[str] = (), drafts: bool = False
    ) -> None:
        assert self.session.dataset is not None
        self._run = run
        settings = run / SETTINGS_NAME
        write_text(settings, json.dumps(config, indent=2))
        arguments = ["train", scheme, "--data", str(self.session.dataset.home), "--out", str(run)]
        arguments += ["--config", str(settings), *options, *["--include-drafts"] * drafts]
        self.setup.estimate.forget()
        self.comparison.forget()
        self._dataset_path = self.session.dataset.home
        self._previews.begin()
        self._preview_box.setChecked(True)
        self.run_view.begin(SCHEMES[scheme].stage_titles.items())
        self.job = ChildJob(arguments)
        self.job.end_with(self)
        self.job.reported.connect(self._on_event)
        self.job.failed.connect(self.notice.show_error)
        self.job.finished.connect(self._on_finished)
        self._set_busy(True)
        self.job.start()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        self.run_view.take(event)
        if event["event"] == "preview_written" and self._preview_box.isChecked():
            try:
                self._previews.show(event["case"], Path(event["path"]))
            except MedsegError as error:
                self.notice.show_warning(str(error))
            self._preview_box.setChecked(self._previews.enabled)

    def _on_finished(self, outcome: str) -> None:
        self.job = None
        self._offer_runs()
        self.run_view.end(outcome, can_resume=self._interrupted is not None and self._interrupted.path == self._run)
        self._set_busy(False)
        if outcome == "done" and self._dataset_path is not None and self.run_view.result.model is not None:
            self.comparison.begin(self._dataset_path, self.run_view.result.model)

    def _on_case(self) -> None:
        self._previews.step_aside()

    def _on_use(self, model: Path) -> None:
        self.session.set_model(model)
        self.session.show_panel("Predict")

    def _set_busy(self, busy: bool) -> None:
        self.setup.setVisible(not busy)
        self.setup.setEnabled(not busy)
        self.run_view.setVisible(True)
        self._next.setVisible(not busy)
        self._preview_box.setVisible(busy)
        self._name_row.setVisible(not busy)
        self._start.setVisible(not busy)
        self._resume_row.setVisible(not busy and self._interrupted is not None)
        self._cancel.setVisible(busy)
        self._cancel.setEnabled(busy)

    def _show_dataset(self) -> None:
        dataset = self.session.dataset
        name = dataset.info.name if dataset is not None else ""
        self._data.setText(f"Data set: {name}" if name else "Open or make a data set in the tab Cases first.")
        self._data.setToolTip("" if dataset is None else str(dataset.home))
        self._offer_runs()

    def _offer_runs(self) -> None:
        """Propose a name for the next run, and to go on with the last one that was interrupted."""
        dataset = self.session.dataset
        runs = dataset.home / "runs" if dataset is not None else None
        found = interrupted_runs(runs) if runs is not None else []
        self._interrupted = found[0] if found else None
        if self._interrupted is not None:
            self._resumable.setText(f"{self._interrupted.path.name} was stopped before its end.")
        self._resume_row.setVisible(self._interrupted is not None and self.job is None)
        self._name.clear()
        self._refresh()

    def _refresh(self) -> None:
        """Follow the settings: a name that nobody typed is that of the scheme."""
        dataset = self.session.dataset
        if dataset is not None and self._name.text() in ("", self._proposed):
            self._proposed = free_name(dataset.home / "runs", self.setup.scheme.key)
            self._name.setText(self._proposed)
        self._start.setEnabled(self.job is None and self.setup.is_ready())

    def _build(self) -> None:
        self._data = words()
        self._preview_box = QCheckBox("Show predictions on validation cases")
        self._preview_box.setVisible(False)
        self._next = heading("Next run")
        self._next.setVisible(False)
        inner = QWidget()
        content = QVBoxLayout(inner)
        content.setContentsMargins(10, 8, 10, 8)
        for widget in (self._data, self.run_view, self.comparison, self._preview_box, self._next, self.setup):
            content.addWidget(widget)
        content.addStretch(1)
        self.run_view.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolling(inner), 1)
        layout.addWidget(self._bar())

    def _bar(self) -> QWidget:
        """Name of the run and the buttons; always on screen, below what scrolls."""
        self._name, self._name_row = QLineEdit(), QWidget()
        self._name.setObjectName("run_name")
        label = QLabel("Run")
        label.setBuddy(self._name)
        self._name_row.setLayout(row(label, self._name, stretch=self._name))
        tip = "Train in a process of its own; napari stays free for other work."
        self._start = button("Start", self.start, tip=tip, name="start", primary=True)
        tip = "Stop; the last checkpoint is kept and can be resumed."
        self._cancel = button("Cancel", self.cancel, tip=tip, name="cancel")
        tip = "Go on with the run that was stopped, with the settings that it had."
        self._resume, self._resumable, self._resume_row = (
            button("Resume", self.resume, tip=tip, name="resume"),
            words(),
            QWidget(),
        )
        self._resume_row.setLayout(row(self._resumable, self._resume, stretch=self._resumable))
        bar = QWidget()
        content = QVBoxLayout(bar)
        content.setContentsMargins(10, 2, 10, 10)
        content.addWidget(self.notice)
        content.addWidget(self._resume_row)
        content.addWidget(self._name_row)
        content.addLayout(row(self._cancel, self._start, stretch=self._start))
        self._cancel.setVisible(False)
        self._resume_row.setVisible(False)
        return bar

    def _connect(self) -> None:
        self._preview_box.toggled.connect(lambda on: setattr(self._previews, "enabled", on))
        self.run_view.use_model.connect(self._on_use)
        self.comparison.promoted.connect(self.session.set_model)
        self.comparison.failed.connect(self.notice.show_error)
        self.run_view.use_candidate.connect(self.use_candidate)
        self.run_view.stop_candidate.connect(self.stop_candidate)
        self.setup.changed.connect(self._refresh)
        self.session.dataset_changed.connect(self._show_dataset)
        self.session.case_changed.connect(self._on_case)
