"""Surfaces of a prediction: certain where both sides were drawn, and nowhere else."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.annotation.predicted_surfaces import surfaces_of_prediction
from napari_medseg.annotation.surfaces import labels_of_surfaces, paint_surfaces, surfaces_of_labels
from tests.annotation.piles import PILES, ordered_labels

PILE = (0, 1, 2, 3, 4)
HEIGHT, WIDTH = 60, 80


def flat(*rows: float) -> np.ndarray:
    return np.repeat(np.array(rows, np.float32)[:, None], WIDTH, axis=1)


def test_a_complete_prediction_gives_all_surfaces() -> None:
    rows = flat(9.5, 19.5, 29.5, 39.5)
    np.testing.assert_array_equal(surfaces_of_prediction(labels_of_surfaces(rows, HEIGHT, PILE), PILE), rows)


def test_surfaces_beside_a_layer_that_was_not_drawn_are_missing() -> None:
    labels = labels_of_surfaces(flat(9.5, 19.5, 29.5, 39.5), HEIGHT, PILE)
    labels[labels == 2] = 1
    rows = surfaces_of_prediction(labels, PILE)
    assert np.isnan(rows[[1, 2]]).all()
    np.testing.assert_array_equal(rows[[0, 3]], flat(9.5, 39.5))


def test_the_first_surface_has_no_spikes_to_the_edge_of_the_picture() -> None:
    labels = labels_of_surfaces(flat(9.5, 19.5, 29.5, 39.5), HEIGHT, PILE)
    labels[:20, 30:34] = 2
    labels[:, 70:] = 4
    assert surfaces_of_labels(labels, PILE)[0].min() == -0.5
    rows = surfaces_of_prediction(labels, PILE)
    assert np.isnan(rows[:2, 30:34]).all()
    assert np.isnan(rows[:, 70:]).all()
    assert (rows[np.isfinite(rows)] > 0).all()


def test_a_layer_may_thin_out_to_nothing_at_the_fovea_or_leave_the_picture() -> None:
    dip = 10 * np.exp(-(((np.arange(WIDTH) - 40) / 12) ** 2))
    rows = flat(-0.5, 9.5, 19.5, 29.5)
    rows[0] = np.round(np.minimum(3 + dip, 9.5)) - 0.5
    rows[0] = np.minimum(rows[0], rows[1])
    labels = labels_of_surfaces(rows, HEIGHT, PILE)
    assert not (labels[:, 40] == 1).any()
    np.testing.assert_array_equal(surfaces_of_prediction(labels, PILE), surfaces_of_labels(labels, PILE))
    out = labels_of_surfaces(flat(2.5, 9.5, 19.5, 29.5) - np.round(dip)[None].astype(np.float32), HEIGHT, PILE)
    assert not (out[:, 40] == 0).any()
    np.testing.assert_array_equal(surfaces_of_prediction(out, PILE), surfaces_of_labels(out, PILE))


def test_what_a_person_drew_stays_beside_a_layer_without_pixels() -> None:
    rows = flat(9.5, 9.5, 29.5, 39.5)
    labels = labels_of_surfaces(rows, HEIGHT, PILE)
    np.testing.assert_array_equal(surfaces_of_prediction(labels, PILE, before=rows), rows)
    assert np.isnan(surfaces_of_prediction(labels, PILE)[:2]).all()


@given(data=st.data(), pile=st.sampled_from(PILES))
def test_the_surfaces_left_agree_with_the_labels(data: st.DataObject, pile: tuple[int, ...]) -> None:
    labels = data.draw(ordered_labels(pile))
    rows, all_rows = surfaces_of_prediction(labels, pile), surfaces_of_labels(labels, pile)
    known = np.isfinite(rows)
    np.testing.assert_array_equal(rows[known], all_rows[known])
    np.testing.assert_array_equal(paint_surfaces(labels, rows, pile), labels)


@given(labels=hnp.arrays(np.uint8, (9, 6), elements=st.sampled_from([0, 1, 2, 3, 255])))
def test_a_surface_with_both_sides_in_a_column_is_never_left_out(labels: np.ndarray) -> None:
    pile = (0, 1, 2, 3)
    rows, all_rows = surfaces_of_prediction(labels, pile), surfaces_of_labels(labels, pile)
    for s in range(3):
        both = (labels == pile[s]).any(axis=0) & (labels == pile[s + 1]).any(axis=0)
        np.testing.assert_array_equal(rows[s, both], all_rows[s, both])
