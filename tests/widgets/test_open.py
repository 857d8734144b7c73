"""The Open panel: what it says before loading, and what it loads."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.io import write_image
from napari_medseg.structures import DatasetInfo, Image
from napari_medseg.widgets.open_panel import OpenPanel
from napari_medseg.widgets.session import session_of
from tests.io.oct.writers import write_e2e
from tests.io.volume.writers import voxels, write_series

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


def test_an_ome_zarr_folder_is_loaded_with_its_levels_and_becomes_a_case(desk, qtbot, tmp_path):
    viewer, panel = desk
    pixels = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    image = Image(
        levels=(pixels,),
        axes="yxc",
        rgb=True,
        channels=("red", "green", "blue"),
        spacing=(0.5, 0.5),
        units=("micrometer", "micrometer"),
        name="slide",
    )
    path = write_image(tmp_path / "slide.zarr", image)
    look(qtbot, panel, path)
    assert panel.image.spatial_shape == (1500, 2000)
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    (layer,) = viewer.layers
    assert layer.multiscale
    assert (tuple(layer.scale), str(layer.units[0])) == ((0.5, 0.5), "micrometer")
    np.testing.assert_array_equal(np.asarray(layer.data[0][:]), pixels)
    make_dataset(tmp_path / "data", 1)
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    stored = Dataset.open(tmp_path / "data")
    (case,) = [case for case in stored.cases if case.case == "slide"]
    assert stored.read_image(case).spacing == (0.5, 0.5)


def test_series_can_be_chosen(desk, qtbot, tmp_path):
    viewer, panel = desk
    with tifffile.TiffWriter(tmp_path / "two.ome.tif", ome=True) as writer:
        writer.write(np.zeros((64, 64), np.uint8))
        writer.write(np.full((32, 48), 9, np.uint8))
    look(qtbot, panel, tmp_path / "two.ome.tif")
    assert panel.series.count() == 2
    panel.series.setCurrentRow(1)
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


@pytest.fixture
def e2e(tmp_path):
    stored = np.random.default_rng(0).integers(20000, 62000, (3, 64, 96), dtype=np.uint16)
    layers = {0: np.full((3, 96), 20, np.float32), 1: np.full((3, 96), 40, np.float32)}
    return write_e2e(tmp_path / "a.e2e", [{"bscans": stored, "layers": layers}, {"bscans": stored[:1], "pattern": 2}])


def test_an_oct_file_is_loaded_with_layers_fundus_and_the_spacing_that_was_typed(desk, qtbot, e2e):
    viewer, panel = desk
    look(qtbot, panel, e2e)
    assert panel.series.count() == 2
    assert not panel.spacing.isVisible()
    assert panel.missing.oct["y"].text() == "3.9"
    panel.missing.oct["x"].setText("11,5")
    panel.missing.oct["z"].setText("")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    bscans, device, fundus = viewer.layers
    assert [layer.name for layer in viewer.layers] == ["a", "a · device layers", "a · fundus"]
    assert tuple(bscans.scale) == (1, 1, 1)
    assert bscans.metadata["medseg"]["spacing"] == pytest.approx((1.0, 0.0039, 0.0115))
    assert bscans.metadata["medseg"]["units"] == ("pixel", "millimeter", "millimeter")
    assert bscans.metadata["medseg"]["surfaces"]["ILM"].shape == (3, 96)
    assert set(np.unique(device.data)) == {0, 1}
    assert (device.data[:, 21:41] == 1).all()
    panel.true_aspect.setChecked(True)
    assert tuple(bscans.scale) == tuple(device.scale) == pytest.approx((1.0, 0.0039, 0.0115))
    assert {str(layer.units[-1]) for layer in viewer.layers} == {"millimeter"}
    assert fundus.translate[-1] > 96 * 0.0115
    panel.true_aspect.setChecked(False)
    assert {str(layer.units[-1]) for layer in viewer.layers} == {"pixel"}


def test_depth_without_width_is_refused(desk, qtbot, e2e):
    viewer, panel = desk
    look(qtbot, panel, e2e)
    panel.missing.oct["x"].setText("")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    assert "type both" in panel.notice.words
    assert len(viewer.layers) == 0


def test_what_was_typed_and_chosen_becomes_cells_of_the_case(desk, qtbot, e2e, tmp_path):
    viewer, panel = desk
    Dataset.create(tmp_path / "data", DatasetInfo(name="test", kind="oct"))
    session_of(viewer).open_dataset(tmp_path / "data")
    look(qtbot, panel, e2e)
    panel.missing.oct["x"].setText("11.5")
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    panel.series.setCurrentRow(1)
    qtbot.waitUntil(lambda: panel.image is not None, timeout=15_000)
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    dataset = Dataset.open(tmp_path / "data")
    volume, circle = dataset.cases
    assert dataset.image_path(volume) == dataset.image_path(circle) == e2e
    assert dict(volume.extra) == {"spacing": "0.1448,0.0039,0.0115", "series": ""}
    assert dict(circle.extra) == {"spacing": "", "series": "1"}
    assert dataset.read_image(volume).spacing == pytest.approx((0.1448, 0.0039, 0.0115))
    assert dataset.read_image(circle).shape == (64, 96)
    assert not list((tmp_path / "data").glob("images/*"))


def test_the_scanners_layers_become_a_draft_where_they_are_asked_for(desk, qtbot, e2e, tmp_path):
    viewer, panel = desk
    Dataset.create(tmp_path / "data", DatasetInfo(name="test", kind="oct"))
    session_of(viewer).open_dataset(tmp_path / "data")
    look(qtbot, panel, e2e)
    assert not panel.device_layers.isHidden()
    panel.missing.oct["x"].setText("11.5")
    panel.device_layers.setChecked(True)
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    assert "1 has the scanner's own layers" in panel.notice.words
    dataset = Dataset.open(tmp_path / "data")
    (case,) = dataset.cases
    assert (case.status, case.origin) == ("draft", "model:device")
    assert {surface.name for surface in dataset.info.surfaces} == {"ILM", "BM"}
    assert (dataset.read_labels(case)[:, 21:40] == 1).all()
    panel.series.setCurrentRow(1)
    qtbot.waitUntil(lambda: panel.image is not None, timeout=15_000)
    assert panel.device_layers.isHidden(), "this scan has no layers"


def test_a_picture_can_be_called_oct(desk, qtbot, tmp_path):
    viewer, panel = desk
    tifffile.imwrite(tmp_path / "a.tif", np.repeat(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64, 1), 3, axis=2))
    look(qtbot, panel, tmp_path / "a.tif")
    assert panel.image.rgb
    panel.kind.setCurrentIndex(1)
    panel.kind.activated.emit(1)
    qtbot.waitUntil(lambda: panel.image is not None, timeout=15_000)
    assert (panel.image.kind, panel.image.axes) == ("oct", "yx")
    panel.missing.oct["y"].setText("4")
    panel.missing.oct["x"].setText("12")
    panel.missing.eye.setCurrentIndex(1)
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    facts = viewer.layers[0].metadata["medseg"]
    assert (facts["spacing"], facts["laterality"]) == ((0.004, 0.012), "R")


def test_a_ct_series_is_chosen_by_its_description_and_shown_in_a_window(desk, qtbot, tmp_path):
    viewer, panel = desk
    write_series(tmp_path / "a", voxels(6), SeriesDescription="Abdomen venous")
    write_series(tmp_path / "b", voxels(4), SeriesDescription="Thorax", step=(0.0, 0.3, 1.2))
    look(qtbot, panel, tmp_path)
    offered = [panel.series.item(index).text() for index in range(panel.series.count())]
    assert [name.split(",")[0] for name in offered] == ["Abdomen venous", "Thorax"]
    assert panel.hu_window.currentText() == "as the file says (50 / 350)"
    panel.series.setCurrentRow(1)
    qtbot.waitUntil(lambda: panel.image is not None, timeout=15_000)
    assert "gantry tilt" in panel.warnings.text()
    panel.hu_window.setCurrentIndex(panel.hu_window.findText("lung (-600 / 1500)"))
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    (layer,) = viewer.layers
    assert layer.data.shape == (4, 5, 4)
    assert layer.scale == pytest.approx([1.2, 0.75, 0.5])
    assert layer.translate == pytest.approx([30, -20, -10])
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert layer.contrast_limits == [-1350, 150]
    assert layer.contrast_limits_range == [-1350, 3071]
    assert layer.metadata["medseg"]["affine"][1, 0] == pytest.approx(0.3)


def test_slices_of_one_series_are_one_image(desk, qtbot, tmp_path):
    viewer, panel = desk
    write_series(tmp_path, voxels(6))
    look(qtbot, panel, *sorted(tmp_path.iterdir()))
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    (layer,) = viewer.layers
    np.testing.assert_array_equal(np.asarray(layer.data), voxels(6))


def test_choices_of_an_uneven_series_are_told_in_full_and_clicked(desk, qtbot, tmp_path):
    viewer, panel = desk
    viewer.window._qt_window.show()
    panel.setFixedWidth(340)
    depths = [0.0, 5.0, 10.0, 15.0, 20.0, 22.5, 25.0, 27.5, 30.0, 32.5]
    write_series(tmp_path / "ct", voxels(10), positions=[(0.0, 0.0, z) for z in depths])
    look(qtbot, panel, tmp_path / "ct")
    offered = [panel.series.item(row).text() for row in range(panel.series.count())]
    kinds = ["all slices", "resampled to even distances", "even part from 20.0 to 32.5 mm", "from 0.0 to 20.0 mm"]
    assert [kind in name for kind, name in zip(kinds, offered, strict=True)] == [True] * 4
    assert "heights and volumes are not known" in panel.warnings.words
    # Nothing is cut off: every row is as high as its words need at the width that they have.
    metrics = panel.series.fontMetrics()
    needed = metrics.boundingRect(0, 0, 300, 999, Qt.TextFlag.TextWordWrap, offered[1]).height()
    assert panel.series.visualItemRect(panel.series.item(1)).height() >= needed
    center = panel.series.visualItemRect(panel.series.item(2)).center()
    qtbot.mouseClick(panel.series.viewport(), Qt.MouseButton.LeftButton, pos=center)
    qtbot.waitUntil(lambda: panel.image is not None and panel.image.series == 2, timeout=15_000)
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    (layer,) = viewer.layers
    np.testing.assert_array_equal(np.asarray(layer.data), voxels(10)[4:])
    assert layer.scale == pytest.approx([2.5, 0.75, 0.5])


def test_further_files_are_read_while_the_window_goes_on(desk, qtbot, tmp_path):
    viewer, panel = desk
    for name in "abc":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((16, 16), np.uint8))
    look(qtbot, panel, *sorted(tmp_path.iterdir()))
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    assert not panel.load.isEnabled()
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=15_000)
    assert panel.load.isEnabled()
    assert panel.notice.words == "Loaded 3 images."


def test_a_further_file_that_is_damaged_is_told_and_the_first_can_still_be_loaded(desk, qtbot, tmp_path):
    viewer, panel = desk
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((16, 16), np.uint8))
    (tmp_path / "b.tif").write_bytes(b"no picture")
    look(qtbot, panel, tmp_path / "a.tif", tmp_path / "b.tif")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "b.tif" in panel.notice.words, timeout=15_000)
    assert panel.load.isEnabled()
    assert len(viewer.layers) == 0


def test_a_stack_without_voxel_size_asks_for_both_distances(desk, qtbot, tmp_path):
    viewer, panel = desk
    look(qtbot, panel, write_series(tmp_path / "ct", voxels(6), spacing=(0.0, 0.0)))
    assert "no size" in panel.warnings.words
    panel.spacing.setText("0.8")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    assert "belong together" in panel.notice.words
    panel.missing.between.setText("2,5")
    qtbot.mouseClick(panel.load, Qt.MouseButton.LeftButton)
    (layer,) = viewer.layers
    assert tuple(layer.scale) == (2.5, 0.8, 0.8)
    assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert panel.missing.columns(panel.image) == {"spacing": "2.5,0.8,0.8"}
