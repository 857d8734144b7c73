"""Strokes that correct a model's result: with the bundled model, real mouse strokes and keys."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QCheckBox
from scipy import ndimage

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import tissue
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.accepting import accept
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of
from tests.widgets.helpers import canvas_of, drag, labels_on_disk, place_of, press, settled

pytestmark = pytest.mark.viewer

CTRL = Qt.KeyboardModifier.ControlModifier
PICTURE, TRUTH = tissue(size=192, seed=3)


@pytest.fixture(scope="module")
def predicted():
    """The bundled model's card and labels, with an object taken away."""
    model = api.load_model(api.bundled_model("pathology"))
    labels = np.asarray(api.predict(model, PICTURE).labels).copy()
    parts, _ = ndimage.label(labels == 1)
    largest = parts == np.bincount(parts[parts > 0]).argmax()
    labels[largest] = 0
    return model.card, labels, largest


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path, predicted):
    """Viewer, Annotate panel and session, with the damaged result accepted into the case."""
    card, labels, _ = predicted
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="test", classes=tuple(card.classes)))
    dataset.add_image(np.asarray(PICTURE.data) if hasattr(PICTURE, "data") else PICTURE, "case", group="patient")
    viewer = make_napari_viewer(show=True)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, name="Annotate")
    session = session_of(viewer)
    session.open_dataset(tmp_path / "data")
    session.open_case("case")
    accept(session, "case", model="demo", labels=labels, region=None, classes=card.classes, tag="")
    canvas = canvas_of(viewer)
    settled(qtbot, lambda: (canvas.width(), canvas.height(), place_of(viewer, 0, 0)))
    yield viewer, panel, session
    session.close_case()


def switch_on(qtbot, panel, session) -> None:
    session.set_model(api.bundled_model("pathology"))
    panel.refine.fold.set_open(True)
    # Beside the words of a check box a click does nothing.
    qtbot.mouseClick(panel.findChild(QCheckBox, "refine_on"), Qt.MouseButton.LeftButton, pos=QPoint(8, 8))
    assert panel.refine.corrector.is_on
    rested(qtbot, panel)


def rested(qtbot, panel) -> None:
    qtbot.waitUntil(lambda: not panel.refine.corrector.is_busy, timeout=60_000)


def middle_of(mask):
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    return tuple(int(i) for i in np.unravel_index(depth.argmax(), mask.shape))


def paint(qtbot, viewer, session, pixel, mode="paint", size=5) -> None:
    """A short stroke."""
    session.labels.brush_size = size
    session.labels.mode = mode
    session.labels.selected_label = 1
    row, column = pixel
    drag(qtbot, viewer, [(row, column - 1), (row, column + 1), (row, column + 1)])


def test_a_short_stroke_brings_the_object_back_and_two_undos_take_it_away(desk, qtbot, predicted):
    viewer, panel, session = desk
    _, labels, missing = predicted
    switch_on(qtbot, panel, session)
    paint(qtbot, viewer, session, middle_of(missing))
    rested(qtbot, panel)
    after = session.labels.data.copy()
    changed = after != labels
    assert (after[changed] == 1).all()
    # Many times what was painted, and where the object is.
    assert np.count_nonzero(changed & missing) > max(100, 0.5 * np.count_nonzero(missing))
    assert np.count_nonzero(changed & ~missing) < 0.2 * np.count_nonzero(missing)
    assert "Ctrl+Z" in panel.refine.state.text()
    qtbot.waitUntil(session.open.autosave.is_saved, timeout=30_000)
    np.testing.assert_array_equal(labels_on_disk(session.dataset.path, "case"), after)
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    stroke = session.labels.data != labels
    assert 0 < np.count_nonzero(stroke) < 60
    press(qtbot, viewer, Qt.Key.Key_Z, CTRL)
    np.testing.assert_array_equal(session.labels.data, labels)
    rested(qtbot, panel)
    np.testing.assert_array_equal(session.labels.data, labels)


def test_an_erased_spot_takes_its_object_away_but_no_locked_pixel(desk, qtbot, predicted):
    viewer, panel, session = desk
    _, labels, _ = predicted
    switch_on(qtbot, panel, session)
    parts, _ = ndimage.label(labels == 1)
    target = parts == np.bincount(parts[parts > 0]).argmax()
    paint(qtbot, viewer, session, middle_of(target), mode="erase")
    rested(qtbot, panel)
    gone = (labels == 1) & (session.labels.data == 0)
    assert np.count_nonzero(gone & target) > 60
    # One of what was drawn: others stay, however alike they are.
    assert not (gone & ~target).any()
    locked = session.labels.data.copy()
    session.open.locks.locked = frozenset({1})
    spot = middle_of((locked == 1) & ~target)
    paint(qtbot, viewer, session, spot, mode="erase")
    rested(qtbot, panel)
    np.testing.assert_array_equal(session.labels.data, locked)


def test_strokes_only_paint_while_it_is_off(desk, qtbot, predicted):
    viewer, panel, session = desk
    _, labels, missing = predicted
    session.set_model(api.bundled_model("pathology"))
    paint(qtbot, viewer, session, middle_of(missing))
    assert 0 < np.count_nonzero(session.labels.data != labels) < 60
    press(qtbot, viewer, Qt.Key.Key_Z)
    assert panel.findChild(QCheckBox, "refine_on").isChecked()
    rested(qtbot, panel)
    press(qtbot, viewer, Qt.Key.Key_Z)
    assert not panel.refine.corrector.is_on


def test_it_needs_a_model_that_knows_the_classes(desk, qtbot):
    viewer, panel, session = desk
    assert not panel.refine.isVisible()
    press(qtbot, viewer, Qt.Key.Key_Z)
    assert "No model is chosen" in panel.notice.words
    session.set_model(api.bundled_model("boosting"))
    assert panel.refine.isVisible()
    press(qtbot, viewer, Qt.Key.Key_Z)
    qtbot.waitUntil(lambda: bool(panel.refine.corrector.text), timeout=60_000)
    assert not panel.refine.corrector.is_on
    assert "model" in panel.refine.state.text()
