"""What annotating cost so far: a small plot of minutes per case, and a few sentences, in the Cases panel."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.api.work_report import Speed, WorkReport, work_report
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.parts import words
from napari_medseg.widgets.plot_style import calm, follow_palette
from napari_medseg.widgets.session import Session

_HEIGHT = 120
_DRAWN, _CORRECTED = "#e69f00", "#56b4e9"
#: Pairs of classes that are named.
_PAIRS = 3


class WorkView(Fold):
    """Read from the history when it is opened, and again when cases change while it is open."""

    def __init__(self, session: Session) -> None:
        super().__init__("Work so far")
        self.session = session
        self._job: ThreadJob | None = None
        self._plot: Any = None
        self.text = words("")
        self._room = QWidget()
        layout = QVBoxLayout(self._room)
        layout.setContentsMargins(0, 0, 0, 0)
        self._room.setFixedHeight(_HEIGHT)
        self._room.setVisible(False)
        self.content.addWidget(self._room)
        self.content.addWidget(self.text)
        self.toggled.connect(self.refresh)
        session.cases_changed.connect(self.refresh)
        session.dataset_changed.connect(self.refresh)

    def refresh(self, *_: object) -> None:
        """Read the history anew, in a thread, while anybody can see it."""
        dataset = self.session.dataset
        if dataset is None or not self.is_open() or (self._job is not None and self._job.outcome is None):
            return
        self._job = ThreadJob(lambda _: work_report(dataset))
        self._job.result.connect(self.show_report)
        self._job.failed.connect(lambda text, _: self.text.setText(text))
        self._job.end_with(self)
        self._job.start()

    def show_report(self, report: WorkReport) -> None:
        """Show what was found."""
        self.text.setText("\n".join(sentences(report)))
        timed = [case for case in report.finished if case.kind == "labels"]
        self._room.setVisible(len(timed) > 1)
        if len(timed) > 1:
            self._draw(np.array([case.seconds / 60 for case in timed]), np.array([case.is_corrected for case in timed]))

    def _draw(self, minutes: np.ndarray[Any, Any], corrected: np.ndarray[Any, Any]) -> None:
        import pyqtgraph

        if self._plot is None:
            self._plot = pyqtgraph.PlotWidget()
            calm(self._plot)
            self._plot.setLabel("left", "minutes")
            self._plot.setLabel("bottom", "case, in order of time")
            follow_palette(self._plot, self.palette())
            layout = self._room.layout()
            assert layout is not None
            layout.addWidget(self._plot)
        self._plot.clear()
        places = np.arange(1, len(minutes) + 1)
        for chosen, color, symbol in ((~corrected, _DRAWN, "o"), (corrected, _CORRECTED, "t1")):
            self._plot.plot(
                places[chosen],
                minutes[chosen],
                pen=None,
                symbol=symbol,
                symbolSize=7,
                symbolBrush=color,
                symbolPen=None,
            )
        self._plot.setYRange(0, float(minutes.max()) or 1.0, padding=0.05)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow a change of theme (Qt's hook)."""
        super().changeEvent(event)
        changes = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
        if event is not None and event.type() in changes and getattr(self, "_plot", None) is not None:
            follow_palette(self._plot, self.palette())


def sentences(report: WorkReport) -> list[str]:
    """The report in words."""
    if not report.finished:
        return ["Nothing was timed yet: cases that you draw or tag here and mark done are."]
    lines = [
        _of("● drawn from nothing", report.drawn),
        _of("▲ corrected from a model", report.corrected),
        _of("tagged", report.tagged),
    ]
    if report.gain is not None:
        lines.append(f"Parts per second with a model: {report.gain:.1f} times as many as from nothing.")
    changed = sum(report.edits.values())
    if report.proposed:
        lines.append(f"{changed / report.proposed:.1%} of what models proposed was changed.")
        most = sorted(report.edits.items(), key=lambda item: -item[1])[:_PAIRS]
        lines += [f"  {before} to {now}: {count:,} px" for (before, now), count in most]
    return [line for line in lines if line]


def _of(what: str, speed: Speed) -> str:
    if not speed.cases or speed.median_seconds is None:
        return ""
    return f"{what}: {speed.cases} case{'' if speed.cases == 1 else 's'}, {speed.median_seconds / 60:.1f} min each"
