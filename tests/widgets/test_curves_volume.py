"""Curves of whole volumes: labels that change in many B-scans at once, and their undo."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.annotation import acts
from napari_medseg.annotation.surfaces import paint_surfaces, pile_of, surfaces_of_labels
from napari_medseg.data.boundaries import BoundaryStore
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import CLASSES, SURFACES, volume
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo
from napari_medseg.widgets.accepting import accept
from napari_medseg.widgets.session import session_of

pytestmark = pytest.mark.viewer

SHAPE = (6, 96, 128)
IMAGE, TRUTH = volume(*SHAPE, seed=3)
INFO = DatasetInfo(name="test", kind="oct", classes=CLASSES, surfaces=SURFACES)
PILE = pile_of(INFO)
ROWS = np.stack([surfaces_of_labels(labels, PILE) for labels in TRUTH])


@pytest.fixture
def session(make_napari_viewer, tmp_path):
    """An open volume of which nothing is drawn."""
    dataset = Dataset.create(tmp_path / "data", INFO)
    dataset.add_image(IMAGE, "stack")
    session = session_of(make_napari_viewer())
    session.open_dataset(dataset.path)
    session.open_case("stack")
    return session


def take(session, labels) -> None:
    """Accept what a model says of the whole volume, as the Predict panel does."""
    accept(session, "stack", model="some", labels=labels, region=None, classes=CLASSES, tag="")


def settle(session, qtbot) -> None:
    """Until the curves of all B-scans stand for their labels."""
    session.open.curves.follow()
    qtbot.waitUntil(lambda: not session.open.curves._idle.isActive(), timeout=10_000)


def contradicted(session) -> list[int]:
    """B-scans whose curves would draw other labels than there are, or that have layers but no curves."""
    curves, found = session.open.curves.curves, []
    for index, labels in enumerate(session.labels.data):
        rows = curves.rows(index)
        lacks = np.isnan(rows).all() and np.isin(labels, [c.value for c in CLASSES]).any()
        if lacks or (paint_surfaces(labels, rows, PILE) != labels).any():
            found.append(index)
    return found


def test_a_prediction_of_a_volume_becomes_curves_in_every_bscan(session, qtbot):
    take(session, TRUTH)
    settle(session, qtbot)
    for bscan in range(SHAPE[0]):
        np.testing.assert_array_equal(session.open.curves.curves.rows(bscan), ROWS[bscan])
    folder = session.dataset.path
    session.close_case()
    stored = BoundaryStore(folder / "boundaries" / "stack.csv", [s.name for s in SURFACES]).read(SHAPE)
    np.testing.assert_allclose(stored.rows, ROWS, atol=0.011)


def test_closing_at_once_after_accepting_saves_the_curves_of_all_bscans(session):
    take(session, TRUTH)
    folder = session.dataset.path
    session.close_case()
    stored = BoundaryStore(folder / "boundaries" / "stack.csv", [s.name for s in SURFACES]).read(SHAPE)
    np.testing.assert_allclose(stored.rows, ROWS, atol=0.011)


def test_accepting_a_volume_is_one_step_that_undo_and_redo_go_through(session, qtbot):
    take(session, TRUTH)
    settle(session, qtbot)
    session.labels.undo()
    settle(session, qtbot)
    assert (session.labels.data == NOT_LOOKED_AT).all()
    assert session.open.curves.drawn_bscans() == []
    assert all(np.isnan(session.open.curves.curves.rows(b)).all() for b in range(SHAPE[0]))
    session.labels.redo()
    settle(session, qtbot)
    np.testing.assert_array_equal(session.labels.data, TRUTH)
    assert contradicted(session) == []


def test_curves_stand_for_the_labels_after_more_acts_than_are_remembered(session, qtbot, monkeypatch):
    monkeypatch.setattr(acts, "REMEMBERED", 4)
    take(session, TRUTH)
    settle(session, qtbot)
    curves = session.open.curves
    for bscan in range(SHAPE[0]):
        curves.do(curves.curves.add_anchor, bscan, 0, 60, float(ROWS[bscan, 0, 60]) - 2)
    for down in (1, 3):
        take(session, np.roll(TRUTH, down, axis=1))
        settle(session, qtbot)
        assert contradicted(session) == []
    for _ in range(3):
        session.labels.undo()
        settle(session, qtbot)
        assert contradicted(session) == []
