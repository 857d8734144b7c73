"""Curves carried on from case to case, where the B-scans of an eye are files of their own."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import CLASSES, SURFACES, surface_rows, volume
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.curve_carrying import bscans_of_group
from napari_medseg.widgets.session import session_of

from .helpers import press

pytestmark = pytest.mark.viewer

BSCANS, SHAPE = 3, (128, 192)
INFO = DatasetInfo(name="test", kind="oct", classes=CLASSES, surfaces=SURFACES)
TRUTH = surface_rows(BSCANS, *SHAPE, 0)
NAMES = ("eye_9", "eye_10", "eye_11")


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path):
    """The three B-scans of one eye in an order that sorting by letters would get wrong, and two others."""
    dataset = Dataset.create(tmp_path / "data", INFO)
    pictures = volume(BSCANS, *SHAPE)[0]
    for index in (1, 2, 0):
        dataset.add_image(pictures[index], NAMES[index], group="eye")
    dataset.add_image(pictures[0], "alone")
    dataset.add_image(pictures[0, :, :100], "narrow", group="other")
    dataset.add_image(pictures[0], "wide", group="other")
    viewer = make_napari_viewer(show=True)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    return viewer, panel, session


def draw(session, case: str, rows: np.ndarray) -> None:
    session.open_case(case)
    curves = session.open.curves
    curves.do(curves.curves.set_rows, 0, rows.astype(np.float32))


def test_curves_go_on_to_the_next_file_of_the_group_in_natural_order(desk, qtbot):
    viewer, panel, session = desk
    draw(session, NAMES[0], TRUTH[0])
    press(qtbot, viewer, Qt.Key.Key_PageDown)
    assert session.case.case == NAMES[1]
    assert panel.notice.words == "Curves were carried on from eye_9: look through them."
    assert np.abs(session.open.curves.rows - TRUTH[1]).mean() < 1.5
    assert session.open.edits_curves
    qtbot.mouseClick(panel.curves.carry, Qt.MouseButton.LeftButton)
    assert session.case.case == NAMES[2]
    assert np.abs(session.open.curves.rows - TRUTH[2]).mean() < 2
    session.close_case()
    stored = session.dataset.boundary_store(session.dataset.case(NAMES[1])).read(SHAPE)
    assert np.abs(stored.rows[0] - TRUTH[1]).mean() < 1.5
    assert not stored.pinned.any()


def test_what_is_drawn_there_stays(desk, qtbot):
    viewer, panel, session = desk
    own = np.full(TRUTH[1].shape, np.nan)
    own[0] = 10.0
    draw(session, NAMES[1], own)
    draw(session, NAMES[0], TRUTH[0])
    press(qtbot, viewer, Qt.Key.Key_PageDown)
    assert (session.open.curves.rows[0] == 10).all()
    assert np.abs(session.open.curves.rows[1:] - TRUTH[1, 1:]).mean() < 1.5
    press(qtbot, viewer, Qt.Key.Key_PageUp)
    assert panel.notice.words == "eye_9 has curves of its own: they stay."


def test_why_curves_cannot_go_on_is_said_and_the_case_stays(desk, qtbot):
    viewer, panel, session = desk
    for case, key, words in (
        (NAMES[2], Qt.Key.Key_PageDown, "eye_11 is the last B-scan of the group 'eye'."),
        (NAMES[0], Qt.Key.Key_PageUp, "eye_9 is the first B-scan of the group 'eye'."),
        ("alone", Qt.Key.Key_PageDown, "alone has no group: curves are carried on between B-scans of one group"),
        ("wide", Qt.Key.Key_PageUp, "narrow has 128 × 100 pixels and wide 128 × 192"),
    ):
        draw(session, case, TRUTH[0])
        press(qtbot, viewer, key)
        assert words in panel.notice.words
        assert session.case.case == case


def test_a_case_without_curves_has_none_to_carry_on(desk, qtbot):
    viewer, panel, session = desk
    session.open_case(NAMES[0])
    press(qtbot, viewer, Qt.Key.Key_PageDown)
    assert panel.notice.words == "eye_9 has no curves to carry on: draw them first."
    assert panel.curves.carry.isVisible()
    assert not panel.curves.fill.isVisible()
    session.open_case("alone")
    assert not panel.curves.carry.isVisible()
    assert bscans_of_group(session.dataset, session.case) == [session.case]


def test_missing_curves_are_suggested_from_the_nearest_case_of_the_group(desk, qtbot):
    viewer, panel, session = desk
    draw(session, NAMES[0], TRUTH[0])
    session.open_case(NAMES[2])
    press(qtbot, viewer, Qt.Key.Key_G)
    assert panel.notice.words == "Missing curves were taken from eye_9, which is of the same group."
    assert np.abs(session.open.curves.rows - TRUTH[2]).mean() < 3
