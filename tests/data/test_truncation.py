"""Intensities of scans: what becomes 0 and 1, for every way to truncate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.resolution import VolumeResolution
from napari_medseg.data.truncation import ScanIntensity, scan_range
from napari_medseg.structures import Image

WINDOW = (-100.0, 240.0)


def scan(values: np.ndarray, **known) -> Image:
    return Image(levels=(values,), axes="zyx", kind="ct", name="scan", **known)


@settings(max_examples=40, deadline=None)
@given(st.integers(-1000, 400), st.integers(0, 900), st.sampled_from(["window", "none"]))
def test_a_scan_ends_at_its_own_extremes_within_the_window(low, width, truncate):
    values = np.linspace(low, low + width, 4 * 5 * 6).astype(np.int16).reshape(4, 5, 6)
    limits = scan_range(scan(values), truncate, WINDOW)
    kept = np.clip(values, *WINDOW) if truncate == "window" else values
    assert (limits.low[0], limits.high[0]) == (kept.min(), kept.max())


def test_percentiles_leave_single_hot_voxels_out():
    values = np.arange(10_000, dtype=np.float32).reshape(10, 100, 10)
    values[0, 0, 0] = 1e6
    limits = scan_range(scan(values), "percentile", WINDOW)
    low, high = np.percentile(values, (0.5, 99.5))
    np.testing.assert_allclose([limits.low[0], limits.high[0]], [low, high], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("truncate", ["window", "percentile", "none"])
def test_network_input_has_mean_0_and_deviation_1_and_no_outliers(dtype, truncate):
    rng = np.random.default_rng(0)
    images = [scan(rng.integers(0, 200 + 20 * k, (6, 20, 20)).astype(dtype)) for k in range(3)]
    intensity = ScanIntensity.fit(images, truncate, (10.0, 150.0))
    whole = [intensity.normalise(image.region(), intensity.prepare(image)) for image in images]
    assert abs(np.mean(whole)) < 0.02
    assert np.std(whole) == pytest.approx(1, abs=0.02)
    for values in whole:
        stretched = values * intensity.inner.std[0] + intensity.inner.mean[0]
        assert stretched.min() == pytest.approx(0, abs=1e-5)
        assert stretched.max() == pytest.approx(1, abs=1e-5)


def test_what_is_said_in_a_model_file_is_read_back():
    intensity = ScanIntensity.fit([scan(np.arange(60, dtype=np.int16).reshape(3, 4, 5))], "window", WINDOW)
    assert ScanIntensity.from_json(json.loads(json.dumps(intensity.to_json()))) == intensity
    with pytest.raises(ValueError, match="sideways"):
        ScanIntensity.from_json(intensity.to_json() | {"truncate": "sideways"})


def test_scans_of_one_value_and_without_numbers_become_zeros_of_the_range():
    for values in (np.full((2, 3, 4), 7, np.int16), np.full((2, 3, 4), np.nan, np.float32)):
        limits = scan_range(scan(values), "percentile", WINDOW)
        assert limits.low[0] == limits.high[0]


def sized(spacing, unit="millimeter", axes="zyx") -> Image:
    known = {"spacing": spacing, "units": (unit,) * len(axes)} if spacing else {}
    return Image(levels=(np.zeros((4,) * len(axes)),), axes=axes, name="sized", **known)


def test_volumes_are_brought_to_the_median_spacing():
    resolution = VolumeResolution.fit([sized((5, 1, 1)), sized((3, 0.5, 0.7)), sized((1, 0.8, 0.8))])
    assert resolution.spacing == (3, 0.8, 0.8)
    assert resolution.scale_of(sized((1.5, 1.6, 0.8))) == (0.5, 2.0, 1.0)
    assert VolumeResolution.from_json(json.loads(json.dumps(resolution.to_json()))) == resolution


def test_volumes_of_unknown_or_other_units_stay_as_they_are():
    resolution = VolumeResolution.fit([sized((3, 1, 1))])
    assert resolution.scale_of(sized(None)) == (1, 1, 1)
    assert resolution.scale_of(sized((6, 2, 2), "micrometer")) == (1, 1, 1)
    for images in ([sized((1, 1, 1)), sized(None)], [sized((1, 1, 1)), sized((1, 1, 1), "micrometer")]):
        assert VolumeResolution.fit(images) == VolumeResolution()


def test_slices_of_a_stack_stay_for_a_network_of_planes():
    resolution = VolumeResolution.fit([sized((1.0, 1.0), axes="yx")])
    assert resolution.scale_of(sized((5, 2, 2))) == (1, 2, 2)
