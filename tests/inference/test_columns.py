"""Confidence per column and the order of layers, against brute force on whole arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_medseg.annotation.order import count_violations
from napari_medseg.inference.columns import ColumnConfidence
from napari_medseg.inference.engine import predict
from napari_medseg.inference.postprocess import repair_layers
from tests.inference.predictors import image_of, make_predictor, nearest_quarter


@pytest.mark.parametrize("shape", [(90, 70), (3, 90, 70)])
def test_confidence_is_the_mean_probability_of_what_is_drawn(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    pixels[..., 7] = 0  # nothing is drawn in this column
    result = predict(make_predictor(nearest_quarter), image_of(pixels, "zyx"[-len(shape) :]), confidence=True)
    assert result.confidence is not None
    logits, _ = nearest_quarter(torch.from_numpy(pixels.reshape(-1, 1, *shape[-2:]).astype(np.float32) / 255))
    shares = torch.softmax(logits, dim=1).amax(dim=1).numpy().reshape(shape)
    drawn = np.asarray(result.labels) != 0
    for column in np.ndindex(result.confidence.shape):
        place = (*column[:-1], slice(None), column[-1])
        expected = shares[place][drawn[place]].mean() if drawn[place].any() else np.nan
        np.testing.assert_allclose(result.confidence[column], expected, atol=1e-4)
    assert np.isnan(result.confidence[..., 7]).all()


def test_confidence_comes_only_when_asked_for() -> None:
    image = image_of(np.zeros((80, 80), np.uint8))
    assert predict(make_predictor(nearest_quarter), image).confidence is None


def test_what_nobody_looked_at_does_not_count() -> None:
    confidence = ColumnConfidence((2, 1))
    confidence.add((), np.array([[255], [0]], np.uint8), np.ones((2, 1), np.float32))
    assert np.isnan(confidence.values()).all()


@pytest.mark.parametrize("lead", [(), (4,)])
def test_repaired_layers_are_in_order_and_the_share_counts_changed_columns(lead: tuple[int, ...]) -> None:
    labels = np.random.default_rng(1).choice(np.array([0, 1, 2, 5], np.uint8), (*lead, 30, 40))
    labels[..., :10] = np.sort(labels[..., :10], axis=-2)
    before = labels.copy()
    share = repair_layers(labels, (0, 1, 2, 5))
    assert count_violations(labels, (0, 1, 2, 5)) == 0
    assert share == pytest.approx((before != labels).any(axis=-2).mean())
    assert 0.5 < share <= 0.75


def test_labels_in_order_are_left_alone() -> None:
    labels = np.sort(np.random.default_rng(2).choice(np.array([0, 1, 2], np.uint8), (30, 40)), axis=0)
    before = labels.copy()
    assert repair_layers(labels, (0, 1, 2)) == 0.0
    np.testing.assert_array_equal(labels, before)
