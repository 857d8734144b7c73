"""The Measure panel as a person uses it: figures follow strokes, the fovea is dragged and kept, tables are exported."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton

from napari_medseg.api import MeasureOptions, measure
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.forms import fovea_of
from napari_medseg.data.synthetic_oct import CLASSES, SURFACES, volume
from napari_medseg.io import write_labels
from napari_medseg.io.model_file import Expects, ModelCard, write_model
from napari_medseg.measure.retina import thickness_rows
from napari_medseg.structures import DatasetInfo, Image, OctScan, Prediction
from napari_medseg.widgets._layers import add_image, add_labels
from napari_medseg.widgets.measure_panel import MeasurePanel
from napari_medseg.widgets.measure_subject import subject_of_layer
from napari_medseg.widgets.prediction_layers import add_prediction
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

from .helpers import settled, stroke

pytestmark = pytest.mark.viewer

SPACING = (0.4, 0.0039, 0.04)
SHAPE = (16, 96, 160)


def oct_dataset(folder, *, spaced: bool = True) -> Dataset:
    pixels, labels = volume(*SHAPE, seed=2)
    info = DatasetInfo(name="eyes", kind="oct", classes=CLASSES, surfaces=SURFACES)
    dataset = Dataset.create(folder, info)
    known = {"spacing": SPACING, "units": ("millimeter",) * 3} if spaced else {}
    image = Image(levels=(pixels,), axes="zyx", kind="oct", **known)
    dataset.add_image(image, "eye", extra={"laterality": "L"} if spaced else {})
    case = dataset.case("eye")
    store = dataset.label_store(case, SHAPE)
    store.write_box(tuple((0, n) for n in SHAPE), labels)
    case = record_labels(dataset, "eye", store, revision=case.revision)
    mark_done(dataset, "eye", store, revision=case.revision)
    return Dataset.open(folder)


def measured(qtbot, panel) -> None:
    """Wait until the labels as they are now were measured."""
    qtbot.waitUntil(lambda: panel.findings is not None and panel._job is None and not panel._is_stale, timeout=15000)


@pytest.fixture
def open_panel(make_napari_viewer, qtbot, tmp_path):
    """Opens a data set's only case and the panel on it."""

    def opened(**options):
        viewer = make_napari_viewer(show=True)
        viewer.window.resize(1366, 900)
        workspace = Workspace(viewer)
        viewer.window.add_dock_widget(workspace, area="right")
        dataset = oct_dataset(tmp_path / "eyes", **options)
        workspace.session.set_dataset(dataset)
        workspace.session.open_case("eye")
        workspace.show_panel("Measure")
        panel = workspace.panel("Measure")
        measured(qtbot, panel)
        return viewer, dataset, panel

    return opened


def test_a_prediction_of_other_class_names_is_measured_as_its_model_says(open_panel, qtbot, tmp_path) -> None:
    viewer, _, panel = open_panel()
    renamed = {c.name: f"my {c.name}" for c in CLASSES} | {"": ""}
    classes = tuple(replace(c, name=renamed[c.name]) for c in CLASSES)
    surfaces = tuple(replace(s, above=renamed[s.above], below=renamed[s.below]) for s in SURFACES)
    labels = volume(*SHAPE, seed=2)[1]
    prediction = Prediction(
        labels=labels,
        classes=classes,
        tag=None,
        probabilities=None,
        region=tuple((0, n) for n in SHAPE),
        seconds=0.0,
        surfaces=surfaces,
    )
    (layer,) = add_prediction(viewer, prediction, model="m", beside=panel.session.open.image_layers[0])
    shown = subject_of_layer(layer, panel.session)
    card = ModelCard(
        scheme="oct", config={}, classes=classes, surfaces=surfaces, expects=Expects(axes="yx", channels=1)
    )
    write_model(tmp_path / "m.safetensors", {"weight": np.zeros(1, np.float32)}, card)
    known = {"spacing": SPACING, "units": ("millimeter",) * 3}
    path = write_labels(tmp_path / "p.tif", labels, classes=classes, **known)
    rows = measure([path], model=tmp_path / "m.safetensors", options=MeasureOptions(laterality="L"))
    found = thickness_rows(shown)
    assert len(found) > len(CLASSES)
    assert [replace(row, case="") for row in found] == [
        replace(row, case="") for row in rows if row.measure in ("thickness", "etdrs")
    ]


