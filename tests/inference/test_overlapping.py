"""Channels that are a yes or no each, in planes and volumes, against a rule applied to the whole image."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.inference.engine import predict
from tests.inference.predictors import CLASSES, image_of, make_predictor

#: Grey values above which each class of `CLASSES` is more probable than not.
BOUNDS = (0.2, 0.5, 0.4)


def above_bounds(values: torch.Tensor) -> tuple[torch.Tensor, None]:
    """Pixelwise "network" without a background channel."""
    bounds = torch.tensor(BOUNDS).reshape(1, 3, *(1,) * (values.ndim - 2))
    return (values.mean(dim=1, keepdim=True) - bounds) * 8, None


def expected(pixels: np.ndarray) -> np.ndarray:
    grey = pixels.astype(np.float32) / np.float32(255)
    labels = np.zeros(pixels.shape, np.uint8)
    for mask_class, bound in zip(CLASSES, BOUNDS, strict=True):
        labels[grey > np.float32(bound)] = mask_class.value
    return labels


def away_from_bounds(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Grey values that rounding leaves on their side of every bound (51 is 0.2 of 255, 102 is 0.4)."""
    return rng.choice(np.array([0, 30, 60, 90, 110, 120, 140, 200], np.uint8), shape)


@settings(max_examples=25, deadline=None)
@given(st.tuples(st.integers(1, 20), st.integers(1, 40), st.integers(1, 40)), st.integers(0, 99), st.booleans())
def test_the_last_probable_class_wins_through_any_windows(shape, seed, volume):
    pixels = away_from_bounds(np.random.default_rng(seed), shape if volume else shape[1:])
    window = (8, 16, 16) if volume else (16, 16)
    predictor = replace(make_predictor(above_bounds, window=window, multiple=4), overlapping=True)
    result = predict(predictor, image_of(pixels, "zyx"[-pixels.ndim :]))
    np.testing.assert_array_equal(result.labels, expected(pixels))


def test_probabilities_are_of_each_class_alone():
    pixels = away_from_bounds(np.random.default_rng(1), (40, 50))
    predictor = replace(make_predictor(above_bounds, window=(16, 32), multiple=4), overlapping=True)
    found = np.asarray(predict(predictor, image_of(pixels), probabilities=True).probabilities, np.float64)
    grey = pixels / 255
    single = np.stack([1 / (1 + np.exp(-(grey - bound) * 8)) for bound in BOUNDS])
    assert found.shape == (4, 40, 50)
    np.testing.assert_allclose(found[1:], single, atol=2e-3)
    np.testing.assert_allclose(found[0], 1 - single.max(axis=0), atol=2e-3)


@pytest.mark.parametrize("region", [((2, 9), (5, 30), (1, 20)), ((0, 1), (0, 40), (0, 33))])
def test_a_region_of_a_volume_is_what_the_whole_has_there(region):
    pixels = away_from_bounds(np.random.default_rng(2), (11, 40, 33))
    predictor = replace(make_predictor(above_bounds, window=(8, 16, 16), multiple=4), overlapping=True)
    whole = np.asarray(predict(predictor, image_of(pixels, "zyx")).labels)
    part = np.asarray(predict(predictor, image_of(pixels, "zyx"), region=region).labels)
    np.testing.assert_array_equal(part, whole[tuple(slice(*side) for side in region)])
