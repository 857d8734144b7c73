"""Temperatures that bring probabilities in line with how often they are right, and from where on an answer is sure.

Both are fitted to cases that the network was not trained on. The truth counts as one case less than sure, as in Platt
1999 ("Probabilistic outputs for support vector machines", section 2.2): a handful of cases that are all right would
otherwise ask for certainty.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Fewest cases that a temperature is fitted to; fewer say more of themselves than of the next one.
FEWEST = 10
#: A confidence that no answer reaches.
NEVER = 2.0
#: Temperatures that are tried lie between 1 / 20 and 20.
_WIDEST = math.log(20.0)
_LEAST = 1e-6
#: The same for shares, whose logits are their logarithms: a far smaller one still has a finite one.
_LEAST_SHARE = 1e-12


def steps_above(probabilities: Floats) -> Floats:
    """How likely the grade lies above the first, the second, ...: (n, grades - 1) of probabilities (n, grades)."""
    above = probabilities[:, ::-1].cumsum(axis=1)[:, ::-1]
    return np.asarray(above[:, 1:], np.float64)


def fit_grade_temperature(probabilities: Floats, grades: npt.NDArray[np.int64]) -> float | None:
    """The temperature by which logits of the steps are divided (Guo et al. 2017, arXiv:1706.04599).

    It is the one with the least cross-entropy of the steps.

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
    if len(grades) < FEWEST or len(np.unique(grades)) < 2:
        return None
    likely = np.clip(steps_above(probabilities), _LEAST, 1 - _LEAST)
    logits = np.log(likely) - np.log1p(-likely)
    above = np.where(grades[:, np.newaxis] > np.arange(logits.shape[1]), len(grades) + 1.0, 1.0) / (len(grades) + 2.0)

    def surprise(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.mean(np.logaddexp(0.0, scaled) - above * scaled))

    return _best_temperature(surprise)


def fit_tag_temperature(probabilities: Floats, tags: npt.NDArray[np.int64]) -> float | None:
    """The temperature by which logits of tags are divided (Guo et al. 2017, arXiv:1706.04599).

    It is the one with the least cross-entropy.

    Parameters
    ----------
    probabilities
        (n, tags) at temperature 1.
    tags
        (n,) indices of the true ones.

    Returns
    -------
    None with fewer than `FEWEST` cases, or all of one tag.
    """
    if len(tags) < FEWEST or len(np.unique(tags)) < 2:
        return None
    logits = np.log(np.clip(probabilities, _LEAST_SHARE, 1.0))
    (n, number) = logits.shape
    shares = np.where(tags[:, np.newaxis] == np.arange(number), n + 1.0, 1.0) / (n + number)

    def surprise(temperature: float) -> float:
        scaled = logits / temperature
        return float(np.mean(np.logaddexp.reduce(scaled, axis=1) - (shares * scaled).sum(axis=1)))

    return _best_temperature(surprise)


def at_temperature(probabilities: Floats, temperature: float) -> Floats:
    """Probabilities (n, tags) of logits that are divided by a temperature, from those at temperature 1."""
    scaled = np.log(np.clip(probabilities, _LEAST_SHARE, 1.0)) / temperature
    return np.asarray(np.exp(scaled - np.logaddexp.reduce(scaled, axis=1, keepdims=True)), np.float64)


def sure_from(confidence: Floats, right: npt.NDArray[np.bool_], share: float) -> float | None:
    """From which confidence on answers are right often enough.

    Parameters
    ----------
    confidence
        (n,) probability of each answer.
    right
        (n,) whether it was right.
    share
        Share of the answers that shall be right among those at least so confident.

    Returns
    -------
    The lowest confidence of a case from which on at least `share` of the answers were right; `NEVER` where there is
    none that keeps `FEWEST` cases; None with fewer than `FEWEST` cases.
    """
    if len(confidence) < FEWEST:
        return None
    order = np.argsort(-confidence, kind="stable")
    sorted_confidence, kept = confidence[order], np.arange(1, len(order) + 1)
    shares = np.cumsum(right[order]) / kept
    # Cases of one confidence are kept together or not at all.
    ends = np.append(sorted_confidence[1:] < sorted_confidence[:-1], True)
    good = np.flatnonzero(ends & (kept >= FEWEST) & (shares >= share))
    return float(sorted_confidence[good[-1]]) if good.size else NEVER


def _best_temperature(surprise: Callable[[float], float]) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(lambda t: surprise(math.exp(t)), bounds=(-_WIDEST, _WIDEST), method="bounded")
    return float(math.exp(found.x))
