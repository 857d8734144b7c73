"""Review of OCT layers and of volumes: locks hold for curves and balls, disputes are found in their slice."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.readings import open_reading
from napari_medseg.data.reviewing import add_reviewed_region, mark_reviewed
from napari_medseg.data.synthetic_oct import make_oct_dataset
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets import autosave
from napari_medseg.widgets.review_panel import ReviewPanel
from napari_medseg.widgets.session import session_of

from .helpers import drag, labels_on_disk, press

pytestmark = pytest.mark.viewer

SHAPE = (8, 64, 64)
WHOLE = tuple((0, n) for n in SHAPE)


def test_curves_of_a_reviewed_case_cannot_be_edited(make_napari_viewer, qtbot, tmp_path):
    dataset = make_oct_dataset(tmp_path / "data", n=3, seed=3)
    first, second = dataset.cases[0].case, dataset.cases[1].case
    if dataset.case(second).status != "done":
        dataset.update_case(second, revision=dataset.case(second).revision, status="done")
    mark_reviewed(dataset, second, revision=dataset.case(second).revision)
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session.open_dataset(tmp_path / "data")
    session.open_case(first)
    session.open.edit_curves(True)
    assert session.open.edits_curves
    session.open_case(second)
    assert not session.open.edits_curves, "the tool in hand is put down"
    told = []
    session.trouble.connect(lambda text, _: told.append(text))
    before = session.labels.data.copy()
    press(qtbot, viewer, Qt.Key.Key_E)
    assert "unlock it" in told[0]
    curves = session.open.curves
    rows = curves.rows.copy()
    curves.do(curves.curves.erase, 0, 0, 5, 40)
    np.testing.assert_array_equal(session.labels.data, before)
    np.testing.assert_array_equal(curves.rows, rows)


def volume(path) -> Dataset:
    """A volume with a block of class 1, done."""
    dataset = Dataset.create(path, DatasetInfo(name="v", kind="ct", classes=mask_classes(["organ", "tumour"])))
    case = dataset.add_image(np.random.default_rng(0).integers(0, 200, SHAPE).astype(np.int16), "case0")
    read(dataset, (2, 6))
    return Dataset.open(path) if case else dataset


def read(dataset: Dataset, slices: tuple[int, int]) -> None:
    """Class 1 in some slices."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[slice(*slices), 20:50, 20:50] = 1
    case = dataset.case("case0")
    store = dataset.label_store(case, SHAPE)
    store.read()
    store.write_box(WHOLE, labels)
    case = record_labels(dataset, "case0", store, revision=case.revision)
    mark_done(dataset, "case0", store, revision=case.revision)


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path, monkeypatch):
    """A viewer with the volume and the Review panel."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    volume(tmp_path / "data")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    panel = ReviewPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    return viewer, panel, session


def test_a_reviewed_part_of_a_slice_resists_a_ball(desk, qtbot, tmp_path):
    viewer, _, session = desk
    add_reviewed_region(Dataset.open(tmp_path / "data"), "case0", ((4, 5), (0, 64), (0, 32)))
    session.open_case("case0")
    viewer.dims.set_point(0, 4)
    viewer.reset_view()
    qtbot.wait(200)
    assert viewer.layers["case0 · reviewed"].ndim == 3
    before = session.labels.data.copy()
    session.open.volume.set_3d_brush(True)
    session.open.choose_class(2)
    session.labels.brush_size = 6
    drag(qtbot, viewer, [(30, column) for column in range(10, 56, 4)])
    after = session.labels.data
    np.testing.assert_array_equal(after[4, :, :32], before[4, :, :32])
    assert (after[4, 30, 34:52] == 2).all()
    assert (after[3, 30, 14:50] == 2).all()
    qtbot.waitUntil(session.open.autosave.is_saved, timeout=15_000)
    np.testing.assert_array_equal(labels_on_disk(tmp_path / "data", "case0")[4, :, :32], before[4, :, :32])


def test_a_dispute_is_shown_in_its_slice(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    read(open_reading(tmp_path / "data", "ben"), (2, 7))
    session.open_case("case0")
    panel.compare.start()
    qtbot.waitUntil(lambda: panel.compare.compared is not None, timeout=30_000)
    assert panel.compare.places.item(0).text() == "1. slice 7, 900 pixels"
    panel.compare.step(1)
    assert viewer.dims.current_step[0] == 6
    assert viewer.layers["case0 · disagreement"].data[6, 30, 30] == 1.0
