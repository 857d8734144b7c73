"""OCT from end to end in one window: draw curves, save, reopen, train, predict, correct by a curve, accept.

What is asserted is what processes of their own find in the files afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.annotation.predicted_surfaces import surfaces_of_prediction
from napari_medseg.annotation.surfaces import pile_of
from napari_medseg.data.synthetic_oct import SURFACES, bscan, make_oct_dataset, surface_rows
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

from .helpers import canvas_of, place_of, press, stroke

pytestmark = pytest.mark.viewer

SIZE = (96, 128)
SEED = 77
CONTROL = Qt.KeyboardModifier.ControlModifier
ALT_SHIFT = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier
#: Small enough to train in a test; nothing of the scheme is replaced.
TINY = [
    "window_width=64",
    "stride=32",
    'candidates=[{"base_width":4,"downsamplings":2}]',
    "search=false",
    "training.epochs=2",
    "training.steps_per_epoch=4",
    "training.batch_size=2",
]
READ = """
import json, sys
import numpy as np
from napari_medseg.annotation.surfaces import pile_of, surfaces_of_labels
from napari_medseg.data.boundaries import BoundaryStore
from napari_medseg.data.dataset import Dataset
folder, name = sys.argv[1:]
data = Dataset.open(folder)
case = data.case(name)
labels = data.read_labels(case)
store = BoundaryStore(data.path / "boundaries" / f"{name}.csv", [s.name for s in data.info.surfaces])
found = store.read(labels.shape)
rows = surfaces_of_labels(labels, pile_of(data.info))
as_list = lambda a: np.where(np.isnan(a), -9, a).round(2).tolist()
print(json.dumps({"status": case.status, "origin": case.origin, "labels": as_list(rows),
    "rows": as_list(found.rows[0]), "pinned": int(found.pinned.sum()), "values": np.unique(labels).tolist()}))
"""


def read_in_another_process(folder, case) -> dict:
    """Row, rows of the surfaces as labels and as boundaries, and values of a case."""
    done = subprocess.run([sys.executable, "-c", READ, str(folder), case], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def command(*words) -> dict:
    """The JSON document of a command in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "napari_medseg", *map(str, words), "--json"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def window(make_napari_viewer, qtbot, tmp_path):
    """A viewer with the Workspace, a data set of six B-scans that are done and two that are not."""
    dataset = make_oct_dataset(tmp_path / "data", n=6, subjects=6, size=SIZE)
    dataset.add_image(bscan(*SIZE, seed=SEED)[0], "mine", group="subject 7")
    dataset.add_image(bscan(*SIZE, seed=SEED + 1)[0], "next", group="subject 8")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    yield viewer, workspace, session
    for job in list(Job.running):
        job.end()


def show(viewer, session, qtbot, case) -> None:
    session.open_case(case)
    qtbot.wait(100)
    viewer.reset_view()
    qtbot.wait(50)


def drag_anchor(qtbot, viewer, start, end) -> None:
    points = [place_of(viewer, *(np.add(start, np.subtract(end, start) * share))) for share in (0, 0.5, 1)]
    stroke(qtbot, canvas_of(viewer), points)


def draw_all(viewer, session, qtbot, truth) -> None:
    """Every surface by clicks at its true rows, the outer ones first; one anchor is set too high, then dragged."""
    press(qtbot, viewer, Qt.Key.Key_E)
    middle = SIZE[1] // 2
    for surface in (0, len(SURFACES) - 1, *range(1, len(SURFACES) - 1)):
        press(qtbot, viewer, getattr(Qt.Key, f"Key_{surface + 1}"), ALT_SHIFT)
        for column in (0, 32, middle, 96, SIZE[1] - 1):
            off = 6 if (surface, column) == (0, middle) else 0
            point = place_of(viewer, truth[surface, column] - off, column)
            qtbot.mouseClick(canvas_of(viewer), Qt.MouseButton.LeftButton, pos=point)
    press(qtbot, viewer, Qt.Key.Key_1, ALT_SHIFT)
    drag_anchor(qtbot, viewer, (truth[0, middle] - 6, middle), (truth[0, middle], middle))


