"""What is kept of a prediction, against sums done by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_medseg.inference.engine import predict
from napari_medseg.inference.impressions import impression_of, mirror, tag_of_drawing
from napari_medseg.inference.probing import FeatureProbe
from napari_medseg.models.compute import Compute
from napari_medseg.structures import MaskClass
from tests.inference.predictors import image_of, make_predictor

CPU = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
TUMOUR = (MaskClass(value=1, name="tumour", color="#ff0000"),)
IMPLIES = {"tumour": "malignant", "<empty>": "benign"}


def brightness(values):
    """The tumour's logit is the brightness around the middle; tags from the mean of the whole window."""
    grey = values.mean(dim=1, keepdim=True)
    mask = torch.cat([torch.zeros_like(grey), 20 * (grey - 0.5)], dim=1)
    malignant = 20 * (values.mean(dim=(1, 2, 3)) - 0.5)
    return mask, torch.stack([torch.zeros_like(malignant), malignant], dim=1)


def square(value, *, side=64, size=128):
    pixels = np.full((size, size), 40, np.uint8)
    pixels[:side, :side] = value
    return image_of(pixels)


def predictor(**options):
    return make_predictor(brightness, classes=TUMOUR, tags=("benign", "malignant"), **options)


def test_entropy_and_shares_are_those_of_the_probabilities():
    image = square(200)
    found = impression_of(predictor(), image, CPU, case="a")
    shares = np.asarray(predict(predictor(), image, probabilities=True).probabilities, float)
    entropy = -(shares * np.log2(np.clip(shares, 1e-12, None))).sum(axis=0)
    drawn = shares[1] > 0.5
    assert found.doubt.entropy == pytest.approx(entropy.mean(), abs=2e-3)
    assert found.doubt.by_class[0] == pytest.approx(entropy[drawn].mean(), abs=2e-3)
    assert found.doubt.shares[0] == pytest.approx(drawn.mean())
    assert found.doubt.confidence == pytest.approx(shares[1][drawn].mean(), abs=2e-3)
    hit = shares[1][drawn].sum()
    assert found.doubt.expected_dice[0] == pytest.approx(2 * hit / (drawn.sum() + shares[1].sum()), abs=2e-3)
    assert found.slices == ()


def test_a_stack_is_judged_by_its_worst_slices_and_each_slice_is_told():
    slices = [np.full((64, 64), value, np.uint8) for value in [10] * 18 + [128, 120]]
    found = impression_of(predictor(), image_of(np.stack(slices), "zyx"), CPU)
    assert len(found.slices) == 20
    assert [each.entropy for each in found.slices[18:]] == pytest.approx([1.0, 0.9], abs=0.1)
    assert found.doubt.entropy == pytest.approx(np.mean([each.entropy for each in found.slices[18:]]))


@pytest.mark.parametrize(("value", "disputed"), [(250, True), (40, False)])
def test_a_bright_corner_in_a_dark_image_is_a_tumour_for_one_network_and_benign_for_the_other(value, disputed):
    found = impression_of(predictor(), square(value, side=24), CPU, implies=IMPLIES, second_opinion=True)
    assert (found.disagreement > 0.9) == disputed
    assert (found.disagreement < 0.1) != disputed


def test_what_implies_nothing_is_no_second_opinion():
    found = impression_of(predictor(), square(250), CPU)
    assert tag_of_drawing(found, predictor(), {}) is None
    assert tag_of_drawing(found, predictor(), IMPLIES)["malignant"] > 0.9


def test_the_mirror_image_gets_the_same_answer_from_a_network_that_looks_at_single_pixels():
    found = impression_of(predictor(), square(220), CPU, second_opinion=True)
    assert found.disagreement == pytest.approx(0.0, abs=1e-3)

    def left_blind(values):
        mask, _ = brightness(values)
        mask[:, 1, :, : values.shape[-1] // 2] = -20
        return mask, None

    blind = make_predictor(left_blind, classes=TUMOUR, window=(128, 128))
    assert impression_of(blind, square(220), CPU, second_opinion=True).disagreement > 0.9


def test_mirroring_twice_changes_nothing():
    image = square(200, side=30)
    np.testing.assert_array_equal(mirror(mirror(image)).data, image.data)
    assert mirror(image).data[0, -1] == 200


def test_features_are_the_mean_of_the_deepest_map_over_all_windows():
    network = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3, stride=2, padding=1),
        torch.nn.Conv2d(4, 8, 3, stride=2, padding=1),
        torch.nn.ConvTranspose2d(8, 2, 4, stride=4),
    ).requires_grad_(False)
    made = make_predictor(lambda values: (network(values), None), classes=TUMOUR, overlap=0.0)
    probe = FeatureProbe(made)
    image = image_of(np.random.default_rng(0).integers(0, 255, (64, 128)).astype(np.uint8))
    labels = predict(probe.predictor, image, batch=1).labels
    np.testing.assert_array_equal(labels, predict(made, image).labels)
    values = torch.from_numpy(image.data.astype(np.float32) / 255)[None, None]
    halves = [network[:2](values[..., part]).mean(dim=(0, 2, 3)) for part in (slice(0, 64), slice(64, 128))]
    np.testing.assert_allclose(probe.features(), torch.stack(halves).mean(dim=0).numpy(), rtol=1e-4)
