"""Layers drawn as curves with real mouse and keys; what counts is what lies on the disk afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.annotation.surfaces import labels_of_surfaces, pile_of
from napari_medseg.data.boundaries import BoundaryStore
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import CLASSES, FLUID, SURFACES, bscan, surface_rows, volume
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo
from napari_medseg.widgets import autosave
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.aspect import switch_aspect
from napari_medseg.widgets.session import session_of

from .helpers import canvas_of, labels_on_disk, move, place_of, press, stroke

pytestmark = pytest.mark.viewer

HEIGHT, WIDTH, BSCANS = 128, 192, 5
SHAPE = (HEIGHT, WIDTH)
TRUTH = surface_rows(1, HEIGHT, WIDTH, 0)[0]
INFO = DatasetInfo(name="test", kind="oct", classes=CLASSES, surfaces=SURFACES)
PILE = pile_of(INFO)
ILM, BM = 0, len(SURFACES) - 1
ALT, CONTROL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)
COLUMNS = (4, 60, 120, 186)


@pytest.fixture
def folder(tmp_path):
    """A data set of one B-scan, one in colours, and one volume; nothing is drawn."""
    dataset = Dataset.create(tmp_path / "data", INFO)
    grey = bscan(*SHAPE)[0]
    dataset.add_image(grey, "flat", extra={"spacing": "0.0039,0.0115"})
    dataset.add_image(np.repeat(grey[..., None], 3, axis=2), "rgb")
    dataset.add_image(volume(BSCANS, *SHAPE)[0], "stack")
    return dataset.path


@pytest.fixture
def desk(make_napari_viewer, qtbot, folder, monkeypatch):
    """A viewer with the Annotate panel, ready to edit the curves of the single B-scan."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(autosave, "RETRY_SECONDS", (0.1, 0.5))
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(folder)
    session.open_case("flat")
    qtbot.wait(150)
    viewer.reset_view()
    qtbot.wait(50)
    press(qtbot, viewer, Qt.Key.Key_E)
    assert session.open.edits_curves
    return viewer, panel, session


def click(qtbot, viewer, row, column, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, modifier, place_of(viewer, row, column))
    qtbot.wait(1)


def drag(qtbot, viewer, start, end, modifier=Qt.KeyboardModifier.NoModifier):
    points = [place_of(viewer, *(np.add(start, np.subtract(end, start) * share))) for share in (0, 0.3, 0.7, 1)]
    stroke(qtbot, canvas_of(viewer), points, modifier)
    qtbot.wait(1)


def draw(qtbot, viewer, session, surface, columns=COLUMNS):
    session.open.curves.choose(surface)
    for column in columns:
        click(qtbot, viewer, TRUTH[surface, column], column)


def rows_on_disk(folder, case="flat", shape=SHAPE):
    """Rows and anchors as a program that starts now reads them."""
    return BoundaryStore(folder / "boundaries" / f"{case}.csv", [s.name for s in SURFACES]).read(shape)


def wait_saved(qtbot, session):
    qtbot.waitUntil(lambda: session.open.curves.saving.is_saved() and session.open.autosave.is_saved(), timeout=15_000)


def test_clicks_put_a_traced_curve_on_the_disk_as_labels_and_rows(desk, qtbot, folder):
    viewer, panel, session = desk
    draw(qtbot, viewer, session, ILM)
    draw(qtbot, viewer, session, BM)
    wait_saved(qtbot, session)
    stored = rows_on_disk(folder)
    between = slice(COLUMNS[0], COLUMNS[-1] + 1)
    assert np.abs(stored.rows[0, ILM, between] - TRUTH[ILM, between]).mean() <= 1
    assert np.abs(stored.rows[0, BM, between] - TRUTH[BM, between]).mean() <= 2
    assert np.flatnonzero(stored.pinned[0, ILM]).tolist() == list(COLUMNS)
    assert np.isnan(stored.rows[0, ILM, : COLUMNS[0]]).all()
    np.testing.assert_array_equal(
        labels_on_disk(folder, "flat"), labels_of_surfaces(session.open.curves.rows, HEIGHT, PILE)
    )
    assert panel.curves.surfaces.item(ILM, 4).text() == "95 %"
    case = Dataset.open(folder).case("flat")
    assert (case.status, case.origin) == ("draft", "person")


