"""Levels that a file lacks: as in a converted pyramid, computed once, from pieces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_medseg.errors import Cancelled
from napari_medseg.io.halving import halved_by_mean
from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.slide.virtual import VirtualLevel, has_slow_overview, prepare_overview, with_virtual_levels
from napari_medseg.structures import Image


def slide(*sizes: tuple[int, int], axes: str = "yxc", read: list | None = None) -> Image:
    """A slide whose pixel says where it is; `read` collects the blocks that were read of the finest level."""
    levels = []
    for height, width in sizes:

        def load(block, height=height):
            if read is not None and height == sizes[0][0]:
                read.append(block)
            y, x = (np.arange(s.start, s.stop) for s in (block[:2] if axes != "cyx" else block[1:]))
            plane = (y[:, None] * 7 + x * 3 + (y[:, None] // 600) * 11).astype(np.uint8)
            channels = block[2] if axes == "yxc" else block[0]
            stack = [plane + np.uint8(50 * c) for c in range(channels.start, channels.stop)]
            return np.stack(stack, -1 if axes == "yxc" else 0)

        shape = (height, width, 3) if axes == "yxc" else (2, height, width)
        levels.append(LazyArray(shape, np.uint8, load, source="made up"))
    return Image(levels=tuple(levels), axes=axes, rgb=axes == "yxc", kind="slide")


@given(arrays(st.sampled_from([np.uint8, np.uint16]), st.tuples(*[st.integers(1, 9)] * 3)))
def test_halving_integers_is_rounding_the_mean_to_even(pixels):
    even = np.pad(pixels, [(0, 0), (0, pixels.shape[1] % 2), (0, pixels.shape[2] % 2)], mode="edge").astype(float)
    mean = (even[:, ::2, ::2] + even[:, 1::2, ::2] + even[:, ::2, 1::2] + even[:, 1::2, 1::2]) / 4
    assert (halved_by_mean(pixels) == np.round(mean)).all()
    assert halved_by_mean(pixels).dtype == pixels.dtype


@pytest.mark.parametrize("axes", ["yxc", "cyx"])
def test_a_slide_of_one_level_gets_the_levels_of_a_converted_one(axes):
    image = with_virtual_levels(slide((4501, 2300), axes=axes))
    assert [max(level.shape) for level in image.levels] == [4501, 2251, 1126, 563]
    whole = np.asarray(image.levels[0][...])
    for level in image.levels[1:]:
        planes = whole if axes == "cyx" else np.moveaxis(whole, -1, 0)
        planes = halved_by_mean(planes)
        whole = planes if axes == "cyx" else np.moveaxis(planes, 0, -1)
        np.testing.assert_array_equal(np.asarray(level[...]), whole)


def test_gaps_between_stored_levels_are_filled_and_stored_levels_stay():
    stored = slide((16000, 16000), (1000, 1000))
    image = with_virtual_levels(stored)
    assert [level.shape[0] for level in image.levels] == [16000, 8000, 4000, 1000]
    assert [isinstance(level, VirtualLevel) for level in image.levels] == [False, True, True, False]
    assert image.levels[-1] is stored.levels[1]
    assert not has_slow_overview(image)


@pytest.mark.parametrize("axes", ["zyx", "tyx"])
def test_stacks_and_small_pictures_are_left_alone(axes):
    volume = Image(levels=(np.zeros((3, 8, 8)),), axes=axes)
    small = slide((4000, 4000))
    assert with_virtual_levels(volume) is volume
    assert with_virtual_levels(small) is small


def test_looking_at_a_part_reads_that_part_and_looking_again_reads_nothing():
    read: list = []
    image = with_virtual_levels(slide((20_000, 20_000), read=read))
    image.levels[2][100:200, 100:200]
    pixels = sum((b[0].stop - b[0].start) * (b[1].stop - b[1].start) for b in read)
    assert 0 < pixels <= 2048**2
    read.clear()
    image.levels[2][100:200, 100:200]
    assert not read


def test_the_overview_is_computed_once_with_progress_and_can_be_stopped():
    read: list = []
    image = with_virtual_levels(slide((9000, 9000), read=read))
    assert has_slow_overview(image)
    seen: list[int] = []

    def stop(done, total, text):
        seen.append(done)
        if done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        prepare_overview(image, stop)
    seen.clear()
    prepare_overview(image, lambda done, total, text: seen.append(done))
    assert seen == sorted(seen)
    pixels = sum((b[0].stop - b[0].start) * (b[1].stop - b[1].start) for b in read)
    assert pixels == 9000**2
    np.asarray(image.levels[-1][...])
    assert pixels == sum((b[0].stop - b[0].start) * (b[1].stop - b[1].start) for b in read)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2400), st.integers(0, 1100), st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 2, 3]))
def test_any_block_is_the_part_of_the_whole(top, left, height, width, number):
    image, whole = _whole(number)
    key = (slice(top // number, top // number + height), slice(left // number, left // number + width))
    np.testing.assert_array_equal(image.levels[number][key], whole[key])


def _whole(number: int, made: dict = {}) -> tuple[Image, np.ndarray]:  # noqa: B006 - made once for all examples
    if number not in made:
        image = with_virtual_levels(slide((5000, 2300)))
        made[number] = image, np.asarray(image.levels[number][...])
    return made[number]
