"""Tools for volumes: parts, holes, smoothing, ranges, copying and growing, against independent truths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage import measure
from skimage.segmentation import watershed

from napari_medseg.annotation.components import fill_holes, keep_largest, keep_part, remove_part, remove_small
from napari_medseg.annotation.copying import copy_slice
from napari_medseg.annotation.growing import grow_seeds
from napari_medseg.annotation.ranges import cut_range, fill_range
from napari_medseg.annotation.smoothing import smooth
from napari_medseg.errors import AnnotationError

volumes = hnp.arrays(np.uint8, (4, 6, 7), elements=st.sampled_from([0, 0, 1, 1, 2, 255])).filter(
    lambda v: (v == 1).any()
)


def applied(labels, change):
    after = labels.copy()
    change.apply(after)
    return after


def by_slices(volume, work):
    return np.stack([work(part) for part in volume])


def largest(mask):
    """The largest part of a mask through scikit-image; the first of several that are equal."""
    parts = measure.label(mask, connectivity=1)
    sizes = np.bincount(parts[parts > 0], minlength=1)
    return (parts == sizes.argmax()) & mask if mask.any() else mask


@given(volumes)
@settings(max_examples=60, deadline=None)
def test_the_largest_part_stays_of_the_volume_or_of_each_slice(labels):
    whole = applied(labels, keep_largest(labels, 1))
    assert np.count_nonzero(whole == 1) == np.count_nonzero(largest(labels == 1))
    assert measure.label(whole == 1, connectivity=1).max() == 1
    np.testing.assert_array_equal(whole[labels != 1], labels[labels != 1])
    alone = applied(labels, keep_largest(labels, 1, dims=2))
    np.testing.assert_array_equal(
        [np.count_nonzero(part == 1) for part in alone],
        [np.count_nonzero(largest(part == 1)) for part in labels],
    )
    assert not alone[(labels == 1) & (alone != 1)].any()


@given(volumes, st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_small_parts_go_as_in_scikit_image(labels, smallest):
    def expected(mask):
        parts = measure.label(mask, connectivity=1)
        return np.isin(parts, [part.label for part in measure.regionprops(parts) if part.area >= smallest])

    np.testing.assert_array_equal(applied(labels, remove_small(labels, 1, smallest)) == 1, expected(labels == 1))
    alone = applied(labels, remove_small(labels, 1, smallest, dims=2)) == 1
    np.testing.assert_array_equal(alone, by_slices(labels == 1, expected))


@given(volumes, st.sampled_from([0, 1, 2]))
@settings(max_examples=60, deadline=None)
def test_holes_are_filled_as_in_scipy_and_protected_values_stay(labels, axis):
    np.testing.assert_array_equal(applied(labels, fill_holes(labels, 1)) == 1, ndimage.binary_fill_holes(labels == 1))
    filled = by_slices(np.moveaxis(labels == 1, axis, 0), ndimage.binary_fill_holes)
    expected = np.where(np.moveaxis(filled, 0, axis) & (labels != 2), 1, labels)
    np.testing.assert_array_equal(applied(labels, fill_holes(labels, 1, dims=2, axis=axis, protected=[2])), expected)


def test_the_part_under_the_pointer_is_kept_or_removed_in_its_slice_or_throughout():
    labels = np.zeros((3, 4, 9), np.uint8)
    labels[:, 1:3, 1:3] = labels[:, 1:3, 5:8] = 1
    labels[0, 0, 0] = 2
    kept = applied(labels, keep_part(labels, (1, 1, 1)))
    assert (kept[:, 1:3, 1:3] == 1).all()
    assert not kept[:, :, 4:].any()
    removed = applied(labels, remove_part(labels, (1, 1, 1), dims=2))
    assert not removed[1, :, :4].any()
    np.testing.assert_array_equal(removed[[0, 2]], labels[[0, 2]])
    assert kept[0, 0, 0] == removed[0, 0, 0] == 2
    with pytest.raises(AnnotationError, match="under the pointer"):
        remove_part(labels, (0, 3, 3))
    with pytest.raises(AnnotationError, match="under the pointer"):
        keep_part(labels, (0, 0, 9))


@given(volumes, st.sampled_from([0.6, 1.0, 1.7]), st.sampled_from([2, 3]))
@settings(max_examples=50, deadline=None)
def test_smoothing_is_the_half_of_a_blurred_class(labels, sigma, dims):
    spacing = (2.0, 1.0, 0.5)
    sigmas = [sigma / s for s in spacing]
    if dims == 2:
        sigmas[0] = 0
    share = ndimage.gaussian_filter((labels == 1).astype(float), sigmas, mode="nearest", truncate=3.0)
    clear = np.abs(share - 0.5) > 1e-4
    after = applied(labels, smooth(labels, 1, sigma, spacing=spacing, dims=dims, protected=[2]))
    np.testing.assert_array_equal((after == 1)[clear], ((share >= 0.5) & (labels != 2))[clear])
    np.testing.assert_array_equal(after == 2, labels == 2)


def test_smoothing_takes_a_spike_and_leaves_what_lies_beyond_the_box():
    labels = np.zeros((9, 40, 40), np.uint8)
    labels[:, 10:30, 10:30] = 1
    labels[:, 5:10, 20] = 1
    one = applied(labels, smooth(labels, 1, 1.5, dims=2, box=((4, 5), (0, 40), (0, 40))))
    assert not one[4, 5:9, 20].any()
    np.testing.assert_array_equal(np.delete(one, 4, 0), np.delete(labels, 4, 0))
    with pytest.raises(AnnotationError, match="above 0"):
        smooth(labels, 1, 0)
    with pytest.raises(AnnotationError, match="not drawn here"):
        smooth(labels, 3, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.float32])
@pytest.mark.parametrize("limits", [(-1e6, 1e6), (3, 9), (3.2, 8.7), (-50, -10), (5, 5), (300, 400), (4.2, 4.8)])
def test_a_range_holds_both_ends_for_every_type_of_pixel(dtype, limits):
    image = np.arange(24).reshape(2, 3, 4).astype(dtype)
    labels = np.full(image.shape, 255, np.uint8)
    labels[0, 0] = 2
    inside = (image.astype(float) >= limits[0]) & (image.astype(float) <= limits[1])
    filled = applied(labels, fill_range(labels, image, 1, *limits, protected=[2]))
    np.testing.assert_array_equal(filled, np.where(inside & (labels != 2), 1, labels))
    cut = applied(labels, cut_range(labels, image, 2, *limits))
    np.testing.assert_array_equal(cut, np.where(~inside & (labels == 2), 0, labels))


def test_not_a_number_is_in_no_range_and_wrong_ranges_are_refused():
    image = np.array([[np.nan, 1.0]], np.float32)
    labels = np.full((1, 2), 255, np.uint8)
    np.testing.assert_array_equal(applied(labels, fill_range(labels, image, 1, -1e9, 1e9)), [[255, 1]])
    with pytest.raises(AnnotationError, match="empty"):
        fill_range(labels, image, 1, 2, 1)
    with pytest.raises(AnnotationError, match="image that was labelled"):
        fill_range(labels, image[:, :1], 1, 0, 1)
    with pytest.raises(AnnotationError, match="locked"):
        fill_range(labels, image, 1, 0, 1, protected=[1])


@given(volumes, st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_copying_adds_the_classes_of_a_slice_to_the_next_one(labels, axis):
    source, target = 1, 2
    planes = np.moveaxis(labels, axis, 0)
    if not np.isin(planes[source], [1]).any():
        with pytest.raises(AnnotationError, match="Nothing is drawn"):
            copy_slice(labels, [1], source, target, axis=axis)
        return
    after = np.moveaxis(applied(labels, copy_slice(labels, [1], source, target, axis=axis, protected=[2])), axis, 0)
    expected = np.where((planes[source] == 1) & (planes[target] != 2), 1, planes[target])
    np.testing.assert_array_equal(after[target], expected)
    np.testing.assert_array_equal(np.delete(after, target, 0), np.delete(planes, target, 0))


def test_copying_ends_at_the_ends_of_the_volume():
    with pytest.raises(AnnotationError, match="no slice 4"):
        copy_slice(np.ones((3, 2, 2), np.uint8), [1], 2, 3)


def ball(shape=(30, 60, 64), radius=11.0, seed=0):
    """A bright ball in noise: image (z, y, x) and where it is."""
    grid = np.indices(shape) - np.reshape([n / 2 for n in shape], (3, 1, 1, 1))
    truth = np.sqrt((grid**2).sum(axis=0)) < radius
    noise = np.random.default_rng(seed).normal(0, 15, shape)
    return (noise + 100 * truth).astype(np.int16), truth


def seeded(truth):
    """A stroke inside, and one of the eraser around it, in three slices; nothing else was looked at."""
    labels = np.full(truth.shape, 255, np.uint8)
    for z in (6, 15, 24):
        labels[z][ndimage.binary_erosion(truth[z], iterations=3)] = 1
        ring = ndimage.binary_dilation(truth[z], iterations=5) & ~ndimage.binary_dilation(truth[z], iterations=4)
        labels[z][ring] = 0
    labels[[2, 27], 10:50, 10:54] = 0
    return labels


def test_seeds_grow_to_the_edges_of_a_structure_and_leave_the_rest_unseen():
    image, truth = ball()
    labels = seeded(truth)
    after = applied(labels, grow_seeds(labels, image, [1]))
    both = 2 * np.count_nonzero((after == 1) & truth)
    assert both / (np.count_nonzero(after == 1) + truth.sum()) > 0.97
    np.testing.assert_array_equal(after[labels != 255], labels[labels != 255])
    assert set(np.unique(after[labels == 255])) == {1, 255}


def test_growing_through_smaller_pictures_finds_what_the_full_watershed_finds():
    image, truth = ball((48, 96, 100), 20.0, seed=1)
    labels = seeded(truth)
    markers = np.where(labels == 255, 0, np.where(labels == 0, 9, labels)).astype(np.int32)
    ground = ndimage.gaussian_gradient_magnitude(image.astype(np.float32), 1.0)
    box = ndimage.find_objects((markers > 0).astype(int))[0]
    expected = np.zeros(truth.shape, bool)
    expected[box] = watershed(ground[box], markers[box]) == 1
    after = applied(labels, grow_seeds(labels, image, [1])) == 1
    assert 2 * np.count_nonzero(after & expected) / (after.sum() + expected.sum()) > 0.98


def test_two_classes_grow_against_each_other_where_everything_was_looked_at():
    image, truth = ball()
    labels = np.zeros(truth.shape, np.uint8)
    labels[15, 28:32, 30:34] = 1
    labels[15, 5:8] = labels[[1, 28]] = labels[:, [1, 58]] = 2
    after = applied(labels, grow_seeds(labels, image, [1, 2]))
    assert not (after == 0)[1:29, 1:59].any()
    only = applied(labels, grow_seeds(labels, image, [1]))
    np.testing.assert_array_equal(only == 2, labels == 2)


@pytest.mark.parametrize(
    ("draw", "sentence"),
    [
        (lambda v: v.fill(255), "no seeds"),
        (lambda v: v.__setitem__((2, 3, slice(1, 5)), 1), "nothing to grow against"),
        (lambda v: (v.fill(1), v.__setitem__(0, 2)), "nothing to grow into"),
    ],
)
def test_seeds_that_lack_a_partner_are_refused_with_what_to_do(draw, sentence):
    labels = np.full((5, 6, 7), 255, np.uint8)
    draw(labels)
    with pytest.raises(AnnotationError, match=sentence):
        grow_seeds(labels, np.zeros(labels.shape, np.int16), [1])