def test_a_dragged_anchor_is_one_step_of_undo(desk, qtbot):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    before, pixels = session.open.curves.rows, session.labels.data.copy()
    row = TRUTH[ILM, 60]
    drag(qtbot, viewer, (row, 60), (row - 9, 66))
    curve = session.open.curves.curve
    assert 60 not in curve.anchors
    assert curve.anchors[66] == pytest.approx(row - 9, abs=1)
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(session.open.curves.rows, before)
    np.testing.assert_array_equal(session.labels.data, pixels)
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert session.open.curves.curve.anchors == curve.anchors


def test_press_and_drag_at_once_sets_an_anchor_where_the_button_is_released(desk, qtbot):
    viewer, _, session = desk
    drag(qtbot, viewer, (20, 30), (40, 50))
    assert list(session.open.curves.curve.anchors) == [50]
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert not session.open.curves.curve.anchors
    assert (session.labels.data == NOT_LOOKED_AT).all()


@pytest.mark.parametrize("by_key", [False, True])
def test_an_anchor_is_taken_away_by_alt_click_or_delete(desk, qtbot, by_key):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    if by_key:
        click(qtbot, viewer, TRUTH[ILM, 60], 60)
        press(qtbot, viewer, Qt.Key.Key_Delete, Qt.KeyboardModifier.NoModifier)
    else:
        click(qtbot, viewer, TRUTH[ILM, 60], 60, ALT)
    assert list(session.open.curves.curve.anchors) == [4, 120, 186]
    assert np.isfinite(session.open.curves.rows[ILM, 60])


def test_painting_moves_the_curve_and_shares_one_order_of_undo_with_it(desk, qtbot, folder):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    draw(qtbot, viewer, session, BM)
    session.open.curves.choose(ILM)
    first = session.open.curves.rows[ILM]
    session.open.edit_curves(False)
    session.labels.selected_label = 1
    session.labels.mode = "paint"
    session.labels.brush_size = 6
    row = int(TRUTH[ILM, 90])
    for column in range(84, 97, 3):
        drag(qtbot, viewer, (row, column), (row - 3, column))
    painted = session.open.curves.rows[ILM]
    assert (painted[85:95] < first[85:95] - 1).all()
    np.testing.assert_array_equal(painted[:70], first[:70])
    session.open.edit_curves(True)
    click(qtbot, viewer, TRUTH[ILM, 150], 150)
    wait_saved(qtbot, session)
    assert rows_on_disk(folder).rows[0, ILM, 90] == pytest.approx(painted[90], abs=0.01)

    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert 150 not in session.open.curves.curve.anchors
    np.testing.assert_array_equal(session.open.curves.rows[ILM], painted)
    for _ in range(5):
        press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(session.open.curves.rows[ILM], first)
    for _ in range(8):
        press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert (session.labels.data == NOT_LOOKED_AT).all()
    assert not session.open.curves.curve.anchors


def test_fluid_stays_above_the_layers_when_a_curve_is_moved(desk, qtbot):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    top = int(TRUTH[ILM, 90])
    rows = session.open.curves.rows
    y, x = np.indices((12, 12)).reshape(2, -1)
    session.labels.data_setitem((y + top - 6, x + 84), FLUID.value)
    session.open.curves.follow()
    np.testing.assert_array_equal(session.open.curves.rows, rows)  # painted over, not moved
    fluid = session.labels.data == FLUID.value
    click(qtbot, viewer, top - 12, 90)
    np.testing.assert_array_equal(session.labels.data == FLUID.value, fluid)
    assert session.labels.data[top - 8, 90] == NOT_LOOKED_AT


def test_a_gap_is_erased_ended_and_closed(desk, qtbot, folder):
    viewer, panel, session = desk
    draw(qtbot, viewer, session, ILM)
    drag(qtbot, viewer, (20, 80), (30, 100), SHIFT)
    missing = np.flatnonzero(np.isnan(session.open.curves.rows[ILM, : COLUMNS[-1]]))[COLUMNS[0] :]
    assert missing.tolist() == list(range(80, 101))
    wait_saved(qtbot, session)
    assert np.isnan(rows_on_disk(folder).rows[0, ILM, 80:101]).all()
    assert (labels_on_disk(folder, "flat")[:, 85] == NOT_LOOKED_AT).all()

    panel.curves.gaps.click()
    click(qtbot, viewer, 20, 90)
    assert np.isfinite(session.open.curves.rows[ILM, 4:187]).all()
    click(qtbot, viewer, 20, 140)
    rows = session.open.curves.rows[ILM]
    assert np.isfinite(rows[140])
    assert np.isnan(rows[141:186]).all()


