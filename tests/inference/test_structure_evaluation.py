"""Figures of structures against every pair of pixels, MONAI and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from skimage import measure

from napari_medseg.inference.structure_evaluation import (
    SUMS,
    structure_figures,
    structure_sums,
    surface_dice,
    surface_distances,
)
from napari_medseg.structures import MaskClass

CLASSES = (MaskClass(value=3, name="liver", color="#ff0000"), MaskClass(value=7, name="tumour", color="#00ff00"))
SPACINGS = st.tuples(st.floats(0.3, 5), st.floats(0.3, 5), st.floats(0.3, 5))


def surface_by_hand(mask: np.ndarray) -> np.ndarray:
    """Positions of pixels with a neighbour by a side that is outside, or outside of the picture."""
    found = []
    for place in np.argwhere(mask):
        for axis in range(mask.ndim):
            for step in (-1, 1):
                near = place.copy()
                near[axis] += step
                if not 0 <= near[axis] < mask.shape[axis] or not mask[tuple(near)]:
                    found.append(tuple(place))
    return np.array(sorted(set(found)), float)


def pairs_by_hand(truth: np.ndarray, predicted: np.ndarray, spacing) -> tuple[np.ndarray, np.ndarray]:
    """Distance of every border pixel of the one to the other, both ways."""
    pairs = cdist(surface_by_hand(truth) * spacing, surface_by_hand(predicted) * spacing)
    return pairs.min(axis=1), pairs.min(axis=0)


def two_masks(shape: tuple[int, ...], seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth, predicted = rng.random(shape) < 0.6, rng.random(shape) < 0.5
    truth.flat[0] = predicted.flat[-1] = True
    return truth, predicted


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 6), st.integers(2, 7), st.integers(2, 8)), SPACINGS, st.floats(0, 4), st.integers(0, 999)
)
def test_distances_are_those_of_all_pairs(shape, spacing, tolerance, seed):
    truth, predicted = two_masks(shape, seed)
    if shape[0] == 1:
        truth, predicted, spacing = truth[0], predicted[0], spacing[1:]
    there, back = pairs_by_hand(truth, predicted, spacing)
    both = np.concatenate([there, back])
    expected = max(np.percentile(there, 95), np.percentile(back, 95)), both.mean()
    np.testing.assert_allclose(surface_distances(truth, predicted, spacing), expected)
    np.testing.assert_allclose(surface_distances(predicted, truth, spacing), expected)
    if np.abs(both - tolerance).min() > 1e-6:
        assert surface_dice(truth, predicted, spacing, tolerance) == pytest.approx((both <= tolerance).mean())


@pytest.mark.parametrize("seed", range(5))
def test_figures_are_those_of_monai(seed):
    monai = pytest.importorskip("monai.metrics", reason="MONAI is an oracle, not a dependency")
    torch = pytest.importorskip("torch")
    truth, predicted = two_masks((7, 9, 11), seed)
    spacing = (2.5, 0.7, 1.1)

    def batch(mask: np.ndarray):
        return torch.from_numpy(np.stack([~mask, mask])[np.newaxis].astype(np.float32))

    pair = batch(predicted), batch(truth)
    hd95 = monai.compute_hausdorff_distance(*pair, percentile=95, spacing=list(spacing)).item()
    assd = monai.compute_average_surface_distance(*pair, symmetric=True, spacing=list(spacing)).item()
    np.testing.assert_allclose(surface_distances(truth, predicted, spacing), (hd95, assd), rtol=1e-6)
    near = monai.compute_surface_dice(*pair, class_thresholds=[1.5], spacing=list(spacing)).item()
    assert surface_dice(truth, predicted, spacing, 1.5) == pytest.approx(near, abs=1e-6)


def test_a_shift_is_as_long_as_it_is_in_millimetres():
    truth = np.zeros((9, 20, 20), bool)
    truth[2:5, 4:9, 4:9] = True
    assert surface_distances(truth, truth, (2.5, 1, 1)).tolist() == [0, 0]
    single, moved = np.zeros((2, *truth.shape), bool)
    single[2, 5, 5] = moved[6, 5, 5] = True
    np.testing.assert_allclose(surface_distances(single, moved, (2.5, 1, 1)), [10, 10])
    assert (surface_dice(single, moved, (2.5, 1, 1), 9.9), surface_dice(single, moved, (2.5, 1, 1), 10.0)) == (0, 1)


def one(sums: np.ndarray, name: str) -> float:
    return float(sums[SUMS.index(name)])


def test_missed_invented_and_absent_classes_are_told_apart():
    truth, predicted = np.zeros((2, 4, 6, 6), np.uint8)
    truth[1:3, 1:4, 1:4] = 3
    truth[0, 0, 0] = 255
    predicted[0, 0, 0] = 7  # where nobody looked
    liver, tumour = structure_sums(truth, predicted, CLASSES, None)
    assert (one(liver, "missed"), one(liver, "measured"), one(liver, "relative_error")) == (1, 0, -1)
    assert not tumour.any()
    predicted[3, 5, 5] = 7
    tumour = structure_sums(truth, predicted, CLASSES, None)[1]
    assert (one(tumour, "invented"), one(tumour, "pieces_false"), one(tumour, "surface_dice")) == (1, 1, 0)
    predicted[1:3, 1:4, 1:4] = 3
    liver = structure_sums(truth, predicted, CLASSES, None)[0]
    assert [one(liver, name) for name in ("measured", "surface_dice", "hd95", "absolute_error")] == [1, 1, 0, 0]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9999), st.floats(0.05, 0.5))
def test_pieces_are_those_of_scikit_image(seed, share):
    rng = np.random.default_rng(seed)
    truth, predicted = (rng.random((2, 15, 17)) < share).astype(np.uint8) * 3
    sums = structure_sums(truth, predicted, CLASSES[:1], None)[0]
    true, found = measure.label(truth), measure.label(predicted)
    hit = sum(bool(predicted[true == n].any()) for n in range(1, true.max() + 1))
    false = sum(not truth[found == n].any() for n in range(1, found.max() + 1))
    names = ("pieces", "pieces_found", "pieces_predicted", "pieces_false")
    assert [one(sums, name) for name in names] == [true.max(), hit, found.max(), false]


def test_figures_are_means_over_cases_and_shares_over_all_pieces():
    truth = np.zeros((3, 20, 20), np.uint8)
    predicted = truth.copy()
    truth[0, 2:6, 2:6] = predicted[0, 2:6, 2:6] = 3
    truth[1, 2:4, 2:4] = truth[1, 10:12, 10:12] = predicted[1, 2:4, 2:4] = 3  # half of it
    predicted[2, 0, 0] = 3  # invented
    sums = np.stack([structure_sums(t, p, CLASSES, None) for t, p in zip(truth, predicted, strict=True)])
    figures = structure_figures(sums, CLASSES, seed=0)["liver"]
    assert figures["volume_error"] == pytest.approx(-0.25)
    assert figures["volume_error_abs"] == pytest.approx(0.25)
    assert figures["piece_sensitivity"] == pytest.approx(2 / 3)
    assert figures["piece_precision"] == pytest.approx(2 / 3)
    assert figures["surface_dice"] == pytest.approx((1 + surface_dice(truth[1] > 0, predicted[1] > 0, (1, 1), 2)) / 3)
    assert (figures["n_measured"], figures["n_missed"], figures["n_invented"]) == (2, 0, 1)
    low, high = figures["piece_sensitivity_ci"]
    assert low <= 2 / 3 <= high
    empty = structure_figures(sums, CLASSES, seed=0)["tumour"]
    assert np.isnan(empty["hd95"])
    assert empty["hd95_ci"] is None
    assert structure_figures(sums[:1], CLASSES, seed=0)["liver"]["hd95_ci"] is None, "one group says nothing of spread"
