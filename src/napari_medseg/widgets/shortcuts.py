"""Keys that work wherever the focus is in the window, over an active Labels layer too, and the sheet that lists them.

napari gives keys to the active layer first, so these are Qt's shortcuts of the window, and carry a modifier.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import napari
from napari.layers import Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QDialog, QGridLayout, QLabel, QShortcut, QWidget

from napari_medseg.structures import Case, DatasetInfo, MaskClass, TagClass
from napari_medseg.widgets.aspect import is_true_aspect, switch_aspect
from napari_medseg.widgets.contours_section import switch_cut, switch_region, use_contours
from napari_medseg.widgets.curve_carrying import carry_on
from napari_medseg.widgets.curve_suggesting import suggest
from napari_medseg.widgets.drawn_lines import drawn_lines_of
from napari_medseg.widgets.jobs import explain_error
from napari_medseg.widgets.ortho_views import toggle_planes
from napari_medseg.widgets.quick_learning import quick_learning_of
from napari_medseg.widgets.regions import complete_region
from napari_medseg.widgets.scan_box import ScanBox, is_ultrasound_case, scan_box_of
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.slide_contours import SlideContoursTool
from napari_medseg.widgets.smart_contour import smart_contour_of
from napari_medseg.widgets.stroke_correcting import stroke_correcting_of
from napari_medseg.widgets.tiles_section import slide_of, switch_tiles, tagging_in_hand
from napari_medseg.widgets.volume_tools import VolumeTools
from napari_medseg.widgets.window import main_window
from napari_medseg.widgets.windowing import KEYS as WINDOW_KEYS
from napari_medseg.widgets.windowing import choose_preset

if TYPE_CHECKING:
    from napari_medseg.widgets.case_curves import CaseCurves
    from napari_medseg.widgets.open_case import OpenCase

#: What the sheet says; the keys of napari that matter most stand below.
KEYS = (
    ("Alt+1 … 9", "give the tag, or draw the class, with this number"),
    ("Alt+0", "take the tag away"),
    ("Alt+Left, Alt+Right", "previous, next case; with Shift of the same patient"),
    ("Ctrl+Enter", "mark done, go to the next case to do"),
    ("Alt+N", "looked at, nothing there"),
    ("Alt+R", "region complete: the drawn shape, else what is in view"),
    ("Alt+U, Alt+Shift+U", "quick learner: on or off; take all that it proposes"),
    ("Alt+Z", "strokes correct with the model, or only paint"),
    ("Alt+J", "pick single objects of its proposal, or draw again"),
    ("Alt+A", "OCT: true millimetres, or pixel by pixel"),
    ("Ctrl+Z, Ctrl+Shift+Z", "undo, redo the last change of labels or curves"),
    ("Ctrl+Shift+Enter", "mark reviewed, go to the next case that is done"),
    ("Alt+Shift+Down, Up", "review: next, previous disputed place"),
    ("F1", "show or hide this sheet"),
)
CURVE_KEYS = (
    ("Alt+E", "edit curves, or paint again"),
    ("Alt+Up, Alt+Down", "choose the surface above, below"),
    ("Alt+Shift+1 … 9", "choose the surface with this number"),
    ("Click, drag", "set an anchor, move one"),
    ("Alt+click, Delete", "take an anchor away"),
    ("Shift+drag, right drag", "erase a part; a click ends the curve or closes a gap"),
    ("Ctrl+click", "choose the surface under the pointer"),
    ("Alt+G", "suggest missing curves"),
    ("Alt+PageDown, Alt+PageUp", "carry the curves on to the next, previous B-scan (or case of the group)"),
)
VOLUME_KEYS = (
    ("Alt+I", "interpolate between the drawn slices: a preview"),
    ("Alt+Y, Alt+X", "accept, discard the preview"),
    ("Alt+PageDown, Alt+PageUp", "copy the class to the next, previous slice"),
    ("Alt+B", "brush: disc in the slice, or ball"),
    ("Alt+T", "range of intensities"),
    ("Alt+O", "show the other two planes, or hide them"),
    ("Ctrl+1 … 6", "window: soft tissue, pancreas, liver, lung, bone, brain"),
    ("Ctrl+7", "window: as the file says"),
    ("Alt+K, Alt+D", "keep, delete the part under the pointer"),
)
SLIDE_KEYS = (
    ("Alt+G, Alt+D", "contours: polygon, freehand"),
    ("Alt+E", "select contours: class keys and Delete change them"),
    ("Alt+K", "cut out with the next outline, or draw again"),
    ("Alt+Q", "outline regions that are complete, or the class again"),
    ("Alt+T", "tag tiles with the tag keys, or draw again"),
)
ULTRASOUND_KEYS = (
    ("Alt+B", "correct the scan region; Ctrl+Z takes a change back"),
    ("Alt+E", "outline from a rough ellipse: a preview"),
    ("Alt+Y, Alt+X", "accept, discard the preview"),
    ("Alt+M", "calipers: draw a diameter"),
    ("Alt+Q", "TI-RADS form: digits answer, Enter ends"),
)
NAPARI_KEYS = (
    ("P / 2", "brush"),
    ("F / 4", "fill"),
    ("E / 1", "eraser: looked at, nothing here"),
    ("3", "polygon; Enter closes it"),
    ("[ ]", "smaller, larger brush"),
    ("Space (held)", "move the picture"),
)
#: The sheet's two columns.
_SHEET = (
    (("napari-medseg", KEYS), ("Labels layer", NAPARI_KEYS), ("Ultrasound", ULTRASOUND_KEYS)),
    (("OCT curves", CURVE_KEYS), ("Volumes", VOLUME_KEYS), ("Slides", SLIDE_KEYS)),
)


def numbered(info: DatasetInfo) -> tuple[TagClass | MaskClass, ...]:
    """What ``Alt`` and a number key choose: the tags, then the classes, nine in all."""
    everything: tuple[TagClass | MaskClass, ...] = (*info.tags, *info.classes)
    return everything[:9]


def key_of(info: DatasetInfo, chosen: TagClass | MaskClass) -> str:
    """The key of a tag or class, e.g. ``"Alt+2"``; empty beyond the ninth."""
    places = numbered(info)
    return f"Alt+{places.index(chosen) + 1}" if chosen in places else ""


def install_shortcuts(viewer: napari.Viewer) -> None:
    """Give a viewer's window the keys of `KEYS`, once."""
    session = session_of(viewer)
    if session.has_shortcuts:
        return
    session.has_shortcuts = True
    window = main_window(viewer)
    sheet = KeySheet(window)
    QShortcut(QKeySequence("F1"), window).activated.connect(sheet.toggle)
    session.keys_asked.connect(sheet.toggle)
    work: dict[str, Callable[[], None]] = {
        "Alt+Left": lambda: session.step(-1),
        "Alt+Right": lambda: session.step(1),
        "Alt+Shift+Left": lambda: session.step(-1, within_group=True),
        "Alt+Shift+Right": lambda: session.step(1, within_group=True),
        "Ctrl+Return": session.finish_case,
        "Ctrl+Enter": session.finish_case,
        "Ctrl+Shift+Return": session.review_case,
        "Ctrl+Shift+Enter": session.review_case,
        "Alt+N": lambda: _mark_empty(session),
        "Alt+R": lambda: complete_region(session),
        "Alt+A": lambda: switch_aspect(session.viewer, not is_true_aspect(session.viewer.layers)),
        "Ctrl+Z": lambda: _in_hand(session).undo(),
        "Ctrl+Shift+Z": lambda: _in_hand(session).redo(),
        "Alt+0": lambda: set_tag(session, ""),
        "Alt+U": lambda: quick_learning_of(session).set_on(not quick_learning_of(session).is_on),
        "Alt+Shift+U": lambda: quick_learning_of(session).take_all(),
        "Alt+J": lambda: quick_learning_of(session).set_picking(not quick_learning_of(session).is_picking),
        "Alt+Z": lambda: stroke_correcting_of(session).set_on(not stroke_correcting_of(session).is_on),
        **{f"Alt+{n}": partial(choose, session, n) for n in range(1, 10)},
    }
    curve_work: dict[str, Callable[[], None]] = {
        "Alt+E": partial(_on_open_curves, session, lambda o, _: o.edit_curves(not o.edits_curves)),
        "Alt+Up": partial(_on_open_curves, session, lambda _, curves: curves.choose(curves.chosen - 1)),
        "Alt+Down": partial(_on_open_curves, session, lambda _, curves: curves.choose(curves.chosen + 1)),
        "Alt+G": lambda: session.tell(suggest(session)),
        **{f"Alt+Shift+{n}": partial(_choose_surface, session, n - 1) for n in range(1, 10)},
    }
    volume_work: dict[str, Callable[[], None]] = {
        "Alt+I": partial(_on_open_volume, session, VolumeTools.interpolate),
        "Alt+Y": partial(_on_open_volume, session, VolumeTools.accept),
        "Alt+X": partial(_on_open_volume, session, VolumeTools.discard),
        "Alt+B": partial(_on_open_volume, session, lambda tools: tools.set_3d_brush(not tools.is_3d_brush)),
        "Alt+T": partial(_on_open_volume, session, lambda tools: tools.range_asked.emit()),
        "Alt+O": lambda: toggle_planes(session.viewer),
        "Alt+K": partial(_on_open_volume, session, VolumeTools.keep_part),
        "Alt+D": partial(_on_open_volume, session, VolumeTools.remove_part),
    }
    ultrasound_work: dict[str, Callable[[], None]] = {
        "Alt+B": lambda: scan_box_of(session).correct(),
        "Alt+E": lambda: smart_contour_of(session).start(),
        "Alt+Y": lambda: smart_contour_of(session).accept(),
        "Alt+X": lambda: smart_contour_of(session).discard(),
        "Alt+M": lambda: drawn_lines_of(session).draw(),
        "Alt+Q": session.form_asked.emit,
    }
    slide_work: dict[str, Callable[[], None]] = {
        "Alt+G": lambda: use_contours(session, "polygon"),
        "Alt+D": lambda: use_contours(session, "freehand"),
        "Alt+E": lambda: use_contours(session, "select"),
        "Alt+K": lambda: switch_cut(session),
        "Alt+Q": lambda: switch_region(session),
        "Alt+T": lambda: switch_tiles(session),
    }
    # What a slice hands on to the next one are curves in OCT, labels in other volumes.
    work |= {"Alt+PgDown": partial(_carry_on, session, 1), "Alt+PgUp": partial(_carry_on, session, -1)}
    # Images without a case have windows too.
    for name, keys in WINDOW_KEYS.items():
        _shortcut(session, keys, partial(choose_preset, session, name))
    for actions, applies in (
        (work, _always),
        (curve_work, _has_curves),
        (volume_work, _has_volume),
        (ultrasound_work, is_ultrasound_case),
        (slide_work, lambda each: slide_of(each) is not None),
    ):
        for keys, action in actions.items():
            shortcut = _shortcut(session, keys, action)
            # Without a case on screen, or one of another kind, the keys stay napari's, or another tool's.
            enable = partial(_enable, shortcut, session, applies)
            enable(session.case)
            session.case_changed.connect(enable)


