"""A training as it goes: stages, curves, time left, warnings, and the result. Fed with events, knows no process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QProgressBar, QVBoxLayout, QWidget

from napari_medseg.training.events import duration
from napari_medseg.widgets.curves import Curves
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.league_table import LeagueTable
from napari_medseg.widgets.level_boxes import LevelBoxes
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.parts import LOADING, words
from napari_medseg.widgets.result_card import ResultCard
from napari_medseg.widgets.stage_timeline import StageTimeline


class RunView(QWidget):
    """Shows the events of one run (`training.events`)."""

    use_model = Signal(Path)
    #: Another candidate shall be the model: its name.
    use_candidate = Signal(str)
    #: A candidate shall end with what it has: the name of its stage.
    stop_candidate = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.timeline = StageTimeline()
        self.levels = LevelBoxes()
        self.league = LeagueTable()
        self.curves = Curves()
        self.result = ResultCard()
        self._bar = QProgressBar()
        self._bar.setRange(0, 0)
        self._bar.setTextVisible(False)
        self._state, self._machine = words(), words(faint=True)
        self._warnings = Fold("Warnings")
        self._chosen = ""
        self._score_names: dict[str, str] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._machine)
        layout.addWidget(self.timeline)
        layout.addWidget(self.levels)
        layout.addWidget(self.league)
        for widget in (self._bar, self._state, self._warnings, self.result, self.curves):
            layout.addWidget(widget)
        self.timeline.chosen.connect(self._choose)
        self.league.chosen.connect(self._choose)
        self.league.stop.connect(self.stop_candidate)
        self.league.use.connect(self.use_candidate)
        self.result.use.connect(self.use_model)
        self._takers = {
            "started": self._on_started,
            "stage_started": self._on_stage_started,
            "step": self._on_step,
            "epoch_ended": self._on_epoch_ended,
            "stage_ended": self._on_stage_ended,
            "progress": self._on_progress,
            "warning": self._on_warning,
            "done": self._on_done,
        }

    def begin(self, stages: Iterable[tuple[str, str]]) -> None:
        """Show a run that is starting."""
        self.timeline.set_stages(stages)
        self.curves.clear()
        self.league.clear()
        self.levels.clear()
        self._score_names = {}
        self._chosen = ""
        self.result.setVisible(False)
        self._machine.setText("")
        self._set_state(LOADING)
        self._bar.setRange(0, 0)
        self._bar.setVisible(True)
        self._clear_warnings()

    def take(self, event: Mapping[str, Any]) -> None:
        """Show one event; kinds that are not for here are left alone."""
        taker = self._takers.get(event["event"])
        if taker is not None:
            taker(event)

    def end(self, outcome: str, *, can_resume: bool = False) -> None:
        """Show that the run is over; `can_resume` says whether one that was stopped can go on later."""
        self._bar.setVisible(False)
        self.timeline.stop_running("failed" if outcome == "failed" else "stopped")
        self.league.end("failed" if outcome == "failed" else "stopped")
        kept = "what was trained so far is kept" if can_resume else "nothing was trained yet"
        self._set_state(f"Stopped; {kept}." if outcome == "cancelled" else "")

    @property
    def state(self) -> str:
        """The line under the progress bar."""
        return self._state.text()

    def warnings(self) -> list[str]:
        """Sentences that the run warned with."""
        return [label.words for label in self._warnings.body.findChildren(SentenceLabel)]

    def _choose(self, stage: str) -> None:
        """A person wants to see a stage's curves: stay there."""
        self._chosen = stage
        self._show_curves(stage)

    def _on_started(self, event: Mapping[str, Any]) -> None:
        steps = [(stage["name"], stage["title"]) for stage in event["stages"] if not stage.get("candidate")]
        if [name for name, _ in steps] != list(self.timeline.states()):
            self.timeline.set_stages(steps)
        for stage in event["stages"]:
            if stage.get("candidate"):
                self.league.put(stage["name"], title=stage["title"])
        processes = f", {event['processes']} processes" if event.get("processes", 1) > 1 else ""
        threads = f"{event['threads']} thread{'' if event['threads'] == 1 else 's'}"
        self._machine.setText(f"On {event['device']}, {event['precision']}, {threads}{processes}")

    def _on_stage_started(self, event: Mapping[str, Any]) -> None:
        stage, name = event["stage"], event.get("score_name", "score")
        self._score_names[stage] = name
        self.levels.show_parts(event.get("parts", ()))
        if event.get("candidate"):
            parameters = sum(event["parameters"].values())
            self.league.put(stage, title=event["title"], parameters=parameters, standing="running")
            self.league.name_scores(name)
            self.curves.compare(stage, self.league.color(stage))
        else:
            self.timeline.set_state(stage, "running", title=event["title"])
        self._bar.setRange(0, 0)
        cases = event.get("cases", {})
        self._set_state(f"{cases.get('train', 0)} training and {cases.get('validation', 0)} validation cases")

    def _on_step(self, event: Mapping[str, Any]) -> None:
        self._bar.setRange(0, event["steps"])
        self._bar.setValue(event["step"])
        parts = [f"step {event['step']} of {event['steps']}"]
        if event.get("loss") is not None:
            parts.append(f"loss {event['loss']:.3f}")
        if event.get("eta_seconds") is not None:
            parts.append(f"{duration(event['eta_seconds'])} left in this stage")
        self._set_state(" · ".join(parts))

    def _on_epoch_ended(self, event: Mapping[str, Any]) -> None:
        stage, best = event["stage"], event.get("best_score")
        if not self._chosen:
            self._show_curves(stage)
        self.curves.add_epoch(
            stage,
            event["epoch"],
            train_loss=event["train_loss"],
            validation_loss=event.get("validation_loss"),
            score=event["score"],
        )
        epochs = f"{event['epoch']}/{event['epochs']}"
        if self._competes(stage):
            self.league.put(stage, score=best, seconds=event["seconds"], note=epochs)
        else:
            score = "" if best is None else f" · best {self._named(stage, best)}"
            self.levels.set_score(stage, "" if best is None else self._named(stage, best))
            self.timeline.set_state(stage, "running", f"{epochs}{score}")

    def _on_stage_ended(self, event: Mapping[str, Any]) -> None:
        stage, best, reused = event["stage"], event["best_score"], event["reused"]
        if self._competes(stage):
            standing = "stopped" if event.get("stopped") else "reused" if reused else "done"
            self.league.put(stage, score=best, seconds=event["seconds"], standing=standing, note="")
            return
        score = "" if best is None else self._named(stage, best)
        self.levels.set_score(stage, score)
        how = "reused" if reused else duration(event["seconds"])
        self.timeline.set_state(stage, "reused" if reused else "done", " · ".join(filter(None, (score, how))))

    def _competes(self, stage: str) -> bool:
        return any(candidate.stage == stage for candidate in self.league.candidates)

    def _named(self, stage: str, score: float) -> str:
        """A score with its name, e.g. ``Dice 0.840``; some scores have none."""
        name = self._score_names.get(stage, "score")
        return f"{score:.3f}" if name == "score" else f"{name} {score:.3f}"

    def _show_curves(self, stage: str) -> None:
        self.curves.name_scores(self._score_names.get(stage, "score"))
        self.curves.show_stage(stage)

    def _on_progress(self, event: Mapping[str, Any]) -> None:
        self._bar.setRange(0, event["of"])
        self._bar.setValue(event["done"])
        self._set_state(event.get("text", ""))

    def _on_warning(self, event: Mapping[str, Any]) -> None:
        label = SentenceLabel()
        label.say("warning", event["text"])
        self._warnings.content.addWidget(label)
        count = self._warnings.content.count()
        self._warnings.set_title(f"{count} warning{'s' if count > 1 else ''}")
        self._warnings.setVisible(True)

    def _on_done(self, event: Mapping[str, Any]) -> None:
        summary = event["result"]["summary"]
        self.result.show_result(summary)
        if summary.get("candidates"):
            self.league.finish(summary["candidates"])

    def _set_state(self, text: str) -> None:
        self._state.setText(text)

    def _clear_warnings(self) -> None:
        while (item := self._warnings.content.takeAt(0)) is not None:
            label = item.widget()
            if label is not None:
                label.setParent(None)
        self._warnings.setVisible(False)
