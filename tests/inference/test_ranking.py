"""Strategies for the next label, on impressions whose right order is known."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy

from napari_medseg.errors import ConfigError
from napari_medseg.inference.impressions import Doubt, Impression, normalised_entropy
from napari_medseg.inference.ranking import CLASS_SHARE, STRATEGIES, rank, rank_places

NAMES = ("common", "rare")


def doubt(value, *, common=None, rare=np.nan, shares=(0.5, 0.0)):
    by_class = np.array([value if common is None else common, rare])
    return Doubt(
        entropy=value,
        by_class=by_class,
        shares=np.array(shares),
        presence=np.array(shares),
        confidence=0.9,
        overlap=np.zeros((2, 3)),
    )


def impression(index, value, **more):
    tags = more.pop("tags", {})
    disagreement = more.pop("disagreement", np.nan)
    return Impression(
        case=f"case{index}",
        group="",
        doubt=doubt(value, **more),
        slices=(),
        tag_probabilities=tags,
        disagreement=disagreement,
    )


def names(ranked):
    return [each.case for each in ranked]


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12), st.sampled_from(STRATEGIES), st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_every_strategy_names_every_case_once(values, strategy, seed):
    cases = [impression(i, value, disagreement=value) for i, value in enumerate(values)]
    ranked = rank(cases, strategy, class_names=NAMES, seed=seed)
    assert sorted(names(ranked)) == sorted(each.case for each in cases)
    assert ranked == rank(cases, strategy, class_names=NAMES, seed=seed) or strategy in ("random", "foreground-random")
    assert names(ranked) == names(rank(cases, strategy, class_names=NAMES, seed=seed)), "a seed gives one order"


@given(st.lists(st.floats(0.001, 1.0), min_size=2, max_size=8))
def test_entropy_is_that_of_scipy(shares):
    expected = entropy(shares, base=len(shares))
    assert float(normalised_entropy(np.array(shares))) == pytest.approx(expected, abs=1e-9)


def test_the_most_unsure_and_the_most_disputed_come_first():
    cases = [impression(0, 0.1, disagreement=0.9), impression(1, 0.8, disagreement=0.2), impression(2, 0.4)]
    assert names(rank(cases, "entropy")) == ["case1", "case2", "case0"]
    assert names(rank(cases, "disagreement")) == ["case0", "case1", "case2"], "the unknown one comes last"


def test_tags_count_as_much_as_pixels():
    sure = {"benign": 0.99, "malignant": 0.01}
    cases = [impression(0, 0.5, tags=sure), impression(1, 0.4, tags={"benign": 0.5, "malignant": 0.5})]
    assert names(rank(cases, "entropy")) == ["case1", "case0"]


def test_disagreement_without_two_opinions_says_so():
    with pytest.raises(ConfigError, match="two opinions"):
        rank([impression(0, 0.1)], "disagreement")


def test_foreground_random_draws_the_rare_class_far_more_often_than_chance():
    cases = [impression(i, 0.5) for i in range(18)]
    cases += [impression(i, 0.5, rare=0.2, shares=(0.5, 0.1)) for i in (18, 19)]
    first = Counter(names(rank(cases, "foreground-random", class_names=NAMES, seed=seed))[0] for seed in range(400))
    rare = (first["case18"] + first["case19"]) / 400
    # Half of the class draws name the rare class; the rest is chance: 0.66 * (0.5 + 0.5 * 0.1) + 0.34 * 0.1.
    assert rare == pytest.approx(CLASS_SHARE * 0.55 + 0.1 * (1 - CLASS_SHARE), abs=0.08)


def test_clasp_late_takes_the_most_unsure_case_of_each_class():
    cases = [impression(i, 0.5, common=0.1 * (i + 1)) for i in range(6)]
    cases.append(impression(6, 0.01, common=0.01, rare=0.9, shares=(0.5, 0.1)))
    ranked = rank(cases, "clasp", class_names=NAMES, progress=1.0, seed=2)
    assert {"case5", "case6"} <= set(names(ranked)[:4]), "the rare class has its turn although its case is sure overall"
    assert any("rare" in each.reason for each in ranked[:4])


def test_the_noise_of_clasp_decays():
    cases = [impression(i, 0.5 + 0.05 * i, common=0.5 + 0.05 * i) for i in range(10)]

    def first(progress):
        return Counter(
            names(rank(cases, "clasp", class_names=NAMES, progress=progress, seed=seed))[0] for seed in range(200)
        )

    early, late = first(0.0), first(1.0)
    assert len(early) > 7
    assert late["case9"] > 180
    assert early["case9"] < 100


def test_slices_with_something_in_them_come_first():
    doubts = [doubt(0.3, shares=(0.0, 0.0)), doubt(0.1), doubt(0.2), doubt(0.9, shares=(0.0, 0.0))]
    assert rank_places(doubts, "entropy") == [3, 0, 2, 1]
    for seed in range(5):
        assert set(rank_places(doubts, "foreground-random", seed)[:2]) == {1, 2}
