"""Random changes of patches."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from napari_medseg.config import AugmentationConfig
from napari_medseg.structures import NOT_LOOKED_AT
from napari_medseg.training.augmentation import augment
from tests.training.tiny import STILL


def only(**changes: Any) -> AugmentationConfig:
    return AugmentationConfig.model_validate(STILL.model_dump() | changes)


def batch(*shape: int, channels: int = 2, count: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, channels, *shape, generator=generator)
    return images, torch.randint(0, 4, (count, *shape), generator=generator)


def run(
    config: AugmentationConfig, images: torch.Tensor, labels: torch.Tensor, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    return augment(images, labels, config, torch.Generator().manual_seed(seed))


def test_nothing_asked_for_nothing_changed() -> None:
    images, labels = batch(8, 8)
    moved, places = run(STILL, images, labels)
    assert torch.equal(moved, images)
    assert torch.equal(places, labels)


@pytest.mark.parametrize("shape", [(16, 12), (4, 16, 12)])
def test_same_generator_same_result_and_types_are_kept(shape: tuple[int, ...]) -> None:
    images, labels = batch(*shape)
    one, other, third = (run(AugmentationConfig(), images, labels.to(torch.uint8), seed) for seed in (1, 1, 2))
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[1], other[1])
    assert not torch.equal(one[0], third[0])
    assert one[0].shape == images.shape
    assert one[1].dtype == torch.uint8


def test_layers_are_mirrored_left_and_right_and_never_put_upside_down() -> None:
    images, labels = batch(6, 10, count=32)
    images, labels = images[:1].expand_as(images), labels[:1].expand_as(labels)
    moved, places = run(only(flip=True, upside_down=False), images, labels)
    mirrored = [torch.allclose(image, images[0].flip(2), atol=1e-4) for image in moved]
    assert 0 < sum(mirrored) < 32
    for flipped, image, label in zip(mirrored, moved, places, strict=True):
        assert flipped or torch.allclose(image, images[0], atol=1e-4)
        assert torch.equal(label, labels[0].flip(1) if flipped else labels[0])


def test_speckle_grows_with_brightness_and_leaves_the_dark_as_it_is() -> None:
    steps = torch.tensor([-1.0, 0.0, 1.0, 3.0]).repeat_interleave(400).view(1, 1, 40, 40).expand(64, -1, -1, -1)
    labels = torch.zeros(64, 40, 40, dtype=torch.int64)
    moved, places = run(only(speckle=0.3), steps, labels)
    spread = (moved - steps).flatten(1).view(64, 4, 400).std(dim=(0, 2))
    assert spread[0] == 0
    # Multiplied noise: its spread is in proportion to the distance from the darkest pixel.
    assert torch.allclose(spread[1:] / torch.tensor([1.0, 2.0, 4.0]), spread[1].expand(3), rtol=0.1)
    assert torch.equal(places, labels)


def test_mirroring_and_quarter_turns_give_the_eight_symmetries_of_the_square() -> None:
    images, labels = batch(8, 8, count=64)
    images, labels = images[:1].expand_as(images), labels[:1].expand_as(labels)
    moved, places = run(only(flip=True, rotate90=True), images, labels)
    symmetries = [torch.rot90(base, turns, (1, 2)) for base in (images[0], images[0].flip(2)) for turns in range(4)]
    of_labels = [torch.rot90(base, turns, (0, 1)) for base in (labels[0], labels[0].flip(1)) for turns in range(4)]
    found = set()
    for image, label in zip(moved, places, strict=True):
        matches = [n for n, symmetry in enumerate(symmetries) if torch.allclose(image, symmetry, atol=1e-4)]
        assert len(matches) == 1
        assert torch.equal(label, of_labels[matches[0]])
        found.add(matches[0])
    assert found == set(range(8))


def test_patches_that_are_not_square_are_mirrored_but_not_turned() -> None:
    images, labels = batch(6, 10, count=32)
    moved, places = run(only(flip=True, rotate90=True), images, labels)
    for image, label, was, truth in zip(moved, places, images, labels, strict=True):
        axes = [flip for flip in ((), (1,), (2,), (1, 2)) if torch.allclose(image, was.flip(flip), atol=1e-4)]
        assert len(axes) == 1
        assert torch.equal(label, truth.flip([axis - 1 for axis in axes[0]]))


def test_pixels_and_labels_move_together_and_what_comes_in_is_unknown() -> None:
    """An image that equals its labels must still do so after any movement, wherever no value was interpolated."""
    labels = torch.zeros(8, 64, 64, dtype=torch.long)
    labels[:, 20:50, 10:40] = 3
    images = labels.unsqueeze(1).float()
    moved, places = run(only(rotate=40, zoom=0.4, flip=True, rotate90=True), images, labels)
    known = places != NOT_LOOKED_AT
    certain = known & ((moved[:, 0] == 0) | ((moved[:, 0] - 3).abs() < 1e-5))
    assert certain.float().mean() > 0.6
    assert torch.equal(moved[:, 0][certain].round().long(), places[certain])
    assert (~known).any()
    assert torch.isin(places, torch.tensor([0, 3, NOT_LOOKED_AT])).all()


def test_a_rotation_keeps_angles_in_patches_that_are_not_square() -> None:
    """A disc stays a disc: its extent along both axes stays the same."""
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(80), indexing="ij")
    disc = ((rows - 19.5) ** 2 + (columns - 39.5) ** 2 <= 100).long().expand(16, -1, -1)
    _, places = run(only(rotate=90), disc.unsqueeze(1).float(), disc)
    for place in places:
        found = (place == 1).nonzero()
        height, width = (found.max(0).values - found.min(0).values + 1).tolist()
        assert abs(height - 20) <= 1
        assert abs(width - 20) <= 1


def test_unknown_pixels_stay_unknown() -> None:
    images, labels = batch(16, 16)
    _, places = run(AugmentationConfig(), images, torch.full_like(labels, NOT_LOOKED_AT))
    assert (places == NOT_LOOKED_AT).all()


@pytest.mark.parametrize("change", ["brightness", "contrast", "color", "noise"])
def test_intensity_changes_stay_within_their_strength_and_leave_labels(change: str) -> None:
    images, labels = batch(64, 64, count=32)
    moved, places = run(only(**{change: 0.5}), images, labels)
    assert torch.equal(places, labels)
    difference = moved - images
    if change == "brightness":
        assert difference.flatten(1).std(1).max() < 1e-5
        assert 0.3 < difference.abs().max() <= 0.5 + 1e-5
    elif change == "color":
        assert difference.flatten(2).std(2).max() < 1e-5
        assert not torch.allclose(difference[:, 0], difference[:, 1])
    elif change == "contrast":
        assert difference.flatten(1).mean(1).abs().max() < 1e-5
        ratio = moved.flatten(1).std(1) / images.flatten(1).std(1)
        assert 0.5 - 1e-4 <= ratio.min() < ratio.max() <= 1.5 + 1e-4
    else:
        assert 0.1 < difference.flatten(1).std(1).max() <= 0.5 * 1.1


def test_color_leaves_grey_images_alone() -> None:
    images, labels = batch(8, 8, channels=1)
    assert torch.equal(run(only(color=0.5), images, labels)[0], images)
