"""The table behind a scheme's claim."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from napari_medseg.schemes.pathology_experiment import summarise, trivial_answers
from tests.factories import spot_set

TRIVIAL = {"auc": 0.5, "accuracy": 0.5, "dice": 0.0, "iou": 0.0}


def row(seed, **values):
    figures = {arm: {"auc": 0.7, "accuracy": 0.7} for arm in ("a", "c", "a_on", "tags_alone")}
    figures |= {arm: {"dice": 0.6, "iou": 0.5} for arm in ("b", "b_scratch")}
    for arm, value in values.items():
        figures[arm] = figures[arm] | value
    return {"masks": 10, "seed": seed, "figures": figures}


def comparison(document, arm, control):
    return next(c for c in document["comparisons"] if (c["arm"], c["control"]) == (arm, control))


def test_a_claim_holds_only_outside_the_paired_interval():
    b, scratch = [0.70, 0.74, 0.69], [0.60, 0.66, 0.58]
    rows = [
        row(i, b={"dice": one}, b_scratch={"dice": two}) for i, (one, two) in enumerate(zip(b, scratch, strict=True))
    ]
    found = comparison(summarise(rows, TRIVIAL), "b", "b_scratch")
    interval = stats.ttest_rel(b, scratch).confidence_interval(0.95)
    assert found["difference"] - found["margin"] == pytest.approx(interval.low)
    assert found["difference"] + found["margin"] == pytest.approx(interval.high)
    assert found["holds"]

    noisy = [row(i, b={"dice": d}) for i, d in enumerate((0.5, 0.9, 0.55))]
    assert not comparison(summarise(noisy, TRIVIAL), "b", "b_scratch")["holds"]


def test_one_seed_proves_nothing_and_neither_does_a_worthless_baseline():
    assert not comparison(summarise([row(0, b={"dice": 0.9})], TRIVIAL), "b", "b_scratch")["holds"]
    rows = [row(i, c={"auc": 0.80 + i / 1000}, tags_alone={"auc": 0.45}) for i in range(3)]
    found = comparison(summarise(rows, TRIVIAL), "c", "tags_alone")
    assert found["difference"] > 0.3
    assert not found["both_beat_trivial"]
    assert not found["holds"]


def test_the_table_shows_mean_and_spread_of_every_arm():
    document = summarise([row(0, b={"dice": 0.5}), row(1, b={"dice": 0.7})], TRIVIAL)
    entry = next(s for s in document["summary"] if s["arm"] == "b" and s["figure"] == "dice")
    assert entry["mean"] == pytest.approx(0.6)
    assert entry["sd"] == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert "| 10 | b | dice | 0.600 |" in document["table"]


def test_trivial_answer_is_the_majority_class_of_the_training_cases():
    assert trivial_answers(spot_set(train=5, test=4))["accuracy"] == 0.5