def test_a_surface_is_not_drawn_beyond_its_neighbour(desk, qtbot):
    viewer, panel, session = desk
    draw(qtbot, viewer, session, ILM)
    before = session.labels.data.copy()
    session.open.curves.choose(BM)
    click(qtbot, viewer, TRUTH[ILM, 60] - 20, 60)
    assert "ILM" in panel.notice.words
    assert not session.open.curves.curve.anchors
    np.testing.assert_array_equal(session.labels.data, before)


def test_keys_and_ctrl_click_choose_surfaces(desk, qtbot):
    viewer, panel, session = desk
    curves = session.open.curves
    press(qtbot, viewer, Qt.Key.Key_Down)
    assert curves.chosen == 1
    press(qtbot, viewer, Qt.Key.Key_Up)
    assert curves.chosen == 0
    press(qtbot, viewer, Qt.Key.Key_4, ALT | SHIFT)
    assert curves.chosen == 3
    draw(qtbot, viewer, session, ILM)
    draw(qtbot, viewer, session, BM)
    click(qtbot, viewer, TRUTH[ILM, 100] + 3, 100, CONTROL)
    assert curves.chosen == ILM
    qtbot.waitUntil(lambda: panel.curves.surfaces.currentRow() == ILM, timeout=2000)
    press(qtbot, viewer, Qt.Key.Key_E)
    assert not session.open.edits_curves
    assert viewer.layers.selection.active is session.labels


def test_reopening_shows_the_same_curves_and_anchors(desk, qtbot, folder):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    draw(qtbot, viewer, session, BM)
    drag(qtbot, viewer, (20, 80), (30, 100), SHIFT)
    rows = session.open.curves.rows
    pinned = session.open.curves.curves.pinned(0)
    session.open_case("rgb")
    assert session.open.edits_curves  # the tool goes on
    session.open_case("flat")
    np.testing.assert_allclose(session.open.curves.rows, rows, atol=0.011)
    np.testing.assert_array_equal(session.open.curves.curves.pinned(0), pinned)
    assert [layer.name for layer in viewer.layers] == ["flat", "flat · labels", "flat · curves", "flat · anchors"]


def test_clicks_mean_the_same_pixels_in_true_millimetres(desk, qtbot):
    viewer, panel, session = desk
    switch_aspect(viewer, True)
    qtbot.wait(50)
    assert session.open.curves.layers.lines.scale[-2] == pytest.approx(0.0039)
    for column in (20, 160):
        world = session.labels.data_to_world((TRUTH[ILM, column], column))
        qtbot.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, pos=place_of(viewer, *world))
    anchors = session.open.curves.curve.anchors
    assert len(anchors) == 2
    for column, row in anchors.items():
        assert min(abs(column - 20), abs(column - 160)) <= 1
        assert row == pytest.approx(TRUTH[ILM, column], abs=2)
    qtbot.mouseMove(canvas_of(viewer), place_of(viewer, *session.labels.data_to_world((60.0, 90))))
    qtbot.waitUntil(lambda: "µm" in panel.curves.hover.text(), timeout=2000)


def test_grey_coded_as_colours_is_traced_like_grey(desk, qtbot):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    grey = session.open.curves.rows[ILM]
    session.open_case("rgb")
    qtbot.wait(50)
    draw(qtbot, viewer, session, ILM)
    np.testing.assert_allclose(session.open.curves.rows[ILM], grey, atol=1.5)


