"""Attention: on networks whose score is known to come from known places."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from napari_medseg.models.attention import layer_cam


def maps_of(images):
    """The image doubled, and its means over 4 x 4 pixels (4 x 4 x 4 voxels)."""
    fine = 2 * images
    pool = functional.avg_pool2d if images.ndim == 4 else functional.avg_pool3d
    return [fine, pool(fine, 4)]


@pytest.mark.parametrize("shape", [(16, 16), (8, 16, 16)])
def test_only_places_that_raise_the_score_are_shown(shape):
    images = torch.ones(2, 1, *shape)
    sign = torch.ones(1, 1, *(n // 4 for n in shape))
    sign[..., shape[-1] // 8 :] = -1  # the right half lowers the score
    found = layer_cam(maps_of, lambda deepest: (deepest * sign).sum())(images)
    assert found.shape == (2, *shape)
    half = shape[-1] // 2
    # Where both layers agree it is exact; stretching the deepest blurs the border.
    assert found[..., : half - 2].min() == 1
    assert found[..., half:].max() == 0


def test_every_image_is_scaled_to_its_own_largest_value():
    images = torch.rand(3, 1, 8, 8) + torch.tensor([0.1, 1.0, 10.0]).reshape(3, 1, 1, 1)
    with torch.inference_mode():
        found = layer_cam(maps_of, lambda deepest: deepest.sum())(images)
    assert found.amax(dim=(1, 2)).tolist() == pytest.approx([1, 1, 1])


def test_a_score_that_nothing_raises_gives_an_empty_map():
    assert layer_cam(maps_of, lambda deepest: -deepest.sum())(torch.ones(1, 1, 8, 8)).abs().max() == 0
