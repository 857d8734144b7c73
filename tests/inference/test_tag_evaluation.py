"""Figures of tags against scikit-learn, and their intervals against a plain loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from napari_medseg.inference.tag_evaluation import TagJudgements, tag_figures
from napari_medseg.metrics import bootstrap_weights

TAGS = ("a", "b", "c")


def judged(n, seed, groups=None):
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(3), rng.integers(0, 3, n)])
    probabilities = rng.dirichlet(np.ones(3), n + 3)
    names = [f"g{i}" for i in rng.integers(0, groups or n + 3, n + 3)]
    return TagJudgements(truth=truth, probabilities=probabilities, groups=names)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 40), st.integers(0, 1000))
def test_figures_are_those_of_scikit_learn(n, seed):
    given_cases = judged(n, seed)
    found = tag_figures(given_cases, TAGS, 0)
    truth, chosen = given_cases.truth, given_cases.probabilities.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(reference.accuracy_score(truth, chosen))
    assert found["macro_f1"] == pytest.approx(reference.f1_score(truth, chosen, average="macro", zero_division=0))
    assert found["auc"] == pytest.approx(reference.roc_auc_score(truth, given_cases.probabilities, multi_class="ovr"))
    recall = reference.recall_score(truth, chosen, average=None, labels=range(3))
    for index, tag in enumerate(TAGS):
        values = found["per_class"][tag]
        assert values["sensitivity"] == pytest.approx(recall[index])
        area = reference.roc_auc_score(truth == index, given_cases.probabilities[:, index])
        assert values["auc"] == pytest.approx(area)
    assert np.array_equal(found["confusion"], reference.confusion_matrix(truth, chosen))


def test_intervals_resample_whole_groups():
    given_cases = judged(40, 3, groups=9)
    found = tag_figures(given_cases, TAGS, 0)
    names = sorted(set(given_cases.groups))
    chosen = given_cases.probabilities.argmax(axis=1)
    values = []
    for draw in bootstrap_weights(len(names), 0):
        repeated = np.concatenate(
            [
                np.repeat([i for i, g in enumerate(given_cases.groups) if g == name], count)
                for name, count in zip(names, draw, strict=True)
            ]
        ).astype(int)
        values.append((given_cases.truth[repeated] == chosen[repeated]).mean())
    np.testing.assert_allclose(found["accuracy_ci"], np.percentile(values, [2.5, 97.5]))
    assert found["auc_ci"][0] < found["auc"] < found["auc_ci"][1]


def test_one_group_has_no_interval():
    given_cases = judged(10, 0)
    found = tag_figures(
        TagJudgements(truth=given_cases.truth, probabilities=given_cases.probabilities, groups=["one"] * 13), TAGS, 0
    )
    assert found["accuracy_ci"] is None
    assert found["per_class"]["a"]["auc_ci"] is None
    assert not np.isnan(found["accuracy"])


def test_sure_answers_are_counted_apart():
    truth = np.array([0, 0, 1, 1])
    shares = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]])
    sure = np.array([True, False, True, False])
    groups = ["g", "h", "i", "j"]
    found = tag_figures(TagJudgements(truth=truth, probabilities=shares, groups=groups, sure=sure), ("a", "b"), 0)
    assert found["sure"] == {"share": 0.5, "accuracy": 1.0}
    none = tag_figures(
        TagJudgements(truth=truth, probabilities=shares, groups=groups, sure=np.zeros(4, bool)), ("a", "b"), 0
    )
    assert none["sure"]["share"] == 0
    assert np.isnan(none["sure"]["accuracy"])
