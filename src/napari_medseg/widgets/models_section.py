"""The part of the Predict panel that lists the models of a data set: which is in use, and the way back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.api.models import list_models, promote_model, roll_back_model
from napari_medseg.data.models_in_use import model_before, model_in_use
from napari_medseg.errors import MedsegError
from napari_medseg.structures import Progress
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.model_card import main_scores
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.result_card import figure_name
from napari_medseg.widgets.session import Session

#: Changes of the model in use that are shown.
_SHOWN = 3


class ModelsSection(QWidget):
    """A fold that shows while a data set is open; a data set that is opened is predicted with its model in use.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where the panel tells what went wrong.
    """

    #: Another model is in use; no arguments.
    changed = Signal()

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self._session = session
        self._job: ThreadJob | None = None
        self._path: Path | None = None
        self.fold = Fold("Models of this data set")
        self.rows = QWidget()
        QVBoxLayout(self.rows).setContentsMargins(0, 0, 0, 0)
        self.history = words(faint=True)
        self.back = button("", self._roll_back, name="roll_back")
        self.back.setToolTip("Predict with the model before this one again; both are kept")
        for widget in (self.rows, self.back, self.history):
            self.fold.content.addWidget(widget)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        self.fold.toggled.connect(self.refresh)
        session.dataset_changed.connect(self.follow_dataset)
        self.follow_dataset()

    def follow_dataset(self) -> None:
        """Take the model in use of a data set that was opened, and list its models."""
        dataset = self._session.dataset
        path = None if dataset is None else dataset.home
        self.setVisible(path is not None)
        if path != self._path:
            self._path = path
            self._use_what_is_in_use()
        self.refresh()

    def refresh(self) -> None:
        """List the models anew while the fold is open; files are read in a thread."""
        if self._path is not None and self.fold.is_open() and self._job is None:
            self._run(partial(list_models, self._path), self._show)

    def _use_what_is_in_use(self) -> None:
        if self._path is None:
            return
        try:
            in_use = model_in_use(self._path)
        except MedsegError as error:
            self.notice.show_warning(str(error))
            return
        if in_use is not None:
            self._session.set_model(in_use)

    def _show(self, document: Mapping[str, Any]) -> None:
        layout = self.rows.layout()
        assert layout is not None
        while (item := layout.takeAt(0)) is not None:
            widget = item.widget()
            if widget is not None:
                widget.deleteLater()
        for model in document["models"]:
            layout.addWidget(self._row(model))
        if not document["models"]:
            layout.addWidget(words("No model yet: train one.", faint=True))
        before = model_before(self._path) if self._path is not None else None
        self.back.setVisible(before is not None)
        self.back.setText(f"Go back to {before.name}" if before is not None else "")
        made = document["promotions"][-_SHOWN:][::-1]
        self.history.setText("\n".join(promotion_text(each) for each in made))
        self.history.setVisible(bool(made))

    def _row(self, model: Mapping[str, Any]) -> QWidget:
        line = QWidget()
        scores = " · ".join(f"{figure_name(name)} {value:.3f}" for name, value in main_scores(model["scores"]).items())
        cases = f"{model['training_cases']} cases" if model["training_cases"] else ""
        text = model["fault"] or " · ".join(filter(None, (model["scheme"], cases, scores)))
        name = f"✓ {model['name']} (in use)" if model["in_use"] else model["name"]
        label = words(f"{name}\n{text}")
        label.setToolTip(model["path"])
        use = button("Put in use", partial(self._promote, Path(model["path"])), name="put_in_use")
        use.setVisible(not model["in_use"] and not model["fault"])
        line.setLayout(row(label, use, stretch=label))
        return line

    def _promote(self, model: Path) -> None:
        if self._path is not None and self._job is None:
            self._run(partial(promote_model, self._path, model), self._on_changed)

    def _roll_back(self) -> None:
        if self._path is not None and self._job is None:
            self._run(partial(roll_back_model, self._path), self._on_changed)

    def _on_changed(self, _: Any) -> None:
        self._use_what_is_in_use()
        self.changed.emit()

    def _run(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        def run(progress: Progress) -> Any:
            return work()

        job = ThreadJob(run)
        job.end_with(self)
        job.result.connect(then)
        job.failed.connect(self.notice.show_error)
        job.finished.connect(partial(self._on_finished, again=then == self._on_changed))
        self._job = job
        self.rows.setEnabled(False)
        job.start()

    def _on_finished(self, outcome: str, *, again: bool) -> None:
        self._job = None
        self.rows.setEnabled(True)
        if again and outcome == "done":
            self.refresh()


def promotion_text(made: Mapping[str, Any]) -> str:
    """A change of the model in use in a line, e.g. ``2026-11-05 12:03 anna put run-2 in use: Better by …``."""
    when = made["time"][:16].replace("T", " ")
    what = f"put {made['name']} in use" if made["action"] == "promote" else f"went back to {made['name']}"
    return f"{when} {made['author']} {what}" + (f": {made['reason']}" if made["reason"] else "")
