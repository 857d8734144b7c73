"""Figures against scikit-learn, and the conventions for what is not defined."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from napari_medseg import metrics

labels = hnp.arrays(np.uint8, (6, 7), elements=st.sampled_from([0, 1, 2, 254, 255]))


@settings(deadline=None)
@given(labels, labels)
def test_pixel_figures_equal_scikit_learn(truth: np.ndarray, predicted: np.ndarray) -> None:
    known = truth != 255
    scores = metrics.counts_to_scores(metrics.class_counts(truth, predicted, [1, 2, 254]))
    for i, value in enumerate([1, 2, 254]):
        t, p = (truth == value)[known], (predicted == value)[known]
        if t.any():
            assert scores["dice"][i] == pytest.approx(reference.f1_score(t, p, zero_division=0))
            assert scores["iou"][i] == pytest.approx(reference.jaccard_score(t, p, zero_division=0))
            assert scores["recall"][i] == pytest.approx(reference.recall_score(t, p, zero_division=0))
        else:
            assert np.isnan([scores["dice"][i], scores["iou"][i], scores["recall"][i]]).all()
        if p.any():
            assert scores["precision"][i] == pytest.approx(reference.precision_score(t, p, zero_division=0))
        else:
            assert np.isnan(scores["precision"][i])


def test_confusion_counts_large_images_block_by_block() -> None:
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 3, (2, 2100, 2100), dtype=np.uint8)
    matrix = metrics.confusion(truth, predicted, ignore=2)
    kept = truth != 2
    expected = reference.confusion_matrix(truth[kept], predicted[kept], labels=[0, 1, 2])
    np.testing.assert_array_equal(matrix[:3, :3], expected)
    assert matrix.sum() == kept.sum()


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        metrics.confusion(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))


@settings(deadline=None)
@given(st.integers(2, 4), st.integers(1, 40), st.integers(0, 10_000))
def test_tag_figures_equal_scikit_learn(num_tags: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.integers(0, num_tags, (2, n))
    scores = metrics.confusion_to_scores(metrics.tag_confusion(truth, predicted, num_tags))
    assert scores["accuracy"] == pytest.approx(reference.accuracy_score(truth, predicted))
    present = np.unique(truth)
    recall = reference.recall_score(truth, predicted, labels=present, average=None, zero_division=0)
    assert scores["balanced_accuracy"] == pytest.approx(recall.mean())
    assert metrics.balanced_accuracy(truth, predicted) == pytest.approx(recall.mean())
    np.testing.assert_allclose(scores["sensitivity"][present], recall)
    assert scores["macro_f1"] == pytest.approx(reference.f1_score(truth, predicted, average="macro", zero_division=0))


@settings(deadline=None)
@given(st.integers(2, 4), st.integers(8, 60), st.integers(0, 10_000), st.booleans())
def test_auc_equals_scikit_learn(num_tags: int, n: int, seed: int, tied: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = np.concatenate([np.arange(num_tags), rng.integers(0, num_tags, n)])
    probabilities = rng.dirichlet(np.ones(num_tags), len(truth))
    if tied:
        # scikit-learn asks for rows that sum to 1; quarters do so and tie often.
        probabilities = rng.multinomial(4, np.full(num_tags, 1 / num_tags), len(truth)) / 4
    values = probabilities[:, 1] if num_tags == 2 else probabilities
    expected = reference.roc_auc_score(truth, values, multi_class="ovr", labels=np.arange(num_tags))
    assert metrics.auc(truth, probabilities) == pytest.approx(expected)


def test_auc_weights_are_repetitions() -> None:
    rng = np.random.default_rng(1)
    truth, probabilities = rng.integers(0, 2, 30), rng.dirichlet([1, 1], 30).round(1)
    weights = rng.integers(0, 4, (5, 30))
    areas = metrics.weighted_auc(truth, probabilities, weights)
    for area, weight in zip(areas, weights, strict=True):
        repeated = np.repeat(np.arange(30), weight)
        assert area == pytest.approx(reference.roc_auc_score(truth[repeated], probabilities[repeated, 1]))


@given(st.integers(1, 80), st.integers(0, 10_000), st.booleans())
def test_calibration_error_is_a_loop_over_bins(n: int, seed: int, rounded: bool) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.random(n), rng.random(n) < 0.5
    if rounded:  # values on the edges of bins belong to the lower one
        confidence = confidence.round(1)
    weights = rng.integers(0, 3, (4, n))
    found = metrics.weighted_calibration_error(confidence, right, weights)
    for value, weight in zip(found, weights, strict=True):
        wanted = 0.0
        for number in range(10):
            inside = (confidence > number / 10) & (confidence <= (number + 1) / 10)
            if number == 0:
                inside |= confidence == 0
            count = weight[inside].sum()
            if count:
                gap = np.average(right[inside], weights=weight[inside]) - np.average(
                    confidence[inside], weights=weight[inside]
                )
                wanted += count / weight.sum() * abs(gap)
        assert np.isnan(value) if not weight.sum() else value == pytest.approx(wanted)


def test_one_sided_auc_is_not_defined() -> None:
    assert np.isnan(metrics.auc(np.ones(4, int), np.full((4, 2), 0.5)))


def test_bootstrap_interval_equals_a_plain_loop() -> None:
    rng = np.random.default_rng(3)
    sums = rng.integers(1, 50, (12, 2, 3))
    sums[..., 1:] += sums[..., :1]
    interval = metrics.bootstrap_interval(sums, lambda s: metrics.counts_to_scores(s)["dice"], seed=5, n=300)
    draws = []
    for weights in metrics.bootstrap_weights(12, seed=5, n=300):
        chosen = np.repeat(np.arange(12), weights)
        assert len(chosen) == 12
        draws.append(metrics.counts_to_scores(sums[chosen].sum(axis=0))["dice"])
    np.testing.assert_allclose(interval, np.percentile(draws, [2.5, 97.5], axis=0))
    assert interval.shape == (2, 2)


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for seed in range(200):
        sample = np.stack([rng.normal(1.0, 1.0, 40), np.ones(40)], axis=1)
        low, high = metrics.bootstrap_interval(sample, lambda s: s[:, 0] / s[:, 1], seed, n=400)
        hits += low <= 1.0 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_one_group_has_no_interval() -> None:
    interval = metrics.bootstrap_interval(np.ones((1, 3)), lambda s: metrics.counts_to_scores(s)["dice"], seed=0)
    assert np.isnan(interval).all()


@settings(max_examples=60, deadline=None)
@given(pairs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_weighted_kappa_is_that_of_scikit_learn(pairs):
    truth, predicted = np.array(pairs).T
    found = float(metrics.weighted_kappa(metrics.tag_confusion(truth, predicted, 4)))
    if len(set(truth) | set(predicted)) == 1:
        assert np.isnan(found)
        return
    wanted = reference.cohen_kappa_score(truth, predicted, labels=range(4), weights="quadratic")
    assert found == pytest.approx(wanted, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    truth=st.lists(st.integers(0, 3), min_size=4, max_size=25).filter(lambda t: len(set(t)) > 1),
    seed=st.integers(0, 99),
)
def test_the_auc_of_grades_is_the_mean_over_their_steps(truth, seed):
    grades = np.array(truth)
    shares = np.random.default_rng(seed).dirichlet(np.ones(4), len(grades))
    steps = [k for k in range(1, 4) if 0 < (grades >= k).sum() < len(grades)]
    wanted = np.mean([reference.roc_auc_score(grades >= k, shares[:, k:].sum(axis=1)) for k in steps])
    found = metrics.weighted_grade_auc(grades, shares, np.ones((1, len(grades))))[0]
    assert found == pytest.approx(wanted, abs=1e-9)
