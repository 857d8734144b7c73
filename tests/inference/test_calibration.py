"""Temperatures: found again where they were put in, and left alone where little is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.inference.calibration import (
    FEWEST,
    NEVER,
    at_temperature,
    fit_grade_temperature,
    fit_tag_temperature,
    steps_above,
    sure_from,
)


def test_steps_of_probabilities():
    np.testing.assert_allclose(steps_above(np.array([[0.2, 0.5, 0.3]])), [[0.8, 0.3]])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_was_put_in_is_found(temperature):
    # Both steps are drawn from one number, so the grades have the stated steps as marginals.
    rng = np.random.default_rng(1)
    n = 4000
    logits = np.sort(rng.normal(0, 1.5, (n, 2)), axis=1)[:, ::-1]
    above = 1 / (1 + np.exp(-logits))
    grades = (rng.random((n, 1)) < above).sum(axis=1)
    stated = 1 / (1 + np.exp(-logits * temperature))
    ends = np.concatenate([np.ones((n, 1)), stated, np.zeros((n, 1))], axis=1)
    assert fit_grade_temperature(ends[:, :-1] - ends[:, 1:], grades) == pytest.approx(temperature, rel=0.15)


def test_too_few_cases_or_one_grade_give_none():
    shares, grades = np.full((30, 2), 0.5), np.arange(30) % 2
    assert fit_grade_temperature(shares[: FEWEST - 1], grades[: FEWEST - 1]) is None
    assert fit_grade_temperature(shares, np.zeros(30, np.int64)) is None
    assert fit_grade_temperature(shares, grades) is not None


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_tags_is_found_and_brings_the_true_probabilities_back(temperature):
    rng = np.random.default_rng(2)
    weights = np.exp(rng.normal(0, 1, (3000, 4)))
    true = weights / weights.sum(axis=1, keepdims=True)
    tags = np.array([rng.choice(4, p=row) for row in true])
    stated = at_temperature(true, 1 / temperature)
    np.testing.assert_allclose(stated.sum(axis=1), 1)
    found = fit_tag_temperature(stated, tags)
    assert found == pytest.approx(temperature, rel=0.15)
    np.testing.assert_allclose(at_temperature(stated, temperature), true, atol=1e-3)


def test_too_few_tagged_cases_or_one_tag_give_none():
    shares, tags = np.full((30, 3), 1 / 3), np.arange(30) % 3
    assert fit_tag_temperature(shares[: FEWEST - 1], tags[: FEWEST - 1]) is None
    assert fit_tag_temperature(shares, np.zeros(30, np.int64)) is None
    # Sure of the wrong thing to the last digit: still a number.
    assert np.isfinite(fit_tag_temperature(np.eye(3)[(tags + 1) % 3], tags))


@given(st.integers(0, 60), st.integers(0, 1000), st.sampled_from([0.5, 0.8, 1.0]), st.booleans())
def test_answers_are_sure_from_the_lowest_confidence_that_keeps_the_promise(n, seed, share, tied):
    rng = np.random.default_rng(seed)
    confidence = rng.random(n).round(1 if tied else 6)
    right = rng.random(n) < confidence
    kept = {float(c): right[confidence >= c].mean() for c in np.unique(confidence) if (confidence >= c).sum() >= FEWEST}
    wanted = [c for c, accuracy in kept.items() if accuracy >= share - 1e-12]
    assert sure_from(confidence, right, share) == (None if n < FEWEST else min(wanted, default=NEVER))


def test_a_handful_of_right_answers_does_not_make_certain():
    tags = np.arange(30) % 3
    stated = np.where(tags[:, None] == np.arange(3), 0.8, 0.1)
    sharpened = at_temperature(stated, fit_tag_temperature(stated, tags))
    assert 0.9 < sharpened.max() < 0.97
    two = np.where((tags > 0)[:, None], [0.2, 0.8], [0.8, 0.2])
    temperature = fit_grade_temperature(two, (tags > 0).astype(np.int64))
    assert 1 / (1 + np.exp(-np.log(4) / temperature)) == pytest.approx(31 / 32, abs=1e-3)
