"""The Measure panel on a CT: structures and their parts, where they lie, and diameters drawn over them."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_medseg.api import measure
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.forms import lines_of, update_form
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, Image
from napari_medseg.widgets.measure_panel import MeasurePanel
from napari_medseg.widgets.workspace import Workspace

from .helpers import canvas_of, place_of, settled, stroke
from .test_measure import measured

pytestmark = pytest.mark.viewer

SHAPE = (12, 80, 100)
SPACING = (3.0, 0.8, 0.7)


def ct_dataset(folder) -> Dataset:
    """An organ in one part of 50 HU, and two lesions of -20 and 120 HU."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:9, 10:40, 20:70] = 1
    labels[3:6, 50:60, 20:40] = 2
    labels[8:10, 60:66, 70:78] = 2
    pixels = np.full(SHAPE, -1000, np.int16)
    pixels[labels == 1] = 50
    pixels[3:6, 50:60, 20:40] = -20
    pixels[8:10, 60:66, 70:78] = 120
    dataset = Dataset.create(folder, DatasetInfo(name="ct", kind="ct", classes=mask_classes(["organ", "lesion"])))
    image = Image(levels=(pixels,), axes="zyx", kind="ct", spacing=SPACING, units=("millimeter",) * 3)
    dataset.add_image(image, "scan")
    case = dataset.case("scan")
    store = dataset.label_store(case, SHAPE)
    store.write_box(tuple((0, n) for n in SHAPE), labels)
    case = record_labels(dataset, "scan", store, revision=case.revision)
    mark_done(dataset, "scan", store, revision=case.revision)
    return Dataset.open(folder)


