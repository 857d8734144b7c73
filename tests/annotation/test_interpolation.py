"""Filling between drawn slices, and changes of labels as one step."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import distance_transform_edt

from napari_medseg.annotation.interpolation import interpolate
from napari_medseg.errors import AnnotationError

GAP = 3
drawn_slices = hnp.arrays(np.uint8, (2, 7, 8), elements=st.sampled_from([0, 0, 1, 2, 4, 255]))


def volume_of(first, last, filler=0):
    volume = np.full((GAP + 2, *first.shape), filler, np.uint8)
    volume[0], volume[-1] = first, last
    return volume


def done(volume, values, **settings_):
    after = volume.copy()
    interpolate(volume, values, **settings_).apply(after)
    return after


def whole_distance(mask, sampling):
    return distance_transform_edt(mask, sampling=sampling) - distance_transform_edt(~mask, sampling=sampling)


@given(
    hnp.arrays(bool, (2, 6, 7)).filter(lambda m: all(part.any() and not part.all() for part in m)),
    st.sampled_from([(1.0, 1.0), (0.5, 2.0)]),
)
@settings(max_examples=60, deadline=None)
def test_one_class_is_the_mix_of_distances_over_the_whole_picture(masks, in_plane):
    # Symmetric, so that both have the same centroid and are not moved; padded far beyond the box that is cropped to.
    first, last = (np.pad(m | m[::-1, ::-1], 9).astype(np.uint8) for m in masks)
    after = done(volume_of(first, last), [1], spacing=(3.0, *in_plane))
    a, b = (whole_distance(m > 0, in_plane) for m in (first, last))
    for i in range(1, GAP + 1):
        t = i / (GAP + 1)
        mixed = (1 - t) * a + t * b
        clear = np.abs(mixed) > 0.05  # ties are decided by blurred distances
        assert np.array_equal((after[i] == 1)[clear], (mixed > 0)[clear])


@given(drawn_slices, st.booleans(), st.sampled_from(["shrink", "stop"]))
@settings(max_examples=80, deadline=None)
def test_drawn_slices_and_protected_labels_never_change(ends_of_gap, background, ends):
    volume = volume_of(*ends_of_gap, filler=255)
    volume[2, ::2, ::3] = 4
    after = done(volume, [1, 2], drawn=[0, GAP + 1], protected=[4], background=background, ends=ends)
    assert np.array_equal(after[[0, -1]], volume[[0, -1]])
    assert np.array_equal(after == 4, volume == 4)
    if background:
        assert not (after[1:-1] == 255).any()
    else:
        assert not (after == 0)[volume == 255].any()


@given(drawn_slices)
@settings(max_examples=40, deadline=None)
def test_taking_back_restores_the_labels(ends_of_gap):
    volume = volume_of(*ends_of_gap)
    change = interpolate(volume, [1, 2], drawn=[0, GAP + 1])
    after = volume.copy()
    before = change.apply(after)
    assert change.count == (after != volume).sum()
    assert np.array_equal(after[change.indices()], change.new_values())
    change.take_back(after, before)
    assert np.array_equal(after, volume)


def test_classes_that_touch_have_no_gap_between_them():
    first, last = np.zeros((2, 20, 30), np.uint8)
    first[5:15, 4:12], first[5:15, 12:26] = 1, 2
    last[5:15, 4:20], last[5:15, 20:26] = 1, 2
    after = done(volume_of(first, last), [1, 2])
    assert (after[:, 5:15, 4:26] > 0).all()
    widths = (after[:, 10] == 1).sum(axis=1)
    assert list(widths) == sorted(widths)


@given(
    hnp.arrays(bool, (5, 6)).filter(np.any),
    st.tuples(st.sampled_from([-8, 0, 4, 12]), st.sampled_from([-4, 0, 8, 20])),
)
@settings(max_examples=60, deadline=None)
def test_a_shape_that_only_moves_keeps_its_form_on_the_way(shape, move):
    first = np.pad(shape, 30).astype(np.uint8)
    # At rest, or further than it is wide: nothing of it lies on itself.
    move = tuple(m if abs(m) >= 8 else 0 for m in move)
    after = done(volume_of(first, np.roll(first, move, (0, 1))), [1])
    for i in range(GAP + 2):
        np.testing.assert_array_equal(after[i], np.roll(first, [m * i // (GAP + 1) for m in move], (0, 1)))


def test_classes_that_take_turns_leave_no_gap():
    first, last = np.zeros((2, 20, 20), np.uint8)
    first[4:16, 4:16], last[4:16, 4:16] = 1, 2
    after = done(volume_of(first, last), [1, 2])
    assert (after[:, 4:16, 4:16] > 0).all()
    assert (after[1, 4:16, 4:16] == 1).all()
    assert (after[3, 4:16, 4:16] == 2).all()


def test_a_class_does_not_take_the_place_of_a_neighbour_that_ends():
    first, last = np.zeros((2, 20, 60), np.uint8)
    first[5:15, 5:25] = last[5:15, 5:25] = 1
    first[5:15, 25:55] = 2
    after = done(volume_of(first, last), [1, 2])
    assert (after[:, 5:15, 5:25] == 1).all()
    assert not (after[:, :, 25:] == 1).any()


def test_parts_that_stay_are_not_moved_by_one_that_ends():
    first, last = np.zeros((2, 30, 60), np.uint8)
    first[10:20, 5:15] = first[10:20, 45:55] = last[10:20, 5:15] = 1
    after = done(volume_of(first, last), [1])
    assert (after[:, 10:20, 5:15] == 1).all()
    assert not after[1:4, :, 16:44].any()


def test_a_class_that_ends_shrinks_to_nothing_halfway_or_stops():
    disc = (np.hypot(*np.mgrid[-9:10, -9:10]) < 8).astype(np.uint8)
    volume = np.zeros((9, *disc.shape), np.uint8)
    volume[0] = disc
    areas = (done(volume, [1], drawn=[0, 8]) == 1).sum(axis=(1, 2))
    assert all(areas[i] > areas[i + 1] for i in range(4))
    assert not areas[4:].any()
    assert not interpolate(volume, [1], drawn=[0, 8], ends="stop").count


def test_what_a_slice_between_holds_of_the_class_is_replaced():
    volume = np.zeros((3, 9, 9), np.uint8)
    volume[[0, 2], 3:6, 3:6] = 1
    volume[1, 0, 0] = volume[1, 4, 4] = 1
    after = done(volume, [1], drawn=[0, 2])
    assert np.array_equal(after[1], after[0])


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_another_axis_gives_the_same_result_turned(axis):
    rng = np.random.default_rng(0)
    volume = volume_of(*(rng.random((2, 6, 8)) < 0.6).astype(np.uint8))
    spacing = np.array([3.0, 0.5, 2.0])
    order = np.insert([1, 2], axis % 3, 0)
    turned = done(np.moveaxis(volume, 0, axis), [1], axis=axis, spacing=tuple(spacing[order]))
    assert np.array_equal(np.moveaxis(turned, axis, 0), done(volume, [1], spacing=tuple(spacing)))


@pytest.mark.parametrize(
    ("labels", "arguments", "sentence"),
    [
        (np.zeros((5, 5), np.uint8), {}, "open a volume"),
        (np.zeros((5, 5, 5), np.uint8), {}, "at least two slices"),
        (np.zeros((5, 5, 5), np.int32), {}, "int32"),
        (np.zeros((5, 5, 5), np.uint8), {"protected": [1]}, "Class 1 is locked"),
        (np.zeros((5, 5, 5), np.uint8), {"drawn": [0, 7]}, "no slice 7"),
        (np.zeros((5, 5, 5), np.uint8), {"spacing": (0.0, 1.0, 1.0)}, "positive"),
    ],
)
def test_what_cannot_be_filled_is_refused(labels, arguments, sentence):
    with pytest.raises(AnnotationError, match=sentence):
        interpolate(labels, [1], **arguments)


def test_background_is_no_class_and_a_change_fits_its_labels_alone():
    volume = np.zeros((3, 9, 9), np.uint8)
    volume[[0, 2], 3:6, 3:6] = 1
    with pytest.raises(AnnotationError, match="no class"):
        interpolate(volume, [0])
    with pytest.raises(AnnotationError, match="other labels"):
        interpolate(volume, [1]).apply(np.zeros((3, 4, 4), np.uint8))
