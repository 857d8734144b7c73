"""Review with real mouse and keys: locks, blind readings, disputes, consensus, and what the work cost."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QPushButton, QWidget

from napari_medseg.api import work_report as work_report_module
from napari_medseg.api.work_report import work_report
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.readings import Reading, open_reading, reader_names
from napari_medseg.data.reviewing import mark_reviewed, reviewed_regions
from napari_medseg.errors import ReviewedError
from napari_medseg.widgets import autosave, case_work
from napari_medseg.widgets.accepting import accept
from napari_medseg.widgets.review_panel import ReviewPanel
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.shortcuts import set_tag
from napari_medseg.widgets.work_view import WorkView

from .helpers import SHAPE, drag, labels_on_disk, make_dataset, press, row_in_another_process

pytestmark = pytest.mark.viewer

STROKE = [(250, column) for column in range(100, 500, 20)]
CONTROL = Qt.KeyboardModifier.ControlModifier
ALT_SHIFT = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier


def read(dataset: Dataset, case_id: str, columns: tuple[int, int], tag: str = "") -> None:
    """A finished reading: class 1 between two columns."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[100:300, slice(*columns)] = 1
    case = dataset.case(case_id)
    store = dataset.label_store(case, SHAPE)
    store.read()
    store.write_box(tuple((0, n) for n in SHAPE), labels)
    case = record_labels(dataset, case_id, store, revision=case.revision)
    mark_done(dataset, case_id, store, revision=case.revision, tag=tag)


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    """A viewer with the Review panel and the first of three cases, which is done."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    monkeypatch.setattr(autosave, "RETRY_SECONDS", (0.1, 0.5))
    dataset = make_dataset(tmp_path / "data")
    dataset.author = "anna"
    read(dataset, "case0", (100, 300), "benign")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    session.open_case("case0")
    viewer.reset_view()
    qtbot.wait(200)
    return viewer, panel, session


def click(qtbot, panel: QWidget, name: str) -> None:
    """The left button on a button of a panel, by its name."""
    button = panel.findChild(QPushButton, name)
    qtbot.waitUntil(button.isVisible, timeout=10_000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def test_a_reviewed_case_resists_brush_tag_undo_and_prediction_until_it_is_unlocked(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    session.open.choose_class(2)
    session.labels.brush_size = 20
    drag(qtbot, viewer, STROKE)
    assert (session.labels.data[250, 150:450] == 2).all()
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    session.open_case("case0")
    read(session.dataset, "case1", (0, 50))
    session.cases_changed.emit()
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    assert session.case.case == "case1", "the next one that is done"
    click(qtbot, panel, "reviewed")
    assert "no other case waits for review" in panel.notice.words
    session.open_case("case0")
    before = session.labels.data.copy()
    row = row_in_another_process(tmp_path / "data", "case0")
    assert row["status"] == "reviewed"
    assert row["author"] == "anna"
    assert row["extra"]["reviewer"]
    assert row["extra"]["reviewed"].startswith("20")
    assert "locked" in panel.status.state.text()

    kept = []
    session.open.locked_kept.connect(lambda: kept.append(True))
    session.open.choose_class(1)
    drag(qtbot, viewer, [(row, column) for row, column in STROKE])
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    np.testing.assert_array_equal(session.labels.data, before)
    assert kept
    for change in (
        lambda: set_tag(session, "malignant"),
        session.open.mark_empty,
        lambda: session.open.mark_region_complete(tuple((0, n) for n in SHAPE)),
        lambda: accept(
            session,
            "case0",
            model="m",
            labels=np.ones(SHAPE, np.uint8),
            region=None,
            classes=session.dataset.info.classes,
            tag="",
        ),
    ):
        with pytest.raises(ReviewedError, match="unlock it"):
            change()
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case0"), before)
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    assert Dataset.open(tmp_path / "data").case("case0").status == "reviewed", "done would be less than reviewed"

    session.open_case("case0")
    click(qtbot, panel, "unlock_case")
    assert (session.case.status, session.case.extra["reviewer"]) == ("draft", "")
    session.open.choose_class(1)
    drag(qtbot, viewer, STROKE)
    assert (session.labels.data[250, 150:450] == 1).all()


def test_a_reviewed_region_resists_brush_and_prediction_and_is_outlined(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    click(qtbot, panel, "draw_reviewed_region")
    shapes = viewer.layers["case0 · region"]
    assert shapes.mode == "add_rectangle"
    drag(qtbot, viewer, [(120, 150), (200, 240), (260, 320)])
    qtbot.waitUntil(lambda: shapes.nshapes == 1, timeout=5000)
    click(qtbot, panel, "lock_region")
    (region,) = reviewed_regions(Dataset.open(tmp_path / "data"), "case0")
    (y0, y1), (x0, x1) = region.box
    assert abs(y0 - 120) + abs(y1 - 260) + abs(x0 - 150) + abs(x1 - 320) < 12
    assert "1 reviewed region" in panel.status.state.text()
    assert viewer.layers["case0 · reviewed"].nshapes == 1

    before = session.labels.data.copy()
    session.open.choose_class(2)
    session.labels.brush_size = 20
    drag(qtbot, viewer, [(200, column) for column in range(50, 500, 20)])
    np.testing.assert_array_equal(session.labels.data[y0:y1, x0:x1], before[y0:y1, x0:x1])
    assert (session.labels.data[200, 60 : x0 - 2] == 2).all()
    session.update_case("case0", origin="model:m", status="draft")
    says = np.full(SHAPE, 2, np.uint8)
    taken = accept(session, "case0", model="m", labels=says, region=None, classes=session.dataset.info.classes, tag="")
    assert taken
    stored = labels_on_disk(tmp_path / "data", "case0")
    np.testing.assert_array_equal(stored[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1], before[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1])
    assert (stored[:y0] == 2).all()

    # A case that is not on screen is guarded alike.
    session.open_case("case1")
    assert "case0 · reviewed" not in viewer.layers
    accept(
        session,
        "case0",
        model="m2",
        labels=np.ones(SHAPE, np.uint8),
        region=None,
        classes=session.dataset.info.classes,
        tag="",
    )
    stored = labels_on_disk(tmp_path / "data", "case0")
    np.testing.assert_array_equal(stored[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1], before[y0 + 1 : y1 - 1, x0 + 1 : x1 - 1])
    assert (stored[:y0] == 1).all()
    session.open_case("case0")
    click(qtbot, panel, "unlock_regions")
    assert "case0 · reviewed" not in viewer.layers
    drag(qtbot, viewer, [(200, column) for column in range(160, 300, 20)])
    assert (session.labels.data[200, 170:290] == 2).all()


def test_a_blind_reader_draws_first_and_compares_then(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    field = panel.readers.name
    field.setFocus()
    qtbot.keyClicks(field, "ben")
    qtbot.keyClick(field, Qt.Key.Key_Return)
    assert isinstance(session.dataset, Reading)
    assert (session.case.case, session.case.tag, session.case.status) == ("case0", "", "todo")
    assert (session.labels.data == 255).all(), "the first reading is hidden"
    click(qtbot, panel, "compare_readings")
    qtbot.waitUntil(lambda: "hidden until yours is done" in panel.notice.words, timeout=30_000)
    assert [layer.name for layer in viewer.layers] == ["case0", "case0 · labels"]

    session.open.choose_class(1)
    session.labels.brush_size = 40
    drag(qtbot, viewer, [(200, column) for column in range(100, 400, 20)])
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    session.open_case("case0")
    assert (tmp_path / "data" / "raters" / "ben" / "labels" / "case0.zarr").is_dir()
    assert (labels_on_disk(tmp_path / "data", "case0")[100:300, 100:300] == 1).all(), "anna's labels are untouched"
    click(qtbot, panel, "compare_readings")
    qtbot.waitUntil(lambda: panel.compare.compared is not None, timeout=30_000)
    assert {"case0 · anna", "case0 · ben", "case0 · disagreement"} <= {layer.name for layer in viewer.layers}
    assert not panel.compare.take.isVisible(), "a reader does not decide alone"
    click(qtbot, panel, "hide_comparison")
    assert [layer.name for layer in viewer.layers] == ["case0", "case0 · labels"]
    panel.readers.who.setCurrentIndex(0)
    panel.readers.who.activated.emit(0)
    assert (type(session.dataset), session.case.tag) == (Dataset, "benign")


def test_disputes_are_visited_by_click_and_key_and_the_consensus_is_saved_as_the_labels(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    for name, columns in (("ben", (110, 300)), ("cora", (100, 350))):
        read(open_reading(tmp_path / "data", name), "case0", columns, "malignant")
    click(qtbot, panel, "compare_readings")
    qtbot.waitUntil(lambda: panel.compare.compared is not None, timeout=30_000)
    places = panel.compare.places
    assert [places.item(i).text() for i in range(places.count())] == ["1. 10,000 pixels", "2. 2,000 pixels"]
    heat = viewer.layers["case0 · disagreement"]
    assert float(heat.data[200, 320]) == pytest.approx(2 / 3)
    assert float(heat.data[200, 200]) == 0.0
    qtbot.mouseClick(places.viewport(), Qt.MouseButton.LeftButton, pos=places.visualItemRect(places.item(0)).center())
    center = viewer.scene.camera.center[-2:]
    assert 100 < center[0] < 300
    assert 300 < center[1] < 350
    zoom = viewer.scene.camera.zoom
    press(qtbot, viewer, Qt.Key.Key_Down, ALT_SHIFT)
    assert places.currentRow() == 1
    assert 100 <= viewer.scene.camera.center[-1] < 110
    assert viewer.scene.camera.zoom >= zoom

    click(qtbot, panel, "take_consensus")
    qtbot.waitUntil(lambda: session.case is not None and session.case.status == "draft", timeout=30_000)
    assert (session.case.tag, session.case.extra["consensus"]) == ("malignant", "majority: anna, ben, cora")
    assert reader_names(tmp_path / "data") == ("anna", "ben", "cora")
    assert places.count() == 2, "the places stay, to be looked at one by one"
    session.open.choose_class(1)
    session.labels.brush_size = 10
    viewer.reset_view()
    drag(qtbot, viewer, [(200, column) for column in range(310, 345, 5)])
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    stored = labels_on_disk(tmp_path / "data", "case0")
    assert (stored[150, 100:300] == 1).all()
    assert (stored[150, 301:] == 0).all()
    assert (stored[200, 310:340] == 1).all(), "what the adjudicator drew"
    row = row_in_another_process(tmp_path / "data", "case0")
    assert (row["status"], row["extra"]["consensus"]) == ("done", "majority: anna, ben, cora")
    whats = [change.what for change in session.dataset.history.read() if change.case == "case0"]
    assert "consensus" in whats


def test_agreement_of_all_cases_is_a_table(desk, qtbot, tmp_path):
    _, panel, _ = desk
    read(open_reading(tmp_path / "data", "ben"), "case0", (200, 400), "benign")
    fold = panel.agreement.parentWidget().parentWidget()
    fold.set_open(True)
    click(qtbot, panel, "compare_all")
    table = panel.agreement.table
    qtbot.waitUntil(table.isVisible, timeout=30_000)
    rows = {table.item(row, 0).text(): table.item(row, 1).text() for row in range(table.rowCount())}
    assert rows["Dice gland"] == "0.500"
    assert rows["same tag"] == "1.000"
    assert table.item(0, 0).toolTip() == "anna and ben: 0.500 (1 cases)"


def test_a_second_window_follows_and_locks_what_the_first_one_reviewed(desk, qtbot, tmp_path):
    viewer, _, session = desk
    other = Dataset.open(tmp_path / "data", author="cora")
    mark_reviewed(other, "case0", revision=other.case("case0").revision)
    qtbot.waitUntil(lambda: session.case.status == "reviewed", timeout=20_000)
    before = session.labels.data.copy()
    session.open.choose_class(2)
    drag(qtbot, viewer, STROKE)
    np.testing.assert_array_equal(session.labels.data, before)


def test_what_was_corrected_is_told_to_the_history_and_shown(desk, qtbot, tmp_path, monkeypatch):
    viewer, _, session = desk
    monkeypatch.setattr(case_work, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(work_report_module, "_LEAST_SECONDS", 0.0)
    session.open_case("case1")
    says = np.zeros(SHAPE, np.uint8)
    says[100:300, 100:300] = 1
    accept(session, "case1", model="m", labels=says, region=None, classes=session.dataset.info.classes, tag="")
    session.open.choose_class(2)
    session.labels.brush_size = 20
    viewer.reset_view()
    drag(qtbot, viewer, STROKE)
    changed = int((session.labels.data != says).sum())
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    report = work_report(tmp_path / "data")
    (case,) = [each for each in report.finished if each.case == "case1"]
    assert (case.origin, case.kind, case.objects) == ("model:m", "labels", 3)
    assert sum(report.edits.values()) == changed
    assert set(report.edits) == {("background", "stroma"), ("gland", "stroma")}
    assert 0 < case.seconds < 600
    lines = [json.loads(line) for path in (tmp_path / "data" / "history").glob("*.jsonl") for line in path.open()]
    (line,) = [each for each in lines if each["what"] == "work" and "kind" in each["to"]]
    assert int(line["to"]["changed"]) == changed
    view = WorkView(session)
    qtbot.addWidget(view)
    view.show()
    qtbot.mouseClick(view.button, Qt.MouseButton.LeftButton, pos=QPoint(10, 5))
    qtbot.waitUntil(lambda: "corrected from a model: 1 case" in view.text.text(), timeout=30_000)
    assert "background to stroma" in view.text.text()


def test_looking_at_cases_is_no_work(desk, qtbot, tmp_path):
    _, _, session = desk
    for case in ("case1", "case2", "case0"):
        session.open_case(case)
        qtbot.wait(50)
    assert work_report(tmp_path / "data").finished == ()
    assert "work" not in [change.what for change in session.dataset.history.read()]