def _shortcut(session: Session, keys: str, action: Callable[[], None]) -> QShortcut:
    shortcut = QShortcut(QKeySequence(keys), main_window(session.viewer))
    shortcut.setContext(Qt.ShortcutContext.WindowShortcut)
    shortcut.activated.connect(partial(_run, session, action))
    return shortcut


def _enable(shortcut: QShortcut, session: Session, applies: Callable[[Session], bool], case: Case | None) -> None:
    shortcut.setEnabled(case is not None and applies(session))


def _always(_: Session) -> bool:
    return True


def _has_curves(session: Session) -> bool:
    return session.open is not None and session.open.curves is not None


def _has_volume(session: Session) -> bool:
    return session.open is not None and session.open.volume is not None


def _carry_on(session: Session, by: int) -> None:
    """Take curves, or the labels of a volume, along to the next slice, or to the previous one."""
    told = carry_on(session, by)
    if told:
        session.tell(told)
    _on_open_volume(session, lambda tools: tools.copy_on(by))


def _on_open_volume(session: Session, action: Callable[[VolumeTools], object]) -> None:
    if session.open is not None and session.open.volume is not None:
        action(session.open.volume)


def _on_open_curves(session: Session, action: Callable[[OpenCase, CaseCurves], object]) -> None:
    if session.open is not None and session.open.curves is not None:
        action(session.open, session.open.curves)


