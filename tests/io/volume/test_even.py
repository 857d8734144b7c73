"""Series at uneven distances: as they are, or resampled by a person's choice, never stretched unasked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_medseg.io import read
from napari_medseg.structures import Image

from .writers import voxels, write_series


def _choose(folder: Path, word: str) -> Image:
    names = read(folder).series_names
    return read(folder, series=next(i for i, name in enumerate(names) if word in name))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gaps=st.lists(st.floats(1.0, 4.0), min_size=3, max_size=8), data=st.randoms())
def test_resampled_planes_are_numpys_interpolation(tmp_path_factory, gaps: list[float], data) -> None:
    depths = np.round(np.cumsum([0.0, *gaps, gaps[0] * 1.7]), 3)
    rng = np.random.default_rng(data.randrange(1000))
    pixels = rng.integers(-900, 900, (len(depths), 3, 2))
    folder = tmp_path_factory.mktemp("ct")
    write_series(folder, pixels, positions=[(0.0, 0.0, depth) for depth in depths])
    image = read(folder)
    if image.affine is not None and len(image.series_names) == 1:
        return  # even within what headers round
    even = _choose(folder, "resampled")
    assert even.affine is not None
    planes = even.affine[0, 3] + even.affine[0, 0] * np.arange(even.shape[0])
    assert planes[0] == pytest.approx(depths[0])
    assert planes[-1] == pytest.approx(depths[-1])
    found = np.asarray(even.data).reshape(len(planes), -1)
    for column in range(found.shape[1]):
        expected = np.interp(planes, depths, pixels.reshape(len(depths), -1)[:, column])
        # Planes within a hundredth of a slice are that slice: a hundredth of the greatest difference, and rounding.
        np.testing.assert_allclose(found[:, column], expected, atol=0.5 + 18.0)


def test_the_choice_is_said_and_the_default_is_not_resampled(tmp_path: Path) -> None:
    places = [(-10.0, -20.0, z) for z in (0.0, 1.0, 2.0, 4.0, 8.0, 9.0)]
    folder = write_series(tmp_path / "ct", voxels(6), positions=[(x, y, z + 0.2 * (z == 4.0)) for x, y, z in places])
    kept = read(folder)
    np.testing.assert_array_equal(np.asarray(kept.data), voxels(6))
    assert kept.affine is None
    assert "Choose the image resampled" in kept.warnings[0]
    even = _choose(folder, "resampled")
    assert even.name.endswith("(resampled)")
    assert "what lies in a gap is a guess" in even.warnings[0]
    assert even.spacing == pytest.approx((1.0, 0.75, 0.5))
    assert even.shape[0] == 10


def test_missing_slices_stay_empty_unless_interpolation_is_chosen(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", voxels(12))
    (folder / "005").unlink()
    empty, filled = read(folder), _choose(folder, "resampled")
    assert np.asarray(empty.data)[7].max() == -1024
    np.testing.assert_allclose(np.asarray(filled.data)[7], (voxels(12)[6] + voxels(12)[8]) / 2, atol=0.5)
    assert filled.affine is not None
    np.testing.assert_allclose(filled.affine, empty.affine)


def test_blocks_of_a_resampled_stack_agree_with_the_whole(tmp_path: Path) -> None:
    places = [(0.0, 0.0, z) for z in (0.0, 1.3, 2.0, 5.1, 7.0)]
    folder = write_series(tmp_path / "ct", voxels(5), positions=places)
    even = _choose(folder, "resampled")
    whole = np.asarray(even.data)
    np.testing.assert_array_equal(even.data[2:5, 1:3, 2], whole[2:5, 1:3, 2])


def test_a_stretch_at_twice_the_distance_is_a_part_of_its_own_and_misses_nothing(tmp_path: Path) -> None:
    depths = [0.0, 5.0, 10.0, 15.0, 17.5, 20.0, 22.5, 25.0, 27.5]
    folder = write_series(tmp_path / "ct", voxels(9), positions=[(0.0, 0.0, depth) for depth in depths])
    whole = read(folder)
    np.testing.assert_array_equal(np.asarray(whole.data), voxels(9))
    assert "varies from 2.5 to 5 mm" in whole.warnings[0]
    assert _choose(folder, "part from 0.0 to 15.0").spacing == pytest.approx((5.0, 0.75, 0.5))
    assert _choose(folder, "part from 15.0 to 27.5").spacing == pytest.approx((2.5, 0.75, 0.5))