@pytest.fixture
def open_panel(make_napari_viewer, qtbot, tmp_path):
    """Opens the data set's only case and the panel on it."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    dataset = ct_dataset(tmp_path / "ct")
    workspace.session.set_dataset(dataset)
    workspace.session.open_case("scan")
    workspace.show_panel("Measure")
    panel = workspace.panel("Measure")
    measured(qtbot, panel)
    return viewer, dataset, panel


def test_parts_have_volume_grey_values_and_axes_as_the_command_says(open_panel) -> None:
    _, dataset, panel = open_panel
    assert panel.findings.rows == measure(data=dataset.path)
    table = panel.table
    assert [table.horizontalHeaderItem(i).text() for i in range(4)] == ["Class", "Size", "Mean HU", "Axes, mm"]
    names = [table.item(row, 0).text() for row in range(table.rowCount())]
    assert table.height() >= table.rowHeight(0) * (len(names) + 1), "all lines are in sight"
    assert names == ["organ", "lesion", "lesion · 1", "lesion · 2"]
    voxel = np.prod(SPACING)
    assert table.cell("organ", 1) == f"{7 * 30 * 50 * voxel / 1000:.4g} ml"
    assert (table.cell("organ", 2), table.cell("lesion · 2", 2)) == ("50", "120")
    assert table.cell("lesion · 2", 1) == f"{2 * 6 * 8 * voxel:.4g} mm³"
    assert table.cell("organ", 3)
    assert table.cell("lesion", 3) == ""


def test_click_on_a_part_shows_it_in_the_middle(open_panel, qtbot) -> None:
    viewer, _, panel = open_panel
    viewer.dims.set_current_step(0, 0)
    for name, voxel in (("lesion · 2", (8, 62, 74)), ("lesion · 1", (4, 54, 30))):
        item = panel.table.findItems(name, Qt.MatchFlag.MatchExactly)[0]
        place = panel.table.visualItemRect(item).center()
        qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
        shown = panel.session.labels.world_to_data(viewer.dims.point)
        assert np.abs(np.array(shown) - voxel).max() <= 1
        assert np.abs(np.array(viewer.scene.camera.center[1:]) / SPACING[1:] - voxel[1:]).max() <= 1


def test_parts_follow_a_stroke(open_panel, qtbot) -> None:
    _, _, panel = open_panel
    labels = panel.session.labels
    labels.data_setitem(tuple(np.argwhere(labels.data == 2)[-96:].T), 0)
    measured(qtbot, panel)
    assert panel.table.rowCount() == 2
    assert panel.table.cell("lesion", 2) == "-20"
    labels.undo()
    measured(qtbot, panel)
    assert panel.table.rowCount() == 4


def test_drawn_diameters_are_measured_kept_and_shown_again(open_panel, qtbot) -> None:
    viewer, dataset, panel = open_panel
    viewer.dims.set_current_step(0, 4)
    qtbot.mouseClick(panel.findChild(QPushButton, "draw_lines"), Qt.MouseButton.LeftButton)
    lines = viewer.layers["scan · diameters"]
    settled(qtbot, lambda: place_of(viewer, 16.0, 21.0))
    ends = [place_of(viewer, row * SPACING[1], column * SPACING[2]) for row, column in ((20.0, 30.0), (32.0, 60.0))]
    stroke(qtbot, canvas_of(viewer), [ends[0] + (ends[1] - ends[0]) * float(step) for step in np.linspace(0, 1, 8)])
    qtbot.waitUntil(lambda: panel.table.cell("line 1", 3) != "", timeout=15000)
    ((start, stop),) = lines_of(dataset.path, "scan", axes=3)
    assert (start[0], stop[0]) == (4, 4)
    length = float(np.linalg.norm((np.array(stop) - start) * SPACING))
    assert length == pytest.approx(np.hypot(12 * 0.8, 30 * 0.7), abs=2)
    assert panel.table.cell("line 1", 3) == f"{length:.1f}"
    assert list(lines.features["length"]) == [f"{length:.1f} mm"]
    assert panel.findings.rows == measure(data=dataset.path)
    assert panel.findings.rows[-1].long_mm == pytest.approx(length)
    panel.session.close_case()
    assert "scan · diameters" not in viewer.layers
    panel.session.open_case("scan")
    np.testing.assert_allclose(np.array(viewer.layers["scan · diameters"].data[0])[[0, -1]], [start, stop])


def test_lines_over_labels_of_no_case_stay_with_the_layer(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    labels = viewer.add_labels(np.ones(SHAPE, np.uint8), name="mine", scale=SPACING, units=("mm",) * 3)
    panel = MeasurePanel(viewer)
    qtbot.addWidget(panel)
    panel.show()
    panel.lines.draw()
    viewer.layers["mine · diameters"].add_lines(np.array([[2, 10, 10], [2, 10, 50]]))
    qtbot.waitUntil(lambda: panel.table.cell("line 1", 3) == "28.0", timeout=15000)
    other = viewer.add_labels(np.ones((4, 4, 4), np.uint8), name="other")
    qtbot.waitUntil(lambda: panel.layers.layer is other, timeout=5000)
    assert "mine · diameters" not in viewer.layers
    viewer.layers.selection.active = labels
    qtbot.waitUntil(lambda: "mine · diameters" in viewer.layers, timeout=5000)


def test_a_form_whose_lines_are_none_is_told(open_panel, qtbot) -> None:
    _, dataset, _ = open_panel
    update_form(dataset, "scan", {"lines": [[[1, 2], [3, 4]]]})
    with pytest.raises(DatasetError, match="with 3 numbers"):
        measure(data=dataset.path)


def test_lines_over_a_picture_without_parts_are_measured_too(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    labels = np.zeros((60, 80), np.uint8)
    labels[10:20, 10:30] = 1
    viewer.add_labels(labels, name="mine", scale=(0.5, 0.5), units=("mm", "mm"))
    panel = MeasurePanel(viewer)
    viewer.window.add_dock_widget(panel)
    qtbot.waitUntil(lambda: panel.findings is not None, timeout=15000)
    assert panel.findChild(QPushButton, "draw_lines").isVisible()
    panel.lines.draw()
    viewer.layers["mine · diameters"].add_lines(np.array([[10, 10], [10, 50]]))
    qtbot.waitUntil(lambda: panel.table.cell("line 1", 1) == "20.0 mm", timeout=15000)
