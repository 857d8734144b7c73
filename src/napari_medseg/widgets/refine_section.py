"""The part of the Annotate panel where strokes correct a model's result."""

from __future__ import annotations

import html

from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_medseg.api.prediction import model_name
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import words
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.stroke_correcting import stroke_correcting_of

_HINT = "Paint or erase a little of what is wrong: {model} draws the rest of it."


class RefineSection(QWidget):
    """A fold that shows while a case is on screen and a model is chosen.

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
        self.corrector = stroke_correcting_of(session)
        self.fold = Fold("Correct with the model")
        self.on = QCheckBox("Strokes spread to what looks alike")
        self.on.setObjectName("refine_on")
        self.on.setToolTip(
            "Alt+Z: a stroke, or a click, of the brush or eraser changes what the model finds alike nearby"
        )
        self.state = words(faint=True)
        self.fold.content.addWidget(self.on)
        self.fold.content.addWidget(self.state)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        self.on.toggled.connect(self._switch)
        self.corrector.changed.connect(self._show)
        self._show()

    def _show(self) -> None:
        corrector, model = self.corrector, self._session.model
        applies = self._session.open is not None and model is not None
        if self.parentWidget() is not None or not applies:
            # Without a panel around it, it would be a window of its own.
            self.setVisible(applies)
        self.on.blockSignals(True)
        self.on.setChecked(corrector.is_on)
        self.on.blockSignals(False)
        if corrector.is_on:
            self.fold.set_open(True)
        if model is None:
            return
        self.state.setText(corrector.text or _HINT.format(model=html.escape(model_name(model))))
        if corrector.is_busy:
            self.state.setText("Working …")

    @shown_errors
    def _switch(self, on: bool) -> None:
        try:
            self.corrector.set_on(on)
        finally:
            self._show()
