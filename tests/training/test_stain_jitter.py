"""Changes of stains, against the colour deconvolution of scikit-image."""

from __future__ import annotations

import numpy as np
import torch
from skimage.color import combine_stains, separate_stains

from napari_medseg.data.intensity import Intensity
from napari_medseg.training.stain_jitter import STAINS, jitter_stains, mixed

AS_IT_IS = Intensity(channels=3, mean=(0.6, 0.5, 0.7), std=(0.2, 0.3, 0.2))


def colours(count: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.15, 0.95, (count, 3, 8, 9)).astype(np.float32)


def normalised(images: np.ndarray) -> torch.Tensor:
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (AS_IT_IS.mean, AS_IT_IS.std))
    return torch.from_numpy((images - mean) / std)


def test_stains_are_changed_as_scikit_image_takes_them_apart():
    images = colours(1)
    rows = np.array(STAINS) / np.linalg.norm(STAINS, axis=1, keepdims=True)
    scale, shift = np.array([1.3, 0.8, 1.1]), np.array([0.02, -0.01, 0.0])
    # It divides densities by a constant of its own, which cancels out where it puts them together again.
    unit = -np.log(1e-6)
    amounts = separate_stains(images[0].transpose(1, 2, 0), np.linalg.inv(rows))
    raw = -np.log(images[0].transpose(1, 2, 0)) @ np.linalg.inv(rows)
    np.testing.assert_allclose(np.maximum(raw, 0), amounts * unit, atol=1e-4)
    expected = np.exp(-((raw * scale + shift) @ rows)).clip(0, 1)
    found = mixed(
        torch.from_numpy(images), *(torch.tensor(v, dtype=torch.float32).view(1, 3, 1, 1) for v in (scale, shift))
    )
    np.testing.assert_allclose(found[0].permute(1, 2, 0).numpy(), expected, atol=1e-5)
    kept = combine_stains(raw / unit, rows)
    np.testing.assert_allclose(kept, images[0].transpose(1, 2, 0), atol=1e-4)


def test_no_strength_changes_nothing_and_more_changes_more():
    images = normalised(colours())
    changes = []
    for strength in (0.0, 0.1, 0.3):
        found = jitter_stains(images, AS_IT_IS, strength, torch.Generator().manual_seed(1))
        changes.append(float((found - images).abs().mean()))
    assert changes[0] == 0
    assert 0 < changes[1] < changes[2]


def test_every_patch_is_changed_in_its_own_way_and_the_seed_decides():
    images = normalised(np.repeat(colours(1), 2, axis=0))
    one, again = (jitter_stains(images, AS_IT_IS, 0.2, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, again)
    assert not torch.allclose(one[0], one[1], atol=1e-3)


def test_glass_stays_bright_and_other_channels_stay_as_they_are():
    glass = normalised(np.full((4, 3, 4, 4), 0.97, np.float32))
    found = jitter_stains(glass, AS_IT_IS, 0.3, torch.Generator().manual_seed(0))
    std = torch.tensor(AS_IT_IS.std).view(1, 3, 1, 1)
    assert float(((found - glass) * std).abs().max()) < 0.15
    grey = torch.rand(2, 1, 4, 4)
    assert torch.equal(jitter_stains(grey, AS_IT_IS, 0.3, torch.Generator()), grey)