def _choose_surface(session: Session, index: int) -> None:
    """What ``Alt+Shift+number`` does: edit a surface."""
    if session.open is not None and session.open.curves is not None and index < len(session.open.curves.surfaces):
        session.open.curves.choose(index)
        session.open.edit_curves(True)


def choose(session: Session, number: int) -> None:
    """What ``Alt+number`` does: give a tag, or draw a class."""
    if session.dataset is None or session.open is None or number > len(numbered(session.dataset.info)):
        return
    chosen = numbered(session.dataset.info)[number - 1]
    if isinstance(chosen, MaskClass):
        session.open.choose_class(chosen.value)
    else:
        set_tag(session, chosen.name)


def set_tag(session: Session, name: str) -> None:
    """Give the case on screen a tag, or none; a case to do becomes a draft. While tiles are tagged, it is theirs."""
    tagging = tagging_in_hand(session)
    if tagging is not None:
        tagging.choose(name)
        return
    case = session.case
    if case is None or case.tag == name:
        return
    status = "draft" if case.status == "todo" and name else case.status
    session.update_case(case.case, tag=name, status=status)


def _mark_empty(session: Session) -> None:
    if session.open is not None:
        session.open.mark_empty()


def _in_hand(session: Session) -> Labels | ScanBox | SlideContoursTool:
    """What undo means: scan region or contours while they are active, the active labels, else those of the case."""
    if is_ultrasound_case(session) and scan_box_of(session).is_in_hand:
        return scan_box_of(session)
    slide = slide_of(session)
    if slide is not None and slide.contours.is_in_hand:
        return slide.contours
    active = session.viewer.layers.selection.active
    if quick_learning_of(session).is_picking:
        return session.labels
    if isinstance(active, Labels) or session.labels is None:
        return active
    return session.labels


def _run(session: Session, action: Callable[[], None]) -> None:
    """What a key asked for; a failure is told by a panel if there is one, else by napari."""
    try:
        action()
    except Exception as error:
        text, details = explain_error(error)
        if session.receivers(session.trouble):
            session.trouble.emit(text, details)
        else:
            show_error(text)


class KeySheet(QDialog):
    """All keys on one small sheet that stays while one works."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Keys")
        grid = QGridLayout(self)
        grid.setHorizontalSpacing(18)
        grid.setVerticalSpacing(5)
        # Two columns: the sheet must fit a screen of 768 rows.
        for column, parts in enumerate(_SHEET):
            place = 0
            for title, keys in parts:
                grid.addWidget(QLabel(f"<b>{title}</b>"), place, 2 * column, 1, 2)
                for offset, (key, meaning) in enumerate(keys, start=1):
                    grid.addWidget(QLabel(f"<tt>{key}</tt>"), place + offset, 2 * column)
                    grid.addWidget(QLabel(meaning), place + offset, 2 * column + 1)
                place += len(keys) + 1

    def toggle(self) -> None:
        """Show the sheet, or hide it again."""
        self.setVisible(not self.isVisible())
