"""Diameters against brute force, scikit-image, and shapes whose size is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_medseg.measure.diameters import diameters

some_masks = arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
some_steps = st.tuples(st.floats(0.3, 3), st.floats(0.3, 3))


def edge_points(plane, steps):
    """Every middle of an edge of every pixel, in millimetres."""
    pixels = np.argwhere(plane).astype(float)
    around = np.array([[-0.5, 0], [0.5, 0], [0, -0.5], [0, 0.5]])
    return (pixels[:, np.newaxis] + around).reshape(-1, 2) * steps


def longest_by_force(plane, steps):
    points = edge_points(plane, steps)
    return max((float(np.hypot(*(a - b))) for a in points for b in points), default=0.0)


def widest_by_force(plane, steps, along, lines=201):
    """The longest chord across `along` of the convex outline, among many parallel lines that each cut a polygon."""
    from scipy.spatial import ConvexHull

    points = edge_points(plane, steps)
    corners = points[ConvexHull(points).vertices]
    across = np.array([-along[1], along[0]])
    place, side = corners @ along, corners @ across
    best = 0.0
    for line in np.concatenate([np.linspace(place.min(), place.max(), lines), place]):
        cuts = []
        for i in range(len(corners)):
            j = (i + 1) % len(corners)
            if min(place[i], place[j]) <= line <= max(place[i], place[j]) and place[i] != place[j]:
                share = (line - place[i]) / (place[j] - place[i])
                cuts.append(side[i] + share * (side[j] - side[i]))
        if cuts:
            best = max(best, max(cuts) - min(cuts))
    return best


@settings(max_examples=40, deadline=None)
@given(mask=some_masks, steps=some_steps)
def test_the_long_axis_is_the_greatest_distance_in_any_slice(mask, steps):
    found = diameters(mask, steps)
    lengths = [longest_by_force(plane, steps) for plane in mask]
    if not mask.any():
        assert found is None
        return
    assert found.long == pytest.approx(max(lengths))
    assert lengths[found.slice_index] == pytest.approx(max(lengths))
    ends = np.array(found.long_line) * steps
    assert np.hypot(*(ends[1] - ends[0])) == pytest.approx(found.long)


@settings(max_examples=20, deadline=None)
@given(mask=some_masks.filter(lambda m: m.any()), steps=some_steps)
def test_the_short_axis_is_the_longest_line_across_the_long_one(mask, steps):
    found = diameters(mask, steps)
    ends = np.array(found.long_line) * steps
    along = (ends[1] - ends[0]) / found.long
    assert found.short == pytest.approx(widest_by_force(mask[found.slice_index], steps, along), rel=1e-6, abs=1e-9)
    crossing = np.array(found.short_line) * steps
    assert np.hypot(*(crossing[1] - crossing[0])) == pytest.approx(found.short)
    assert (crossing[1] - crossing[0]) @ along == pytest.approx(0, abs=1e-9)
    assert found.short <= found.long + 1e-9


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(plane=arrays(bool, st.tuples(st.integers(3, 12), st.integers(3, 12))).filter(lambda m: m.any()))
def test_the_long_axis_is_the_feret_diameter_of_scikit_image(plane):
    from skimage.measure import regionprops
    from skimage.morphology import convex_hull_image

    # scikit-image measures the pixels of the convex hull, which are more than a mask that is not convex has.
    convex = convex_hull_image(plane)
    assume(np.array_equal(convex_hull_image(convex), convex))
    feret = regionprops(convex.astype(np.uint8))[0].feret_diameter_max
    assert diameters(convex, (1, 1)).long == pytest.approx(feret, abs=1e-6)


def test_discs_and_ellipses_measure_their_own_diameters():
    y, x = np.mgrid[-60:61, -60:61]
    disc = (x**2 + y**2 <= 40**2)[np.newaxis]
    found = diameters(disc, (2.0, 0.7, 0.7))
    assert found.long == pytest.approx(80 * 0.7, rel=0.02)
    assert found.short == pytest.approx(80 * 0.7, rel=0.02)
    turned = np.deg2rad(30)
    along, across = x * np.cos(turned) + y * np.sin(turned), -x * np.sin(turned) + y * np.cos(turned)
    ellipse = (along / 50) ** 2 + (across / 20) ** 2 <= 1
    found = diameters(ellipse, (1, 1))
    assert (found.long, found.short) == (pytest.approx(100, rel=0.02), pytest.approx(40, rel=0.03))


def test_slices_of_coarse_spacing_do_not_lengthen_the_axes():
    mask = np.zeros((40, 9, 9), bool)
    mask[:, 4, 2:7] = True
    found = diameters(mask, (5.0, 1.0, 1.0))
    assert (found.slice_index, found.long, found.short) == (0, pytest.approx(5.0), pytest.approx(1.0))


def test_nothing_has_no_diameters():
    assert diameters(np.zeros((3, 4, 5), bool), (1, 1, 1)) is None
