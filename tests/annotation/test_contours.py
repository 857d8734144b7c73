"""Outlines fitted to a picture from a rough ellipse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.annotation.contours import Ellipse, contour_mask, ellipse_in, fit_contour
from napari_medseg.data.synthetic_ultrasound import LESIONS, frame
from napari_medseg.errors import AnnotationError

SHAPE = (160, 200)
#: Of the truth below: middle and half axes.
MIDDLE, HALF = (80.0, 100.0), (30.0, 45.0)


def inside(middle, half, shape=SHAPE, power=2.0):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.abs((y - middle[0]) / half[0]) ** power + np.abs((x - middle[1]) / half[1]) ** power < 1


def dice(one, other):
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def rough_ellipse(middle, half):
    return Ellipse(middle=middle, axes=((half[0], 0.0), (0.0, half[1])))


@settings(max_examples=25, deadline=None)
@given(
    shift=st.tuples(st.floats(-0.15, 0.15), st.floats(-0.15, 0.15)),
    size=st.tuples(st.floats(0.85, 1.2), st.floats(0.85, 1.2)),
    bright=st.booleans(),
    seed=st.integers(0, 100),
)
def test_a_clear_edge_is_found_whatever_the_ellipse(shift, size, bright, seed):
    truth = inside(MIDDLE, HALF, power=3.0)
    grey = np.where(truth == bright, 150.0, 60.0) + np.random.default_rng(seed).normal(0, 15, SHAPE)
    ellipse = rough_ellipse(
        (MIDDLE[0] + shift[0] * HALF[0], MIDDLE[1] + shift[1] * HALF[1]), (HALF[0] * size[0], HALF[1] * size[1])
    )
    assert dice(contour_mask(fit_contour(grey, ellipse), SHAPE), truth) > 0.95


@pytest.mark.parametrize("lesion", LESIONS[1:])
def test_nodules_fit_better_than_the_ellipses_they_started_from(lesion):
    gains = []
    for seed in range(4):
        made = frame(lesion, rows=240, columns=360, seed=seed)
        truth = made.nodule == 1
        rows, columns = np.nonzero(truth)
        half = (np.ptp(rows) / 2 * 1.15, np.ptp(columns) / 2 * 0.9)
        ellipse = rough_ellipse((rows.mean() + 3, columns.mean() - 4), half)
        start = inside(ellipse.middle, half, truth.shape)
        gains.append(dice(contour_mask(fit_contour(made.pixels, ellipse), truth.shape), truth) - dice(start, truth))
    assert np.median(gains) > 0.02


def test_a_turned_ellipse_gives_the_turned_outline():
    y, x = np.mgrid[:200, :200]
    u, v = (y + x - 200) / np.sqrt(2), (y - x) / np.sqrt(2)
    truth = (u / 60) ** 2 + (v / 25) ** 2 < 1
    slant = np.sqrt(0.5)
    ellipse = Ellipse(middle=(100.0, 100.0), axes=((55 * slant, 55 * slant), (28 * slant, -28 * slant)))
    assert dice(contour_mask(fit_contour(np.where(truth, 40, 120).astype(np.uint8), ellipse), (200, 200)), truth) > 0.97


def test_without_contrast_the_ellipse_stays():
    contour = fit_contour(np.full(SHAPE, 7, np.uint8), rough_ellipse(MIDDLE, HALF))
    share = ((contour - MIDDLE) / HALF) ** 2
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=1e-9)


def test_at_the_edge_of_the_picture_it_ends_there():
    grey = np.where(inside((10, 100), (40, 40)), 30, 140).astype(np.uint8)
    mask = contour_mask(fit_contour(grey, rough_ellipse((10.0, 100.0), (36.0, 44.0))), SHAPE)
    assert dice(mask, inside((10, 100), (40, 40))) > 0.95


def test_an_ellipse_in_a_turned_box():
    box = np.array([(10, 20), (10, 60), (30, 60), (30, 20)], float)
    turned = np.roll(box, 1, axis=0)
    one, other = ellipse_in(box), ellipse_in(turned)
    assert one.middle == other.middle == (20.0, 40.0)
    assert {np.hypot(*axis) for axis in one.axes} == {np.hypot(*axis) for axis in other.axes} == {10.0, 20.0}


@pytest.mark.parametrize("corners", [[(5, 5)] * 4, [(5, 5), (5, 90), (6, 90), (6, 5)]])
def test_a_click_is_no_ellipse(corners):
    with pytest.raises(AnnotationError, match="too small"):
        ellipse_in(corners)


def test_what_cannot_be_fitted_is_said():
    with pytest.raises(AnnotationError, match="outside the image"):
        fit_contour(np.zeros(SHAPE), rough_ellipse((-20.0, 50.0), HALF))
    with pytest.raises(AnnotationError, match="3 axes"):
        fit_contour(np.zeros((4, *SHAPE)), rough_ellipse(MIDDLE, HALF))
