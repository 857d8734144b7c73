"""Regions of interest: what a tight box becomes, and where it comes from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_medseg.data.regions import (
    RegionRule,
    bounding_box,
    jittered,
    largest_part_box,
    mask_box,
    steps_of,
)
from napari_medseg.structures import Image

sizes = st.lists(st.integers(1, 40), min_size=2, max_size=3)


@st.composite
def boxes(draw):
    """A shape, and a box in it."""
    shape = draw(sizes)
    box = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        box.append((start, draw(st.integers(start + 1, n))))
    return tuple(shape), tuple(box)


def lies_inside(box, shape):
    return all(0 <= start < stop <= n for (start, stop), n in zip(box, shape, strict=True))


@settings(max_examples=200, deadline=None)
@given(
    placed=boxes(),
    margin=st.floats(0, 1),
    margin_mm=st.floats(0, 20),
    proportional=st.booleans(),
    spaced=st.booleans(),
)
def test_a_region_lies_in_the_image_and_holds_its_box(placed, margin, margin_mm, proportional, spaced):
    shape, tight = placed
    rule = RegionRule(margin=margin, margin_mm=margin_mm, proportional=proportional)
    steps = (2.5, 0.7, 0.8)[-len(shape) :] if spaced else None
    region = rule.around(tight, shape, steps)
    assert lies_inside(region, shape)
    assert all(low <= start and stop <= high for (low, high), (start, stop) in zip(region, tight, strict=True))


def test_margins_are_shares_and_millimetres():
    tight, shape = ((40, 50), (40, 60)), (100, 100)
    assert RegionRule(margin=0.1, proportional=False).around(tight, shape, None) == ((39, 51), (38, 62))
    in_mm = RegionRule(margin_mm=5, proportional=False)
    assert in_mm.around(tight, shape, (1.0, 0.5)) == ((35, 55), (30, 70))
    assert in_mm.around(tight, shape, None) == tight


def test_proportional_regions_are_equally_long_in_millimetres():
    rule = RegionRule(proportional=True)
    region = rule.around(((10, 14), (40, 60), (40, 50)), (40, 100, 100), (5.0, 0.5, 0.5))
    assert [stop - start for start, stop in region] == [4, 40, 40]
    # At the end of an image the region moves inside instead of losing its size.
    assert rule.around(((0, 20), (0, 2)), (50, 50), None) == ((0, 20), (0, 20))
    # Without spacing nobody knows what is long in a volume.
    assert rule.around(((1, 2), (3, 9), (3, 9)), (9, 20, 20), None) == ((1, 2), (3, 9), (3, 9))


@settings(max_examples=100, deadline=None)
@given(placed=boxes(), seed=st.integers(0, 99), shift=st.floats(0, 0.5), size=st.floats(0, 0.5))
def test_jitter_stays_in_the_image_and_near_the_box(placed, seed, shift, size):
    shape, tight = placed
    moved = jittered(tight, shape, np.random.default_rng(seed), shift=shift, size=size)
    assert lies_inside(moved, shape)
    for (start, stop), (low, high) in zip(tight, moved, strict=True):
        side = stop - start
        assert abs((high - low) - side) <= side * size + 1
        assert abs((low + high) / 2 - (start + stop) / 2) <= side * (shift + size / 2) + 1.5
    again = jittered(tight, shape, np.random.default_rng(seed), shift=shift, size=size)
    assert again == moved
    assert jittered(tight, shape, np.random.default_rng(seed), shift=0, size=0) == tight


@settings(max_examples=60, deadline=None)
@given(
    labels=arrays(np.uint8, st.tuples(st.integers(1, 6), st.integers(1, 6)), elements=st.sampled_from([0, 1, 2, 255]))
)
def test_the_box_of_a_mask_is_that_of_its_values(labels):
    for values, wanted in ((None, (labels == 1) | (labels == 2)), ([2], labels == 2)):
        where = np.argwhere(wanted)
        box = tuple(zip(where.min(axis=0), where.max(axis=0) + 1, strict=True)) if len(where) else None
        assert mask_box(labels, values) == box == bounding_box(wanted)


@settings(max_examples=60, deadline=None)
@given(mask=arrays(bool, (3, 6, 6)))
def test_the_largest_part_is_that_of_scikit_image(mask):
    from skimage.measure import label, regionprops

    parts = regionprops(label(mask, connectivity=1))
    found = largest_part_box(mask.astype(np.uint8))
    if not parts:
        assert found is None
        return
    most = max(part.area for part in parts)
    assert found in [tuple(zip(part.bbox[:3], part.bbox[3:], strict=True)) for part in parts if part.area == most]


@pytest.mark.parametrize(
    ("spacing", "units", "steps"),
    [
        ((0.5, 2.0), ("millimeter", "millimeter"), (0.5, 2.0)),
        ((500.0, 2000.0), ("micrometer", "micrometer"), (0.5, 2.0)),
        ((1.0, 2.0), ("pixel", "millimeter"), None),
        (None, None, None),
    ],
)
def test_steps_are_millimetres_or_not_known(spacing, units, steps):
    image = Image(levels=(np.zeros((4, 4)),), axes="yx", spacing=spacing, units=units)
    assert steps_of(image) == (None if steps is None else pytest.approx(steps))
