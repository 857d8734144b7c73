"""Temperatures: found again where they were put in, and left alone where little is known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.inference.calibration import FEWEST, fit_grade_temperature, steps_above


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
