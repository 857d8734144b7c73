"""Windows along the width: every column is covered, added rows and columns are known to be added."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.data.intensity import Intensity
from napari_medseg.data.windows import WidthWindows, labelled_bscans, power_of_two, window_starts
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT, Image, MaskClass
from tests.factories import spot_case

CLASSES = (MaskClass(value=3, name="upper", color="#111111"), MaskClass(value=7, name="lower", color="#222222"))
#: 8-bit pixels arrive as they are: value / 255.
PLAIN = Intensity(channels=1, mean=(0.0,), std=(1.0,))


def oct_case(labels, pixels=None, *, name="a", rgb=False):
    """A case of a B-scan or volume whose every pixel says where it is."""
    if pixels is None:
        pixels = (np.arange(labels.size) % 251).astype(np.uint8).reshape(labels.shape)
    if rgb:
        image = Image(levels=(np.stack([pixels] * 3, axis=-1),), axes="zyxc"[-labels.ndim - 1 :], rgb=True, name=name)
    else:
        image = Image(levels=(pixels,), axes="zyx"[-labels.ndim :], name=name)
    return replace(spot_case(0), case=name, load_image=lambda: image, load_labels=lambda: labels)


def cut(cases, *, width=8, stride=4, height=16, **changes):
    values = {"classes": CLASSES, "width": width, "stride": stride, "height": height, "intensity": PLAIN}
    return WidthWindows(cases, **(values | changes))


@given(st.integers(1, 400), st.integers(1, 80), st.data())
def test_every_column_lies_in_a_window_inside_the_image(length, window, data):
    stride = data.draw(st.integers(1, max(1, window - 1)))
    starts = window_starts(length, window, stride)
    covered = np.zeros(length, bool)
    for start in starts:
        covered[start : start + window] = True
    assert covered.all()
    assert starts[-1] == max(0, length - window)
    assert all(0 < b - a <= stride for a, b in itertools.pairwise(starts))


@given(st.integers(1, 5000))
def test_the_height_is_the_least_power_of_two(rows):
    height = power_of_two(rows)
    assert height >= rows > height // 2 or rows == height == 1
    assert bin(height).count("1") == 1


@settings(max_examples=40)
@given(st.integers(1, 16), st.integers(1, 30), st.integers(0, 20), st.sampled_from([(8, 4), (8, 7), (6, 1)]))
def test_windows_show_the_image_and_know_nothing_of_what_was_added(rows, columns, seed, shape):
    width, stride = shape
    rng = np.random.default_rng(seed)
    labels = rng.choice([0, 3, 7, 255], (rows, columns)).astype(np.uint8)
    labels[0, 0] = 0
    case = oct_case(labels)
    truth = np.select([labels == 3, labels == 7, labels == 0], [1, 2, 0], 255)
    pixels = case.load_image().data
    windows = cut([case], width=width, stride=stride)
    starts = [s for s in window_starts(columns, width, stride) if (labels[:, s : s + width] != 255).any()]
    assert len(windows) == len(starts)
    for index, start in enumerate(starts):
        image, known = windows.window(index)
        inside = truth[:, start : start + width]
        assert image.shape == (1, 16, width)
        np.testing.assert_array_equal(known[:rows, : inside.shape[1]], inside)
        np.testing.assert_allclose(
            image[0, :rows, : inside.shape[1]], pixels[:, start : start + width] / 255, atol=1e-6
        )
        assert (known[rows:] == NOT_LOOKED_AT).all()
        assert (known[:, inside.shape[1] :] == NOT_LOOKED_AT).all()


def test_a_narrow_bscan_is_mirrored_at_its_right_edge():
    pixels = np.arange(4 * 5, dtype=np.uint8).reshape(4, 5)
    image, labels = cut([oct_case(np.zeros((4, 5), np.uint8), pixels)], height=4).window(0)
    np.testing.assert_allclose(image[0, 0] * 255, [0, 1, 2, 3, 4, 3, 2, 1], atol=1e-4)
    assert labels[0].tolist() == [0] * 5 + [255] * 3


def test_added_rows_are_no_brighter_than_the_image():
    rng = np.random.default_rng(0)
    pixels = rng.integers(20, 90, (11, 20)).astype(np.uint8)
    image, _ = cut([oct_case(np.zeros((11, 20), np.uint8), pixels)]).window(1)
    assert image[:, 11:].max() <= image[:, :11].max()
    assert image[:, 11:].min() >= image[:, :11].min()


def test_of_a_volume_the_bscans_with_labels_alone_are_cut():
    labels = np.full((5, 9, 12), NOT_LOOKED_AT, np.uint8)
    labels[1], labels[3, :, 8:] = 3, 7
    case = oct_case(labels)
    windows = cut([case])
    assert labelled_bscans(labels) == (1, 3)
    found = [windows.window(index) for index in range(len(windows))]
    # Of B-scan 3 the window 0..8 is left out: nobody looked at anything in it.
    assert [np.unique(known[:9]).tolist() for _, known in found] == [[1], [1], [2, 255]]
    volume = case.load_image().data
    np.testing.assert_allclose(found[2][0][0, :9] * 255, volume[3, :, 4:12], atol=1e-4)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_grey_coded_as_colour_gives_the_same_windows(dimensions):
    labels = np.zeros((3, 9, 12)[3 - dimensions :], np.uint8)
    grey, colour = cut([oct_case(labels)]), cut([oct_case(labels, rgb=True)])
    for index in range(len(grey)):
        np.testing.assert_allclose(grey.window(index)[0], colour.window(index)[0], atol=1e-6)


def test_a_pass_shows_every_window_once_in_an_order_of_its_own():
    cases = [oct_case(np.zeros((9, n), np.uint8), np.full((9, n), 10 * n, np.uint8), name=str(n)) for n in (9, 17, 20)]
    windows = cut(cases)
    every = sorted(windows.window(index)[0].mean() for index in range(len(windows)))
    n = len(windows)
    passes = [windows.draw(range(start, start + n), 5)[0].mean(axis=(1, 2, 3)) for start in (0, n)]
    for drawn in passes:
        np.testing.assert_allclose(sorted(drawn), every)
    assert not np.array_equal(*passes)


def test_what_is_drawn_follows_from_position_and_seed_however_little_fits_into_memory():
    cases = [oct_case(np.zeros((2, 9, 20), np.uint8), name=str(n)) for n in range(6)]
    kept, read_again = cut(cases), cut(cases, cache_bytes=0)
    whole = kept.draw(range(30), 3)
    for number in (29, 0, 11):
        for one, other in zip(read_again.draw([number], 3), whole, strict=True):
            np.testing.assert_array_equal(one[0], other[number])
    assert (whole[2] == NO_TAG).all()


def test_what_cannot_be_cut_is_refused_in_a_sentence():
    with pytest.raises(DatasetError, match="No training case has labels"):
        cut([oct_case(np.full((9, 12), NOT_LOOKED_AT, np.uint8))])
    with pytest.raises(DatasetError, match=r"'tall' is 20 pixels high, more than the 16"):
        cut([oct_case(np.zeros((20, 12), np.uint8), name="tall")])
    with pytest.raises(DatasetError, match="labels that were drawn on this image"):
        cut([oct_case(np.zeros((9, 12), np.uint8), np.zeros((9, 13), np.uint8))])
    lost = replace(oct_case(np.zeros((9, 12), np.uint8), name="lost"), load_labels=lambda: None)
    with pytest.raises(DatasetError, match="'lost' has lost its labels"):
        cut([lost])


def test_a_case_that_counts_for_several_has_its_windows_that_often_in_a_pass():
    labels = np.full((10, 16), 3, np.uint8)
    once, twice = cut([oct_case(labels)]), cut([replace(oct_case(labels), repeats=2)])
    assert len(twice) == 2 * len(once)
