"""Which patches are drawn, from where, and what is known of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.intensity import Intensity
from napari_medseg.data.patches import Patches
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT, Image, MaskClass, TrainingCase

CLASSES = (MaskClass(value=5, name="gland", color="#0072b2"), MaskClass(value=9, name="duct", color="#d55e00"))
#: Network input = pixel value, so that patches can be read.
AS_IS = Intensity(channels=1, mean=(0.0,), std=(1 / 255,))


def case(
    name: str = "a", pixels: np.ndarray | None = None, labels: np.ndarray | None = None, tag: str | None = None
) -> TrainingCase:
    if pixels is None:
        pixels = np.zeros((16, 16), np.uint8)
    return TrainingCase(
        case=name,
        group=name,
        source="",
        split="train",
        tag=tag,
        grade=None,
        has_mask=labels is not None,
        load_image=lambda: Image(levels=(pixels,), axes="yx", name=name),
        load_labels=lambda: labels,
        image_hash=name,
        content_hash=name,
    )


def patches(*cases: TrainingCase, **changes: Any) -> Patches:
    values: dict[str, Any] = {
        "classes": CLASSES,
        "tags": ["benign", "malignant"],
        "size": (8, 8),
        "scale_of": lambda image: (1.0,) * len(image.spatial_axes),
        "intensity": AS_IS,
    }
    return Patches(cases, **(values | changes))


def coordinates(height: int, width: int) -> np.ndarray:
    """An image whose pixels tell where they are."""
    return (np.arange(height)[:, np.newaxis] * 16 + np.arange(width)).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**62), n=st.integers(1, 9), first=st.integers(0, 50))
def test_every_pass_shows_every_case_once(seed: int, n: int, first: int) -> None:
    source = patches(*(case(str(i)) for i in range(n)))
    drawn = [source.case_at(first * n + i, seed) for i in range(n)]
    assert sorted(drawn) == list(range(n))


def test_drawing_is_a_pure_function_of_position_and_seed() -> None:
    rng = np.random.default_rng(0)
    cases = [case(str(i), rng.integers(0, 256, (20, 20), np.uint8), np.full((20, 20), 5, np.uint8)) for i in range(5)]
    whole = patches(*cases).draw(range(12), seed=3)
    backwards = patches(*cases)
    for position in reversed(range(12)):
        for one, all_of_them in zip(backwards.draw([position], seed=3), whole, strict=True):
            assert np.array_equal(one[0], all_of_them[position])
    assert not np.array_equal(patches(*cases).draw(range(12), seed=4)[0], whole[0])


def test_what_is_not_kept_in_memory_gives_the_same_patches() -> None:
    rng = np.random.default_rng(1)
    cases = [case(str(i), rng.integers(0, 256, (37, 41), np.uint8)) for i in range(3)]
    shrink = {"scale_of": lambda image: (0.6, 0.6)}
    kept = patches(*cases, **shrink).draw(range(9), 0)[0]
    read = patches(*cases, cache_bytes=0, **shrink).draw(range(9), 0)[0]
    assert np.array_equal(kept, read)


def test_image_and_labels_stay_together() -> None:
    pixels = coordinates(16, 16)
    labels = np.where(pixels % 3 == 0, 5, np.where(pixels % 3 == 1, 9, 0)).astype(np.uint8)
    images, drawn, _ = patches(case(pixels=pixels, labels=labels)).draw(range(20), 0)
    values = images[:, 0].round().astype(int)
    assert np.array_equal(drawn, np.choose(values % 3, [1, 2, 0]))


def test_labels_become_channel_indices_and_unknown_values_are_not_looked_at() -> None:
    labels = np.array([[0, 5], [9, 77]], np.uint8).repeat(8, 0).repeat(8, 1)
    drawn = patches(case(labels=labels), size=(16, 16)).draw([0], 0)[1][0]
    assert [drawn[0, 0], drawn[0, 15], drawn[15, 0], drawn[15, 15]] == [0, 1, 2, NOT_LOOKED_AT]


def test_a_missing_mask_is_unknown_and_an_empty_one_is_background() -> None:
    assert (patches(case()).draw([0], 0)[1] == NOT_LOOKED_AT).all()
    assert (patches(case(labels=np.zeros((16, 16), np.uint8))).draw([0], 0)[1] == 0).all()


def test_without_classes_masks_are_not_even_read() -> None:
    def fail() -> None:
        raise AssertionError("the mask was read")

    unreadable = replace(case(labels=np.zeros((16, 16), np.uint8)), load_labels=fail)
    assert (patches(unreadable, classes=()).draw([0], 0)[1] == NOT_LOOKED_AT).all()


def test_a_small_image_is_reflected_and_the_margin_is_unknown() -> None:
    pixels = coordinates(4, 16)
    images, labels, _ = patches(case(pixels=pixels, labels=np.zeros((4, 16), np.uint8)), size=(8, 16)).draw([0], 0)
    assert np.array_equal(images[0, 0].round(), np.pad(pixels, ((2, 2), (0, 0)), mode="reflect"))
    assert (labels[0, 2:6] == 0).all()
    assert (labels[0, :2] == NOT_LOOKED_AT).all()
    assert (labels[0, 6:] == NOT_LOOKED_AT).all()


def test_a_single_pixel_can_be_a_training_image() -> None:
    images, labels, _ = patches(case(pixels=np.full((1, 1), 7, np.uint8))).draw([0, 1], 0)
    assert (images.round() == 7).all()
    assert labels.shape == (2, 8, 8)


def test_foreground_patches_show_each_class_about_equally_often() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[:40, :40] = 5
    labels[60, 60] = 9  # a single pixel
    drawn = patches(case(pixels=np.zeros((64, 64), np.uint8), labels=labels), foreground_share=1.0).draw(range(200), 0)
    shown = Counter("duct" if (patch == 2).any() else "gland" for patch in drawn[1])
    assert all((patch > 0).any() for patch in drawn[1])
    assert 60 < shown["duct"] < 140


def test_a_partly_annotated_image_gives_no_patch_without_annotation() -> None:
    labels = np.full((64, 64), NOT_LOOKED_AT, np.uint8)
    labels[3:6, 50:55] = 0
    drawn = patches(case(pixels=np.zeros((64, 64), np.uint8), labels=labels), foreground_share=0.0).draw(range(50), 0)
    assert all((patch == 0).any() for patch in drawn[1])


def test_patches_reach_every_corner() -> None:
    drawn = patches(case(pixels=coordinates(16, 16)), size=(8, 8)).draw(range(400), 0)[0].round()
    assert set(np.unique(drawn)) == set(range(256))


def test_tags_become_indices() -> None:
    source = patches(case("a", tag="malignant"), case("b", tag="benign"), case("c"), case("d", tag="unheard of"))
    tags = {source.case_at(p, 0): source.draw([p], 0)[2][0] for p in range(4)}
    assert tags == {0: 1, 1: 0, 2: NO_TAG, 3: NO_TAG}


@pytest.mark.parametrize("seed", range(3))
def test_balanced_tags_come_equally_often_and_every_case_comes(seed: int) -> None:
    tags = ["benign"] * 9 + ["malignant"] * 2
    source = patches(*(case(str(i), tag=tag) for i, tag in enumerate(tags)), balanced_tags=True)
    drawn = [source.case_at(p, seed) for p in range(110)]
    counts = Counter(tags[number] for number in drawn)
    assert abs(counts["benign"] - counts["malignant"]) <= 10
    assert set(drawn) == set(range(11))


def test_labels_of_another_shape_are_refused_by_name() -> None:
    with pytest.raises(DatasetError, match="'odd'"):
        patches(case("odd", labels=np.zeros((16, 15), np.uint8))).draw([0], 0)


def test_a_stack_among_images_is_refused_by_name() -> None:
    stack = replace(
        case("stack"), load_image=lambda: Image(levels=(np.zeros((3, 16, 16), np.uint8),), axes="zyx", name="stack")
    )
    with pytest.raises(DatasetError, match="'stack'"):
        patches(stack).draw([0], 0)


def test_volumes_are_cut_in_three_dimensions() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 10, 10), np.uint8)
    volume = replace(
        case("v", labels=np.zeros(1, np.uint8)),
        load_image=lambda: Image(levels=(pixels,), axes="zyx", name="v"),
        load_labels=lambda: np.full((6, 10, 10), 5, np.uint8),
    )
    images, labels, _ = patches(volume, size=(8, 8, 8)).draw([0], 0)
    assert images.shape == (1, 1, 8, 8, 8)
    assert (labels[0, 1:7] == 1).all()
    assert (labels[0, [0, 7]] == NOT_LOOKED_AT).all()


def test_a_case_that_counts_for_several_comes_that_often_in_every_pass() -> None:
    source = patches(replace(case("a"), repeats=3), case("b"), case("c"))
    assert len(source) == 5
    for number in range(3):
        drawn = Counter(source.case_at(position, 1) for position in range(5 * number, 5 * number + 5))
        assert drawn == {0: 3, 1: 1, 2: 1}
