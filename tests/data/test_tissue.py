"""Tissue against pictures in which it is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.tissue import LARGEST_SIDE, find_tissue
from napari_medseg.errors import ReadError
from napari_medseg.structures import Image

GLASS = 243


def slide(shape: tuple[int, int] = (350, 450), noise: float = 2.0) -> np.ndarray:
    return np.random.default_rng(0).normal(GLASS, noise, (*shape, 3)).clip(0, 255).astype(np.uint8)


def stained(shape: tuple[int, int]) -> np.ndarray:
    """Pink and purple patches, without the white lumina that real tissue has."""
    patches = np.random.default_rng(1).random((-(-shape[0] // 8), -(-shape[1] // 8), 1))
    colors = patches * np.array([215, 150, 190]) + (1 - patches) * np.array([120, 70, 140])
    return colors.repeat(8, axis=0).repeat(8, axis=1)[: shape[0], : shape[1]].astype(np.uint8)


def image_of(pixels: np.ndarray, mpp: float | None = None) -> Image:
    known = {} if mpp is None else {"spacing": (mpp, mpp), "units": ("micrometer", "micrometer")}
    return Image(levels=(pixels,), axes="yxc", rgb=True, kind="slide", name="slide", **known)


def overlap(found: np.ndarray, truth: np.ndarray) -> float:
    return 2 * (found & truth).sum() / (found.sum() + truth.sum())


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.5, 4))
def test_islands_of_tissue_are_found_and_nothing_else(seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    pixels, truth = slide(noise=noise), np.zeros((350, 450), bool)
    rows, columns = np.ogrid[:350, :450]
    for _ in range(3):
        y, x, a, b = *rng.integers(75, 275, 2), *rng.integers(40, 75, 2)
        truth |= ((rows - y) / a) ** 2 + ((columns - x) / b) ** 2 < 1
    pixels[truth] = stained((350, 450))[truth]
    assert overlap(find_tissue(image_of(pixels)).mask, truth) > 0.95


def test_black_borders_and_green_ink_are_no_tissue() -> None:
    pixels, truth = slide(), np.zeros((350, 450), bool)
    truth[100:250, 150:300] = True
    pixels[truth] = stained((350, 450))[truth]
    pixels[:, :30] = pixels[330:] = 3
    pixels[50:58, 100:400] = (40, 160, 70)
    assert overlap(find_tissue(image_of(pixels)).mask, truth) > 0.95


def test_specks_and_small_holes_do_not_count() -> None:
    pixels = slide()
    pixels[50:200, 50:200] = (200, 120, 180)
    pixels[100:108, 100:108] = GLASS
    pixels[300:304, 300:304] = (120, 60, 120)
    mask = find_tissue(image_of(pixels)).mask
    assert mask[104, 104]
    assert not mask[290:315, 290:315].any()


@pytest.mark.parametrize("mpp", [None, 0.5])
def test_glass_alone_is_empty_and_said_to_be(mpp: float | None) -> None:
    found = find_tissue(image_of(slide(), mpp))
    assert not found.mask.any()
    assert found.share == 0
    assert "No tissue" in found.notes[0]


def test_a_picture_full_of_tissue_stays_full() -> None:
    found = find_tissue(image_of(stained((300, 300))))
    assert found.share > 0.9
    assert found.notes == ()


@pytest.mark.parametrize("mpp", [None, 0.25, 2.0])
def test_the_mask_is_small_and_keeps_the_shape(mpp: float | None) -> None:
    mask = find_tissue(image_of(slide((1200, 3200)), mpp)).mask
    assert max(mask.shape) <= LARGEST_SIDE
    assert mask.shape[1] / mask.shape[0] == pytest.approx(3200 / 1200, rel=0.01)


def test_grey_slides_and_fluorescence_are_read_by_what_differs() -> None:
    rng = np.random.default_rng(0)
    dark = rng.normal(100, 5, (2, 300, 400)).astype(np.uint16)
    dark[1, 100:200, 100:300] += 2000
    mask = find_tissue(Image(levels=(dark,), axes="cyx", name="stained")).mask
    truth = np.zeros((300, 400), bool)
    truth[100:200, 100:300] = True
    assert overlap(mask, truth) > 0.95


def test_one_colour_everywhere_and_volumes() -> None:
    assert not find_tissue(Image(levels=(np.zeros((40, 50), np.uint8),), axes="yx")).mask.any()
    with pytest.raises(ReadError, match="flat"):
        find_tissue(Image(levels=(np.zeros((4, 40, 50), np.uint8),), axes="zyx"))
