"""How pixels become network input."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.data.intensity import Intensity, fit_intensity, image_range, sample_pixels
from napari_medseg.errors import DatasetError, ModelError
from napari_medseg.structures import Image


def grey(pixels: np.ndarray) -> Image:
    return Image(levels=(pixels,), axes="yx", name="grey")


def color(pixels: np.ndarray) -> Image:
    return Image(levels=(pixels,), axes="yxc", rgb=True, name="color")


def network_input(intensity: Intensity, image: Image) -> np.ndarray:
    return intensity.normalise(image.region(), intensity.prepare(image))


def test_training_images_get_mean_zero_and_deviation_one() -> None:
    rng = np.random.default_rng(0)
    images = [color(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)) for _ in range(4)]
    values = np.stack([network_input(fit_intensity(images), image) for image in images])
    assert values.dtype == np.float32
    assert np.allclose(values.mean((0, 2, 3)), 0, atol=1e-4)
    assert np.allclose(values.std((0, 2, 3)), 1, atol=1e-3)


def test_a_scan_is_stretched_between_its_own_percentiles() -> None:
    rng = np.random.default_rng(1)
    scan = rng.normal(900, 100, (64, 64)).astype(np.float32)
    scan[0, 0] = 1e9  # a hot pixel must not squeeze the rest
    low, high = np.percentile(scan, (0.5, 99.5))
    found = image_range(grey(scan))
    assert found.low[0] == pytest.approx(low, rel=1e-4)
    assert found.high[0] == pytest.approx(high, rel=1e-4)


def test_scale_and_offset_of_a_scan_do_not_matter() -> None:
    rng = np.random.default_rng(2)
    scan = rng.integers(0, 4000, (50, 50)).astype(np.uint16)
    intensity = fit_intensity([grey(scan)])
    other = grey(scan.astype(np.float64) * 0.25 - 700)
    assert np.allclose(network_input(intensity, grey(scan)), network_input(intensity, other), atol=1e-4)


def test_channels_of_a_color_image_are_stretched_together_and_others_alone() -> None:
    pixels = np.stack([np.linspace(0, 1000, 400).reshape(20, 20), np.linspace(0, 10, 400).reshape(20, 20)] * 2)[:3]
    together = image_range(Image(levels=(np.moveaxis(pixels, 0, -1),), axes="yxc", rgb=True))
    alone = image_range(Image(levels=(pixels,), axes="cyx"))
    assert together.low.shape == (1,)
    assert alone.high[1] == pytest.approx(10, rel=0.02)
    assert alone.high[0] == pytest.approx(1000, rel=0.02)


def test_pixels_that_are_no_number_become_the_mean() -> None:
    scan = np.random.default_rng(3).normal(size=(32, 32)).astype(np.float32)
    scan[:4] = np.nan
    scan[5, 5], scan[6, 6] = np.inf, -np.inf
    values = network_input(fit_intensity([grey(scan)]), grey(scan))
    assert np.isfinite(values).all()
    assert (values[0, :4] == 0).all()
    assert values[0, 5, 5] == values.max()
    assert values[0, 6, 6] == values.min()


def test_mixed_sets_repeat_grey_and_a_grey_network_reads_color() -> None:
    plain = grey(np.random.default_rng(4).integers(0, 256, (8, 8), dtype=np.uint8))
    repeated = color(np.repeat(plain.data[..., np.newaxis], 3, axis=2))
    mixed = fit_intensity([plain, repeated])
    assert mixed.channels == 3
    assert np.allclose(network_input(mixed, plain), network_input(mixed, repeated))
    single = fit_intensity([plain])
    assert np.allclose(network_input(single, repeated), network_input(single, plain), atol=1e-5)


def test_channels_that_do_not_fit_are_refused() -> None:
    five = Image(levels=(np.zeros((5, 4, 4), np.uint8),), axes="cyx", name="five")
    with pytest.raises(DatasetError, match="'five' has 5"):
        fit_intensity([five, grey(np.zeros((4, 4), np.uint8))])
    with pytest.raises(ModelError, match="5 channels"):
        network_input(fit_intensity([five]), color(np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(DatasetError, match="no training image"):
        fit_intensity([])


@given(
    hnp.arrays(
        st.sampled_from([np.uint8, np.uint16, np.int16, np.float32]),
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=6),
    )
)
def test_any_image_gives_finite_input_and_a_config_that_survives_json(pixels: np.ndarray) -> None:
    intensity = fit_intensity([grey(pixels)])
    values = network_input(intensity, grey(pixels))
    assert values.shape == (1, *pixels.shape)
    assert np.isfinite(values).all()
    assert Intensity.from_json(json.loads(json.dumps(intensity.to_json()))) == intensity


class Counting:
    """A large lazy array that counts the pixels read from it."""

    dtype = np.dtype(np.uint16)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        self.read = 0

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        grid = np.ogrid[tuple(slice(*part.indices(n)) for part, n in zip(key, self.shape, strict=True))]
        values = sum(axis % 1000 for axis in grid).astype(np.uint16)
        self.read += values.size
        return values


def test_a_huge_image_is_sampled_in_blocks() -> None:
    slide = Counting((30_000, 40_000))
    found = image_range(Image(levels=(slide,), axes="yx"))
    assert slide.read < 1_000_000
    assert 0 <= found.low[0] < found.high[0] <= 2000


def test_a_pyramid_is_sampled_at_a_coarse_level() -> None:
    fine, coarse = Counting((30_000, 40_000)), np.full((300, 400), 7, np.uint16)
    values = sample_pixels(Image(levels=(fine, coarse), axes="yx"))
    assert fine.read == 0
    assert (values == 7).all()
