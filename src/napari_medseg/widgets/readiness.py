"""What the data set on screen can train now, in one line, with a button that leads there."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QWidget

from napari_medseg.schemes import SCHEMES
from napari_medseg.structures import Progress
from napari_medseg.widgets.data_check import DataCheck, check_data
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.parts import button, row
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.train_setup import scheme_for

#: Milliseconds after the last change of the table until the data set is counted again.
_QUIET = 1500


class Readiness(QWidget):
    """Counts tags and contours in a thread whenever a case was changed."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._job: ThreadJob | None = None
        self.sentence = SentenceLabel()
        self.train = button("Train…", lambda: session.show_panel("Train"), name="train")
        self.setLayout(row(self.sentence, self.train, stretch=self.sentence))
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET)
        self._timer.timeout.connect(self._count)
        session.cases_changed.connect(self._timer.start)
        session.dataset_changed.connect(self._timer.start)
        self._timer.start()

    def _count(self) -> None:
        dataset = self._session.dataset
        self.setVisible(dataset is not None)
        if dataset is None:
            return
        if self._job is not None and self._job.outcome is None:
            self._timer.start()
            return
        if not self.sentence.words:
            self.sentence.say("waiting", "Counting tags and contours …")
        self._job = ThreadJob(lambda progress: _check(dataset.home, progress))
        self._job.result.connect(self._show)
        self._job.failed.connect(self._show_failure)
        self._job.end_with(self)
        self._job.start()

    def _show(self, found: DataCheck) -> None:
        if not found.total("cases"):
            self.sentence.say("waiting", "Nothing to train on yet: mark cases as done first.")
            return
        text = found.sentence()
        ready = [title for title, obstacle in found.feeds.items() if not obstacle]
        self.train.setToolTip("\n".join(["Ready for:", *ready]) if ready else "")
        if ready:
            proposed = "" if self._session.dataset is None else SCHEMES[scheme_for(self._session.dataset.info)].title
            self.sentence.say("ok", f"{text}: ready for {proposed if proposed in ready else '; '.join(ready)}")
            return
        obstacle = next((obstacle for obstacle in found.feeds.values() if obstacle), "")
        self.sentence.say("waiting", f"{text}. {obstacle}")

    def _show_failure(self, text: str, details: str) -> None:
        self.sentence.say("warning", text)


def _check(folder: Path, progress: Progress) -> DataCheck:
    # Every scheme is asked with its own defaults; which one leads makes no difference to that.
    scheme = next(iter(SCHEMES.values()))
    return check_data(folder, scheme, scheme.config_type(), include_drafts=False, progress=progress)
