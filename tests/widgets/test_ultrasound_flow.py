"""Ultrasound from frames to an explained class: box, tag, form, outline, calipers, training, prediction, report.

What is asserted is what lies in the files afterwards, and what is on screen.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from PIL import Image as Picture
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.forms import form_path
from napari_medseg.data.synthetic_ultrasound import LESIONS, frame, make_dataset
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.scan_box import scan_box_of
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

from .helpers import canvas_of, drag, labels_on_disk, place_of, press, row_in_another_process, settled

pytestmark = pytest.mark.viewer

SIZE = {"rows": 180, "columns": 280}
CONTROL = Qt.KeyboardModifier.ControlModifier
SHIFT = Qt.KeyboardModifier.ShiftModifier
#: Small enough to train in a test; nothing of the scheme is replaced.
TINY = [
    "network.base_width=4",
    "network.middle_modules=1",
    "input_size=64",
    "training.epochs=1",
    "training.steps_per_epoch=2",
    "training.batch_size=8",
]
#: The case that is worked on: nobody tagged it, and nobody drew on it.
CASE = "frame_004"


@pytest.fixture
def window(make_napari_viewer, tmp_path):
    """A viewer with the Workspace and a data set of generated frames, all tagged but one."""
    dataset = make_dataset(tmp_path / "data", n=32, **SIZE)
    for case in dataset.cases:
        if int(case.case[-3:]) > 7:
            # Patients of every kind, to judge with.
            split = "val" if int(case.case[-3:]) < 16 else "train"
            dataset.update_case(case.case, revision=case.revision, split=split, label="")
    dataset.update_case(CASE, revision=dataset.case(CASE).revision, tag="", label="", status="todo", origin="")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    yield viewer, workspace, session
    for job in list(Job.running):
        job.end()


def form_on_disk(session) -> dict:
    path = form_path(session.dataset.path, CASE)
    return json.loads(path.read_text()) if path.exists() else {}


def child(owner, name) -> QPushButton:
    return owner.findChild(QPushButton, name)


def test_from_a_frame_to_an_explained_class(window, qtbot, monkeypatch, tmp_path):
    viewer, workspace, session = window
    folder, truth = session.dataset.path, frame("papillary carcinoma", seed=4, **SIZE)
    workspace.show_panel("Annotate")
    session.open_case(CASE)
    scan, canvas = scan_box_of(session), canvas_of(viewer)
    qtbot.waitUntil(lambda: scan.box is not None, timeout=60_000)
    assert "region_box" not in form_on_disk(session)
    viewer.reset_view()
    settled(qtbot, lambda: (canvas.width(), canvas.height(), place_of(viewer, 0, 0)))

    press(qtbot, viewer, Qt.Key.Key_B)
    (top, bottom), (left, right) = scan.box
    middle = (top + bottom) / 2
    drag(qtbot, viewer, [(middle, right - 0.5), (middle, right + 3), (middle, right + 10)])
    qtbot.waitUntil(lambda: "region_box" in form_on_disk(session), timeout=60_000)
    corrected = scan.box
    assert corrected[0] == (top, bottom)
    assert corrected[1][0] == left
    assert abs(corrected[1][1] - right - 10) <= 2
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    assert (scan.box, form_on_disk(session)) == (((top, bottom), (left, right)), {})
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL | SHIFT)
    assert scan.box == corrected

    press(qtbot, viewer, Qt.Key.Key_3)
    assert session.case.tag == LESIONS[2]

    press(qtbot, viewer, Qt.Key.Key_Q)
    form = workspace.panel("Annotate").ultrasound.tirads
    for digit in "442344":
        qtbot.keyClicks(viewer.window._qt_window.focusWidget(), digit)
    # The last one took its tick away again.
    assert tirads_level(form) == ""
    qtbot.keyClicks(viewer.window._qt_window.focusWidget(), "4")
    assert "TR5" in form.result.text()
    answers = form_on_disk(session)["tirads"]
    assert answers == {
        "composition": "solid",
        "echogenicity": "hypoechoic",
        "shape": "taller",
        "margin": "irregular",
        "foci": ["punctate"],
    }
    qtbot.keyClick(viewer.window._qt_window.focusWidget(), Qt.Key.Key_Return)

    press(qtbot, viewer, Qt.Key.Key_E)
    rows, columns = np.nonzero(truth.nodule)
    drag(qtbot, viewer, [(rows.min() - 3, columns.min() - 4), (100, 140), (rows.max() + 4, columns.max() + 2)])
    qtbot.waitUntil(lambda: workspace.panel("Annotate").ultrasound.contour.is_shown, timeout=60_000)
    assert not (np.asarray(session.labels.data) == 1).any()
    press(qtbot, viewer, Qt.Key.Key_Y)
    drawn = np.asarray(session.labels.data) == 1
    assert 2 * (drawn & (truth.nodule == 1)).sum() / (drawn.sum() + truth.nodule.sum()) > 0.9

    press(qtbot, viewer, Qt.Key.Key_M)
    drag(qtbot, viewer, [(rows.min(), columns.mean()), (rows.mean(), columns.mean()), (rows.max(), columns.mean())])
    qtbot.waitUntil(lambda: "lines" in form_on_disk(session), timeout=60_000)
    ((start, stop),) = form_on_disk(session)["lines"]
    assert abs(stop[0] - start[0] - np.ptp(rows)) < 4

    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    stored = row_in_another_process(folder, CASE)
    assert (stored["status"], stored["tag"]) == ("done", "papillary carcinoma")
    np.testing.assert_array_equal(labels_on_disk(folder, CASE) == 1, drawn)

    workspace.show_panel("Train")
    panel = workspace.panel("Train")
    panel.setup.choose("thyroid")
    panel.setup.form.set_settings(build_config(find_scheme("thyroid"), assignments=TINY))
    qtbot.waitUntil(panel._start.isEnabled, timeout=120_000)
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=600_000)
    assert panel.notice.words == ""
    qtbot.mouseClick(panel.run_view.result._use, Qt.MouseButton.LeftButton)

    session.open_case(CASE)
    qtbot.waitUntil(lambda: scan.box == corrected, timeout=60_000)
    workspace.show_panel("Predict")
    predict = workspace.panel("Predict")
    qtbot.waitUntil(lambda: predict.models.path is not None and predict._run.isEnabled(), timeout=60_000)
    qtbot.mouseClick(predict._run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: predict.job is None and len(predict.results.results) == 1, timeout=300_000)
    result = predict.results.results[0]
    assert set(result.tag.probabilities) == set(LESIONS)
    assert sum(result.tag.probabilities.values()) == pytest.approx(1)
    assert any("TI-RADS form (TR5" in fact for fact in result.facts)
    region, overlay = result.layers
    assert isinstance(region, Labels)
    assert isinstance(overlay, ImageLayer)
    assert overlay.visible
    assert result.region == corrected
    for layer in (region, overlay):
        assert layer.data.shape == tuple(stop - start for start, stop in corrected)
        np.testing.assert_allclose(layer.translate, [start for start, _ in corrected])
    assert {int(v) for v in np.unique(region.data)} == {c.value for c in result.classes if c.name == result.tag.tag}

    report = tmp_path / "report.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(report), ""))
    qtbot.mouseClick(child(predict.results.row_of(result), "report"), Qt.MouseButton.LeftButton)
    assert Picture.open(report).size[0] > 1000
    qtbot.mouseClick(child(predict.results.row_of(result), "accept"), Qt.MouseButton.LeftButton)
    stored = Dataset.open(folder).case(CASE)
    assert stored.tag == "papillary carcinoma"
    np.testing.assert_array_equal(labels_on_disk(folder, CASE) == 1, drawn)


def tirads_level(form) -> str:
    """The level that the fold's title tells."""
    return form.fold.button.text().partition(" · ")[2]
