"""Annotating with real mouse and keys; what counts is what a program that starts afterwards finds on the disk."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.errors import WriteError
from napari_medseg.structures import NOT_LOOKED_AT
from napari_medseg.widgets import autosave
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.class_list import LOCK
from napari_medseg.widgets.session import session_of

from .helpers import SHAPE, drag, labels_on_disk, make_dataset, press, row_in_another_process

pytestmark = pytest.mark.viewer

STROKE = [(250, column) for column in range(100, 500, 20)]
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    """A viewer with the Annotate panel and the first of three cases."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(autosave, "RETRY_SECONDS", (0.1, 0.5))
    make_dataset(tmp_path / "data")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    session.open_case("case0")
    viewer.reset_view()
    qtbot.wait(200)
    return viewer, panel, session


def saved(qtbot, session) -> None:
    qtbot.waitUntil(lambda: session.open.autosave.is_saved() and session.case.label != "", timeout=15_000)


def test_a_drawn_stroke_is_saved_undone_and_saved_again(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    press(qtbot, viewer, Qt.Key.Key_3)  # tags have 1 and 2, so this is the first class
    assert session.labels.mode == "paint"
    session.labels.brush_size = 20
    drag(qtbot, viewer, STROKE)
    saved(qtbot, session)
    stored = labels_on_disk(tmp_path / "data", "case0")
    np.testing.assert_array_equal(stored, session.labels.data)
    assert (stored[250, 120:480] == 1).all()
    assert set(np.unique(stored)) == {1, NOT_LOOKED_AT}
    row = row_in_another_process(tmp_path / "data", "case0")
    assert (row["status"], row["origin"], row["label"]) == ("draft", "person", "case0.zarr")
    assert panel.saved.words.startswith("saved ")

    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    saved(qtbot, session)
    assert (labels_on_disk(tmp_path / "data", "case0") == NOT_LOOKED_AT).all()
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    saved(qtbot, session)
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case0"), stored)


def test_keys_tag_finish_and_walk_while_labels_are_active(desk, qtbot, tmp_path):
    viewer, _, session = desk
    assert viewer.layers.selection.active is session.labels
    press(qtbot, viewer, Qt.Key.Key_2)
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    assert session.case.case == "case1"
    press(qtbot, viewer, Qt.Key.Key_Right)
    assert session.case.case == "case2"
    press(qtbot, viewer, Qt.Key.Key_Left)
    assert session.case.case == "case1"
    row = row_in_another_process(tmp_path / "data", "case0")
    assert (row["tag"], row["status"], row["values"]) == ("malignant", "done", {})


def test_done_turns_what_is_left_into_background_and_says_so_before(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    session.open.choose_class(2)
    drag(qtbot, viewer, STROKE)
    saved(qtbot, session)
    qtbot.waitUntil(lambda: "background" in panel.done.text(), timeout=5000)
    drawn = int((session.labels.data == 2).sum())
    qtbot.mouseClick(panel.done, Qt.MouseButton.LeftButton)
    assert session.case.case == "case1"
    row = row_in_another_process(tmp_path / "data", "case0")
    assert row["status"] == "done"
    assert row["values"] == {"0": SHAPE[0] * SHAPE[1] - drawn, "2": drawn}


def test_nothing_there_is_an_empty_mask_and_not_a_missing_one(desk, qtbot, tmp_path):
    viewer, _, session = desk
    press(qtbot, viewer, Qt.Key.Key_N)
    row = row_in_another_process(tmp_path / "data", "case0")
    assert (row["status"], row["values"]) == ("done", {"0": SHAPE[0] * SHAPE[1]})
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert (session.labels.data == NOT_LOOKED_AT).all()
    # What was taken back is not said any more.
    qtbot.waitUntil(lambda: session.case.status == "todo", timeout=5000)
    row = row_in_another_process(tmp_path / "data", "case0")
    assert (row["status"], row["values"]) == ("todo", {"255": SHAPE[0] * SHAPE[1]})


def test_outside_a_complete_region_nobody_has_looked(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    panel._start_region()
    drag(qtbot, viewer, [(200, 80), (260, 300), (300, 520)])
    qtbot.wait(50)
    press(qtbot, viewer, Qt.Key.Key_R)
    assert panel.notice.words.startswith("Region complete: ")
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    stored = labels_on_disk(tmp_path / "data", "case0")
    assert stored[205, 90] == 0
    assert stored[250, 300] == 1
    assert (stored[:195] == NOT_LOOKED_AT).all()
    assert (stored[:, 530:] == NOT_LOOKED_AT).all()
    assert Dataset.open(tmp_path / "data").case("case0").status == "done"


def test_what_nobody_looked_at_can_be_darkened(desk, qtbot):
    viewer, panel, session = desk
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    qtbot.waitUntil(panel.veil.isVisible)
    veil = lambda: session.labels.colormap.map(np.array([NOT_LOOKED_AT]))[0, 3]  # noqa: E731 - read twice
    assert veil() == 0
    panel.veil.click()
    assert veil() == 1
    session.open_case("case1")
    assert veil() == 1


def test_locks_stay_with_the_data_set(desk, qtbot, tmp_path):
    _, panel, session = desk
    model = panel.classes.classes
    model.toggle(model.index(0, LOCK))
    assert session.open.locks.locked == {1}
    make_dataset(tmp_path / "other", classes=("nerve",))
    session.open_dataset(tmp_path / "other")
    session.open_case("case0")
    assert session.open.locks.locked == frozenset()


def test_a_locked_class_stays_under_the_brush(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    first = session.labels.data == 1
    panel.classes.classes.toggle(panel.classes.classes.index(0, LOCK))
    session.open.choose_class(2)
    session.labels.brush_size = 60
    drag(qtbot, viewer, STROKE)
    session.open.autosave.flush()
    stored = labels_on_disk(tmp_path / "data", "case0")
    np.testing.assert_array_equal(stored == 1, first)
    assert (stored == 2).any()
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    session.open.autosave.flush()
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case0") == 1, first)


def test_labels_that_cannot_be_saved_stay_and_keep_the_case_open(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    folder = tmp_path / "data" / "labels"
    folder.rmdir()
    folder.write_text("in the way", "utf-8")
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    qtbot.waitUntil(lambda: "not saved" in panel.saved.words, timeout=10_000)
    assert "could not be saved" in panel.notice.words
    with pytest.raises(WriteError):
        session.step(1)
    assert session.case.case == "case0"
    assert session.labels in viewer.layers
    folder.unlink()
    saved(qtbot, session)
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case0"), session.labels.data)


def test_changes_of_another_annotator_are_told_and_kept(desk, qtbot, tmp_path):
    _, panel, _ = desk
    other = Dataset.open(tmp_path / "data", author="other")
    case = other.case("case0")
    other.update_case("case0", revision=case.revision, tag="malignant")
    qtbot.mouseClick(panel.tags.buttons["benign"], Qt.MouseButton.LeftButton)
    assert "was changed by other" in panel.notice.words
    assert panel.tags.buttons["malignant"].isChecked()
    qtbot.mouseClick(panel.tags.buttons["benign"], Qt.MouseButton.LeftButton)
    assert Dataset.open(tmp_path / "data").case("case0").tag == "benign"


def test_names_and_colours_of_classes_reach_layer_and_file(desk, qtbot, tmp_path):
    _, panel, session = desk
    panel.new_class.entered.emit("vessel")
    panel.classes.recolored.emit(1, "#123456")
    panel.classes.classes.renamed.emit(1, "duct")
    info = Dataset.open(tmp_path / "data").info
    assert [(c.value, c.name) for c in info.classes] == [(1, "duct"), (2, "stroma"), (3, "vessel")]
    shown = session.labels.colormap.color_dict[1]
    np.testing.assert_allclose(shown[:3], np.array([0x12, 0x34, 0x56]) / 255, atol=1e-6)
    assert session.labels.colormap.color_dict[NOT_LOOKED_AT][3] == 0
    assert list(session.labels.features["class"]) == ["background", "duct", "stroma", "vessel", "not looked at"]
    panel.classes.classes.renamed.emit(1, "stroma")
    assert "declared twice" in panel.notice.words


def test_a_tag_is_renamed_and_recoloured_everywhere(desk, qtbot, tmp_path):
    _, panel, _ = desk
    qtbot.mouseClick(panel.tags.buttons["benign"], Qt.MouseButton.LeftButton)
    panel.tags.edit_name("benign")
    qtbot.keyClicks(panel.tags.field, "healthy")
    qtbot.keyClick(panel.tags.field, Qt.Key.Key_Return)
    assert panel.tags.buttons["healthy"].isChecked()
    panel.tags.recolored.emit("healthy", "#123456")
    stored = Dataset.open(tmp_path / "data")
    assert (stored.info.tags[0].name, stored.info.tags[0].color) == ("healthy", "#123456")
    assert stored.case("case0").tag == "healthy"
    # The case on screen goes on with the new row.
    qtbot.mouseClick(panel.tags.buttons["malignant"], Qt.MouseButton.LeftButton)
    assert panel.notice.words == ""
    assert Dataset.open(tmp_path / "data").case("case0").tag == "malignant"
    panel.tags.edit_name("healthy")
    qtbot.keyClicks(panel.tags.field, "malignant")
    qtbot.keyClick(panel.tags.field, Qt.Key.Key_Return)
    assert "declared twice" in panel.notice.words
    panel.tags.edit_name("healthy")
    qtbot.keyClick(panel.tags.field, Qt.Key.Key_Escape)
    assert not panel.tags.field.isVisible()


def test_closing_window_or_layer_saves_first_and_the_next_start_restores(desk, make_napari_viewer, qtbot, tmp_path):
    viewer, _, session = desk
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    drawn = session.labels.data.copy()
    viewer.layers.remove(session.labels)
    assert session.case is None
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case0"), drawn)
    session.open_case("case1")
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    drawn = session.labels.data.copy()
    viewer.close()
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case1"), drawn)

    again = make_napari_viewer()
    panel = AnnotatePanel(again)
    again.window.add_dock_widget(panel)
    session_of(again).open_dataset(tmp_path / "data")
    session_of(again).open_case("case1")
    np.testing.assert_array_equal(session_of(again).labels.data, drawn)
    assert panel.saved.words.startswith("last saved ")
