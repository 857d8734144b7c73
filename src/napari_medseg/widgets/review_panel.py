"""The Review panel: whose labels are on screen, what readers dispute, and what is right from now on."""

from __future__ import annotations

import html

import napari
from qtpy.QtWidgets import QLabel, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_medseg.data.dataset import Dataset
from napari_medseg.structures import Case
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, row, scrolling, words
from napari_medseg.widgets.review_agreement import ReviewAgreement
from napari_medseg.widgets.review_compare import ReviewCompare
from napari_medseg.widgets.review_readers import ReviewReaders
from napari_medseg.widgets.review_status import ReviewStatus
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.shortcuts import install_shortcuts
from napari_medseg.widgets.window import real_viewer


class ReviewPanel(QWidget):
    """Status, readers, comparison and agreement.

    Parameters
    ----------
    napari_viewer
        Where the case is shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = real_viewer(napari_viewer)
        self.session = session_of(self.viewer)
        install_shortcuts(self.viewer)
        self.notice = Notice()
        self._shown: Dataset | None = None
        self._pages = QStackedWidget()
        self._pages.addWidget(self._make_empty_page())
        self._pages.addWidget(self._make_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._pages)
        self.session.dataset_changed.connect(self._show_dataset)
        self.session.case_changed.connect(self._show_case)
        self.session.cases_changed.connect(self._show_row)
        self.session.told.connect(self.notice.show_info)
        self._show_dataset(self.session.dataset)
        self._show_case(self.session.case)

    def _make_empty_page(self) -> QWidget:
        page = QWidget()
        layout = panel_layout(page)
        layout.addWidget(heading("No data set is open"))
        layout.addWidget(words("Open one in the tab Cases, then compare and review its labels here.", faint=True))
        layout.addWidget(button("Go to Cases", lambda: self.session.show_panel("Cases"), primary=True))
        layout.addStretch(1)
        return page

    def _make_page(self) -> QWidget:
        page, body = QWidget(), QWidget()
        layout = panel_layout(page)
        self.title = QLabel()
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.status = ReviewStatus(self.session, self.notice)
        self.compare = ReviewCompare(self.session, self.notice)
        self.readers = ReviewReaders(self.session, self.notice)
        self.agreement = ReviewAgreement(self.session, self.notice)
        inner = QVBoxLayout(body)
        inner.setContentsMargins(0, 0, 0, 0)
        inner.setSpacing(8)
        self._case_parts = (self.status, heading("Readings of this case"), self.compare)
        for part in self._case_parts:
            inner.addWidget(part)
        for title, section, opened in (
            ("Who reads", self.readers, True),
            ("Agreement of the readers", self.agreement, False),
        ):
            fold = Fold(title, opened=opened)
            fold.content.addWidget(section)
            inner.addWidget(fold)
        inner.addStretch(1)
        self.done = button("Mark reviewed", self._mark_reviewed, primary=True, name="reviewed")
        self.done.setToolTip("Ctrl+Shift+Enter: this case is right; lock it, and open the next one that is done")
        previous = button("◀", lambda: self._step(-1), tip="Previous case (Alt+Left)")
        following = button("▶", lambda: self._step(1), tip="Next case (Alt+Right)")
        layout.addWidget(self.title)
        layout.addWidget(self.notice)
        layout.addWidget(scrolling(body), 1)
        layout.addLayout(row(previous, following, self.done, stretch=self.done))
        return page

    def _show_dataset(self, dataset: Dataset | None) -> None:
        self._pages.setCurrentIndex(0 if dataset is None else 1)
        if dataset is not self._shown:
            self._shown = dataset
            self.agreement.clear()
            self.compare.clear()
        self.readers.show_dataset(dataset)
        self._show_row()

    def _show_case(self, case: Case | None) -> None:
        self.compare.show_case(case)
        self._show_row()

    def _show_row(self) -> None:
        case = self.session.case
        for part in self._case_parts:
            part.setVisible(case is not None)
        self.done.setEnabled(case is not None and case.status in ("done", "reviewed"))
        self.readers.show_dataset(self.session.dataset)
        if case is None:
            self.title.setText("Choose a case in the tab Cases.")
            return
        self.done.setText("Next to review" if case.status == "reviewed" else "Mark reviewed")
        self.title.setText(f"<b>{html.escape(case.case)}</b>")
        self.title.setToolTip(case.image)
        self.status.show_case(case)

    @shown_errors
    def _mark_reviewed(self) -> None:
        self.session.review_case()

    @shown_errors
    def _step(self, by: int) -> None:
        self.session.step(by)
