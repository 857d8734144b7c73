"""Agreement of readers against scikit-learn, and against counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score, f1_score

from napari_medseg.measure.agreement import cohen_kappa, dice_matrix, surface_distances

NAMES = ("none", "mild", "severe")
ratings = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=2, max_size=40)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@settings(deadline=None)
@given(pairs=ratings)
def test_kappa_is_that_of_scikit_learn(weights, pairs) -> None:
    first, second = [a for a, _ in pairs], [b for _, b in pairs]
    found = cohen_kappa(first, second, NAMES, weights=weights)
    if len({*first, *second}) == 1:
        assert math.isnan(found)
        return
    assert found == pytest.approx(cohen_kappa_score(first, second, labels=NAMES, weights=weights), abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_dice_is_the_f1_score_where_both_looked(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stack = [rng.choice(np.array([0, 1, 2, 255], np.uint8), (30, 30)) for _ in range(3)]
    matrix = dice_matrix(stack, 2)
    for i in range(3):
        for j in range(3):
            both = (stack[i] != 255) & (stack[j] != 255)
            expected = f1_score(stack[i][both] == 2, stack[j][both] == 2)
            assert matrix[i, j] == pytest.approx(expected)


def test_dice_of_a_class_that_nobody_drew_is_not_defined() -> None:
    empty, drawn = np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)
    assert np.isnan(dice_matrix([empty, empty], 1)).all()
    assert dice_matrix([empty, drawn], 1)[0, 1] == 0.0


def test_surfaces_are_compared_where_both_have_them() -> None:
    first = np.full((2, 2, 5), 10.0)
    second = first + 1.5
    second[0, 1] = np.nan
    second[1, 1, :4] = np.nan
    np.testing.assert_allclose(surface_distances(first, second), [1.5, 1.5])
    second[1, 1] = np.nan
    assert np.isnan(surface_distances(first, second)[1])
