"""The quick learner as a person uses it: strokes, a proposal, taking all or parts of it, undo; mouse and keys."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QCheckBox, QPushButton, QSlider
from scipy import ndimage

from napari_medseg.annotation.change import slices_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, DatasetInfo
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of
from tests.widgets.helpers import canvas_of, drag, labels_on_disk, place_of, press, settled

pytestmark = pytest.mark.viewer

SHAPE = (220, 260)
GLAND, STROMA = 1, 2
#: Middles of the two round objects.
LEFT, RIGHT = (70, 70), (150, 190)
SHIFT_ALT = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier
CTRL = Qt.KeyboardModifier.ControlModifier


def picture(seed):
    """Two bright discs on a dark ground, and where they are."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = ((y - LEFT[0]) ** 2 + (x - LEFT[1]) ** 2 < 35**2) | ((y - RIGHT[0]) ** 2 + (x - RIGHT[1]) ** 2 < 40**2)
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(0, 40, SHAPE), 1)
    grey = np.clip(80 + 90 * inside + noise, 0, 255).astype(np.uint8)
    return np.stack([grey, grey // 2, 255 - grey], axis=-1), inside


TRUTH = picture(0)[1]


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path):
    """Viewer, Annotate panel and session with the first of two cases, of which nothing is drawn."""
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="test", classes=mask_classes(("gland", "stroma"))))
    for index in range(2):
        dataset.add_image(picture(index)[0], f"case{index}", group=f"patient{index}")
    viewer = make_napari_viewer(show=True)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Annotate")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    session.open_case("case0")
    canvas = canvas_of(viewer)
    settled(qtbot, lambda: (canvas.width(), canvas.height(), place_of(viewer, 0, 0)))
    yield viewer, panel, session
    session.close_case()


def learner(panel):
    return panel.quick.learner


def proposed(qtbot, panel):
    """What is proposed once it has come to rest."""
    quick = learner(panel)
    qtbot.waitUntil(
        lambda: quick.proposal is not None and not quick.is_busy and not quick._timer.isActive(), timeout=60_000
    )
    return quick.proposal


