from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.painted_counts import PaintedCounts
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.slide_window import (
    SlideWindow,
    contains,
    downsample_near,
    offered_downsamples,
    usual_downsample,
    window_around,
    window_in_middle,
)
from napari_medseg.structures import Box, Image

SIDE, STEP = 4096, 512


def span(n: int, longest: int) -> st.SearchStrategy[tuple[int, int]]:
    """A part of an axis of n pixels."""
    return st.integers(0, n - 1).flatmap(
        lambda start: st.integers(start + 1, min(n, start + longest)).map(lambda stop: (start, stop))
    )


@given(
    shape=st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)),
    data=st.data(),
)
def test_a_window_holds_every_view_that_is_not_too_large(shape: tuple[int, int], data: st.DataObject) -> None:
    view = tuple(data.draw(span(n, SIDE - STEP)) for n in shape)
    box = window_around(view, shape, STEP, SIDE)
    assert box is not None
    assert contains(box, view)
    assert contains(tuple((0, n) for n in shape), box)
    for (start, stop), n in zip(box, shape, strict=True):
        assert start % STEP == 0
        assert stop - start <= SIDE
        assert stop % STEP == 0 or stop == n


@given(shape=st.tuples(st.integers(1, 30_000), st.integers(1, 30_000)), data=st.data())
def test_a_larger_view_has_a_window_that_holds_it_or_none(shape: tuple[int, int], data: st.DataObject) -> None:
    view = tuple(data.draw(span(n, n)) for n in shape)
    box = window_around(view, shape, STEP, SIDE)
    longest = max(stop - start for start, stop in view)
    assert box is None or contains(box, view)
    assert (box is None) <= (longest > SIDE - STEP)
    assert (box is not None) <= (longest <= SIDE)


def test_the_view_lies_in_the_middle_of_the_window() -> None:
    box = window_around(((10_000, 10_800), (5000, 6000)), (20_000, 25_000), STEP)
    assert box is not None
    for (start, stop), middle in zip(box, (10_400, 5500), strict=True):
        assert abs((start + stop) / 2 - middle) <= STEP / 2


def make_image(shape: tuple[int, int], micrometers: float | None) -> Image:
    # A level that takes no memory.
    image = Image(levels=(np.broadcast_to(np.uint8(0), shape),), axes="yx")
    if micrometers is None:
        return image
    return replace(image, spacing=(micrometers, micrometers), units=("micrometer", "micrometer"))


def test_slides_are_painted_at_about_a_micrometer() -> None:
    shape = (80_000, 100_000)
    sizes = [usual_downsample(make_image(shape, each)) for each in (0.1, 0.2499, 0.25, 0.5, 0.46, 1.0, 4.0)]
    assert sizes == [8, 4, 4, 2, 2, 1, 1]
    assert usual_downsample(make_image(shape, None)) == 4
    assert usual_downsample(make_image((3000, 2000), None)) == 1
    assert downsample_near(make_image(shape, 0.25), 0.5) == 2
    assert downsample_near(make_image(shape, None), 8) == 8
    assert offered_downsamples(shape) == (1, 2, 4, 8, 16, 32, 64)
    assert offered_downsamples((500, 3000)) == (1, 2)


def test_a_window_is_saved_in_its_place_on_the_slide(tmp_path: Path) -> None:
    master = SlideMaster(tmp_path / "a.zarr", (5000, 4200), 1, case="a")
    window = SlideWindow(master, window_in_middle(master.shape, STEP))
    box: Box = ((100, 102), (600, 603))
    window.write_box(box, np.full((2, 3), 7, np.uint8))
    corner = [start for start, _ in window.box]
    found = np.argwhere(master.read() == 7)
    assert [tuple(row) for row in found[[0, -1]] - corner] == [(100, 600), (101, 602)]
    assert (window.read()[100:102, 600:603] == 7).all()
    assert window.within(window.on_slide(box)) == box
    assert window.within(((0, 1), (0, 1))) is None


def test_counts_are_those_of_the_whole_slide_with_the_window_as_it_is_in_memory(tmp_path: Path) -> None:
    master = SlideMaster(tmp_path / "a.zarr", (1600, 1700), 1, case="a")
    truth = np.full(master.shape, 255, np.uint8)
    counts = PaintedCounts(master)
    window = SlideWindow(master, ((0, 1024), (0, 1024)))
    rng = np.random.default_rng(0)
    for box in [((100, 900), (100, 900)), ((1500, 1600), (1600, 1700)), ((1000, 1100), (1000, 1100))]:
        part = tuple(slice(*side) for side in box)
        truth[part] = rng.integers(0, 3, truth[part].shape)
        master.write(box, truth[part])
    for place in (((0, 1024), (0, 1024)), ((512, 1536), (512, 1536)), ((0, 1024), (0, 1024))):
        window.box = place
        part = tuple(slice(*side) for side in place)
        # Not saved yet.
        truth[place[0][0] + 5, place[1][0] + 5 : place[1][0] + 50] = 2
        found = counts.with_window(window, np.bincount(truth[part].ravel(), minlength=256))
        np.testing.assert_array_equal(found, np.bincount(truth.ravel(), minlength=256))
        master.write(place, np.ascontiguousarray(truth[part]))
    elsewhere: Box = ((1100, 1300), (1100, 1300))
    truth[tuple(slice(*side) for side in elsewhere)] = 3
    master.write(elsewhere, np.full((200, 200), 3, np.uint8))
    counts.forget(elsewhere)
    found = counts.with_window(window, np.bincount(truth[:1024, :1024].ravel(), minlength=256))
    np.testing.assert_array_equal(found, np.bincount(truth.ravel(), minlength=256))
