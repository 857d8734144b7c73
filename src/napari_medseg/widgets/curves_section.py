"""The part of the Annotate panel for OCT: surfaces as curves, and the way through the B-scans of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_medseg.structures import Case
from napari_medseg.widgets.case_curves import CaseCurves, bscans_text
from napari_medseg.widgets.curve_carrying import bscans_of_group, carry_on
from napari_medseg.widgets.curve_suggesting import suggest
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, row, words
from napari_medseg.widgets.surface_list import SurfaceList
from napari_medseg.widgets.window import follow

if TYPE_CHECKING:
    from napari_medseg.widgets.session import Session

_BEFORE = "Choose a surface, or press Edit curves (Alt+E), to draw it."
_HELP = (
    "Click along the surface: the curve follows the edge between clicks. Drag moves an anchor, Alt+click removes it, "
    "Shift+drag erases (F1: all keys)."
)
#: Keys of the first nine surfaces; Alt+Up and Alt+Down reach all.
_KEYED = 9
#: Milliseconds until the words under the list follow the curves.
_SAY_AFTER = 30


class CurvesSection(QWidget):
    """Curves of the case on screen; hidden where its data set has no kind of image that curves are for.

    Parameters
    ----------
    session
        Of the viewer.
    notice
        Where the panel tells what went wrong.
    """

    #: Layers are to be set up for this data set.
    setup_asked = Signal()
    #: Curves are edited from now on, or not any more.
    edited = Signal(bool)

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.session = session
        self.notice = notice
        self.surfaces = SurfaceList()
        self._help = words(_HELP, faint=True)
        self._state = words(faint=True)
        self.hover = words(faint=True)
        # Two lines, so that nothing jumps while the pointer moves.
        self.hover.setMinimumHeight(2 * self.hover.fontMetrics().lineSpacing())
        self._say = QTimer(self)
        self._say.setSingleShot(True)
        self._say.setInterval(_SAY_AFTER)
        self._say.timeout.connect(self._show_state)
        self._build()
        self.surfaces.chosen.connect(self._choose)
        self.surfaces.eye_clicked.connect(self._toggle_eye)
        session.case_changed.connect(self._follow_case)
        follow(self, session.viewer.layers.selection.events.active, self._show_tool)
        follow(self, session.viewer.events.mouse_over_canvas, self._on_leave)
        self._follow_case(session.case)

    def _build(self) -> None:
        self.edit = button("Edit curves", self._toggle, name="edit_curves")
        self.edit.setCheckable(True)
        self.edit.setToolTip("Alt+E: the mouse draws curves, or paints again")
        self.setup = button("Set up layers…", self.setup_asked.emit, name="set_up_layers")
        self.setup.setToolTip("Choose the layers of this data set from top to bottom, to draw the curves between them")
        self.gaps = button("Gap", self._choose_tool, name="gap")
        self.gaps.setCheckable(True)
        self.gaps.setToolTip(
            "Drag to erase a part of the chosen curve; click to end it, or to close a gap (Shift does so at any time)"
        )
        self.straight = QCheckBox("Straight")
        self.straight.setToolTip("Run smoothly through new anchors instead of along the edges of the picture")
        self.straight.toggled.connect(self._choose_tool)
        self.suggest = button("Suggest", self._suggest, name="suggest")
        self.suggest.setToolTip(
            "Alt+G: draw missing curves from the model's prediction, the scanner's layers or the nearest B-scan"
        )
        self.back = button("◀", lambda: self._jump(-1), tip="Previous annotated B-scan")
        self.forth = button("▶", lambda: self._jump(1), tip="Next annotated B-scan")
        self.carry = button("Carry on", self._carry_on, name="carry_on")
        self.carry.setToolTip(
            "Alt+PageDown: go to the next B-scan, of the volume or of the group of cases, and take the curves along "
            "(Alt+PageUp: previous)"
        )
        self.fill = button("Fill between", self._fill, name="fill_between")
        self._tools, self._volume = QWidget(), QWidget()
        self._tools.setLayout(row(self.gaps, self.straight, self.suggest, stretch=self.suggest))
        self._volume.setLayout(row(self.back, self.forth, self.carry, self.fill, stretch=self.fill))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        title = heading("Layers")
        layout.addLayout(row(title, self.setup, self.edit, stretch=title))
        for widget in (self._help, self.surfaces, self._tools, self._state, self._volume, self.hover):
            layout.addWidget(widget)

    @property
    def curves(self) -> CaseCurves | None:
        """Those of the case on screen."""
        return self.session.open.curves if self.session.open is not None else None

    def _follow_case(self, _: Case | None) -> None:
        info = self.session.dataset.info if self.session.dataset is not None else None
        curves, opened = self.curves, self.session.open
        self.hover.clear()
        self.setVisible(info is not None and (info.kind == "oct" or bool(info.surfaces)))
        self.setup.setVisible(info is not None and not info.surfaces)
        for widget in (self.edit, self.surfaces, self._tools, self._state, self._help):
            widget.setVisible(curves is not None)
        self._show_ways_on(curves)
        if curves is None or opened is None or opened.curve_tool is None:
            self._show_tool()
            return
        self.list_surfaces()
        curves.changed.connect(self._say.start)
        opened.curve_tool.hovered.connect(self.hover.setText)
        opened.curve_tool.refused.connect(self.notice.show_hint)
        opened.curve_tool.switched.connect(self._show_tool)
        self._set_tool()
        self._show_state()
        self._show_tool()

    def _show_ways_on(self, curves: CaseCurves | None) -> None:
        """Show the buttons that lead to other B-scans: of the volume, or of the group where each is a case."""
        dataset, case = self.session.dataset, self.session.case
        is_volume = curves is not None and curves.curves.shape[0] > 1
        for widget in (self.back, self.forth, self.fill):
            widget.setVisible(is_volume)
        has_mates = dataset is not None and case is not None and len(bscans_of_group(dataset, case)) > 1
        self._volume.setVisible(curves is not None and (is_volume or has_mates))

    def list_surfaces(self) -> None:
        """Show the surfaces, after their names or colours changed too."""
        if self.curves is not None:
            names = [surface.name for surface in self.curves.surfaces]
            keys = [f"Alt+Shift+{i + 1}" if i < _KEYED else "" for i in range(len(names))]
            self.surfaces.set_surfaces(names, self.curves.colors, keys)
            self._show_state()

    def _show_state(self) -> None:
        curves = self.curves
        if curves is None:
            return
        self.surfaces.show_state(curves.chosen, curves.hidden, curves.coverage())
        self._show_tool()
        count = curves.curves.shape[0]
        self._state.setText(f"Annotated: {bscans_text(curves.drawn_bscans(), count)}" if count > 1 else "")
        self._state.setVisible(count > 1)
        gap = curves.gap_around()
        self.fill.setEnabled(gap is not None)
        self.fill.setText("Fill between" if gap is None else f"Fill {gap[0] + 1} … {gap[1] + 1}")
        self.fill.setToolTip("Draw the curves of the B-scans between two annotated ones, along the edges near by")

    def _show_tool(self, *_: object) -> None:
        on = self.session.open is not None and self.session.open.edits_curves
        self.edit.setChecked(on)
        self.surfaces.set_edited(on)
        self.hover.setVisible(on)
        self.edited.emit(on)
        self._help.setText(_HELP if on else _BEFORE)
        self._help.setVisible(self.curves is not None and not any(self.curves.coverage()))

    def _on_leave(self, *_: object) -> None:
        """The place under the pointer is none of the picture's any more."""
        opened = self.session.open
        if opened is not None and opened.curve_tool is not None and not self.session.viewer.mouse_over_canvas:
            opened.curve_tool.forget_pointer()

    @shown_errors
    def _toggle(self) -> None:
        if self.session.open is not None:
            self.session.open.edit_curves(not self.session.open.edits_curves)

    @shown_errors
    def _choose(self, surface: int) -> None:
        if self.curves is not None and self.session.open is not None:
            self.curves.choose(surface)
            self.session.open.edit_curves(True)

    def _toggle_eye(self, surface: int) -> None:
        if self.curves is not None:
            self.curves.hide(self.curves.hidden ^ {surface})

    def _set_tool(self, *_: object) -> None:
        tool = self.session.open.curve_tool if self.session.open is not None else None
        if tool is not None:
            tool.tool = "gaps" if self.gaps.isChecked() else "anchors"
            tool.straight = self.straight.isChecked()

    @shown_errors
    def _choose_tool(self, on: bool) -> None:
        """Draw with another tool; who asks for one wants to edit curves."""
        self._set_tool()
        if on and self.session.open is not None:
            self.session.open.edit_curves(True)

    @shown_errors
    def _suggest(self) -> None:
        self.notice.show_info(suggest(self.session))

    @shown_errors
    def _carry_on(self) -> None:
        told = carry_on(self.session)
        if told:
            self.notice.show_info(told)

    @shown_errors
    def _fill(self) -> None:
        if self.curves is not None:
            count = self.curves.fill_between()
            self.notice.show_info(f"{count} B-scans got curves: look through them.")

    @shown_errors
    def _jump(self, by: int) -> None:
        curves = self.curves
        if curves is None:
            return
        here, drawn = curves.bscan, curves.drawn_bscans()
        beyond = [b for b in drawn if b > here] if by > 0 else [b for b in reversed(drawn) if b < here]
        if beyond:
            curves.go_to(beyond[0])