def train(workspace, qtbot) -> None:
    """The smallest candidate, from the Train panel."""
    workspace.show_panel("Train")
    panel = workspace.panel("Train")
    panel.setup.choose("oct")
    panel.setup.form.set_settings(build_config(find_scheme("oct"), assignments=TINY))
    qtbot.waitUntil(panel._start.isEnabled, timeout=60_000)
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=400_000)
    assert panel.notice.words == ""
    qtbot.mouseClick(panel.run_view.result._use, Qt.MouseButton.LeftButton)


def test_annotate_train_predict_and_correct_curves(window, qtbot):
    viewer, workspace, session = window
    folder = session.dataset.path
    workspace.show_panel("Annotate")
    truth = surface_rows(1, *SIZE, SEED)[0]

    show(viewer, session, qtbot, "mine")
    draw_all(viewer, session, qtbot, truth)
    drawn, anchors = session.open.curves.rows, session.open.curves.curves.pinned(0)
    assert np.isfinite(drawn).all()
    show(viewer, session, qtbot, "next")
    show(viewer, session, qtbot, "mine")
    np.testing.assert_allclose(session.open.curves.rows, drawn, atol=0.011)
    np.testing.assert_array_equal(session.open.curves.curves.pinned(0), anchors)
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)

    stored = read_in_another_process(folder, "mine")
    assert (stored["status"], stored["origin"]) == ("done", "person")
    assert np.abs(np.array(stored["rows"]) - truth).mean() < 1.5
    assert np.abs(np.array(stored["labels"]) - np.array(stored["rows"])).max() <= 1
    assert stored["pinned"] == 5 * len(SURFACES)
    command("dataset", "check", folder)

    train(workspace, qtbot)
    run = next((folder / "runs").iterdir())
    figures = command("evaluate", run, "--data", folder, "--device", "cpu")
    assert figures["n_cases"] >= 1

    show(viewer, session, qtbot, "next")
    workspace.show_panel("Predict")
    predict = workspace.panel("Predict")
    qtbot.waitUntil(lambda: predict.models.path == run / "model.safetensors", timeout=20_000)
    qtbot.mouseClick(predict._run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: predict.job is None and len(predict.results.waiting()) == 1, timeout=120_000)
    predicted = np.asarray(predict.results.waiting()[0].layers[0].data)
    predict.results.correct.emit(predict.results.waiting()[0])
    assert session.open.edits_curves
    curves = session.open.curves
    expected = surfaces_of_prediction(predicted, pile_of(session.dataset.info))
    np.testing.assert_array_equal(curves.rows, expected)

    # A network of so few steps may draw anything; take the surface with most room above or below it.
    column = SIZE[1] // 2
    rows = np.clip(np.nan_to_num(expected[:, column], nan=0), 0, SIZE[0] - 1)
    limits = np.array([[limit[column] for limit in curves.curves.limits(0, s)] for s in range(len(SURFACES))])
    surface = int((limits[:, 1] - limits[:, 0]).argmax())
    start, target = float(rows[surface]), float(limits[surface].mean())
    curves.choose(surface)
    qtbot.wait(50)
    drag_anchor(qtbot, viewer, (start, column), (target, column))
    moved = curves.rows
    assert not np.array_equal(moved, expected, equal_nan=True)
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    stored = read_in_another_process(folder, "next")
    assert stored["status"] == "done"
    assert stored["origin"] == f"model:{run.name}"
    np.testing.assert_allclose(np.array(stored["rows"])[surface], np.nan_to_num(moved[surface], nan=-9), atol=0.011)
    assert stored["rows"][surface][column] == pytest.approx(target, abs=1)
    assert stored["pinned"] >= 1
