"""Expected quality: the line, the space of features, and what they say of cases."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.linear_model import LinearRegression

from napari_medseg.inference.impressions import Doubt, Impression
from napari_medseg.inference.quality import distance_in, fit_line, fit_space, quality_of
from napari_medseg.io.model_file import QualityCard, QualityLine

GROUPS = [f"patient {i // 2}" for i in range(20)]


def impression(expected, *, tags=None, features=None):
    """Of one class of which half the pixels were drawn, whose expected Dice is `expected`."""
    hit, drawn = expected, 1.0
    doubt = Doubt(
        entropy=0.1,
        by_class=np.array([0.1]),
        shares=np.array([0.5]),
        presence=np.array([0.9]),
        confidence=0.9,
        overlap=np.array([[hit, drawn, 1.0]]),
    )
    return Impression(case="a", group="", doubt=doubt, slices=(), tag_probabilities=tags or {}, features=features)


def test_the_line_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    x = rng.uniform(0.5, 1.0, 20)
    y = 1.6 * x - 0.7 + rng.normal(0, 0.03, 20)
    line = fit_line(x, y, GROUPS)
    reference = LinearRegression().fit(x[:, None], y)
    assert (line.slope, line.offset) == pytest.approx((reference.coef_[0], reference.intercept_))
    errors = []
    for group in set(GROUPS):
        held = np.array([each == group for each in GROUPS])
        fitted = LinearRegression().fit(x[~held, None], y[~held])
        errors += list(np.clip(fitted.predict(x[held, None]), 0, 1) - y[held])
    assert line.spread == pytest.approx(np.sqrt(np.mean(np.square(errors))))


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=6, max_size=20))
@settings(max_examples=60)
def test_what_is_expected_never_falls_where_the_model_expects_more(points):
    x, y = zip(*points, strict=True)
    line = fit_line(x, y, [f"patient {i}" for i in range(len(x))])
    card = QualityCard(line=line)
    expected = [quality_of(impression(value), card) for value in (0.2, 0.5, 0.9)]
    dice = [each.dice for each in expected]
    assert dice == sorted(dice)
    for each in expected:
        low, high = each.dice_interval
        assert 0 <= low <= each.dice <= high <= 1


def test_too_few_cases_or_one_patient_give_no_line():
    assert fit_line([0.1] * 4, [0.2] * 4, GROUPS[:4]) is None
    assert fit_line([0.1] * 8, [0.2] * 8, ["one"] * 8) is None


def features(n, seed):
    """Spread in three of twelve directions, with a little noise in all."""
    rng = np.random.default_rng(seed)
    basis = np.random.default_rng(99).normal(0, 1, (3, 12))
    return rng.normal(0, [3.0, 2.0, 1.0], (n, 3)) @ basis + rng.normal(0, 0.1, (n, 12))


def test_images_like_the_trainings_are_called_so_and_others_are_not():
    space = fit_space(features(60, 0), features(40, 1))
    card = QualityCard(space=space)
    like = [quality_of(impression(0.9, features=f), card).is_unlike for f in features(200, 2)]
    assert np.mean(like) < 0.12
    # Outside of the plane in which the training's features lie, though no farther from their mean than many of them.
    off = features(50, 3) + np.random.default_rng(5).normal(0, 1.5, 12)
    assert np.mean([quality_of(impression(0.9, features=f), card).is_unlike for f in off]) > 0.95


def test_along_the_kept_directions_the_distance_is_that_of_scipy():
    space = fit_space(features(60, 0), features(40, 1))
    directions, variances = np.array(space.directions), np.array(space.variances)
    point = np.asarray(space.mean) + 2.0 * directions[0] - directions[1]
    expected = mahalanobis([2.0, -1.0, *[0] * (len(variances) - 2)], np.zeros(len(variances)), np.diag(1 / variances))
    assert distance_in(space, point) == pytest.approx(expected)


def test_a_network_of_another_kind_gets_no_distance():
    space = fit_space(features(60, 0), features(40, 1))
    assert quality_of(impression(0.9, features=np.zeros(5)), QualityCard(space=space)).distance is None


def test_the_worst_come_first_and_unlike_images_before_them():
    line = QualityLine(slope=1.0, offset=0.0, spread=0.05, cases=10, groups=5)
    space = fit_space(features(60, 0), features(40, 1))
    card = QualityCard(line=line, space=space, temperature=1.0)
    near, far = np.asarray(space.mean), np.asarray(space.mean) + 50
    good = quality_of(impression(0.9, features=near), card)
    bad = quality_of(impression(0.4, features=near), card)
    strange = quality_of(impression(0.95, features=far), card)
    doubted = quality_of(impression(0.9, features=near, tags={"a": 0.55, "b": 0.45}), card)
    order = sorted([good, bad, strange, doubted], key=lambda each: each.worst_first)
    assert order == [strange, bad, doubted, good]
    assert doubted.right == pytest.approx(0.55)
