"""The Train panel on a data set of slides: what it counts, and a training by clicks."""

from __future__ import annotations

import json

import pytest
from qtpy.QtCore import Qt

from napari_medseg.widgets.jobs import Job
from tests.data.slides import make_slides

TINY = {
    "network.base_width": 4,
    "input_size": 32,
    "slides.mpp": 0.5,
    "slides.tiles_per_pass": 4,
    "slides.validation_tiles": 3,
    "training.epochs": 1,
    "training.steps_per_epoch": 1,
    "training.batch_size": 2,
}


@pytest.fixture
def panel(make_napari_viewer, qtbot, tmp_path):
    """A Train panel on three slides, in a real window."""
    from napari_medseg.widgets.train_panel import TrainPanel

    viewer = make_napari_viewer(show=True)
    dataset = make_slides(tmp_path, 3)
    for case, split in zip(dataset.cases, ("train", "val", "test"), strict=True):
        dataset.update_case(case.case, revision=case.revision, split=split)
    made = TrainPanel(viewer)
    viewer.window.add_dock_widget(made, name="Train", area="right")
    made.session.open_dataset(dataset.path)
    qtbot.waitUntil(lambda: made.setup.found is not None, timeout=60_000)
    for path, value in TINY.items():
        made.setup.form.editor(path).put(value)
    yield made
    for job in list(Job.running):
        job.end()


@pytest.mark.viewer
def test_slides_are_counted_and_trained_by_a_click(panel, qtbot):
    qtbot.waitUntil(lambda: panel.setup.found is not None and panel.setup.found.can_train, timeout=60_000)
    found = panel.setup.found
    assert panel.setup.scheme.key == "pathology"
    assert found.counts["slides"] == {"train": 1, "val": 1, "test": 1}
    assert found.counts["tagged tiles"]["train"] > 20
    assert f"{found.total('tagged tiles')} tagged tiles, 3 contours in 3 finished cases" in panel.setup.check_view.words
    assert not [fault for fault in found.faults if fault.severity == "error"]
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=300_000)
    assert panel.notice.words == ""
    assert set(panel.run_view.timeline.states().values()) == {"done"}
    run = panel.session.dataset.path / "runs" / "pathology-1"
    assert json.loads((run / "summary.json").read_text("utf-8"))["cases"]["train"]["slides"] == 1
    # What the network draws on a tile of the validation slide is shown beside that tile.
    (preview,) = [layer for layer in panel.session.viewer.layers if layer.name.endswith("· training preview")]
    (tile,) = [layer for layer in panel.session.viewer.layers if layer.name.endswith("· validation image")]
    assert preview.name.startswith("slide1 ")
    pixels = tile.data[0] if tile.multiscale else tile.data
    assert preview.data.shape == tuple(pixels.shape[:2])