def teach(qtbot, viewer, panel, session) -> None:
    """Switch it on, then a stroke in an object, and one of the eraser beside it."""
    panel.quick.fold.set_open(True)
    # Beside the words of a check box a click does nothing.
    qtbot.mouseClick(panel.findChild(QCheckBox, "quick_on"), Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert learner(panel).is_on
    labels = session.labels
    labels.brush_size = 8
    labels.mode = "paint"
    drag(qtbot, viewer, [(LEFT[0] - 15, LEFT[1]), (LEFT[0] + 15, LEFT[1]), (LEFT[0] + 15, LEFT[1])])
    labels.mode = "erase"
    drag(qtbot, viewer, [(110, 110), (110, 150), (110, 150)])
    labels.mode = "paint"


def click(qtbot, panel, name: str) -> None:
    qtbot.mouseClick(panel.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_two_strokes_bring_a_proposal_beside_the_labels(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    drawn = session.labels.data.copy()
    proposal = proposed(qtbot, panel)
    place = slices_of(proposal.box)
    unseen = (drawn == NOT_LOOKED_AT)[place]
    assert dice(proposal.shown == GLAND, TRUTH[place] & unseen) > 0.9
    # Labels hold the strokes alone, and what is drawn is not proposed.
    np.testing.assert_array_equal(session.labels.data, drawn)
    assert (proposal.shown[~unseen] == NOT_LOOKED_AT).all()
    assert viewer.layers.selection.active is session.labels
    assert "Sure of" in panel.quick.state.text()


def test_taking_all_is_one_step_that_leaves_what_was_drawn(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    proposed(qtbot, panel)
    drawn = session.labels.data.copy()
    press(qtbot, viewer, Qt.Key.Key_U, SHIFT_ALT)
    taken = session.labels.data.copy()
    seen = drawn != NOT_LOOKED_AT
    np.testing.assert_array_equal(taken[seen], drawn[seen])
    assert dice(taken == GLAND, TRUTH) > 0.9
    # Nobody said that the rest is background.
    assert (taken[~seen & (taken != GLAND)] == NOT_LOOKED_AT).all()
    qtbot.waitUntil(session.open.autosave.is_saved, timeout=30_000)
    np.testing.assert_array_equal(labels_on_disk(session.dataset.path, "case0"), taken)
    assert session.case.origin == "person"
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(session.labels.data, drawn)


def test_a_click_takes_one_object_and_a_stroke_what_it_passes_over(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    proposed(qtbot, panel)
    before = session.labels.data.copy()
    press(qtbot, viewer, Qt.Key.Key_J)
    assert learner(panel).is_picking
    canvas = canvas_of(viewer)
    qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=place_of(viewer, *RIGHT))
    after = session.labels.data.copy()
    changed = after != before
    assert (after[changed] == GLAND).all()
    far = np.zeros(SHAPE, bool)
    far[:110, :130] = True
    assert not changed[far].any()
    assert dice(after == GLAND, TRUTH & ~far) > 0.75
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(session.labels.data, before)
    # Over background and object.
    drag(qtbot, viewer, [(RIGHT[0], 120), (RIGHT[0], RIGHT[1]), (RIGHT[0], RIGHT[1])])
    brushed = session.labels.data != before
    assert brushed.any()
    assert set(np.unique(session.labels.data[brushed])) == {BACKGROUND, GLAND}
    rows = np.flatnonzero(brushed.any(axis=1))
    assert abs(rows - RIGHT[0]).max() <= session.labels.brush_size / 2 + 1
    press(qtbot, viewer, Qt.Key.Key_J)
    assert viewer.layers.selection.active is session.labels


def test_a_click_on_nothing_is_told(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    proposed(qtbot, panel)
    before = session.labels.data.copy()
    click(qtbot, panel, "quick_pick")
    qtbot.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, pos=place_of(viewer, 20, 240))
    assert "Nothing is proposed under the pointer" in panel.notice.words
    np.testing.assert_array_equal(session.labels.data, before)


def test_one_class_can_be_taken_and_locked_pixels_stay(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    session.open.choose_class(STROMA)
    drag(qtbot, viewer, [(200, 30), (200, 90), (200, 90)])
    proposal = proposed(qtbot, panel)
    assert {GLAND, STROMA} <= set(np.unique(proposal.shown))
    session.open.locks.locked = frozenset({GLAND})
    before = session.labels.data.copy()
    click(qtbot, panel, "quick_class")
    after = session.labels.data
    changed = after != before
    assert (after[changed] == STROMA).all()
    assert changed.any()
    np.testing.assert_array_equal(after[before != NOT_LOOKED_AT], before[before != NOT_LOOKED_AT])


def test_a_new_stroke_changes_the_proposal_and_undo_changes_it_back(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    first = proposed(qtbot, panel).shown.copy()
    session.open.choose_class(STROMA)
    drag(qtbot, viewer, [(30, 200), (30, 240), (30, 240)])
    assert (proposed(qtbot, panel).shown == STROMA).any()
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    assert not (proposed(qtbot, panel).shown == STROMA).any()
    np.testing.assert_array_equal(proposed(qtbot, panel).shown, first)


def test_being_surer_shows_less(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    proposal = proposed(qtbot, panel)
    shown = np.count_nonzero(proposal.shown != NOT_LOOKED_AT)
    panel.findChild(QSlider, "quick_sure").setValue(97)
    fewer = np.count_nonzero(proposal.shown != NOT_LOOKED_AT)
    assert 0 < fewer < shown
    panel.findChild(QCheckBox, "quick_doubt").setChecked(True)
    doubt = next(layer for layer in viewer.layers if layer.name.endswith("doubt"))
    assert doubt.visible


def test_what_was_learnt_is_proposed_in_the_next_case(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    proposed(qtbot, panel)
    session.open_case("case1")
    proposal = proposed(qtbot, panel)
    assert dice(proposal.shown == GLAND, TRUTH) > 0.85
    assert (session.labels.data == NOT_LOOKED_AT).all()
    names = [layer.name for layer in viewer.layers]
    assert "case0 · proposal" not in names


def test_one_stroke_is_answered_with_what_is_missing(desk, qtbot):
    viewer, panel, session = desk
    press(qtbot, viewer, Qt.Key.Key_U)
    session.labels.brush_size = 8
    session.labels.mode = "paint"
    drag(qtbot, viewer, [(60, 70), (80, 70), (80, 70)])
    qtbot.waitUntil(lambda: "two kinds" in panel.quick.state.text(), timeout=60_000)
    assert learner(panel).proposal is None


def test_switching_off_and_removing_the_layer_leave_the_labels(desk, qtbot):
    viewer, panel, session = desk
    teach(qtbot, viewer, panel, session)
    drawn = session.labels.data.copy()
    viewer.layers.remove(proposed(qtbot, panel).layer)
    assert not learner(panel).is_on
    assert not panel.findChild(QCheckBox, "quick_on").isChecked()
    assert [layer.name for layer in viewer.layers if "doubt" in layer.name] == []
    press(qtbot, viewer, Qt.Key.Key_U)
    proposed(qtbot, panel)
    press(qtbot, viewer, Qt.Key.Key_U)
    assert [layer.name for layer in viewer.layers if "proposal" in layer.name] == []
    np.testing.assert_array_equal(session.labels.data, drawn)
    assert viewer.layers.selection.active is session.labels
