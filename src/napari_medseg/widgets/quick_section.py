"""The part of the Annotate panel where the quick learner proposes what to draw."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QSpinBox, QVBoxLayout, QWidget

from napari_medseg.structures import Case
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.quick_learning import quick_learning_of
from napari_medseg.widgets.session import Session

#: Confidence from which something is proposed, in per cent, at first.
_SURE = 50
#: Most slices beside the one on screen.
_MOST_SLICES = 5
_HINT = "Draw a stroke in each structure, and one of the eraser on the background."


class QuickSection(QWidget):
    """A fold that shows while a case is on screen.

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
        self.learner = quick_learning_of(session)
        self.fold = Fold("Quick learner")
        self.on = QCheckBox("Learn while I draw")
        self.on.setObjectName("quick_on")
        self.on.setToolTip("Alt+U: learn from every stroke, and propose the rest of the view in a layer of its own")
        self.state = words(_HINT, faint=True)
        self.fold.content.addWidget(self.on)
        self.fold.content.addWidget(self.state)
        self._answer = self._make_answer()
        self.fold.content.addWidget(self._answer)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        self.on.toggled.connect(self._switch)
        self.learner.changed.connect(self._show)
        session.case_changed.connect(self._follow_case)
        self._follow_case(session.case)

    def _make_answer(self) -> QWidget:
        """What can be done with a proposal."""
        answer = QWidget()
        everything = button("Take all", self._take_all, name="quick_all")
        everything.setToolTip("Alt+Shift+U: draw every class as proposed where nobody has looked; Ctrl+Z takes it back")
        one = button("Take class", self._take_class, name="quick_class")
        one.setToolTip("The same of the chosen class alone")
        self.pick = button("Pick", self._pick, name="quick_pick")
        self.pick.setCheckable(True)
        self.pick.setToolTip("Alt+J: a click takes an object, a stroke what it passes over (background too)")
        layout = QVBoxLayout(answer)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row(everything, one, self.pick, stretch=everything))
        layout.addLayout(self._make_sure())
        return answer

    def _make_sure(self) -> QHBoxLayout:
        self.sure = QSlider(Qt.Orientation.Horizontal)
        self.sure.setObjectName("quick_sure")
        self.sure.setRange(0, 99)
        self.sure.setValue(_SURE)
        self.sure.setToolTip("Propose only what the learner is at least so sure of")
        self.sure.valueChanged.connect(self._set_sure)
        # Not `words`: it wraps, and gives way to the slider.
        self._sure_text = QLabel(_sure_text(_SURE))
        self.doubt = QCheckBox("doubt")
        self.doubt.setObjectName("quick_doubt")
        self.doubt.setToolTip("Show in yellow where the learner doubts: strokes there teach it most")
        self.doubt.toggled.connect(self._show_doubt)
        self.slices = QSpinBox()
        self.slices.setRange(0, _MOST_SLICES)
        self.slices.setPrefix("± ")
        self.slices.setSuffix(" slices")
        self.slices.setToolTip("Propose in so many slices before and after this one too")
        self.slices.valueChanged.connect(self.learner.set_slices_beside)
        return row(self._sure_text, self.sure, self.doubt, self.slices, stretch=self.sure)

    def _follow_case(self, case: Case | None) -> None:
        if self.parentWidget() is not None or case is None:
            # Without a panel around it, it would be a window of its own.
            self.setVisible(case is not None)
        opened = self._session.open
        self.slices.setVisible(opened is not None and opened.labels.ndim > 2)
        self._show()

    def _show(self) -> None:
        learner = self.learner
        self.on.blockSignals(True)
        self.on.setChecked(learner.is_on)
        self.on.blockSignals(False)
        busy = "Learning … " if learner.is_busy else ""
        self.state.setText(f"{busy}{learner.text}" if learner.is_on and (busy or learner.text) else _HINT)
        self._answer.setVisible(learner.is_on)
        self.pick.setChecked(learner.is_picking)
        if learner.is_on:
            self.fold.set_open(True)

    @shown_errors
    def _switch(self, on: bool) -> None:
        self.learner.set_on(on)

    @shown_errors
    def _take_all(self) -> None:
        self.learner.take_all()

    @shown_errors
    def _take_class(self) -> None:
        self.learner.take_class()

    @shown_errors
    def _pick(self) -> None:
        try:
            self.learner.set_picking(self.pick.isChecked())
        finally:
            self._show()

    def _set_sure(self, value: int) -> None:
        self._sure_text.setText(_sure_text(value))
        self.learner.set_least(value / 100)

    def _show_doubt(self, shown: bool) -> None:
        self.learner.set_doubt(shown)


def _sure_text(percent: int) -> str:
    return f"Sure from {percent} %"
