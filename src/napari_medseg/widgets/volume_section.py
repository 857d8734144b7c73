"""The part of the Annotate panel for volumes: fill between slices, grow, ranges, cleaning."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.errors import AnnotationError
from napari_medseg.structures import Case
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.number_edit import NumberEdit
from napari_medseg.widgets.ortho_views import toggle_planes
from napari_medseg.widgets.parts import button, heading, row, words
from napari_medseg.widgets.range_tool import RangeTool
from napari_medseg.widgets.volume_tools import SCOPES, VolumeTools

if TYPE_CHECKING:
    from napari_medseg.widgets.session import Session

#: Standard deviation of smoothing, and the smallest part that stays, at first; mm and mm³, or voxels.
_SMOOTHING, _SMALLEST = 1.0, 10.0
_FALLBACK_COLOR = "#f0e442"


class VolumeSection(QWidget):
    """Tools for the volume on screen; hidden for flat images and OCT.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where the panel tells what was done, and what went wrong.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.session = session
        self.notice = notice
        self._tools: VolumeTools | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(self._make_head())
        layout.addLayout(self._make_fillers())
        self._answer = self._make_answer()
        layout.addWidget(self._answer)
        self.range = RangeTool()
        layout.addWidget(self.range)
        layout.addWidget(self._make_cleaning())
        self._busy = self._make_busy()
        layout.addWidget(self._busy)
        self.range.fill_asked.connect(self._fill_range)
        self.range.cut_asked.connect(self._cut_range)
        self.range.brush_limited.connect(self._limit_brush)
        session.case_changed.connect(self._follow_case)
        self._follow_case(session.case)

    def _make_head(self) -> QHBoxLayout:
        self.disc = button("Disc", lambda: self._set_brush(False), name="brush_2d")
        self.ball = button("Ball", lambda: self._set_brush(True), name="brush_3d")
        group = QButtonGroup(self)
        for each, tip in ((self.disc, "a disc in this slice"), (self.ball, "a ball through the slices")):
            each.setCheckable(True)
            each.setToolTip(f"Alt+B: the brush, the eraser and fill paint {tip}")
            group.addButton(each)
        self.disc.setChecked(True)
        back = button(
            "◀",
            lambda: self._do(lambda tools: tools.copy_on(-1)),
            tip="Alt+PageUp: copy the class to the previous slice",
        )
        forth = button(
            "▶",
            lambda: self._do(lambda tools: tools.copy_on(1)),
            tip="Alt+PageDown: copy the class to the next slice",
        )
        planes = button("Planes", lambda: toggle_planes(self.session.viewer), name="planes")
        planes.setToolTip("Alt+O: show the other two planes through the place that was clicked last")
        title = heading("Volume")
        return row(title, planes, back, forth, self.disc, self.ball, stretch=title)

    def _make_fillers(self) -> QHBoxLayout:
        between = button("Interpolate", lambda: self._do(VolumeTools.interpolate), name="interpolate")
        between.setToolTip("Alt+I: fill the chosen class between the slices in which it is drawn")
        grow = button("Grow", lambda: self._do(VolumeTools.grow), name="grow")
        grow.setToolTip("Let strokes inside, and strokes of the eraser around, grow to the edges of the picture")
        self.open_range = button("Range…", self.toggle_range, name="range")
        self.open_range.setToolTip("Alt+T: label what lies between two intensities, or keep the brush to them")
        self.open_range.setCheckable(True)
        self.all_classes = QCheckBox("all classes")
        self.all_classes.setToolTip("Interpolate, Grow and copy work on all classes that are drawn and not locked")
        self.all_classes.toggled.connect(self._set_options)
        return row(between, grow, self.open_range, self.all_classes, stretch=between)

    def _make_answer(self) -> QWidget:
        """What asks whether a preview is to be made true."""
        answer = QWidget()
        self._question = words()
        self.accept = button("Accept", lambda: self._do(VolumeTools.accept), name="accept_preview", primary=True)
        self.accept.setToolTip("Alt+Y: make the change that is shown; Ctrl+Z takes it back")
        self.discard = button("Discard", lambda: self._do(VolumeTools.discard), name="discard_preview")
        self.discard.setToolTip("Alt+X: leave the labels as they are")
        answer.setLayout(row(self._question, self.accept, self.discard, stretch=self._question))
        answer.setVisible(False)
        return answer

    def _make_cleaning(self) -> Fold:
        fold = Fold("Clean up the chosen class")
        self.scope = QComboBox()
        self.scope.addItems(SCOPES)
        self.scope.setCurrentText(SCOPES[2])
        self.replace = QCheckBox("may replace others")
        self.replace.setToolTip("Let the tools write over other classes; locked ones always stay")
        self.replace.toggled.connect(self._set_options)
        self.sigma, self.smallest = (NumberEdit(float, minimum=0.0) for _ in range(2))
        self.sigma.set_number(_SMOOTHING)
        self.smallest.set_number(_SMALLEST)
        self._sigma_unit, self._size_unit = words("mm"), words("mm³")
        for edit in (self.sigma, self.smallest):
            edit.setButtonSymbols(NumberEdit.ButtonSymbols.NoButtons)
            # napari's own style makes spin boxes too wide for a row of buttons.
            edit.setStyleSheet("QAbstractSpinBox { min-width: 36px; max-width: 44px; }")
        smooth = self._cleaner("Smooth", lambda tools, where: tools.smooth(_typed(self.sigma, "smoothing"), where))
        smooth.setToolTip("Take away spikes and dents of about this size")
        small = self._cleaner(
            "Remove small", lambda tools, where: tools.remove_small(_typed(self.smallest, "smallest size"), where)
        )
        small.setToolTip("Take away parts below this size")
        holes = self._cleaner("Fill holes", VolumeTools.fill_holes)
        holes.setToolTip("Fill what the class encloses")
        largest = self._cleaner("Keep largest", VolumeTools.keep_largest)
        largest.setToolTip("Take away all parts but the largest (Alt+K keeps the part under the pointer)")
        fold.content.addLayout(row(self.scope, self.replace, stretch=self.scope))
        fold.content.addLayout(row(smooth, self.sigma, self._sigma_unit, holes, stretch=self._sigma_unit))
        fold.content.addLayout(row(small, self.smallest, self._size_unit, largest, stretch=self._size_unit))
        hint = "Alt+K keeps, Alt+D removes the part under the pointer."
        fold.content.addWidget(words(hint, faint=True))
        return fold

    def _cleaner(self, text: str, act: Callable[[VolumeTools, str], None]) -> QPushButton:
        """A button that cleans where the box beside it says."""
        name = text.lower().replace(" ", "_")
        return button(text, lambda: self._do(lambda tools: act(tools, self.scope.currentText())), name=name)

    def _make_busy(self) -> QWidget:
        busy = QWidget()
        bar = QProgressBar()
        bar.setRange(0, 0)
        self.cancel = button("Cancel", lambda: self._do(VolumeTools.cancel), name="cancel_tool")
        busy.setLayout(row(bar, self.cancel, stretch=bar))
        busy.setVisible(False)
        return busy

    def _follow_case(self, _: Case | None) -> None:
        self._tools = self.session.open.volume if self.session.open is not None else None
        self._close_range()
        self._show_preview()
        self._show_busy()
        self.setVisible(self._tools is not None)
        if self._tools is None:
            return
        self._tools.preview_changed.connect(self._show_preview)
        self._tools.busy_changed.connect(self._show_busy)
        self._tools.told.connect(self.notice.show_info)
        self._tools.failed.connect(self.notice.show_error)
        self._tools.brush_changed.connect(self._show_brush)
        self._tools.range_asked.connect(self.toggle_range)
        self._set_options()
        self._show_brush()
        length, size = ("mm", "mm³") if self._tools.has_spacing else ("voxels", "voxels")
        self._sigma_unit.setText(length)
        self._size_unit.setText(size)

    def _show_preview(self) -> None:
        change = self._tools.preview if self._tools is not None else None
        self._answer.setVisible(change is not None)
        if change is not None and self._tools is not None:
            self._question.setText(f"Shown: {self._tools.size_text(change.count)}.")

    def _show_busy(self) -> None:
        self._busy.setVisible(self._tools is not None and self._tools.is_busy)

    @shown_errors
    def _do(self, act: Callable[[VolumeTools], None]) -> None:
        """Use the tools of the case on screen; what cannot be is told."""
        if self._tools is not None:
            act(self._tools)

    def _fill_range(self, low: float, high: float, where: str) -> None:
        self._do(lambda tools: tools.fill_range(low, high, where))

    def _cut_range(self, low: float, high: float, where: str) -> None:
        self._do(lambda tools: tools.cut_range(low, high, where))

    def _limit_brush(self, limits: tuple[float, float] | None) -> None:
        self._do(lambda tools: tools.keep_brush_in(limits))

    def _set_options(self, *_: object) -> None:
        if self._tools is not None:
            self._tools.overwrites = self.replace.isChecked()
            self._tools.all_classes = self.all_classes.isChecked()

    def _set_brush(self, ball: bool) -> None:
        self._do(lambda tools: tools.set_3d_brush(ball))

    def _show_brush(self) -> None:
        if self._tools is not None:
            (self.ball if self._tools.is_3d_brush else self.disc).setChecked(True)

    def toggle_range(self) -> None:
        """Show or hide the range of intensities."""
        opened = self.session.open
        if self.range.isVisible() or opened is None or self._tools is None:
            self._close_range()
            return
        chosen = int(opened.labels.selected_label)
        color = next((c.color for c in opened.classes if c.value == chosen), _FALLBACK_COLOR)
        self.range.open_for(self.session.viewer.layers, opened.image_layers[0], color)
        self.open_range.setChecked(True)

    def _close_range(self) -> None:
        self.range.close_preview()
        self.open_range.setChecked(False)


def _typed(edit: NumberEdit, what: str) -> float:
    """What stands in a field.

    Raises
    ------
    AnnotationError
        It is no number above 0.
    """
    try:
        number = edit.number()
    except ValueError:
        number = None
    if number is None or not number > 0:
        raise AnnotationError(f"The {what} is no number above 0: type one, such as 1.5.")
    return float(number)
