"""Majority and disagreement against counting pixel by pixel; STAPLE against SimpleITK's."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy import ndimage

from napari_medseg.annotation.consensus import disagreement_of, disputes_of, majority, majority_of
from napari_medseg.annotation.staple import staple
from napari_medseg.annotation.votes import votes_of
from napari_medseg.errors import AnnotationError

values = st.sampled_from([0, 1, 2, 255])
readings = st.integers(2, 5).flatmap(
    lambda n: npst.arrays(np.uint8, (n, 3, 4), elements=values).map(lambda stack: list(stack))
)


@settings(deadline=None)
@given(readings)
def test_majority_and_disagreement_are_what_counting_gives(stack) -> None:
    votes = votes_of(stack)
    found, apart = majority_of(votes), disagreement_of(votes)
    for place in np.ndindex(3, 4):
        said = [int(labels[place]) for labels in stack if labels[place] != 255]
        most = Counter(said).most_common(2)
        tied = not most or (len(most) > 1 and most[0][1] == most[1][1])
        assert found[place] == (255 if tied else most[0][0])
        pairs = list(combinations(said, 2))
        expected = np.mean([a != b for a, b in pairs]) if pairs else 0.0
        assert apart[place] == pytest.approx(expected, abs=1e-6)
    assert votes.counts.sum() == 12
    np.testing.assert_array_equal(votes.patterns[votes.index], np.stack(stack, axis=-1))


def test_a_single_reader_or_other_shapes_are_refused_in_a_sentence() -> None:
    with pytest.raises(AnnotationError, match="two to compare"):
        majority([np.zeros((2, 2), np.uint8)])
    with pytest.raises(AnnotationError, match="different shapes"):
        majority([np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8)])


def noisy(truth: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    other = rng.integers(0, truth.max() + 1, truth.shape)
    return np.where(rng.random(truth.shape) < share, other, truth).astype(np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_two_labels_are_as_probable_as_simpleitk_says(seed: int) -> None:
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(seed)
    truth = (ndimage.gaussian_filter(rng.normal(size=(70, 80)), 7) > 0.01).astype(np.uint8)
    stack = [noisy(truth, 0.05 + 0.1 * reader, rng) for reader in range(4)]
    reference = sitk.STAPLEImageFilter()
    reference.SetForegroundValue(1)
    reference.SetMaximumIterations(1000)
    probability = sitk.GetArrayFromImage(reference.Execute([sitk.GetImageFromArray(labels) for labels in stack]))
    found = staple(stack)
    np.testing.assert_allclose(found.probability(1), probability, atol=1e-5)
    np.testing.assert_allclose(found.confusion[:, 1, 1], reference.GetSensitivity(), atol=1e-5)
    np.testing.assert_allclose(found.confusion[:, 0, 0], reference.GetSpecificity(), atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_several_labels_are_what_simpleitk_finds(seed: int) -> None:
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(seed)
    truth = np.digitize(ndimage.gaussian_filter(rng.normal(size=(80, 80)), 6), [-0.03, 0.03]).astype(np.uint8)
    stack = [noisy(truth, 0.05 * (reader + 1), rng) for reader in range(4)]
    reference = sitk.MultiLabelSTAPLEImageFilter()
    reference.SetLabelForUndecidedPixels(255)
    reference.SetTerminationUpdateThreshold(1e-9)
    labels = sitk.GetArrayFromImage(reference.Execute([sitk.GetImageFromArray(each) for each in stack]))
    found = staple(stack)
    np.testing.assert_array_equal(found.labels(), labels)
    for reader in range(4):
        theirs = np.array(reference.GetConfusionMatrix(reader)).reshape(4, 3)[:3]
        np.testing.assert_allclose(found.confusion[reader].T, theirs, atol=1e-6)


def test_a_careless_reader_is_found_out_and_outvoted() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((60, 60), np.uint8)
    truth[15:45, 15:45] = 1
    stack = [noisy(truth, 0.02, rng), noisy(truth, 0.02, rng), noisy(truth, 0.9, rng), noisy(truth, 0.9, rng)]
    found = staple(stack)
    errors = (found.labels() != truth).mean()
    assert errors < 0.02 < (majority(stack) != truth).mean()
    assert found.confusion[0, 1, 1] > 0.97 > 0.7 > found.confusion[2, 1, 1]


@settings(deadline=None)
@given(readings)
def test_what_all_who_looked_agree_upon_stays_whatever_the_method(stack) -> None:
    found = staple(stack).labels()
    same = np.ones((3, 4), bool)
    agreed = np.full((3, 4), 255, np.uint8)
    for labels in stack:
        looked = labels != 255
        same &= ~looked | (agreed == 255) | (agreed == labels)
        agreed = np.where(looked, labels, agreed)
    np.testing.assert_array_equal(majority(stack)[same], agreed[same])
    # Nobody looked: nobody knows.
    np.testing.assert_array_equal(found[agreed == 255], 255)


def test_disputes_are_the_connected_parts_with_their_deepest_pixel() -> None:
    apart = np.zeros((3, 40, 40), np.float32)
    apart[1, 5:16, 5:16] = 1.0
    apart[2, 30, 30:33] = 0.5
    apart[0, 0, 0] = 1.0
    large, small = disputes_of(apart, smallest=2)
    assert (large.place, large.pixels, large.strength) == ((1, 10, 10), 121, 1.0)
    assert large.box == ((1, 2), (5, 16), (5, 16))
    assert (small.pixels, small.strength) == (3, 0.5)
    assert disputes_of(np.zeros((4, 4), np.float32)) == ()
