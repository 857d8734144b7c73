"""Distances between surfaces against every pair of voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from napari_medseg.inference.volume_evaluation import distance_figures, distance_sums, surface_distances
from napari_medseg.structures import MaskClass

CLASSES = (MaskClass(value=3, name="liver", color="#ff0000"), MaskClass(value=7, name="tumour", color="#00ff00"))


def surface_by_hand(mask: np.ndarray) -> np.ndarray:
    """Positions of voxels with a neighbour by a side that is outside, or outside of the volume."""
    found = []
    for place in np.argwhere(mask):
        for axis in range(3):
            for step in (-1, 1):
                near = place.copy()
                near[axis] += step
                if not 0 <= near[axis] < mask.shape[axis] or not mask[tuple(near)]:
                    found.append(tuple(place))
    return np.array(sorted(set(found)), float)


def by_hand(truth: np.ndarray, predicted: np.ndarray, spacing) -> tuple[float, float]:
    pairs = cdist(surface_by_hand(truth) * spacing, surface_by_hand(predicted) * spacing)
    there, back = pairs.min(axis=1), pairs.min(axis=0)
    farthest = max(np.percentile(there, 95), np.percentile(back, 95))
    return farthest, (there.sum() + back.sum()) / (len(there) + len(back))


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(2, 6), st.integers(2, 7), st.integers(2, 8)),
    st.tuples(st.floats(0.3, 5), st.floats(0.3, 5), st.floats(0.3, 5)),
    st.integers(0, 999),
)
def test_distances_are_those_of_all_pairs(shape, spacing, seed):
    rng = np.random.default_rng(seed)
    truth, predicted = rng.random(shape) < 0.6, rng.random(shape) < 0.5
    truth[0, 0, 0] = predicted[-1, -1, -1] = True
    np.testing.assert_allclose(surface_distances(truth, predicted, spacing), by_hand(truth, predicted, spacing))
    np.testing.assert_allclose(
        surface_distances(predicted, truth, spacing), surface_distances(truth, predicted, spacing)
    )


def test_a_shift_is_as_long_as_it_is_in_millimetres():
    truth = np.zeros((9, 20, 20), bool)
    truth[2:5, 4:9, 4:9] = True
    assert surface_distances(truth, truth, (2.5, 1, 1)).tolist() == [0, 0]
    single, moved = np.zeros((2, *truth.shape), bool)
    single[2, 5, 5] = moved[6, 5, 5] = True
    np.testing.assert_allclose(surface_distances(single, moved, (2.5, 1, 1)), [10, 10])


def test_missed_and_absent_classes_are_told_apart():
    truth, predicted = np.zeros((2, 4, 6, 6), np.uint8)
    truth[1:3, 1:4, 1:4] = 3
    truth[0, 0, 0] = 255
    predicted[0, 0, 0] = 7
    sums = distance_sums(truth, predicted, CLASSES, None)
    assert sums.tolist() == [[0, 0, 0, 1], [0, 0, 0, 0]]
    predicted[1:3, 1:4, 1:4] = 3
    assert distance_sums(truth, predicted, CLASSES, None)[0].tolist() == [0, 0, 1, 0]


def test_means_are_over_cases_in_which_both_hold_the_class():
    sums = np.array([[[2.0, 1.0, 1, 0], [0, 0, 0, 1]], [[6.0, 2.0, 1, 0], [0, 0, 0, 0]]])
    figures = distance_figures(sums, CLASSES, seed=0)
    assert figures["liver"]["hd95"] == 4
    assert figures["liver"]["assd"] == 1.5
    assert (figures["tumour"]["n_measured"], figures["tumour"]["n_missed"]) == (0, 1)
    assert np.isnan(figures["tumour"]["hd95"])
    assert figures["mean"]["hd95"] == pytest.approx(4)
    low, high = figures["liver"]["hd95_ci"]
    assert 2 <= low <= 4 <= high <= 6
