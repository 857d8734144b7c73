"""The paired bootstrap against scipy's, and what comparisons say in words."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from napari_medseg.inference import comparison_words
from napari_medseg.inference.comparison import SharedClass, compare_masks, compare_tags
from napari_medseg.inference.evaluation import Judged
from tests.factories import spot_case

CLASSES = [SharedClass(name="spot", first=0, second=1), SharedClass(name="dot", first=1, second=0)]


def judged(index, *, counts=None, tag=None, probabilities=None, group=None):
    case = spot_case(index)
    if group is not None:
        from dataclasses import replace

        case = replace(case, group=group)
    return Judged(
        case,
        None if counts is None else np.asarray(counts, np.int64),
        tag,
        None if probabilities is None else np.asarray(probabilities, float),
        None,
    )


def dice(counts):
    total = np.sum(counts, axis=0)
    return 2 * total[0] / (total[1] + total[2])


def random_counts(rng, n, quality):
    """Hit, predicted, true of `n` cases of different size."""
    true = rng.integers(50, 400, n)
    hit = (true * np.clip(rng.normal(quality, 0.1, n), 0, 1)).astype(int)
    return np.stack([hit, hit + rng.integers(0, 80, n), true], axis=1)


def test_the_interval_of_a_difference_is_that_of_scipy():
    rng = np.random.default_rng(0)
    a, b = random_counts(rng, 24, 0.7), random_counts(rng, 24, 0.8)
    b[:, 2] = a[:, 2]
    shared = [SharedClass(name="spot", first=0, second=0)]
    found = compare_masks(
        [judged(i, counts=[row]) for i, row in enumerate(a)],
        [judged(i, counts=[row]) for i, row in enumerate(b)],
        shared,
    )["spot"]
    assert found["dice_a"] == pytest.approx(dice(a))
    assert found["difference"] == pytest.approx(dice(b) - dice(a))

    def difference(index):
        return dice(b[index]) - dice(a[index])

    reference = stats.bootstrap(
        (np.arange(24),), difference, vectorized=False, n_resamples=4000, method="percentile", random_state=1
    ).confidence_interval
    assert found["difference_ci"] == pytest.approx([reference.low, reference.high], abs=0.006)


def test_what_makes_a_group_difficult_cancels_out():
    """Dice of the groups spreads widely, the difference does not: an unpaired interval would leave all open."""
    rng = np.random.default_rng(3)
    true, share = np.full(20, 1000), rng.uniform(0.3, 0.9, 20)
    a = np.stack([(true * share).astype(int), true, true], axis=1)
    b = a + np.array([10, 0, 0])
    shared = [SharedClass(name="spot", first=0, second=0)]
    entry = compare_masks(
        [judged(i, counts=[row]) for i, row in enumerate(a)],
        [judged(i, counts=[row]) for i, row in enumerate(b)],
        shared,
    )["mean"]
    assert entry["verdict"] == "better"
    assert entry["difference_ci"] == pytest.approx([0.01, 0.01], abs=1e-6)


def test_classes_are_matched_by_name_and_cases_of_a_group_are_drawn_together():
    a = [[[10, 20, 20], [5, 10, 10]]] * 4
    b = [[[8, 10, 10], [10, 20, 20]]] * 4  # the second model has the classes in another order
    found = compare_masks(
        [judged(i, counts=row, group="one") for i, row in enumerate(a)],
        [judged(i, counts=row, group="one") for i, row in enumerate(b)],
        CLASSES,
    )
    assert (found["spot"]["dice_a"], found["spot"]["dice_b"]) == (0.5, 0.5)
    assert (found["dot"]["dice_a"], found["dot"]["dice_b"]) == (0.5, 0.8)
    assert found["dot"]["difference_ci"] is None, "one group says nothing of the spread"
    assert found["dot"]["verdict"] == "unclear"


def test_tags_are_compared_by_area_and_sensitivity():
    rng = np.random.default_rng(5)
    truth = rng.integers(0, 2, 40)
    chance = rng.uniform(0, 1, 40)
    better = np.clip(0.5 + 0.35 * (2 * truth - 1) + rng.normal(0, 0.2, 40), 0, 1)
    sides = [
        [judged(i, tag=int(t), probabilities=[1 - p, p]) for i, (t, p) in enumerate(zip(truth, scores, strict=True))]
        for scores in (chance, better)
    ]
    found = compare_tags(*sides, ("plain", "spotted"))
    assert found["auc"]["auc_a"] == pytest.approx(roc_auc_score(truth, chance))
    assert found["auc"]["auc_b"] == pytest.approx(roc_auc_score(truth, better))
    assert found["auc"]["verdict"] == "better"
    assert found["per_class"]["spotted"]["sensitivity_b"] == pytest.approx((better[truth == 1] > 0.5).mean())
    assert found["per_class"]["spotted"]["n_cases"] == truth.sum()


def entry(value, low, high, **more):
    verdict = "better" if low > 0 else "worse" if high < 0 else "unclear"
    return {"difference": value, "difference_ci": [low, high], "verdict": verdict, "n_cases": 5} | more


def test_a_class_that_is_never_found_is_an_alarm_even_where_the_mean_is_better():
    document = {
        "split": "val",
        "n_groups": 12,
        "segmentation": {
            "RNFL": entry(-0.4, -0.5, -0.3, dice_a=0.4, dice_b=0.0),
            "GCL": entry(0.5, 0.4, 0.6, dice_a=0.2, dice_b=0.7),
            "fluid": entry(0.0, 0.0, 0.0, dice_a=0.0, dice_b=None, n_cases=0),
            "mean": entry(0.05, 0.02, 0.08, dice_a=0.3, dice_b=0.35),
        },
        "classification": None,
    }
    document["segmentation"]["fluid"]["n_cases"] = 0
    (alarm,) = comparison_words.alarms(document)
    assert "never draws RNFL" in alarm
    assert "0.400" in alarm
    text = comparison_words.sentence(document)
    assert text.startswith("Better by 0.050 Dice [0.020, 0.080] over 12 groups; worse on RNFL by 0.400")
    assert "GCL" not in text, "it stands as the whole does"
    (note,) = comparison_words.remarks(document)
    assert "test cases" in note


def test_an_open_question_is_called_one():
    document = {"n_groups": 4, "split": "test", "segmentation": None, "classification": {"auc": entry(0.01, -0.2, 0.2)}}
    assert comparison_words.sentence(document).startswith("No difference can be told: +0.010 AUC [-0.200, 0.200]")
    assert "Only 4 groups" in comparison_words.remarks(document)[0]
