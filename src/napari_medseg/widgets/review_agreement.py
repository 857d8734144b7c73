"""A part of the Review panel: agreement of the readers over the whole data set, as one table."""

from __future__ import annotations

import math

from qtpy.QtWidgets import QAbstractItemView, QTableWidget, QTableWidgetItem, QVBoxLayout, QWidget

from napari_medseg.api.agreement import Agreement, agreement
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, words
from napari_medseg.widgets.session import Session

_ROW = 22
_TITLES = {
    "dice": "Dice {}",
    "surface": "{} apart, px",
    "surface_um": "{} apart, µm",
    "kappa": "kappa of {}s",
    "kappa_quadratic": "kappa of {}s, squared",
    "same": "same {}",
}


class ReviewAgreement(QWidget):
    """A line per figure; the pointer over a line shows it for each two readers."""

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.session = session
        self.notice = notice
        self._job: ThreadJob | None = None
        self.compare = button("Compare all cases", self._start, name="compare_all")
        self.state = words(faint=True)
        self.table = QTableWidget(0, 3)
        self.table.setObjectName("agreement_table")
        self.table.setHorizontalHeaderLabels(["", "mean", "cases"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        vertical, horizontal = self.table.verticalHeader(), self.table.horizontalHeader()
        assert vertical is not None
        assert horizontal is not None
        vertical.setVisible(False)
        vertical.setDefaultSectionSize(_ROW)
        horizontal.setSectionResizeMode(0, horizontal.ResizeMode.Stretch)
        self.table.setColumnWidth(1, 64)
        self.table.setColumnWidth(2, 52)
        self.table.setVisible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.compare)
        layout.addWidget(self.state)
        layout.addWidget(self.table)

    def clear(self) -> None:
        """Show nothing: the data set is another one."""
        self.table.setVisible(False)
        self.state.setText("")

    @shown_errors
    def _start(self) -> None:
        dataset = self.session.dataset
        if dataset is None or (self._job is not None and self._job.outcome is None):
            return
        self._job = ThreadJob(lambda progress: agreement(dataset, progress=progress))
        self._job.progress.connect(lambda done, of, text: self.state.setText(f"{done} of {of}: {text}"))
        self._job.result.connect(self.show_agreement)
        self._job.failed.connect(self._show_failure)
        self._job.end_with(self)
        self._job.start()

    def show_agreement(self, found: Agreement) -> None:
        """Fill the table."""
        self.state.setText(f"{len(found.cases)} cases, {', '.join(found.readers)}")
        keys = [key for key in found.matrices if math.isfinite(found.mean(key))]
        # Micrometres say the same in a better unit.
        keys = [key for key in keys if not (key.startswith("surface/") and f"surface_um/{key[8:]}" in keys)]
        self.table.setRowCount(len(keys))
        for row, key in enumerate(keys):
            measure, _, name = key.partition("/")
            cells = (_TITLES[measure].format(name), f"{found.mean(key):.3f}", str(int(found.counts[key].max())))
            for column, text in enumerate(cells):
                item = QTableWidgetItem(text)
                item.setToolTip(_pairs(found, key))
                self.table.setItem(row, column, item)
        self.table.setFixedHeight(min(len(keys), 10) * _ROW + 30)
        self.table.setVisible(bool(keys))

    def _show_failure(self, text: str, details: str) -> None:
        self.state.setText("")
        self.notice.show_error(text, details)


def _pairs(found: Agreement, key: str) -> str:
    """A line for each two readers."""
    lines = []
    for i, one in enumerate(found.readers):
        for j in range(i + 1, len(found.readers)):
            value, count = found.matrices[key][i, j], int(found.counts[key][i, j])
            if math.isfinite(value):
                lines.append(f"{one} and {found.readers[j]}: {value:.3f} ({count} cases)")
    return "\n".join(lines)
