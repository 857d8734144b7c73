"""The Open panel: what it says before loading, and what it loads."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.widgets.open_panel import OpenPanel
from napari_medseg.widgets.session import session_of

from .helpers import make_dataset

pytestmark = pytest.mark.viewer


@pytest.fixture
def desk(make_napari_viewer):
    viewer = make_napari_viewer()
    panel = OpenPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    return viewer, panel


def look(qtbot, panel: OpenPanel, *paths) -> None:
    panel.look_at(paths)
    qtbot.waitUntil(lambda: panel.image is not None or bool(panel.notice.words), timeout=15_000)


def test_a_file_is_described_first_and_loaded_with_the_pixel_size_that_was_typed(desk, qtbot, tmp_path):
    viewer, panel = desk
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((512, 600), np.uint16))
    look(qtbot, panel, tmp_path / "a.tif")
    assert panel.image.spatial_shape == (512, 600)
    assert len(viewer.layers) == 0
    panel.spacing.setText("0,25")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    (layer,) = viewer.layers
    assert tuple(layer.scale) == (0.25, 0.25)
    assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]


def test_series_can_be_chosen(desk, qtbot, tmp_path):
    viewer, panel = desk
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        writer.write(np.zeros((64, 64), np.uint8))
        writer.write(np.full((32, 48), 9, np.uint8))
    look(qtbot, panel, tmp_path / "two.ome.tif")
    assert panel.series.count() == 2
    panel._change_series(1)
    qtbot.waitUntil(lambda: panel.image is not None, timeout=15_000)
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    assert viewer.layers[0].data.shape == (32, 48)


@pytest.mark.parametrize("text", ["abc", "-1", "0", "inf"])
def test_a_pixel_size_that_is_none_is_refused_in_a_sentence(desk, qtbot, tmp_path, text):
    viewer, panel = desk
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((64, 64), np.uint8))
    look(qtbot, panel, tmp_path / "a.tif")
    panel.spacing.setText(text)
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    assert "is not a length" in panel.notice.words
    assert len(viewer.layers) == 0


def test_a_file_that_is_no_image_is_told_in_a_sentence(desk, qtbot, tmp_path):
    _, panel = desk
    (tmp_path / "a.tif").write_text("not an image", "utf-8")
    look(qtbot, panel, tmp_path / "a.tif")
    assert str(tmp_path / "a.tif") in panel.notice.words
    assert not panel.load.isEnabled()


def test_several_files_become_cases(desk, qtbot, tmp_path):
    viewer, panel = desk
    make_dataset(tmp_path / "data", cases=1)
    session_of(viewer).open_dataset(tmp_path / "data")
    paths = [tmp_path / f"{i}.tif" for i in range(3)]
    for path in paths:
        tifffile.imwrite(path, np.zeros((64, 64), np.uint8))
    look(qtbot, panel, *paths)
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    dataset = Dataset.open(tmp_path / "data")
    assert {dataset.image_path(case) for case in dataset.cases[1:]} == set(paths)