def test_curves_are_carried_on_filled_in_and_jumped_to(desk, qtbot, folder):
    viewer, panel, session = desk
    session.open_case("stack")
    curves = session.open.curves
    truth = surface_rows(BSCANS, HEIGHT, WIDTH, 0)
    curves.go_to(0)
    qtbot.wait(50)
    for column in COLUMNS:
        click(qtbot, viewer, truth[0, ILM, column], column)
    press(qtbot, viewer, Qt.Key.Key_PageDown)
    assert curves.bscan == 1
    inside = slice(COLUMNS[0], COLUMNS[-1] + 1)
    assert np.abs(curves.rows[ILM, inside] - truth[1, ILM, inside]).mean() < 2
    curves.go_to(4)
    for column in COLUMNS:
        click(qtbot, viewer, truth[4, ILM, column], column)
    qtbot.waitUntil(lambda: panel.curves._state.text() == "Annotated: B-scans 1-2, 5 of 5", timeout=3000)
    panel.curves.fill.click()
    assert curves.drawn_bscans() == [0, 1, 2, 3, 4]
    assert np.abs(curves.curves.rows(3)[ILM, inside] - truth[3, ILM, inside]).mean() < 3
    panel.curves.back.click()
    assert curves.bscan == 3
    wait_saved(qtbot, session)
    stored = rows_on_disk(folder, "stack", (BSCANS, *SHAPE))
    assert np.isfinite(stored.rows[:, ILM, 100]).all()
    assert (labels_on_disk(folder, "stack")[:, 0, 100] == 0).all()
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert curves.drawn_bscans() == [0, 1, 4]


def test_drafts_of_a_model_and_of_the_scanner_are_suggested(desk, qtbot):
    viewer, panel, session = desk
    press(qtbot, viewer, Qt.Key.Key_G)
    assert "nothing to suggest" in panel.notice.words
    draw(qtbot, viewer, session, ILM, columns=(4, 100))
    own = session.open.curves.rows[ILM, 4:101]
    predicted = viewer.add_labels(bscan(*SHAPE)[1], name="flat · some prediction")
    predicted.features = session.labels.features
    predicted.metadata["prediction"] = "some"
    press(qtbot, viewer, Qt.Key.Key_G)
    np.testing.assert_array_equal(session.open.curves.rows[ILM, 4:101], own)
    np.testing.assert_array_equal(session.open.curves.rows[BM], TRUTH[BM].astype(np.float32))
    assert np.isfinite(session.open.curves.rows).all()
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert np.isnan(session.open.curves.rows[BM]).all()


def test_a_failed_save_is_told_and_tried_again(desk, qtbot, folder):
    viewer, panel, session = desk
    (folder / "boundaries").write_text("in the way")
    draw(qtbot, viewer, session, ILM)
    qtbot.waitUntil(lambda: "Curves could not be saved" in panel.notice.words, timeout=5000)
    assert np.isfinite(session.open.curves.rows[ILM, 60])
    (folder / "boundaries").unlink()
    wait_saved(qtbot, session)
    assert np.isfinite(rows_on_disk(folder).rows[0, ILM, 60])


def test_what_another_program_wrote_meanwhile_is_kept(desk, qtbot, folder):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    wait_saved(qtbot, session)
    path = folder / "boundaries" / "flat.csv"
    theirs = path.read_text().replace("\n", "\n", 1) + "0,0,1.50,,,,,,,\n"
    path.write_text(theirs)
    draw(qtbot, viewer, session, BM)
    wait_saved(qtbot, session)
    kept = list((folder / "history" / "boundaries").iterdir())
    assert [one.read_text() for one in kept] == [theirs]
    assert np.isfinite(rows_on_disk(folder).rows[0, BM, 60])


def test_a_file_that_cannot_be_read_is_told_and_kept(desk, qtbot, folder):
    viewer, panel, session = desk
    draw(qtbot, viewer, session, ILM)
    draw(qtbot, viewer, session, 1)
    session.open_case("rgb")
    path = folder / "boundaries" / "flat.csv"
    path.write_text("bscan,x,other\n0,1,2\n")
    session.open_case("flat")
    assert "other" in panel.notice.words
    assert np.isfinite(session.open.curves.rows[ILM, 60])  # from the labels
    draw(qtbot, viewer, session, BM)
    wait_saved(qtbot, session)
    assert "other" in next((folder / "history" / "boundaries").iterdir()).read_text()


def test_closing_the_window_in_the_middle_of_a_drag_saves(desk, qtbot, folder):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    row = TRUTH[ILM, 60]
    canvas = canvas_of(viewer)
    qtbot.mousePress(canvas, Qt.MouseButton.LeftButton, pos=place_of(viewer, row, 60))
    move(canvas, place_of(viewer, row - 10, 60))
    qtbot.wait(5)
    viewer.close()
    stored = rows_on_disk(folder)
    assert stored.rows[0, ILM, 60] == pytest.approx(row - 10, abs=1)
    labels = labels_on_disk(folder, "flat")
    assert labels[int(row - 12), 60] == 0
    assert labels[int(row - 7), 60] == NOT_LOOKED_AT


