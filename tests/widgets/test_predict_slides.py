"""Slides in the Predict panel: they fill while they are predicted, are stopped, gone on with, and taken over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QPushButton

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.synthetic_slide import write_slide
from napari_medseg.io import read_labels
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo, MaskClass
from napari_medseg.widgets.predict_panel import PredictPanel
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.slide_on_screen import box_in_view

pytestmark = pytest.mark.viewer

LONG = 300_000
SHAPE, MPP = (2600, 2200), 0.5
GLAND = MaskClass(value=3, name="gland", color="#0072b2")


@pytest.fixture(scope="module")
def slide(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_slide(path, SHAPE, seed=4, share=0.5, mpp=MPP)
    return path


@pytest.fixture
def desk(make_napari_viewer, tmp_path, slide):
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="slides", kind="slide", classes=(GLAND,)))
    dataset.add_case(slide, case="one")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    session = session_of(viewer)
    session.painting_size = 2 * MPP
    session.open_dataset(tmp_path / "data")
    session.open_case("one")
    panel = PredictPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    panel.models.choose(api.bundled_model("pathology"))
    viewer.reset_view()
    return viewer, panel, session


def press(qtbot, panel, name: str) -> None:
    (button,) = [b for b in panel.findChildren(QPushButton, name) if b.isVisible()]
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def tick(qtbot, panel, name: str) -> None:
    box = panel.findChild(QCheckBox, name)
    assert box.isVisible()
    box.click()


def predictions_of(viewer) -> list[Labels]:
    return [layer for layer in viewer.layers if isinstance(layer, Labels) and "prediction" in layer.metadata]


def kept_in(session) -> Path:
    return session.dataset.path / "predictions" / "pathology-demo" / "one"


def test_a_slide_fills_while_it_is_predicted_is_stopped_and_gone_on_with(desk, qtbot, tmp_path, slide):
    viewer, panel, session = desk
    tick(qtbot, panel, "contours")
    press(qtbot, panel, "run")
    qtbot.waitUntil(lambda: bool(predictions_of(viewer)), timeout=LONG)
    (growing,) = predictions_of(viewer)
    journal = kept_in(session) / "slide.partial" / "journal.jsonl"
    qtbot.waitUntil(lambda: '"rows"' in journal.read_text(), timeout=LONG)
    press(qtbot, panel, "cancel")
    qtbot.waitUntil(lambda: panel.job is None, timeout=LONG)
    assert growing in viewer.layers
    assert growing.multiscale
    assert not panel.results.results
    seen = np.asarray(growing.data[-1])
    finished = journal.read_text().count("judged")
    press(qtbot, panel, "run")
    qtbot.waitUntil(lambda: panel.job is None, timeout=LONG)
    (result,) = panel.results.results
    assert result.error == ""
    (layer,) = predictions_of(viewer)
    model = api.load_model(api.bundled_model("pathology"))
    api.predict_slide(model, api.read(slide), tmp_path / "once", name="slide")
    expected = np.asarray(read_labels(tmp_path / "once" / "slide.zarr").labels)
    np.testing.assert_array_equal(np.asarray(layer.data[0]), expected)
    stopped = seen != NOT_LOOKED_AT
    np.testing.assert_array_equal(seen[stopped], np.asarray(layer.data[-1])[stopped])
    assert finished > 0
    np.testing.assert_allclose(layer.scale, [MPP, MPP])
    assert any("contours" in fact for fact in result.facts)
    assert session.dataset.case("one").label == "", "nothing becomes labels unasked"


def test_what_is_in_view_is_taken_over_where_nobody_painted(desk, qtbot):
    viewer, panel, session = desk
    master = session.open.store
    drawn = ((100, 400), (100, 500))
    session.open.write(drawn, np.zeros((300, 400), np.uint8))
    viewer.scene.camera.center = (700 * MPP, 800 * MPP)
    viewer.scene.camera.zoom = 0.6 / MPP
    panel.places.choose("view")
    tick(qtbot, panel, "probabilities")
    region = box_in_view(viewer, panel.places.layer)
    assert 0 < region[0][0] < 700 < region[0][1] < SHAPE[0]
    press(qtbot, panel, "run")
    qtbot.waitUntil(lambda: panel.job is None and bool(panel.results.results), timeout=LONG)
    (result,) = panel.results.results
    assert result.error == ""
    predicted = np.asarray(read_labels(result.labels).labels)
    (y0, y1), (x0, x1) = region
    outside = predicted.copy()
    outside[y0:y1, x0:x1] = NOT_LOOKED_AT
    assert (outside == NOT_LOOKED_AT).all()
    assert viewer.layers.selection.active is session.labels, "the person's tool stays in hand"
    shares = [layer for layer in viewer.layers if "probability" in layer.name]
    assert [layer.name.rpartition(" of ")[2] for layer in shares] == ["gland", "benign", "malignant"]
    assert not any(layer.visible for layer in shares)
    np.testing.assert_array_equal(np.asarray(shares[0].data[0])[predicted == 1] > 127, True)
    np.testing.assert_allclose(shares[1].extent.world, panel.places.layer.extent.world, atol=MPP)
    press(qtbot, panel, "accept")
    qtbot.waitUntil(lambda: panel.job is None and not panel.results.waiting(), timeout=LONG)
    session.open.autosave.flush()
    kept = SlideMaster.open(master.path).read()
    d = master.downsample
    expected = predicted[d // 2 :: d, d // 2 :: d]
    expected = np.where(expected == 1, GLAND.value, expected)
    expected[100:400, 100:500] = 0
    np.testing.assert_array_equal(kept[: expected.shape[0], : expected.shape[1]], expected)
    row = Dataset.open(session.dataset.path).case("one")
    assert (row.status, row.origin) == ("draft", "person"), "a person painted first"


def test_a_folder_that_cannot_be_written_is_told(desk, qtbot):
    viewer, panel, session = desk
    (session.dataset.path / "predictions").write_text("in the way")
    press(qtbot, panel, "run")
    qtbot.waitUntil(lambda: panel.job is None, timeout=LONG)
    assert "could not be written" in panel.notice.words
    assert not predictions_of(viewer)
    assert not panel.results.results
