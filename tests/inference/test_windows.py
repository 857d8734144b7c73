"""Windows along an axis: everything is covered, by as few windows as the overlap allows, with weights that sum to 1."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.config import WindowConfig
from napari_medseg.inference.windows import least_overlap, plan_axis, plan_windows

blends = st.sampled_from(["gaussian", "constant", "crop"])


def greedy_count(length: int, window: int, overlap: int) -> int:
    """Number of windows when each is put as far along as the overlap to the one before allows."""
    end, count = window, 1
    while end < length:
        end += window - overlap
        count += 1
    return count


@given(st.integers(1, 3000), st.integers(1, 400), st.floats(0, 0.99))
def test_starts_cover_the_axis_with_least_windows(length: int, window: int, share: float) -> None:
    overlap = int(share * window)
    starts = plan_axis(length, window, overlap)
    assert starts[0] == 0
    assert len(starts) == greedy_count(length, window, overlap)
    if length > window:
        assert starts[-1] + window == length
        assert all(b - a <= window - overlap for a, b in itertools.pairwise(starts))
        steps = np.diff(starts)
        assert steps.max() - steps.min() <= 1


@given(st.integers(1, 1500), st.integers(1, 12), st.sampled_from([1, 8, 16]), st.floats(0, 0.9), blends)
def test_planned_windows(length: int, blocks: int, multiple: int, share: float, blend: str) -> None:
    largest = blocks * multiple
    plan = plan_windows(length, largest, multiple, WindowConfig(overlap=share, blend=blend))
    overlap = min(round(share * largest), largest - 1)
    assert plan.window % multiple == 0
    assert plan.window <= largest
    assert len(plan.starts) == greedy_count(length, largest, overlap), "a smaller window must not cost more windows"
    assert all(a + plan.window - b >= overlap for a, b in itertools.pairwise(plan.starts))
    sums = np.zeros(length)
    for start, (low, high), weights in zip(plan.starts, plan.spans, plan.weights, strict=True):
        assert start <= low < high <= start + plan.window
        sums[low:high] += weights
    np.testing.assert_allclose(sums, 1.0, rtol=1e-5)


def test_centre_crop_takes_each_pixel_from_the_window_whose_border_is_farther() -> None:
    plan = plan_windows(100, 40, 1, WindowConfig(overlap=0.25, blend="crop"))
    for pixel in range(100):
        margins = [min(pixel - s, s + plan.window - 1 - pixel) for s in plan.starts]
        # The outer border of the image is no border of a window: nothing lies beyond it.
        margins[0] = plan.window - 1 - pixel
        margins[-1] = pixel - plan.starts[-1]
        owner = next(i for i, (low, high) in enumerate(plan.spans) if low <= pixel < high)
        assert margins[owner] >= max(margins) - 1


@pytest.mark.parametrize(("window", "overlap"), [(512, 64), (448, 64), (256, 64), (128, 32), (16, 4), (2, 0), (1, 0)])
def test_overlap_by_default(window: int, overlap: int) -> None:
    assert least_overlap(window, WindowConfig()) == overlap


def test_one_window_counts_fully() -> None:
    plan = plan_windows(30, 64, 16, WindowConfig(overlap=0.25, blend="gaussian"))
    assert (plan.window, plan.starts, plan.spans) == (32, (0,), ((0, 30),))
    np.testing.assert_array_equal(plan.weights[0], 1.0)
