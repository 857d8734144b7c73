"""Painting on whole slides with real mouse and keys; what counts is what a program that starts afterwards finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.synthetic_slide import CLASSES, write_slide
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, DatasetInfo
from napari_medseg.widgets import autosave
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.slide_case import SlideCase

from .helpers import canvas_of, place_of, press, stroke

pytestmark = pytest.mark.viewer

CONTROL = Qt.KeyboardModifier.ControlModifier
#: Rows and columns of the slide, and micrometres of its pixels.
SHAPE, MPP = (12_000, 16_000), 0.25


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    path = tmp_path_factory.mktemp("slides") / "slide.svs"
    write_slide(path, SHAPE, share=0.02, mpp=MPP)
    return path


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path, slide, monkeypatch):
    """A viewer with the Annotate panel and a slide that is painted at 0.5 µm: 6000 x 8000 pixels."""
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="slides", kind="slide", classes=CLASSES))
    dataset.add_case(slide, case="slide")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1200, 800)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.painting_size = 0.5
    session.open_dataset(tmp_path / "data")
    session.open_case("slide")
    viewer.reset_view()
    qtbot.wait(200)
    return viewer, panel, session


def look_at(qtbot, viewer, row: float, column: float, zoom: float = 0.4) -> None:
    """Show a level-0 pixel in the middle, at screen pixels per level-0 pixel, and wait for the window to follow."""
    viewer.scene.camera.center = (row * MPP, column * MPP)
    viewer.scene.camera.zoom = zoom / MPP
    opened = session_of(viewer).open
    qtbot.waitUntil(lambda: not opened.window.is_following, timeout=15_000)


def paint(qtbot, viewer, start, end) -> None:
    """A straight stroke of the left button from one level-0 pixel (row, column) to another."""
    # napari takes no notice of moves that follow each other too fast, so the first and the last come twice.
    shares = (0.0, 0.0, 0.5, 1.0, 1.0)
    points = [np.add(start, share * np.subtract(end, start)) * MPP for share in shares]
    stroke(qtbot, canvas_of(viewer), [place_of(viewer, *point) for point in points])


def saved(qtbot, session) -> None:
    qtbot.waitUntil(lambda: session.open.autosave.is_saved() and session.case.label != "", timeout=15_000)


def painted_on_disk(tmp_path, row: int, column: int) -> int:
    """The label that a program that starts now finds at a level-0 pixel."""
    dataset = Dataset.open(tmp_path / "data")
    master = SlideMaster.open(dataset.current_label_path(dataset.case("slide")))
    at = (row // master.downsample, column // master.downsample)
    return int(master.read(((at[0], at[0] + 1), (at[1], at[1] + 1)))[0, 0])


def test_strokes_far_apart_are_found_again_in_their_places(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    opened = session.open
    assert isinstance(opened, SlideCase)
    assert (opened.store.downsample, opened.store.shape) == (2, (6000, 8000))
    assert not opened.window.is_open
    assert not opened.labels.visible
    assert viewer.canvas.overlays.text.visible
    assert panel.slide.state.text() == "Zoom in to paint."

    look_at(qtbot, viewer, 2000, 2000)
    assert opened.window.is_open
    assert opened.labels.visible
    press(qtbot, viewer, Qt.Key.Key_1)
    opened.labels.brush_size = 20
    paint(qtbot, viewer, (2000, 1800), (2000, 2200))
    first = opened.labels.translate.copy()

    look_at(qtbot, viewer, 10_500, 15_000)
    assert (opened.labels.translate > first).all()
    # What was painted was saved before the window left.
    assert painted_on_disk(tmp_path, 2000, 2000) == 1
    press(qtbot, viewer, Qt.Key.Key_2)
    paint(qtbot, viewer, (10_500, 14_900), (10_500, 15_100))
    saved(qtbot, session)
    session.close_case()
    assert [layer.name for layer in viewer.layers] == []
    assert not viewer.canvas.overlays.text.visible

    session.open_case("slide")
    look_at(qtbot, viewer, 2000, 2000)
    labels = session.labels
    for place, value in (((2000, 2000), 1), ((10_500, 15_000), 2)):
        assert painted_on_disk(tmp_path, *place) == value
    at = np.round(labels.world_to_data((2000 * MPP, 2000 * MPP))).astype(int)
    assert labels.data[tuple(at)] == 1
    # A stroke 20 pixels wide lies 10 pixels of 2 level-0 pixels to both sides of its middle.
    rows = [row for row in range(1900, 2100) if painted_on_disk(tmp_path, row, 2000) == 1]
    assert abs(np.mean(rows) - 2000) < 2
    assert abs(len(rows) - 40) <= 4
    row = Dataset.open(tmp_path / "data").case("slide")
    assert (row.status, row.origin, row.label) == ("draft", "person", "slide.zarr")


def test_what_lies_outside_the_window_is_seen_where_it_was_painted(desk, qtbot):
    viewer, _, session = desk
    look_at(qtbot, viewer, 2000, 2000)
    session.open.choose_class(1)
    session.labels.brush_size = 60
    paint(qtbot, viewer, (2000, 1800), (2000, 2200))
    # The stroke now lies in the layer that is painted, and in no other.
    place = (2000 * MPP, 2000 * MPP)
    shown = session.open.painted.layer
    assert session.labels.get_value(place, world=True) == 1
    assert shown.get_value(place, world=True)[1] == NOT_LOOKED_AT
    look_at(qtbot, viewer, 2000, 2000, zoom=0.05)
    assert not session.open.window.is_open
    qtbot.waitUntil(lambda: shown.get_value(place, world=True)[1] == 1, timeout=5000)
    assert viewer.canvas.overlays.text.text == "Zoom in to paint"
    look_at(qtbot, viewer, 2000, 2000)
    assert session.labels.mode == "paint"


def test_undo_reaches_back_as_far_as_strokes_lie_in_the_window(desk, qtbot, tmp_path):
    viewer, _, session = desk
    look_at(qtbot, viewer, 6000, 1250)
    session.open.choose_class(1)
    session.labels.brush_size = 20
    paint(qtbot, viewer, (6000, 1000), (6000, 1500))
    look_at(qtbot, viewer, 6000, 5250)
    before = session.labels.translate.copy()
    paint(qtbot, viewer, (6000, 5000), (6000, 5500))
    # The next window holds the second stroke alone.
    look_at(qtbot, viewer, 6000, 7900)
    assert session.labels.translate[1] > before[1]
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6000, 5250) == NOT_LOOKED_AT
    assert painted_on_disk(tmp_path, 6000, 1250) == 1
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL | Qt.KeyboardModifier.ShiftModifier)
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6000, 5250) == 1


def test_a_complete_region_keeps_classes_and_can_be_undone(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    look_at(qtbot, viewer, 6000, 8000, zoom=1.0)
    session.open.choose_class(2)
    session.labels.brush_size = 20
    paint(qtbot, viewer, (6000, 7900), (6000, 8100))
    press(qtbot, viewer, Qt.Key.Key_R)
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6000, 8000) == 2
    assert painted_on_disk(tmp_path, 6200, 8000) == BACKGROUND
    assert painted_on_disk(tmp_path, 9000, 8000) == NOT_LOOKED_AT
    press(qtbot, viewer, Qt.Key.Key_Z, CONTROL)
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6200, 8000) == NOT_LOOKED_AT
    assert panel.done.text() == "Mark done"
    session.finish_case()
    assert session.case.status == "done"
    assert painted_on_disk(tmp_path, 9000, 8000) == NOT_LOOKED_AT


def test_paint_is_taken_away_with_not_looked_at(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    look_at(qtbot, viewer, 6000, 8000)
    session.open.choose_class(1)
    session.labels.brush_size = 30
    paint(qtbot, viewer, (6000, 7900), (6000, 8100))
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6000, 8000) == 1
    erase = panel.findChild(type(panel.done), "paint_not_looked_at")
    qtbot.mouseClick(erase, Qt.MouseButton.LeftButton)
    session.labels.brush_size = 60
    paint(qtbot, viewer, (6000, 7850), (6000, 8150))
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6000, 8000) == NOT_LOOKED_AT
    assert SlideMaster.open(session.open.store.path).painted() == []


def test_the_resolution_is_chosen_until_something_is_painted(desk, qtbot):
    viewer, panel, session = desk
    level = panel.slide.level
    assert level.currentText() == "0.5 µm (20×)"
    level.setCurrentIndex(level.findData(4))
    level.activated.emit(level.currentIndex())
    assert session.open.store.downsample == 4
    look_at(qtbot, viewer, 6000, 8000)
    session.open.choose_class(1)
    paint(qtbot, viewer, (6000, 7900), (6000, 8100))
    saved(qtbot, session)
    assert not level.isEnabled()
    assert level.currentText() == "1 µm (10×)"
    # Another wish does not change what is on disk.
    session.painting_size = 0.25
    session.close_case()
    session.open_case("slide")
    assert session.open.store.downsample == 4


_PAINTER = """
import sys
import napari
from qtpy.QtCore import Qt, QTimer
from napari_medseg.widgets.session import session_of

