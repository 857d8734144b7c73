"""What the Cases panel shows before there is a data set: three ways to begin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_medseg.structures import Progress
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, words
from napari_medseg.widgets.recent import recent_datasets, sample_folder

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset

_SAMPLE = "synthetic-tissue"
_SAMPLE_CASES = 24
_SAMPLE_SIDE = 512


class EmptyCases(QWidget):
    """Three buttons, and the data sets that were open lately."""

    #: A data set is there: its folder.
    made = Signal(object)
    new_asked = Signal()
    import_asked = Signal()
    open_asked = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.notice = Notice()
        self._job: ThreadJob | None = None
        layout = panel_layout(self)
        layout.addWidget(heading("A data set is a folder of cases"))
        layout.addWidget(
            words(
                "It lists images and keeps what you say and draw about them, so that models can be trained from it.",
                faint=True,
            )
        )
        layout.addWidget(button("New from images…", self.new_asked.emit, primary=True, name="new_dataset"))
        layout.addWidget(button("Import images and masks…", self.import_asked.emit, name="import_dataset"))
        self.sample = button("Try a sample", self._make_sample, name="sample")
        layout.addWidget(self.sample)
        recent = recent_datasets()
        layout.addSpacing(6)
        layout.addWidget(heading("Open again" if recent else "Already have one?"))
        for folder in recent[:5]:
            layout.addWidget(button(folder.name, lambda _=False, f=folder: self.made.emit(f), tip=str(folder)))
        layout.addWidget(button("Open folder…", self.open_asked.emit, name="open_dataset"))
        layout.addWidget(self.notice)
        layout.addStretch(1)

    def _make_sample(self) -> None:
        folder = sample_folder(_SAMPLE)
        if (folder / "dataset.json").is_file():
            self.made.emit(folder)
            return
        self.sample.setEnabled(False)
        self.sample.setText("Drawing a sample…")
        self._job = ThreadJob(lambda progress: _draw_sample(folder, progress))
        self._job.result.connect(lambda _: self.made.emit(folder))
        self._job.failed.connect(self.notice.show_error)
        self._job.finished.connect(self._sample_ended)
        self._job.end_with(self)
        self._job.start()

    def _sample_ended(self, outcome: str) -> None:
        self.sample.setEnabled(True)
        self.sample.setText("Try a sample")


def _draw_sample(folder: Path, progress: Progress) -> Dataset:
    from napari_medseg.data.synthetic import make_dataset

    return make_dataset(folder, n=_SAMPLE_CASES, size=_SAMPLE_SIDE, seed=1)
