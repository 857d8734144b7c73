"""Probabilities of ordered grades, and the temperature that brings them in line with how often they are right."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Fewest cases that a temperature is fitted to; fewer say more of themselves than of the next one.
FEWEST = 10
#: Temperatures that are tried lie between 1 / 20 and 20.
_WIDEST = math.log(20.0)
_LEAST = 1e-6


def steps_above(probabilities: Floats) -> Floats:
    """How likely the grade lies above the first, the second, ...: (n, grades - 1) of probabilities (n, grades)."""
    above = probabilities[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.asarray(above[:, 1:], np.float64)


def fit_temperature(probabilities: Floats, grades: npt.NDArray[np.int64]) -> float | None:
    """The temperature by which logits of the steps are divided (Guo et al. 2017, arXiv:1706.04599).

    It is the one with the least cross-entropy of the steps on cases that the network was not fitted to.

    Parameters
    ----------
    probabilities
        (n, grades) at temperature 1.
    grades
        (n,) true grades.

    Returns
    -------
    None with fewer than `FEWEST` cases, or all of one grade.
    """
    from scipy.optimize import minimize_scalar

    if len(grades) < FEWEST or len(np.unique(grades)) < 2:
        return None
    likely = np.clip(steps_above(probabilities), _LEAST, 1 - _LEAST)
    logits = np.log(likely) - np.log1p(-likely)
    above = grades[:, np.newaxis] > np.arange(logits.shape[1])

    def surprise(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        return float(np.mean(np.logaddexp(0.0, np.where(above, -scaled, scaled))))

    found = minimize_scalar(surprise, bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(math.exp(found.x))