def test_panel_export_and_command_give_the_same_table(open_panel, qtbot, monkeypatch, tmp_path) -> None:
    _, dataset, panel = open_panel()
    target = tmp_path / "figures"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(target), ""))
    qtbot.mouseClick(panel.findChild(QPushButton, "export"), Qt.MouseButton.LeftButton)
    rows = measure(data=dataset.path)
    assert panel.findings.rows == rows
    table = list(csv.DictReader((tmp_path / "figures.csv").read_text("utf-8").splitlines()))
    assert len(table) == len(rows)
    whole = next(r for r in rows if r.structure == "ILM to BM" and r.bscan is None)
    assert panel.table.cell("ILM to BM", 2) == f"{whole.mean_um:.1f}"
    assert panel.notice.words.endswith("figures.csv")


def test_profile_and_table_follow_the_slider(open_panel, qtbot) -> None:
    viewer, _, panel = open_panel()
    means = {r.bscan: r.mean_um for r in panel.findings.rows if r.structure == "ILM to BM" and r.measure == "thickness"}
    for bscan in (2, 8):
        viewer.dims.set_current_step(0, bscan)
        assert panel.table.cell("ILM to BM", 1) == f"{means[bscan]:.1f}"
        assert np.nanmean(panel.profile.values) == pytest.approx(means[bscan], rel=1e-5)


def test_figures_follow_a_stroke_and_its_undo(open_panel, qtbot) -> None:
    _, _, panel = open_panel()
    labels = panel.session.labels
    before = panel.table.cell("RNFL", 2)
    thick = np.argwhere(labels.data == 2)
    labels.data_setitem(tuple(thick.T), 1)
    measured(qtbot, panel)
    assert float(panel.table.cell("RNFL", 2)) > float(before) + 30
    assert panel.table.cell("GCL+IPL", 2) == "0.0"
    labels.undo()
    measured(qtbot, panel)
    assert panel.table.cell("RNFL", 2) == before


