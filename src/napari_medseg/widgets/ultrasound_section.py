"""The part of the Annotate panel for ultrasound: scan region, outline, calipers, TI-RADS form."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.errors import AnnotationError
from napari_medseg.structures import Case
from napari_medseg.widgets.drawn_lines import drawn_lines_of
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.scan_box import is_ultrasound_case
from napari_medseg.widgets.scan_section import ScanSection
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.smart_contour import smart_contour_of
from napari_medseg.widgets.tirads_section import TiradsSection


class UltrasoundSection(QWidget):
    """Tools for an ultrasound case on screen; hidden for other kinds of images.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where the panel tells what went wrong.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self._session = session
        self.contour = smart_contour_of(session)
        self.lines = drawn_lines_of(session)
        self.scan = ScanSection(session, notice)
        self.tirads = TiradsSection(session, notice)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.scan)
        smart = button("Smart outline", self._outline, name="smart_outline")
        smart.setToolTip("Alt+E: drag an ellipse around the nodule; its outline is fitted to the picture")
        polygon = button("Polygon", self._polygon, name="polygon", tip="Click the outline's corners, Enter closes it")
        calipers = button("Calipers", self.lines.draw, name="calipers")
        calipers.setToolTip("Alt+M: drag from end to end; lengths are kept with the case")
        layout.addLayout(row(smart, polygon, calipers, stretch=smart))
        self._answer = self._make_answer()
        layout.addWidget(self._answer)
        layout.addWidget(self.tirads)
        self.contour.preview_changed.connect(self._show_answer)
        self.lines.changed.connect(self.tirads.show_result)
        session.case_changed.connect(self._follow_case)
        session.saved.connect(self.tirads.show_result)
        session.form_asked.connect(self._ask_form)
        self._follow_case(session.case)

    def _make_answer(self) -> QWidget:
        """What asks whether the outline that is shown is to be drawn."""
        answer = QWidget()
        question = words("Move or resize the ellipse to fit it again.")
        accept = button("Accept", self._accept, name="accept_outline", primary=True)
        accept.setToolTip("Alt+Y: draw what is shown; Ctrl+Z takes it back")
        discard = button("Discard", self.contour.discard, tip="Alt+X: leave the labels", name="discard_outline")
        answer.setLayout(row(question, accept, discard, stretch=question))
        answer.setVisible(False)
        return answer

    def _show_answer(self) -> None:
        self._answer.setVisible(self.contour.is_shown)

    def _follow_case(self, case: Case | None) -> None:
        is_ultrasound = case is not None and is_ultrasound_case(self._session)
        if self.parentWidget() is not None or not is_ultrasound:
            # Without a panel around it, it would be a window of its own.
            self.setVisible(is_ultrasound)
        if is_ultrasound:
            self.lines.show_over(self._session.labels)

    def _ask_form(self) -> None:
        self._session.show_panel("Annotate")
        self.tirads.start()

    @shown_errors
    def _outline(self) -> None:
        self.contour.start()

    @shown_errors
    def _accept(self) -> None:
        self.contour.accept()

    @shown_errors
    def _polygon(self) -> None:
        opened = self._session.open
        if opened is None:
            return
        if not opened.labels.selected_label:
            raise AnnotationError("Choose the class to outline first; type a name beside 'Draw' to make one.")
        self._session.viewer.layers.selection.active = opened.labels
        opened.labels.mode = "polygon"
