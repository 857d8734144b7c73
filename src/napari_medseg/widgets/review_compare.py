"""A part of the Review panel: the readings of the case on screen, what they dispute, and one draft out of them."""

from __future__ import annotations

import html
import math

import numpy as np
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QListWidget, QListWidgetItem, QVBoxLayout, QWidget

from napari_medseg.annotation.consensus import Dispute
from napari_medseg.api.consensus import METHODS, adjudicate
from napari_medseg.data.readings import Reading, whole_dataset
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NOT_LOOKED_AT, Case
from napari_medseg.widgets.comparison import (
    Compared,
    ComparisonLayers,
    compare_readings,
    reader_color,
    show_dispute,
)
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.window import main_window

#: Places that are listed; the rest is small.
_MOST_PLACES = 200
_LIST_HEIGHT = 132
_METHODS = {"majority": "majority", "staple": "STAPLE"}


class ReviewCompare(QWidget):
    """Compares, leads from place to place, and makes the consensus the case's draft."""

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.session = session
        self.notice = notice
        self.compared: Compared | None = None
        self._layers: ComparisonLayers | None = None
        self._job: ThreadJob | None = None
        self._disputes: tuple[Dispute, ...] = ()
        #: Keys to the places.
        self._keys: list[QShortcut] = []
        self._build()

    def _build(self) -> None:
        self.method = CalmComboBox()
        self.method.setObjectName("method")
        for method in METHODS:
            self.method.addItem(_METHODS[method], method)
        self.method.setToolTip(
            "Majority: what most say. STAPLE: weighs readers by how reliable they seem; from three on"
        )
        self.compare = button("Compare readings", self.start, name="compare_readings")
        self.compare.setToolTip("Show the outlines of all finished readings, and a map of where they disagree")
        self.hide_layers = button("Hide", self.clear, name="hide_comparison")
        self.summary = words()
        self.places = QListWidget()
        self.places.setObjectName("disputes")
        self.places.setFixedHeight(_LIST_HEIGHT)
        self.places.currentRowChanged.connect(self._show_place)
        self.places.itemClicked.connect(lambda _: self._show_place(self.places.currentRow()))
        self.previous = button("◀ place", lambda: self.step(-1), name="previous_dispute", tip="Alt+Shift+Up")
        self.following = button("place ▶", lambda: self.step(1), name="next_dispute", tip="Alt+Shift+Down")
        self.take = button("Make the consensus the draft", self._take, name="take_consensus")
        self.take.setToolTip(
            "The consensus becomes the labels of the data set, to correct and mark done; the first "
            "reading is kept under its author's name"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(row(self.method, self.compare, self.hide_layers, stretch=self.compare))
        layout.addWidget(self.summary)
        layout.addWidget(self.places)
        layout.addLayout(row(self.previous, self.following, self.take, stretch=self.take))
        self._show_parts(False)
        self._keys = [self._key("Alt+Shift+Up", -1), self._key("Alt+Shift+Down", 1)]

    def _key(self, keys: str, by: int) -> QShortcut:
        """A key that works wherever the focus is, while there are places to go to."""
        shortcut = QShortcut(QKeySequence(keys), main_window(self.session.viewer))
        shortcut.activated.connect(lambda: self.step(by))
        shortcut.setEnabled(False)
        self.destroyed.connect(shortcut.deleteLater)
        return shortcut

    def show_case(self, case: Case | None) -> None:
        """Another case is on screen: what was compared belongs to the one before."""
        if self.compared is not None and (case is None or case.case != self.compared.agreement.case):
            self.clear()

    def clear(self) -> None:
        """Take the comparison away."""
        if self._layers is not None:
            self._layers.remove()
        self._layers, self.compared, self._disputes = None, None, ()
        self.summary.setText("")
        self.places.clear()
        self._show_parts(False)

    @shown_errors
    def start(self) -> None:
        """Compare the finished readings of the case on screen, in a thread."""
        dataset, case = self.session.dataset, self.session.case
        if dataset is None or case is None or (self._job is not None and self._job.outcome is None):
            return
        self.clear()
        self.summary.setText("Comparing …")
        method = self.method.currentData()
        self._job = ThreadJob(lambda _: compare_readings(dataset, case.case, method))
        self._job.result.connect(self._show)
        self._job.failed.connect(self._show_failure)
        self._job.end_with(self)
        self._job.start()

    def step(self, by: int) -> None:
        """Go to the next disputed place, or the previous one."""
        count = self.places.count()
        if count:
            self.places.setCurrentRow((self.places.currentRow() + by) % count)

    def _show(self, compared: Compared) -> None:
        dataset, case, labels = self.session.dataset, self.session.case, self.session.labels
        self.summary.setText("")
        if dataset is None or labels is None or case is None or case.case != compared.agreement.case:
            return
        self.compared = compared
        self.summary.setText(_summary(compared))
        if self.session.open is not None and self.session.open.fills_rest:
            self._layers = ComparisonLayers(self.session.viewer, labels, compared, dataset.info)
        self._disputes = compared.consensus.disputes[:_MOST_PLACES]
        self.places.blockSignals(True)
        self.places.clear()
        for number, dispute in enumerate(self._disputes, start=1):
            self.places.addItem(QListWidgetItem(_place_text(number, dispute)))
        self.places.setCurrentRow(-1)
        self.places.blockSignals(False)
        self._show_parts(True)

    def _show_failure(self, text: str, details: str) -> None:
        self.summary.setText("")
        self.notice.show_error(text, details)

    def _show_place(self, place: int) -> None:
        if 0 <= place < len(self._disputes) and self.session.labels is not None:
            show_dispute(self.session.viewer, self.session.labels, self._disputes[place])

    def _show_parts(self, shown: bool) -> None:
        several = shown and bool(self._disputes)
        for part in (self.places, self.previous, self.following):
            part.setVisible(several)
        for shortcut in self._keys:
            shortcut.setEnabled(several)
        self.hide_layers.setVisible(shown)
        is_home = not isinstance(self.session.dataset, Reading)
        self.take.setVisible(shown and is_home and self.compared is not None and bool(self.compared.labels))

    @shown_errors
    def _take(self) -> None:
        session, compared = self.session, self.compared
        if compared is None or session.dataset is None:
            return
        if isinstance(session.dataset, Reading):
            raise DatasetError("A consensus belongs to the data set itself: choose it above, instead of a reading.")
        case_id = compared.agreement.case
        session.close_case()
        try:
            adjudicate(whole_dataset(session.dataset), case_id, compared.consensus)
        finally:
            session.dataset.reload()
            session.open_case(case_id)
            session.cases_changed.emit()
        self._show(compared)
        left = (
            int(np.count_nonzero(compared.consensus.labels == NOT_LOOKED_AT))
            if compared.consensus.labels is not None
            else 0
        )
        undecided = f" {left:,} pixels are undecided (not looked at)." if left else ""
        self.notice.show_info(f"The consensus is the draft now:{undecided} go from place to place, then mark it done.")


def _summary(compared: Compared) -> str:
    found = compared.agreement
    drew = {reader: reader_color(number) for number, reader in enumerate(compared.labels)}
    lines = ["  ".join(f'<span style="color:{drew.get(r, "gray")}">■</span> {html.escape(r)}' for r in found.readers)]
    for name, matrix in found.dice.items():
        values = matrix[np.triu_indices(len(matrix), 1)]
        known = values[np.isfinite(values)]
        if known.size:
            spread = "" if known.size == 1 else f" ({known.min():.3f} to {known.max():.3f})"
            lines.append(f"Dice {name}: {known.mean():.3f}{spread}")
    for name, matrix in found.distances.items():
        values = matrix[np.triu_indices(len(matrix), 1)]
        known = values[np.isfinite(values)]
        if known.size:
            unit, factor = ("px", 1.0) if found.axial is None else ("µm", found.axial * 1000)
            lines.append(f"{name}: {known.mean() * factor:.1f} {unit} apart")
    if math.isfinite(found.disputed):
        lines.append(f"{found.disputed:.2%} of the pixels disputed, {len(compared.consensus.disputes)} places")
    if len(set(found.tags)) > 1:
        said = (f"{reader}: {tag or 'none'}" for reader, tag in zip(found.readers, found.tags, strict=True))
        lines.append("tags differ: " + html.escape(", ".join(said)))
    for reader, sure in compared.consensus.reliability.items():
        lines.append(f"{reader}: finds " + ", ".join(f"{value:.0%} of {name}" for name, value in sure.items()))
    return "<br>".join(lines)


def _place_text(number: int, dispute: Dispute) -> str:
    where = "" if len(dispute.place) == 2 else f"slice {dispute.place[0] + 1}, "
    return f"{number}. {where}{dispute.pixels:,} pixels"