def test_structure_is_chosen_in_the_table(open_panel, qtbot) -> None:
    _, _, panel = open_panel()
    item = panel.table.findItems("INL", Qt.MatchFlag.MatchExactly)[0]
    place = panel.table.visualItemRect(item).center()
    qtbot.mouseClick(panel.table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert panel.table.structure == "INL"
    grid = panel.findings.thickness.grid.fields["INL"]
    assert panel.map.shown_fields["inner nasal"][0] == f"{grid[4].mean:.0f}"
    np.testing.assert_allclose(panel.profile.values, panel.findings.map_of("INL").values[panel.bscan])


def test_fovea_is_dragged_kept_and_found_again(open_panel, qtbot) -> None:
    _, dataset, panel = open_panel()
    start = panel.findings.thickness.grid.fovea
    plot, view = panel.map._plot, panel.map._plot.viewport()

    def pixel(bscan: float, column: float) -> QPoint:
        place = QPointF(column * SPACING[2], bscan * SPACING[0])
        return plot.mapFromScene(plot.getViewBox().mapViewToScene(place))

    qtbot.waitUntil(lambda: plot.isVisible() and view.width() < 500, timeout=5000)
    settled(qtbot, lambda: pixel(*start))
    first, last = pixel(*start), pixel(start[0] - 3, start[1] + 20)
    stroke(qtbot, view, [first + (last - first) * float(step) for step in np.linspace(0, 1, 8)])
    moved = panel.findings.thickness.grid.fovea
    assert moved == pytest.approx((start[0] - 3, start[1] + 20), abs=3)
    assert fovea_of(dataset.path, "eye") == moved
    assert measure(data=dataset.path) == panel.findings.rows
    qtbot.mouseClick(panel.findChild(QPushButton, "find"), Qt.MouseButton.LeftButton)
    assert panel.findings.thickness.grid.fovea == start
    assert fovea_of(dataset.path, "eye") is None


def test_typed_fovea_near_the_edge_greys_what_is_not_covered(open_panel, qtbot) -> None:
    _, _, panel = open_panel()
    edit = panel.findChild(QLineEdit, "fovea")
    edit.clear()
    qtbot.keyClicks(edit, "1, 80")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert panel.findings.thickness.grid.fovea == (1.0, 80.0)
    assert panel.map.shown_fields["outer superior"][1]
    assert not panel.map.shown_fields["center"][1]
    edit.clear()
    qtbot.keyClicks(edit, "in the middle")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert "is no place" in panel.notice.words
    edit.clear()
    qtbot.keyClicks(edit, "99, 80")
    qtbot.keyClick(edit, Qt.Key.Key_Return)
    assert "outside the scan" in panel.notice.words
    assert panel.findings.thickness.grid.fovea == (1.0, 80.0)


def test_missing_spacing_is_asked_for_and_kept_with_the_case(open_panel, qtbot) -> None:
    _, dataset, panel = open_panel(spaced=False)
    assert panel.findings.thickness.grid is None
    assert panel.table.horizontalHeaderItem(2).text() == "Scan, px"
    for name, text in (("spacing_z", "400"), ("spacing_y", "3.9"), ("spacing_x", "40")):
        qtbot.keyClicks(panel.findChild(QLineEdit, name), text)
    qtbot.mouseClick(panel.findChild(QPushButton, "use_facts"), Qt.MouseButton.LeftButton)
    measured(qtbot, panel)
    assert panel.table.horizontalHeaderItem(2).text() == "Scan, µm"
    assert panel.findings.thickness.grid is not None
    assert Dataset.open(dataset.path).case("eye").extra["spacing"] == "0.4,0.0039,0.04"
    assert measure(data=dataset.path)[0].mean_um == pytest.approx(panel.findings.rows[0].mean_um)


def test_map_becomes_a_layer_beside_the_scan_and_follows(open_panel, qtbot) -> None:
    viewer, _, panel = open_panel()
    active = viewer.layers.selection.active
    qtbot.mouseClick(panel.findChild(QPushButton, "map_layer"), Qt.MouseButton.LeftButton)
    layer = viewer.layers["eye · thickness of ILM to BM"]
    assert viewer.layers.selection.active is active
    assert {str(unit) for unit in layer.units} == {"pixel"}
    assert layer.extent.world[0][1] > SHAPE[2] - 1
    assert layer.data.shape == (SHAPE[0] * 10, SHAPE[2])
    panel.session.labels.data_setitem(tuple(np.argwhere(panel.session.labels.data == 6).T), 0)
    measured(qtbot, panel)
    assert np.nanmean(layer.data) == pytest.approx(np.nanmean(panel.findings.map_of("ILM to BM").values), nan_ok=True)
    qtbot.mouseClick(panel.findChild(QPushButton, "map_layer"), Qt.MouseButton.LeftButton)
    assert sum("thickness of" in layer.name for layer in viewer.layers) == 1


def test_map_lies_on_the_fundus_picture(make_napari_viewer, qtbot) -> None:
    """Two B-scans' worth of thick retina must come to lie where these B-scans lie on the picture."""
    viewer = make_napari_viewer(show=True)
    pixels, labels = volume(*SHAPE, seed=2)
    labels[3:5, :, :] = 0
    fundus = Image(levels=(np.zeros((120, 200), np.uint8),), axes="yx", spacing=(0.05,) * 2, units=("millimeter",) * 2)
    rows = 10.0 + 6 * np.arange(SHAPE[0])
    positions = np.stack(
        [np.stack([rows, np.full(SHAPE[0], 20.0)], 1), np.stack([rows, np.full(SHAPE[0], 180.0)], 1)], 1
    )
    scan = OctScan(laterality="R", pattern="raster", localizer=fundus, positions=positions)
    image = Image(levels=(pixels,), axes="zyx", spacing=SPACING, units=("millimeter",) * 3, kind="oct", oct=scan)
    beside = add_image(viewer, replace(image, name="scan"))[0]
    add_labels(viewer, labels, CLASSES, name="drawn", beside=beside)
    panel = MeasurePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    measured(qtbot, panel)
    panel._show_layer()
    shown = viewer.layers["drawn · thickness of ILM to BM"].data
    assert shown.shape == (120, 200)
    assert np.isnan(shown[int(rows[3]), 100])
    assert np.isfinite(shown[int(rows[8]), 100])
    assert np.isnan(shown[int(rows[8]), 10])
    assert not panel.findings.thickness.grid.frame.is_assumed


def test_any_labels_have_their_sizes_and_nothing_open_teaches(make_napari_viewer, qtbot) -> None:
    viewer = make_napari_viewer(show=True)
    panel = MeasurePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    qtbot.waitUntil(panel._teaching.isVisible, timeout=5000)
    assert not panel.findChild(QPushButton, "export").isEnabled()
    labels = np.zeros((20, 30), np.uint16)
    labels[2:5, 3:9] = 7
    viewer.add_labels(labels, scale=(0.5, 0.5), units=("mm", "mm"), name="cells")
    measured(qtbot, panel)
    assert panel.table.cell("label 7", 1) == "4.5 mm²"
    assert panel.table.cell("label 7", 2) == "18"
    assert not panel._teaching.isVisible()
    viewer.layers.clear()
    assert panel._teaching.isVisible()
    assert session_of(viewer) is panel.session