def test_layers_are_set_up_for_a_data_set_that_has_none(make_napari_viewer, qtbot, tmp_path):
    dataset = Dataset.create(tmp_path / "plain", DatasetInfo(name="plain", kind="oct"))
    dataset.add_image(bscan(*SHAPE)[0], "flat")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("flat")
    qtbot.wait(150)
    assert session.open.curves is None
    qtbot.mouseClick(panel.curves.setup, Qt.MouseButton.LeftButton)
    form = panel.layers_setup
    assert form.isVisible()
    qtbot.wait(50)  # until it is laid out
    for index in range(form.order._list.count()):
        item = form.order._list.item(index)
        wanted = item.text() in ("RNFL", "GCL", "RPE") or (index and item.text().startswith("background"))
        item.setCheckState(Qt.CheckState.Checked if wanted else Qt.CheckState.Unchecked)
    form.order._list.item(0).setCheckState(Qt.CheckState.Checked)
    form.areas["fluid"].setChecked(True)
    qtbot.mouseClick(form.use, Qt.MouseButton.LeftButton)
    info = Dataset.open(dataset.path).info
    assert [s.name for s in info.surfaces] == ["ILM", "RNFL/GCL", "GCL/RPE", "BM"]
    assert [c.name for c in info.classes] == ["RNFL", "GCL", "RPE", "fluid"]
    assert session.open.edits_curves
    assert panel.curves.surfaces.rowCount() == 4


def test_removing_a_curve_layer_loses_nothing(desk, qtbot, folder):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    viewer.layers.remove(session.open.curves.layers.lines)
    qtbot.wait(20)
    session.open.edit_curves(True)
    draw(qtbot, viewer, session, BM)
    session.close_case()
    stored = rows_on_disk(folder)
    assert np.isfinite(stored.rows[0, [ILM, BM], 60]).all()
    assert len(viewer.layers) == 0


def test_curves_do_not_cut_locked_classes(desk, qtbot):
    viewer, panel, session = desk
    draw(qtbot, viewer, session, ILM)
    draw(qtbot, viewer, session, 1)
    session.open.locks.locked = frozenset({1})
    pixels, rows = session.labels.data.copy(), session.open.curves.rows
    session.open.curves.choose(1)
    click(qtbot, viewer, TRUTH[1, 90] - 3, 90)
    assert panel.notice.words == "Locked classes stayed as they were."
    np.testing.assert_array_equal(session.labels.data, pixels)
    np.testing.assert_array_equal(session.open.curves.rows, rows)


def test_killed_in_the_middle_a_session_leaves_complete_files(folder):
    code = (
        "import os, signal, sys, napari\n"
        "from qtpy.QtWidgets import QApplication\n"
        "from napari_medseg.widgets.session import session_of\n"
        "viewer = napari.Viewer(show=False)\n"
        "session = session_of(viewer)\n"
        "session.open_dataset(sys.argv[1])\n"
        "session.open_case('flat')\n"
        "curves = session.open.curves\n"
        "for column in range(5, 186, 20):\n"
        "    curves.do(curves.curves.add_anchor, 0, 0, column, 30.0)\n"
        "while not curves.saving.is_saved():\n"
        "    QApplication.processEvents()\n"
        "for column in range(5, 186, 20):\n"
        "    curves.do(curves.curves.add_anchor, 0, 6, column, 100.0)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    stored = rows_on_disk(folder)
    assert np.flatnonzero(stored.pinned[0, ILM]).tolist() == list(range(5, 186, 20))
    assert np.isnan(stored.rows[0, BM]).all()
    assert (labels_on_disk(folder, "flat")[20, 5:186] == 0).all()


def test_done_leaves_open_what_lies_between_missing_curves(desk, qtbot, folder):
    viewer, _, session = desk
    draw(qtbot, viewer, session, ILM)
    row = int(TRUTH[ILM, 60])
    session.open.mark_done()
    labels = labels_on_disk(folder, "flat")
    assert labels[row - 5, 60] == 0
    assert (labels[row + 5 :, 60] == NOT_LOOKED_AT).all()
    stored = Dataset.open(folder)
    assert stored.case("flat").status == "done"
