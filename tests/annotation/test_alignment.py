"""How B-scans of one eye lie to each other in depth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.annotation.alignment import depth_offset, moved_by
from napari_medseg.data.synthetic_oct import bscan

SHAPE = (256, 256)
PICTURE = bscan(*SHAPE)[0]


@settings(max_examples=15, deadline=None)
@given(shift=st.integers(-60, 60), tilt=st.integers(-40, 40))
def test_a_moved_and_tilted_picture_is_found_to_a_few_rows(shift: int, tilt: int) -> None:
    true = np.round(shift + tilt * np.linspace(-1, 1, SHAPE[1])).astype(np.float32)
    found = depth_offset(PICTURE, moved_by(PICTURE, true))
    assert np.abs(found - true).mean() < 5


def test_two_exposures_of_one_place_with_speckle_of_their_own_are_not_moved() -> None:
    noise = np.random.default_rng(0).normal(0, 20, (2, *SHAPE))
    assert np.abs(depth_offset(PICTURE + noise[0], PICTURE + noise[1])).max() <= 4


@pytest.mark.parametrize("shape", [(256, 256), (50, 7), (3, 3), (1, 1)])
def test_pictures_without_contrast_and_tiny_ones_stay_where_they_are(shape: tuple[int, int]) -> None:
    assert not depth_offset(np.full(shape, 7, np.uint8), np.full(shape, 9, np.uint8)).any()


def test_columns_move_by_their_own_offset_and_edges_go_on() -> None:
    picture = np.arange(12).reshape(4, 3)
    moved = moved_by(picture, np.array([0, 1, -2], np.float32))
    assert moved.T.tolist() == [[0, 3, 6, 9], [1, 1, 4, 7], [8, 11, 11, 11]]
