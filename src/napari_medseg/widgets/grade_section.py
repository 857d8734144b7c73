"""The grade of a case and the box around its tumour, for data sets with grades."""

from __future__ import annotations

from typing import Any

from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import heading, row
from napari_medseg.widgets.region_section import BoxButtons
from napari_medseg.widgets.session import Session

_NONE = "not graded"


class GradeSection(QWidget):
    """Chooses the grade of the case on screen, lowest first, and draws its region of interest.

    Parameters
    ----------
    session
        Whose case is graded.
    notice
        Where errors are said.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self._session = session
        self.grade = CalmComboBox()
        self.grade.setObjectName("grade")
        self.grade.setToolTip("Ordered, the lowest first")
        self.box = BoxButtons(session, self._image, notice)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(heading("Grade"), self.grade, stretch=self.grade))
        self._region = QLabel("Region of interest")
        layout.addWidget(self._region)
        layout.addWidget(self.box)
        self.grade.currentIndexChanged.connect(self._choose)
        session.dataset_changed.connect(self._list)
        session.case_changed.connect(self._show)
        session.cases_changed.connect(self._show)
        self._list()

    def _list(self, _: Any = None) -> None:
        """The grades of the data set; nothing is shown where it has none."""
        dataset = self._session.dataset
        grades = dataset.info.grades if dataset is not None else ()
        self.grade.blockSignals(True)
        self.grade.clear()
        self.grade.addItem(_NONE, "")
        for name in grades:
            self.grade.addItem(name, name)
        self.grade.blockSignals(False)
        for widget in (self._region, self.box):
            # In ultrasound the box of a case is its scan region, which has a section of its own.
            widget.setVisible(dataset is None or dataset.info.kind != "ultrasound")
        if self.parentWidget() is not None or not grades:
            # Without a panel around it, it would be a window of its own.
            self.setVisible(bool(grades))
        self._show()

    def _show(self, _: Any = None) -> None:
        case = self._session.case
        self.grade.blockSignals(True)
        self.grade.setCurrentIndex(max(0, self.grade.findData("" if case is None else case.grade)))
        self.grade.blockSignals(False)
        self.box.follow()

    @shown_errors
    def _choose(self, _: int) -> None:
        """Give the case on screen its grade; a case to do becomes a draft."""
        case, grade = self._session.case, str(self.grade.currentData())
        if case is None or case.grade == grade:
            return
        try:
            status = "draft" if case.status == "todo" and grade else case.status
            self._session.update_case(case.case, grade=grade, status=status)
        finally:
            self._show()

    def _image(self) -> ImageLayer | None:
        opened = self._session.open
        return None if opened is None else opened.image_layers[0]
