"""How the three planes of a volume are cut and held up to the eye."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.widgets.planes import planes_of
from napari_medseg.widgets.slice_view import grey, overlaid

SHAPE = (5, 7, 9)

#: Which way each axis of the array runs: to the head, to the back, to the left; as columns of an affine.
affines = st.tuples(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3)).map(
    lambda given: np.vstack([np.hstack([np.eye(3)[list(given[0])].T * given[1], np.zeros((3, 1))]), [0, 0, 0, 1]])
)


def world_of(affine: np.ndarray, voxel) -> np.ndarray:
    return affine[:3, :3] @ np.asarray(voxel, float)


@given(affines)
def test_the_head_is_above_and_the_left_side_at_the_right_in_any_orientation(affine):
    planes = planes_of(affine)
    assert sorted(p.name for p in planes) == ["axial", "coronal", "sagittal"]
    # Of the world's axes (to the head, to the back, to the left): what runs down, and what to the right.
    runs = {"axial": ((1, 1), (2, 1)), "coronal": ((0, -1), (2, 1)), "sagittal": ((0, -1), (1, 1))}
    for axis, plane in enumerate(planes):
        assert plane.across == axis
        start = plane.voxel_at((0, 0), (2, 3, 4), SHAPE)
        for place, (world, sign) in zip(((1, 0), (0, 1)), runs[plane.name], strict=True):
            step = world_of(affine, plane.voxel_at(place, (2, 3, 4), SHAPE)) - world_of(affine, start)
            expected = np.zeros(3)
            expected[world] = sign
            np.testing.assert_allclose(step, expected)


@given(affines, st.tuples(*(st.integers(0, n - 1) for n in SHAPE)))
def test_a_voxel_is_shown_where_its_place_says(affine, voxel):
    volume = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    for plane in planes_of(affine):
        picture = plane.picture(volume.take(voxel[plane.across], plane.across))
        row, column = plane.place_of(voxel, SHAPE)
        assert picture[int(row), int(column)] == volume[voxel]
        assert plane.voxel_at((row, column), voxel, SHAPE) == voxel


def test_an_oblique_volume_is_named_after_what_it_is_nearest_to():
    turn = np.deg2rad(30)
    affine = np.eye(4)
    affine[:3, :3] = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    assert [p.name for p in planes_of(affine)] == [p.name for p in planes_of(None)] == ["axial", "coronal", "sagittal"]


def test_grey_values_follow_the_window_and_labels_lie_over_them():
    slab = np.array([[-1000, -160, 40, 240, 3000]], np.int16)
    picture = grey(slab, (-160, 240))
    np.testing.assert_array_equal(picture, [[0, 0, 127, 255, 255]])
    assert grey(np.array([[np.nan]], np.float32), (0, 1)) == 0
    colors = np.zeros((256, 4), np.float32)
    colors[1] = (1, 0, 0, 0.5)
    shown = overlaid(picture, np.array([[0, 1, 255, 1, 0]], np.uint8), colors)
    np.testing.assert_array_equal(shown[0, [0, 2, 4]], [[0] * 3, [127] * 3, [255] * 3])
    np.testing.assert_array_equal(shown[0, [1, 3]], [[127, 0, 0], [255, 127, 127]])
    assert overlaid(picture, None, colors).shape == (1, 5, 3)


@pytest.mark.parametrize("limits", [(0.0, 0.0), (5.0, 5.0)])
def test_a_window_without_width_shows_no_noise(limits):
    assert set(np.unique(grey(np.array([[0, 5, 10]], np.int16), limits))) <= {0, 255}
