"""What the window says while layers are drawn: acts without effect get a sentence, and nothing said is stale."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import CLASSES, SURFACES, bscan, volume
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.predict_panel import PredictPanel
from napari_medseg.widgets.result_rows import Result
from napari_medseg.widgets.session import session_of

from .helpers import canvas_of, move, place_of, press, stroke

pytestmark = pytest.mark.viewer

SHAPE = (64, 96)
INFO = DatasetInfo(name="test", kind="oct", classes=CLASSES, surfaces=SURFACES)
CONTROL = Qt.KeyboardModifier.ControlModifier


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path):
    """A viewer with the Annotate and the Predict panel on a volume and two B-scans, one of them done."""
    dataset = Dataset.create(tmp_path / "data", INFO)
    dataset.add_image(volume(2, *SHAPE)[0], "stack")
    for seed, name in enumerate(("done", "todo")):
        dataset.add_image(bscan(*SHAPE, seed=seed)[0], name)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    panel, predict = AnnotatePanel(viewer), PredictPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    viewer.window.add_dock_widget(predict, area="right", tabify=True, name="Predict")
    session = session_of(viewer)
    session.panel_asked.connect(lambda name: None)
    session.open_dataset(dataset.path)
    session.open_case("done")
    session.open.locks.set_box(((0, SHAPE[0]), (0, SHAPE[1])), bscan(*SHAPE)[1])
    session.open.mark_done()
    qtbot.wait(100)
    viewer.reset_view()
    return viewer, panel, predict, session


def point_at(qtbot, viewer, row: float, column: float) -> None:
    # A move that follows another one at once is dropped.
    qtbot.wait(100)
    move(canvas_of(viewer), place_of(viewer, row, column), held=Qt.MouseButton.NoButton)


def test_what_is_said_of_the_pointer_follows_the_bscan_and_goes_with_it(desk, qtbot):
    viewer, panel, _, session = desk
    press(qtbot, viewer, Qt.Key.Key_E)
    ilm = float(session.open.curves.rows[0, 40])
    point_at(qtbot, viewer, ilm + 3, 40)
    qtbot.waitUntil(lambda: "ILM" in panel.curves.hover.text(), timeout=5000)
    session.open.curves.do(session.open.curves.curves.clear, 0, 0)
    assert "ILM" not in panel.curves.hover.text()
    viewer.mouse_over_canvas = True
    viewer.mouse_over_canvas = False
    assert panel.curves.hover.text() == ""
    point_at(qtbot, viewer, ilm + 3, 50)
    qtbot.waitUntil(lambda: "column 50" in panel.curves.hover.text(), timeout=5000)
    session.open_case("todo")
    assert panel.curves.hover.text() == ""


def test_another_bscan_is_told_of_under_a_pointer_that_stands_still(desk, qtbot):
    viewer, panel, _, session = desk
    session.open_case("stack")
    qtbot.wait(100)
    viewer.reset_view()
    curves = session.open.curves
    rows = np.repeat(np.linspace(10, 50, len(SURFACES), dtype=np.float32)[:, None], SHAPE[1], axis=1)
    curves.do(curves.curves.set_rows, 1, rows)
    curves.go_to(0)
    press(qtbot, viewer, Qt.Key.Key_E)
    point_at(qtbot, viewer, 30, 40)
    qtbot.waitUntil(lambda: "column 40" in panel.curves.hover.text(), timeout=5000)
    assert "ILM" not in panel.curves.hover.text()
    curves.go_to(1)
    assert "ILM -20" in panel.curves.hover.text()


def test_a_drag_that_a_neighbour_holds_back_names_it(desk, qtbot):
    viewer, panel, _, session = desk
    press(qtbot, viewer, Qt.Key.Key_E)
    column = next(x for x in session.open.curves.curve.columns if 20 < x < 76)
    rows = session.open.curves.rows[:, column]
    points = [place_of(viewer, float(rows[0]) + down, column) for down in (0, 10, 25)]
    stroke(qtbot, canvas_of(viewer), points)
    assert session.open.curves.rows[0, column] == session.open.curves.rows[1, column]
    assert panel.curves.hover.text().endswith("held by RNFL/GCL+IPL")


def test_finishing_says_when_nothing_follows_and_when_it_was_done_before(desk, qtbot):
    viewer, panel, _, session = desk
    session.update_case("stack", status="done")
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    assert session.case.case == "todo"
    assert panel.notice.words == "done was done already; this is the next case to do."
    session.update_case("todo", status="draft")
    session.open_case("done")
    assert panel.notice.words == ""
    qtbot.mouseClick(panel.done, Qt.MouseButton.LeftButton)
    assert panel.notice.words == "done was done already; no other case is to do."


def test_choosing_the_gap_tool_lets_the_mouse_edit_curves(desk, qtbot):
    viewer, panel, _, session = desk
    assert not session.open.edits_curves
    qtbot.mouseClick(panel.curves.gaps, Qt.MouseButton.LeftButton)
    assert session.open.edits_curves
    before = np.isfinite(session.open.curves.rows[0]).sum()
    point = place_of(viewer, float(session.open.curves.rows[0, 48]), 48)
    qtbot.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, pos=point)
    assert np.isfinite(session.open.curves.rows[0]).sum() <= before
    assert session.open.curves.curve.stops or 48 in session.open.curves.curve.pinned


def test_correcting_a_finished_case_says_why_nothing_changed_and_can_be_tried_again(desk, qtbot):
    viewer, panel, predict, session = desk
    viewer.window._wrapped_dock_widgets["Predict"].raise_()
    qtbot.waitUntil(predict.isVisible, timeout=5000)
    labels = session.labels.data.copy()
    predicted = np.roll(labels, 3, axis=0)
    layer = viewer.add_labels(predicted, name="done · m prediction")
    result = Result(title="done", model="m", classes=CLASSES, layers=[layer], beside=session.open.image_layers[0])
    row = predict.results.add(result)
    row.findChild(QPushButton, "correct").click()
    np.testing.assert_array_equal(session.labels.data, labels)
    assert "Nothing was taken over: every pixel of done has been looked at" in row.state.words
    assert "press Suggest" in panel.notice.words
    assert layer.visible
    for name in ("accept", "correct", "discard"):
        qtbot.waitUntil(row.findChild(QPushButton, name).isVisible, timeout=5000)
    # A part that a person erased is taken from the prediction.
    session.open.curves.do(session.open.curves.curves.erase, 0, 0, 20, 60)
    row.findChild(QPushButton, "accept").click()
    assert "pixels taken over" in row.state.words
    assert not row.findChild(QPushButton, "accept").isVisible()


def test_the_scanners_layers_are_suggested_by_meaning_and_it_is_said_which(desk, qtbot):
    _, panel, _, session = desk
    session.open_case("todo")
    depths = {"ILM": 10, "RNFL": 14, "GCL": 18, "IPL": 22, "ELM": 40}
    rows = {name: np.full((1, SHAPE[1]), depth, np.float32) for name, depth in depths.items()}
    session.open.image_layers[0].metadata.setdefault("medseg", {})["surfaces"] = rows
    qtbot.mouseClick(panel.curves.suggest, Qt.MouseButton.LeftButton)
    found = session.open.curves.rows
    names = [surface.name for surface in SURFACES]
    for own, theirs in {"ILM": "ILM", "RNFL/GCL+IPL": "RNFL", "GCL+IPL/INL": "IPL", "ONL/RPE": "ELM"}.items():
        assert (found[names.index(own)] == depths[theirs]).all()
        assert (own if own == theirs else f"{own} = {theirs}") in panel.notice.words
    assert np.isnan(found[[names.index("INL/OPL"), names.index("BM")]]).all()
    assert "without INL/OPL, OPL/ONL, BM" in panel.notice.words