viewer = napari.Viewer(show_welcome_screen=False)
session = session_of(viewer)
session.painting_size = 0.5
session.open_dataset(sys.argv[1])
session.open_case("slide")
places = iter([(2000, 2000), (10_000, 14_000), (3000, 9000), (9000, 3000)])

def paint():
    row, column = next(places)
    opened = session.open
    viewer.scene.camera.center, viewer.scene.camera.zoom = (row * 0.25, column * 0.25), 2.0
    opened.window.follow()
    opened.labels.paint(opened.labels.world_to_data((row * 0.25, column * 0.25)), 1)
    session.saved.connect(lambda clock: say(row, column), type=Qt.ConnectionType.SingleShotConnection)

def say(row, column):
    print(row, column, flush=True)
    QTimer.singleShot(0, paint)

QTimer.singleShot(0, paint)
napari.run()
"""


@pytest.mark.slow
def test_a_killed_window_has_saved_every_place_that_it_left(desk, qtbot, tmp_path):
    _, _, session = desk
    session.close_case()
    environment = {**os.environ, "NAPARI_CONFIG": "", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", _PAINTER, str(tmp_path / "data")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as painter:
        assert painter.stdout is not None
        said = [tuple(map(int, painter.stdout.readline().split())) for _ in range(3)]
        painter.send_signal(signal.SIGKILL)
    assert len(set(said)) == 3
    for place in said:
        assert painted_on_disk(tmp_path, *place) == 1
    row = Dataset.open(tmp_path / "data").case("slide")
    assert (row.label, row.status) == ("slide.zarr", "draft")
    # The lock of the dead window is no obstacle.
    session.dataset.reload()
    session.open_case("slide")
    look_at(qtbot, session.viewer, 6000, 8000)
    session.open.choose_class(2)
    paint(qtbot, session.viewer, (6000, 7900), (6000, 8100))
    saved(qtbot, session)
    assert painted_on_disk(tmp_path, 6000, 8000) == 2
