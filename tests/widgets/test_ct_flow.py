"""A CT from its DICOM files to measured structures: window, three drawn slices, interpolation, training, prediction.

What is asserted is what processes of their own find in the files afterwards.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.synthetic_ct import CLASSES, abdomen, spacing_of_size
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.adding import add_files
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace
from tests.io.volume.writers import write_series

from .helpers import canvas_of, labels_on_disk, place_of, press, row_in_another_process, settled, stroke

pytestmark = pytest.mark.viewer

SIZE = (13, 96, 120)
STEPS = spacing_of_size(*SIZE)
CONTROL = Qt.KeyboardModifier.ControlModifier
#: Small enough to train in a test; nothing of the scheme is replaced.
TINY = [
    "variants=2+1",
    "base_width=4",
    "patch_size=[8,32,32]",
    "training.epochs=1",
    "training.steps_per_epoch=3",
    "training.batch_size=2",
]


def add_series(dataset, folder, seed: int) -> np.ndarray:
    """Add a generated CT as DICOM files; return its organs."""
    values, organs = abdomen(*SIZE, seed=seed)
    series = write_series(folder / f"series{seed}", values, step=(0.0, 0.0, STEPS[0]), spacing=STEPS[1:])
    add_files(dataset, [series], {})
    return organs


@pytest.fixture
def window(make_napari_viewer, tmp_path):
    """A viewer with the Workspace and a data set of three CTs: the first is to be drawn, the others are done."""
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="ct", kind="ct", classes=CLASSES))
    truths = [add_series(dataset, tmp_path, seed) for seed in (2, 3, 4)]
    for case, truth in list(zip(dataset.cases, truths, strict=True))[1:]:
        store = dataset.label_store(case, SIZE)
        store.write_box(tuple((0, n) for n in SIZE), truth)
        recorded = record_labels(dataset, case.case, store, revision=case.revision)
        mark_done(dataset, case.case, store, revision=recorded.revision)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    yield viewer, workspace, session
    for job in list(Job.running):
        job.end()


def draw(viewer, session, qtbot, z: int, row: float) -> None:
    viewer.dims.set_current_step(0, z)
    canvas, origin = canvas_of(viewer), session.labels.translate[1:]
    settled(qtbot, lambda: (canvas.width(), canvas.height(), place_of(viewer, 0, 0)))
    ends = [np.multiply((row, column), STEPS[1:]) + origin for column in (35, 50, 50)]
    stroke(qtbot, canvas, [place_of(viewer, *end) for end in ends])


def command(*words) -> dict:
    """The JSON document of a command in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "napari_medseg", *map(str, words), "--json"], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_from_a_dicom_series_to_a_measured_prediction(window, qtbot):
    viewer, workspace, session = window
    folder = session.dataset.path
    case = session.dataset.cases[0].case
    workspace.show_panel("Annotate")
    session.open_case(case)
    press(qtbot, viewer, Qt.Key.Key_3, CONTROL)
    assert tuple(session.open.image_layers[0].contrast_limits) == (15, 165)
    press(qtbot, viewer, Qt.Key.Key_1)
    session.labels.brush_size = 14
    for z, row in ((4, 38), (7, 42), (10, 46)):
        draw(viewer, session, qtbot, z, row)
    press(qtbot, viewer, Qt.Key.Key_I)
    qtbot.waitUntil(lambda: session.open.volume.preview is not None, timeout=60_000)
    press(qtbot, viewer, Qt.Key.Key_Y)
    drawn = np.array(session.labels.data)
    assert all((drawn[z] == 1).any() for z in range(4, 11))
    press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    stored = row_in_another_process(folder, case)
    assert (stored["status"], stored["origin"]) == ("done", "person")
    assert stored["values"]["1"] == np.count_nonzero(drawn == 1)

    workspace.show_panel("Train")
    panel = workspace.panel("Train")
    panel.setup.choose("boosting")
    panel.setup.form.set_settings(build_config(find_scheme("boosting"), assignments=TINY))
    qtbot.waitUntil(panel._start.isEnabled, timeout=120_000)
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=600_000)
    assert panel.notice.words == ""
    assert list(panel.run_view.timeline.states().values()) == ["done", "done"]
    assert [panel.run_view.levels.words(row).split()[0] for row in range(3)] == ["frozen", "frozen", "learns"]
    qtbot.mouseClick(panel.run_view.result._use, Qt.MouseButton.LeftButton)
    run = next((folder / "runs").iterdir())

    session.open_case(case)
    workspace.show_panel("Predict")
    predict = workspace.panel("Predict")
    qtbot.waitUntil(lambda: predict.models.path == run / "model.safetensors", timeout=60_000)
    qtbot.mouseClick(predict._run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: predict.job is None and len(predict.results.waiting()) == 1, timeout=300_000)
    predicted = predict.results.waiting()[0].layers[0]
    assert np.asarray(predicted.data).shape == SIZE
    np.testing.assert_allclose(predicted.scale, STEPS)
    np.testing.assert_array_equal(labels_on_disk(folder, case) == 1, drawn == 1)

    rows = command("measure", "--data", folder)["rows"]
    volumes = {row["structure"]: row["volume_mm3"] for row in rows if row["case"] == case and row["measure"] == "size"}
    assert volumes["liver"] == pytest.approx(np.count_nonzero(drawn == 1) * np.prod(STEPS), rel=1e-3)
