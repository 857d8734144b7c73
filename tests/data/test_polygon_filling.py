"""Filling many polygons at once against a test of every pixel by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from napari_medseg.data.polygon_filling import areas_of, fill

# No corner lies on a line of pixel centres, where a last digit would decide.
_coordinate = st.integers(-60, 200).map(lambda n: n / 10 + 0.013)
_ring = st.lists(st.tuples(_coordinate, _coordinate), min_size=3, max_size=9).map(lambda r: np.array(r, np.float64))
_areas = st.lists(st.lists(_ring, min_size=1, max_size=3), max_size=5)
SHAPE = (14, 11)


def holds(ring: np.ndarray, y: float, x: float) -> bool:
    """Whether a ray to the right crosses the ring an odd number of times."""
    inside = False
    for (y0, x0), (y1, x1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if (y0 > y) != (y1 > y) and x < x0 + (y - y0) / (y1 - y0) * (x1 - x0):
            inside = not inside
    return inside


def brute_force(areas, values, low, step) -> np.ndarray:
    out = np.full(SHAPE, 255, np.uint8)
    for i, j in np.ndindex(SHAPE):
        y, x = low[0] + (i + 0.5) * step[0], low[1] + (j + 0.5) * step[1]
        for rings, value in zip(areas, values, strict=True):
            if sum(holds(ring, y, x) for ring in rings) % 2:
                out[i, j] = value
    return out


@settings(max_examples=60, deadline=None)
@given(_areas, st.sampled_from([(0.0, 0.0), (-3.0, 2.0)]), st.sampled_from([(1.0, 1.0), (2.0, 1.5)]), st.randoms())
def test_each_pixel_has_the_value_of_the_last_area_that_holds_its_centre(areas, low, step, random) -> None:
    chosen = list(range(len(areas)))
    random.shuffle(chosen)
    values = np.arange(1, len(areas) + 1, dtype=np.uint8)
    out = np.full(SHAPE, 255, np.uint8)
    fill(out, areas_of(areas), np.array(chosen, np.intp), values, np.array(low), np.array(step))
    np.testing.assert_array_equal(out, brute_force([areas[i] for i in chosen], values, low, step))


def test_a_large_ring_is_filled_as_scikit_image_does() -> None:
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    ring = np.stack([100.3 + (60 + 20 * np.cos(5 * angle)) * np.sin(angle), 90.7 + 70 * np.cos(angle)], axis=1)
    out = np.zeros((200, 190), np.uint8)
    fill(out, areas_of([[ring]]), np.array([0]), np.array([1], np.uint8), np.zeros(2), np.ones(2))
    # scikit-image counts from the middle of the first pixel.
    np.testing.assert_array_equal(out == 1, polygon2mask(out.shape, ring - 0.5))


def test_areas_side_by_side_share_no_pixel_and_leave_none_out() -> None:
    left = np.array([(0, 0), (0, 5.5), (9, 2.5), (9, 0)], np.float64)
    right = np.array([(0, 5.5), (0, 8), (9, 8), (9, 2.5)], np.float64)
    counts = np.zeros((9, 8), int)
    for ring in (left, right):
        out = np.zeros((9, 8), np.uint8)
        fill(out, areas_of([[ring]]), np.array([0]), np.array([1], np.uint8), np.zeros(2), np.ones(2))
        counts += out
    assert (counts == 1).all()


def test_areas_of_no_chosen_polygon_change_nothing_and_a_view_in_another_order_is_refused() -> None:
    out = np.full((3, 4), 7, np.uint8)
    none = np.empty(0, np.intp)
    fill(out, areas_of([]), none, np.empty(0, np.uint8), np.zeros(2), np.ones(2))
    assert (out == 7).all()
    with pytest.raises(ValueError, match="C order"):
        fill(out.T, areas_of([]), none, np.empty(0, np.uint8), np.zeros(2), np.ones(2))
