"""The part of the Annotate panel that says where the scan is in an ultrasound frame, and lets a person correct it."""

from __future__ import annotations

from functools import partial

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.scan_boxes import ScanBoxes, followers
from napari_medseg.data.scan_region import ScanRegionMethod
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, row, words
from napari_medseg.widgets.scan_box import scan_box_of, source_text
from napari_medseg.widgets.session import Session

_MACHINE = "machine"
_METHODS: dict[ScanRegionMethod, str] = {
    "robust": "found automatically",
    "largest": "largest bright region",
    "whole": "whole image",
}
_OWN = "own box"


class ScanSection(QWidget):
    """How the scan was found, and what to do where that is wrong.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where errors are said.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self.scan = scan_box_of(session)
        self._session = session
        #: Cases that follow the machine's box, by machine; forgotten with the data set.
        self._followers: dict[str, tuple[str, ...]] = {}
        self._counted: Dataset | None = None
        self._job: ThreadJob | None = None
        self.method = CalmComboBox()
        self.method.setObjectName("scan_method")
        self.method.setToolTip("How the scan is told from the machine's frame and text; models see the scan alone")
        self.method.activated.connect(self._choose)
        self.source, self.remarks = words(faint=True), words()
        self.correct = button("Correct box", self.scan.correct, name="correct_box")
        self.correct.setToolTip("Alt+B: move the sides of the rectangle with the mouse; Ctrl+Z takes a change back")
        self.remember = button("Use for this machine", self._remember, name="remember_box")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(heading("Scan region"), self.method, stretch=self.method))
        layout.addWidget(self.source)
        layout.addWidget(self.remarks)
        layout.addLayout(row(self.correct, self.remember, stretch=self.remember))
        self.scan.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        boxes = self.scan.boxes
        for widget in (self.method, self.correct, self.remember):
            widget.setEnabled(boxes is not None)
        self.source.setText("Looking for the scan …" if boxes is None else _box_text(boxes))
        remarks = [] if boxes is None else [*(boxes.found.notes if boxes.own is None else ()), *_doppler(boxes)]
        self.remarks.setText(" ".join(remarks))
        self.remarks.setVisible(bool(remarks))
        if boxes is None:
            return
        self._list_methods(boxes)
        self.remember.setVisible(boxes.device is not None)
        if boxes.device is not None:
            self._show_followers(boxes.device)

    def _list_methods(self, boxes: ScanBoxes) -> None:
        self.method.clear()
        if boxes.remembered is not None:
            self.method.addItem("as for this machine", _MACHINE)
        for method, name in _METHODS.items():
            self.method.addItem(name, method)
        shown = _MACHINE if boxes.remembered is not None else "robust"
        if boxes.own is not None:
            whole = tuple((0, n) for n in boxes.shape)
            shown = "whole" if boxes.own == whole else _OWN
        if shown == _OWN:
            self.method.addItem(_OWN, _OWN)
        self.method.setCurrentIndex(self.method.findData(shown))

    @shown_errors
    def _choose(self, _: int) -> None:
        chosen = self.method.currentData()
        if chosen == _MACHINE:
            self.scan.follow_machine()
        elif chosen != _OWN:
            self.scan.choose(chosen)

    @shown_errors
    def _remember(self) -> None:
        boxes = self.scan.boxes
        if boxes is None or boxes.device is None:
            return
        self.scan.remember_for_machine()
        count = len(self._followers.get(boxes.device, ()))
        others = f"{count} case{'' if count == 1 else 's'} without a box of their own" if count else "Further cases"
        self.notice.show_info(f"{others} of '{boxes.device}' use{'s' if count == 1 else ''} this box now.")

    def _show_followers(self, device: str) -> None:
        """Say for how many cases a box of this machine counts; they are counted once, in a thread."""
        dataset, case = self._session.dataset, self._session.case
        if dataset is None or case is None:
            return
        if dataset is not self._counted:
            self._followers, self._counted = {}, dataset
        if device in self._followers:
            count = len(self._followers[device])
            self.remember.setText(f"Use for all {count} of this machine" if count > 1 else "Use for this machine")
            self.remember.setToolTip(f"{device}: the cases that have no box of their own")
        elif self._job is None:
            self._job = ThreadJob(partial(followers, dataset, device))
            self._job.result.connect(partial(self._on_counted, dataset, device))
            self._job.finished.connect(self._on_finished)
            self._job.end_with(self)
            self._job.start()

    def _on_counted(self, dataset: Dataset, device: str, found: tuple[str, ...]) -> None:
        if dataset is self._counted:
            self._followers[device] = found

    def _on_finished(self, outcome: str) -> None:
        self._job = None
        boxes = self.scan.boxes
        if outcome == "done" and boxes is not None and boxes.device is not None:
            self._show_followers(boxes.device)


def _box_text(boxes: ScanBoxes) -> str:
    (top, bottom), (left, right) = boxes.box
    height, width = boxes.shape
    return f"{right - left} × {bottom - top} of {width} × {height} pixels. {source_text(boxes)}"


def _doppler(boxes: ScanBoxes) -> list[str]:
    return ["Colour Doppler: flow is painted over the grey picture."] if boxes.color_doppler else []
