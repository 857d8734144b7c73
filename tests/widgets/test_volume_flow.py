"""A CT from its DICOM files to saved labels: window, drawing, interpolation, undo, with keys and mouse."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.synthetic_ct import CLASSES, abdomen, spacing_of_size
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo
from napari_medseg.widgets.adding import add_files
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.crosshair import Crosshair
from napari_medseg.widgets.ortho_views import NAME, OrthoViews, toggle_planes
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.volume_tools import SCOPES
from tests.io.volume.writers import write_series
from tests.widgets.helpers import canvas_of, drag, labels_on_disk, place_of, press, row_in_another_process, settled

pytestmark = pytest.mark.viewer

SIZE = (13, 96, 120)
UNITS, ORGANS = abdomen(*SIZE, seed=2)
ALT, CTRL, SHIFT = (
    Qt.KeyboardModifier.AltModifier,
    Qt.KeyboardModifier.ControlModifier,
    Qt.KeyboardModifier.ShiftModifier,
)


@pytest.fixture
def folder(tmp_path):
    """A data set with one CT, as DICOM files, of which nothing is drawn."""
    steps = spacing_of_size(*SIZE)
    series = write_series(tmp_path / "series", UNITS, step=(0.0, 0.0, steps[0]), spacing=steps[1:])
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="ct", kind="ct", classes=CLASSES))
    add_files(dataset, [series], {})
    return dataset.path


@pytest.fixture
def desk(make_napari_viewer, qtbot, folder):
    """Viewer and Annotate panel with the CT on screen."""
    viewer = make_napari_viewer(show=True)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Annotate")
    session = session_of(viewer)
    session.open_dataset(folder)
    session.open_case(session.dataset.cases[0].case)
    yield viewer, panel, session
    session.close_case()


def stroke_over(qtbot, viewer, pixels) -> None:
    """A stroke of the left button over pixels (row, column) of the slice on screen."""
    canvas = canvas_of(viewer)
    settled(qtbot, lambda: (canvas.width(), canvas.height(), place_of(viewer, 0, 0)))
    steps, origin = viewer.layers[0].scale[1:], viewer.layers[0].translate[1:]
    # The end is reached more than once: a busy window may drop a move, and paints up to the next one.
    way = [*pixels, pixels[-1], pixels[-1]]
    drag(qtbot, viewer, [tuple(np.multiply(pixel, steps) + origin) for pixel in way])


def finished(qtbot, session) -> None:
    qtbot.waitUntil(lambda: not session.open.volume.is_busy, timeout=30_000)


def click(qtbot, panel, name: str) -> None:
    qtbot.mouseClick(panel.findChild(QPushButton, name), Qt.MouseButton.LeftButton)


def draw_liver(session, slices) -> None:
    """Labels as a person leaves them who draws the liver in some slices."""
    for z in slices:
        session.labels.data[z][ORGANS[z] == 1] = 1
    session.labels.refresh()


def test_from_a_dicom_series_to_an_interpolated_liver_on_disk(desk, folder, qtbot):
    viewer, _, session = desk
    image, labels = session.open.image_layers[0], session.labels
    assert tuple(image.contrast_limits) == (-125, 225)  # as the file says
    press(qtbot, viewer, Qt.Key.Key_3, CTRL)
    assert tuple(image.contrast_limits) == (15, 165)
    press(qtbot, viewer, Qt.Key.Key_1)
    labels.brush_size = 14
    for z, row in ((4, 38), (7, 42), (10, 46)):
        viewer.dims.set_current_step(0, z)
        stroke_over(qtbot, viewer, [(row, 35), (row, 50)])
    drawn = labels.data.copy()
    press(qtbot, viewer, Qt.Key.Key_I)
    qtbot.waitUntil(lambda: session.open.volume.preview is not None, timeout=30_000)
    np.testing.assert_array_equal(labels.data, drawn)
    press(qtbot, viewer, Qt.Key.Key_Y)
    filled = labels.data.copy()
    assert all((filled[z] == 1).any() for z in range(4, 11))
    np.testing.assert_array_equal(filled[[4, 7, 10]], drawn[[4, 7, 10]])
    assert (filled[[0, 12]] == NOT_LOOKED_AT).all()
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(labels.data, drawn)
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL | SHIFT)
    np.testing.assert_array_equal(labels.data, filled)
    qtbot.waitUntil(session.open.autosave.is_saved, timeout=30_000)
    case = session.case.case
    np.testing.assert_array_equal(labels_on_disk(folder, case), filled)
    assert row_in_another_process(folder, case)["values"]["1"] == np.count_nonzero(filled == 1)


def test_interpolating_again_follows_what_was_corrected(desk, qtbot):
    _, _, session = desk
    tools = session.open.volume
    draw_liver(session, (4, 10))
    tools.interpolate()
    finished(qtbot, session)
    tools.accept()
    first = session.labels.data.copy()
    session.labels.data[7][first[7] == 1] = 0
    session.labels.data[7, 20:30, 30:40] = 1
    tools.interpolate()
    finished(qtbot, session)
    tools.accept()
    again = session.labels.data
    assert (again[7, 20:30, 30:40] == 1).all()
    assert np.count_nonzero(again[7] == 1) == 100
    assert np.count_nonzero(again[6] == 1) < np.count_nonzero(first[6] == 1)


def test_a_preview_that_no_longer_fits_is_refused_and_one_discarded_changes_nothing(desk, qtbot):
    viewer, panel, session = desk
    draw_liver(session, (4, 10))
    before = session.labels.data.copy()
    press(qtbot, viewer, Qt.Key.Key_I)
    finished(qtbot, session)
    layers = len(viewer.layers)
    press(qtbot, viewer, Qt.Key.Key_X)
    assert len(viewer.layers) == layers - 1
    np.testing.assert_array_equal(session.labels.data, before)
    click(qtbot, panel, "interpolate")
    finished(qtbot, session)
    session.labels.data_setitem((np.array([7]), np.array([40]), np.array([35])), 2)
    click(qtbot, panel, "accept_preview")
    assert "make it again" in panel.notice.words
    assert np.count_nonzero(session.labels.data != before) == 1


def test_tools_keep_locked_and_other_classes_unless_these_may_be_replaced(desk, qtbot):
    viewer, panel, session = desk
    tools, labels = session.open.volume, session.labels
    viewer.dims.set_current_step(0, 5)
    labels.data[5, 30:60, 30:60] = 1
    labels.data[5, 40:44, 40:44] = 2
    labels.data[5, 50:54, 50:54] = 3
    tools.fill_holes(SCOPES[0])
    finished(qtbot, session)
    assert (labels.data[5, 40:44, 40:44] == 2).all()
    session.open.locks.locked = frozenset({3})
    panel.volume.replace.setChecked(True)
    tools.fill_range(-2000, 4000, SCOPES[0])
    finished(qtbot, session)
    assert np.count_nonzero(labels.data[5] == 3) == 16
    assert np.count_nonzero(labels.data[5] == 1) == labels.data[5].size - 16
    assert (labels.data[[4, 6]] == NOT_LOOKED_AT).all()


def test_cleaning_works_where_it_is_told_and_is_one_step_of_undo(desk, qtbot):
    viewer, panel, session = desk
    labels = session.labels
    draw_liver(session, range(4, 11))
    labels.data[5:7, 5:8, 5:8] = 1
    before = labels.data.copy()
    viewer.dims.set_current_step(0, 5)
    panel.volume.scope.setCurrentText(SCOPES[0])
    click(qtbot, panel, "keep_largest")
    finished(qtbot, session)
    assert not (labels.data[5, 5:8, 5:8] == 1).any()
    assert (labels.data[6, 5:8, 5:8] == 1).all()
    assert "part" in panel.notice.words
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(labels.data, before)
    panel.volume.scope.setCurrentText(SCOPES[2])
    panel.volume.smallest.set_number(18 * float(np.prod(spacing_of_size(*SIZE))) + 1)
    click(qtbot, panel, "remove_small")
    finished(qtbot, session)
    assert not (labels.data[:, 5:8, 5:8] == 1).any()
    panel.volume.sigma.set_number(-1)
    click(qtbot, panel, "smooth")
    assert "above 0" in panel.notice.words


def test_a_stroke_is_kept_to_the_range_and_copied_on(desk, qtbot):
    viewer, panel, session = desk
    labels = session.labels
    viewer.dims.set_current_step(0, 8)
    press(qtbot, viewer, Qt.Key.Key_T)
    panel.volume.range.slider.setValue((90, 200))
    panel.volume.range.brush.setChecked(True)
    press(qtbot, viewer, Qt.Key.Key_1)
    labels.brush_size = 20
    stroke_over(qtbot, viewer, [(40, 20), (40, 60)])
    painted = labels.data[8] == 1
    assert painted.any()
    assert UNITS[8][painted].min() >= 90
    assert UNITS[8][painted].max() <= 200
    press(qtbot, viewer, Qt.Key.Key_T)
    assert [layer.name for layer in viewer.layers if "range" in layer.name] == []
    press(qtbot, viewer, Qt.Key.Key_PageDown)
    assert viewer.dims.current_step[0] == 9
    np.testing.assert_array_equal(labels.data[9] == 1, painted)
    stroke_over(qtbot, viewer, [(10, 10), (10, 30)])  # outside: air, now allowed
    assert (labels.data[9, 10, 10:30] == 1).all()


def test_seeds_grow_and_the_brush_becomes_a_ball(desk, qtbot):
    viewer, panel, session = desk
    labels = session.labels
    liver = ORGANS == 1
    labels.data[8, 36:46, 30:45] = 1
    labels.data[~liver & (np.arange(SIZE[0]) % 3 == 0)[:, None, None]] = 0
    labels.data[[4, 12]] = 0
    click(qtbot, panel, "grow")
    finished(qtbot, session)
    assert session.open.volume.preview is not None
    click(qtbot, panel, "accept_preview")
    grown = labels.data == 1
    assert 2 * (grown & liver)[5:12].sum() / (grown[5:12].sum() + liver[5:12].sum()) > 0.8
    press(qtbot, viewer, Qt.Key.Key_B)
    assert labels.n_edit_dimensions == 3
    assert panel.volume.ball.isChecked()


def test_the_window_is_remembered_for_the_next_ct_and_numbers_may_be_typed(desk, folder, qtbot, tmp_path):
    viewer, panel, session = desk
    add_files(session.dataset, [write_series(tmp_path / "second", UNITS[:6])], {})
    press(qtbot, viewer, Qt.Key.Key_4, CTRL)
    assert panel.window_section.preset.currentText() == "lung"
    session.open_case(session.dataset.cases[1].case)
    image = session.open.image_layers[0]
    assert tuple(image.contrast_limits) == (-1350, 150)
    panel.window_section.level.set_number(60)
    panel.window_section.width_edit.set_number(200)
    assert tuple(image.contrast_limits) == (-40, 160)
    assert panel.window_section.preset.currentText() == "pancreas"
    panel.window_section.width_edit._edit.setText("0")
    assert tuple(image.contrast_limits) == (-40, 160)
    image.contrast_limits = (0, 50)
    assert panel.window_section.level.number() == 25
    press(qtbot, viewer, Qt.Key.Key_7, CTRL)
    assert tuple(image.contrast_limits) == (-125, 225)


def world_at(viewer, place) -> tuple[float, ...]:
    """Where in the world napari itself says that a place of its canvas lies."""
    canvas = viewer.window._qt_viewer.canvas
    return canvas._map_canvas2world((place.x(), place.y()), canvas.view)


def test_the_other_planes_follow_and_lead_the_canvas(desk, qtbot):
    viewer, _, session = desk
    press(qtbot, viewer, Qt.Key.Key_O)
    views = viewer.window.dock_widgets[NAME]
    assert isinstance(views, OrthoViews)
    coronal = views.views[1]
    qtbot.waitUntil(lambda: coronal._image is not None, timeout=30_000)
    assert views.views[0].isHidden()
    viewer.dims.set_current_step(0, 3)
    qtbot.waitUntil(lambda: round(coronal._place[0]) == SIZE[0] - 1 - 3, timeout=10_000)
    target = coronal.point_of(SIZE[0] - 1 - 9, 33)
    qtbot.mouseClick(coronal, Qt.MouseButton.LeftButton, pos=target.toPoint())
    assert viewer.dims.current_step[0] == 9
    session.labels.mode = "pan_zoom"
    stroke_over(qtbot, viewer, [(42, 70), (42, 70)])
    assert viewer.dims.current_step[1:] == (42, 70)
    crosshair = views.crosshair
    assert world_at(viewer, crosshair.place()) == pytest.approx(viewer.dims.point, abs=0.01)
    lines = crosshair.grab().toImage()
    at, corner = crosshair.place().toPoint(), lines.pixelColor(2, 2)
    # Between two pixels, a line is drawn in one of them.
    assert any(lines.pixelColor(at.x() - more, 5) != corner for more in (0, 1))
    assert any(lines.pixelColor(5, at.y() - more) != corner for more in (0, 1))
    assert lines.pixelColor(at) == corner
    qtbot.mouseDClick(coronal, Qt.MouseButton.LeftButton, pos=target.toPoint())
    assert tuple(viewer.dims.order) == (1, 0, 2)
    assert not views.views[0].isHidden()
    assert coronal.isHidden()
    # The head is above now; the crosshair must know.
    assert world_at(viewer, crosshair.place()) == pytest.approx(viewer.dims.point, abs=0.01)
    viewer.dims.ndisplay = 3
    assert crosshair.place() is None
    viewer.dims.ndisplay = 2
    callbacks = len(viewer.mouse_drag_callbacks)
    toggle_planes(viewer)
    assert NAME not in viewer.window.dock_widgets
    qtbot.waitUntil(lambda: len(viewer.mouse_drag_callbacks) == callbacks - 1, timeout=10_000)
    qtbot.waitUntil(lambda: not canvas_of(viewer).findChildren(Crosshair), timeout=10_000)


def test_tools_without_anything_to_work_on_say_what_to_do(desk, qtbot):
    viewer, panel, session = desk
    press(qtbot, viewer, Qt.Key.Key_I)
    finished(qtbot, session)
    assert "at least two slices" in panel.notice.words
    press(qtbot, viewer, Qt.Key.Key_PageDown)
    assert "Nothing is drawn in this slice" in panel.notice.words
    session.labels.selected_label = 0
    click(qtbot, panel, "fill_holes")
    assert "No class is chosen" in panel.notice.words
    assert canvas_of(viewer).isVisible()


def test_flat_images_have_no_volume_tools(make_napari_viewer, qtbot, tmp_path):
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="flat", classes=mask_classes(["a"])))
    dataset.add_image(np.zeros((32, 32), np.uint8), "flat")
    viewer = make_napari_viewer()
    panel = AnnotatePanel(viewer)
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("flat")
    assert session.open.volume is None
    assert panel.volume.isHidden()
    assert panel.window_section.isHidden()


def test_a_tool_that_is_cancelled_or_whose_case_closes_changes_nothing(desk, qtbot):
    _, _, session = desk
    draw_liver(session, (4, 10))
    before, tools = session.labels.data.copy(), session.open.volume
    tools.interpolate()
    with pytest.raises(AnnotationError, match="Another tool is at work"):
        tools.keep_largest(SCOPES[2])
    tools.cancel()
    finished(qtbot, session)
    assert tools.preview is None
    np.testing.assert_array_equal(session.labels.data, before)
    tools.interpolate()
    session.close_case()
    qtbot.waitUntil(lambda: not tools.is_busy, timeout=30_000)
    assert tools.preview is None
