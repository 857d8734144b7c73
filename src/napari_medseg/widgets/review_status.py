"""A part of the Review panel: who drew and reviewed the case, and its locks."""

from __future__ import annotations

import html

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.data.reviewing import REVIEWED, REVIEWER
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Case
from napari_medseg.widgets.case_list import STATUS_COLORS, STATUS_SIGNS, status_text
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.regions import drawn_corners, drawn_shapes, shape_region, start_region, view_region
from napari_medseg.widgets.session import Session


class ReviewStatus(QWidget):
    """The case's status with names and times, and what is locked."""

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.session = session
        self.notice = notice
        self.state = words()
        self.unlock = button("Unlock case", self._unlock, name="unlock_case")
        self.unlock.setToolTip("Let the labels be changed again: the case is a draft then, and the history says so")
        self.draw = button("Draw region", lambda: start_region(session), name="draw_reviewed_region")
        self.lock_region = button("Region reviewed", self._lock_region, name="lock_region")
        self.lock_region.setToolTip("Lock the drawn region, or else what is in view, against brush and prediction")
        self.unlock_regions = button("Unlock regions", self._unlock_regions, name="unlock_regions")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.state)
        layout.addLayout(row(self.draw, self.lock_region))
        layout.addLayout(row(self.unlock, self.unlock_regions))

    def show_case(self, case: Case) -> None:
        """Follow the row."""
        opened = self.session.open
        is_reviewed = case.status == "reviewed"
        regions = opened.reviewed.regions if opened is not None else ()
        self.state.setText(_state_text(case, len(regions)))
        self.unlock.setVisible(is_reviewed)
        can_lock = opened is not None and opened.fills_rest and not is_reviewed
        for part in (self.draw, self.lock_region):
            part.setVisible(can_lock)
        self.unlock_regions.setVisible(bool(regions) and not is_reviewed)

    @shown_errors
    def _unlock(self) -> None:
        if self.session.open is not None:
            self.session.open.unlock()
            self.notice.show_info("Unlocked: the case is a draft again.")

    @shown_errors
    def _lock_region(self) -> None:
        opened, labels = self.session.open, self.session.labels
        if opened is None or labels is None:
            return
        shapes = drawn_shapes(self.session.viewer)
        if shapes is None:
            opened.review_region(view_region(self.session.viewer, labels))
        else:
            meant = shape_region(shapes, labels)
            if meant is None:
                raise DatasetError("The drawn shape lies outside the image: draw it on the image.")
            opened.review_region(meant[0], drawn_corners(shapes, labels)[:, -2:].tolist())
            shapes.visible = False
            self.session.viewer.layers.selection.active = labels
        self.notice.show_info("This region is locked now; 'Unlock regions' opens it again.")

    @shown_errors
    def _unlock_regions(self) -> None:
        if self.session.open is not None:
            count = self.session.open.unlock_regions()
            self.notice.show_info(f"{count} region{'' if count == 1 else 's'} can be changed again.")


def _state_text(case: Case, regions: int) -> str:
    color, sign = STATUS_COLORS[case.status], STATUS_SIGNS[case.status]
    lines = [f'<span style="color:{color}">{sign}</span> {status_text(case.status)}']
    if case.author:
        lines[0] += f" · drawn by {html.escape(case.author)}"
    if case.status == "reviewed":
        when = case.extra.get(REVIEWED, "").replace("T", " ").removesuffix("Z")
        lines.append(f"reviewed by {html.escape(case.extra.get(REVIEWER, '') or 'somebody')} · {when} UTC · locked")
    if regions:
        lines.append(f"{regions} reviewed region{'' if regions == 1 else 's'}, locked")
    return "<br>".join(lines)
