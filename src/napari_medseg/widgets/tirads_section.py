"""The TI-RADS form of the case on screen, with its points and level as answers are given."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QEvent, QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QCheckBox, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_medseg.data.forms import TIRADS, lines_of, tirads_of, update_form
from napari_medseg.data.regions import lesion_mask
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.measure.diameters import diameters
from napari_medseg.measure.lines import length_of
from napari_medseg.measure.space import space_of
from napari_medseg.measure.tirads import CATEGORIES, TiRads, advice, chosen_features, summary, tirads
from napari_medseg.structures import Case
from napari_medseg.widgets._layers import true_space
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.jobs import explain_error
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.session import Session

_NONE = "none"
_FOCI = next(category for category in CATEGORIES if category.several)


class TiradsSection(QWidget):
    """Five questions, answered with the mouse or with digits, kept with the case at once.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where errors are said.
    """

    #: Another answer was given.
    answered = Signal()

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self._session = session
        self.choices: dict[str, CalmComboBox] = {}
        self.foci: dict[str, QCheckBox] = {}
        self.fold = Fold("TI-RADS form")
        self.fold.button.setToolTip("Alt+Q: answer with digits, Tab and Enter")
        self.fold.content.addLayout(self._make_form())
        clear = button("Clear", self._clear, tip="Take all answers away", name="clear_tirads")
        self.result = words()
        self.fold.content.addLayout(row(self.result, clear, stretch=self.result))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        session.case_changed.connect(self._follow_case)
        self._follow_case(session.case)

    @property
    def answers(self) -> dict[str, Any]:
        """What was answered, by category."""
        answers: dict[str, Any] = {key: box.currentData() for key, box in self.choices.items() if box.currentData()}
        foci = [key for key, box in self.foci.items() if box.isChecked()]
        return answers | ({_FOCI.key: foci} if foci else {})

    def start(self) -> None:
        """Open the form, the first open question ready for a digit."""
        self.fold.set_open(True)
        first = next((box for box in self.choices.values() if not box.currentData()), None)
        (first or next(iter(self.choices.values()))).setFocus(Qt.FocusReason.ShortcutFocusReason)

    def show_result(self) -> None:
        """Say what the answers amount to; the size is looked up again."""
        result = tirads(self.answers)
        self.fold.set_title("TI-RADS form" + (f" · {result.level}" if result.level else ""))
        self.result.setText(self._text(result) if self.answers else "Digits answer, Enter ends. For research only.")

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:
        """Digits answer a question and go on to the next one; Enter goes back to the picture (Qt's hook)."""
        if not isinstance(event, QKeyEvent) or event.type() != QEvent.Type.KeyPress:
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape) and not event.modifiers():
            self._session.viewer.window._qt_viewer.canvas.native.setFocus()
            return True
        number = event.key() - int(Qt.Key.Key_0)
        if not 1 <= number <= 9 or event.modifiers() & ~Qt.KeyboardModifier.KeypadModifier:
            return False
        if isinstance(watched, CalmComboBox):
            self._answer(watched, number)
        elif number <= len(self.foci):
            [*self.foci.values()][number - 1].click()
        return True

    def _make_form(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(3)
        grid.setColumnStretch(1, 1)
        for place, category in enumerate(CATEGORIES):
            grid.addWidget(QLabel(category.name), place, 0, Qt.AlignmentFlag.AlignTop)
            if category.several:
                grid.addWidget(self._make_foci(), place, 1)
                continue
            box = CalmComboBox()
            box.setObjectName(f"tirads_{category.key}")
            box.addItem("", "")
            for number, feature in enumerate(category.features, start=1):
                box.addItem(f"{number}  {feature.name} ({feature.points})", feature.key)
            box.activated.connect(self._keep)
            box.installEventFilter(self)
            self.choices[category.key] = box
            grid.addWidget(box, place, 1)
        return grid

    def _make_foci(self) -> QWidget:
        """Boxes to tick, one below the other: several may be there."""
        foci = QWidget()
        column = QVBoxLayout(foci)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(1)
        for number, feature in enumerate(_FOCI.features, start=1):
            box = QCheckBox(f"{number}  {feature.name} ({feature.points})")
            box.setObjectName(f"tirads_foci_{feature.key}")
            box.clicked.connect(lambda on, key=feature.key: self._tick(key, on))
            box.installEventFilter(self)
            self.foci[feature.key] = box
            column.addWidget(box)
        return foci

    def _answer(self, box: CalmComboBox, number: int) -> None:
        if number < box.count():
            box.setCurrentIndex(number)
            self._keep()
            self.focusNextChild()

    def _tick(self, key: str, on: bool) -> None:
        """None and something exclude each other."""
        for other, box in self.foci.items():
            if on and (other == _NONE) != (key == _NONE):
                box.setChecked(False)
        self._keep()

    @shown_errors
    def _keep(self) -> None:
        dataset, case = self._session.dataset, self._session.case
        if dataset is None or case is None:
            return
        try:
            update_form(dataset, case.case, {TIRADS: self.answers or None})
        finally:
            self.show_result()
        self.answered.emit()

    def _clear(self) -> None:
        self._put({})
        self._keep()

    def _follow_case(self, case: Case | None) -> None:
        dataset = self._session.dataset
        answers: dict[str, Any] = {}
        if dataset is not None and case is not None and dataset.info.kind == "ultrasound":
            try:
                answers = tirads_of(dataset.path, case.case)
            except DatasetError as error:
                self._session.trouble.emit(*explain_error(error))
        self._put(answers)
        self.show_result()

    def _put(self, answers: dict[str, Any]) -> None:
        for category in CATEGORIES:
            keys = [feature.key for feature in chosen_features(category, answers)]
            if category.several:
                for key, box in self.foci.items():
                    box.setChecked(key in keys)
            else:
                choice = self.choices[category.key]
                choice.setCurrentIndex(choice.findData(keys[0] if keys else ""))

    def _text(self, result: TiRads) -> str:
        text = summary(result)
        if result.level is not None:
            text += f" {advice(result.level, self._size())} For research only."
        return text

    def _size(self) -> float | None:
        """Millimetres of the longest drawn line, else of the longest diameter of what is drawn; None where unknown."""
        opened, dataset = self._session.open, self._session.dataset
        if opened is None or dataset is None:
            return None
        labels = np.asarray(opened.labels.data)
        space = space_of(labels.ndim, *(true_space(opened.labels) or (None, None)))
        steps = [step for step in space.steps[-2:] if step is not None]
        if len(steps) < 2:
            return None
        try:
            lines = lines_of(dataset.path, opened.case.case, axes=labels.ndim)
        except MedsegError as error:
            self._session.trouble.emit(*explain_error(error))
            lines = ()
        lengths = [length for line in lines if (length := length_of(line, space)) is not None]
        if lengths:
            return max(lengths)
        found = diameters(lesion_mask(labels), steps)
        return None if found is None else found.long
