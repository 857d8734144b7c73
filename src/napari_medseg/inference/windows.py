"""Where windows lie along an axis, and with which weight each pixel of a window counts.

Windows of one axis are evenly spaced, as few as the overlap allows, and no larger than needed::

    length 22, window <= 10, overlap 3:   n = ceil((22 - 3) / (10 - 3)) = 3 windows of ceil((22 + 2 * 3) / 3) = 10
    0         10        20
    |---------|                 starts = 0, 6, 12
          |---------|
                |---------|

Weights are separable (a window's weight is the product of one weight per axis) and sum to one over the windows of an
axis, hence over all windows: sums of weighted logits are weighted means, and no map of counts is ever needed.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.config import WindowConfig

#: Least overlap unless set otherwise, in pixels and as the largest share of a window. On glands (benchmarks/seams.py),
#: 64 of 512 pixels give the same Dice as 128 to the fourth digit, 32 disagree visibly near seams, and windows of 128
#: need their quarter.
DEFAULT_OVERLAP, LARGEST_DEFAULT_SHARE = 64, 0.25
#: Standard deviation of the gaussian weight, as a share of the window.
GAUSSIAN_SIGMA = 0.125


@dataclass(frozen=True, slots=True)
class AxisPlan:
    """Windows along one axis.

    Parameters
    ----------
    length
        Pixels of the axis.
    window
        Pixels of a window; larger than `length` where the axis is shorter than the network's multiple.
    starts
        First pixel of every window.
    spans
        (start, stop) of the pixels to which each window contributes.
    weights
        float32 weights of those pixels per window; over all windows they sum to 1 at every pixel.
    """

    length: int
    window: int
    starts: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    weights: tuple[npt.NDArray[np.float32], ...]


def least_overlap(window: int, config: WindowConfig) -> int:
    """Pixels that neighbouring windows share at least."""
    if config.overlap is None:
        return min(DEFAULT_OVERLAP, int(LARGEST_DEFAULT_SHARE * window))
    return min(round(config.overlap * window), window - 1)


def count_windows(length: int, window: int, overlap: int) -> int:
    """Least number of windows that cover an axis with at least `overlap` common pixels between neighbours."""
    return 1 if length <= window else -(-(length - overlap) // (window - overlap))


def fit_window(length: int, window: int, overlap: int, multiple: int) -> int:
    """The smallest window, a multiple of `multiple`, that covers the axis in no more windows than `window` does."""
    count = count_windows(length, window, overlap)
    needed = -(-(length + (count - 1) * overlap) // count)
    return -(-needed // multiple) * multiple


def plan_axis(length: int, window: int, min_overlap: int) -> tuple[int, ...]:
    """First pixels of evenly spaced windows; the last one ends at the end of the axis.

    Parameters
    ----------
    length
        Pixels of the axis, 1 or more.
    window
        Pixels of a window.
    min_overlap
        Least number of pixels that neighbouring windows share, 0 to window - 1.
    """
    if length <= window:
        return (0,)
    last = count_windows(length, window, min_overlap) - 1
    return tuple(i * (length - window) // last for i in range(last + 1))


def plan_windows(length: int, window: int, multiple: int, config: WindowConfig) -> AxisPlan:
    """Windows along one axis, no larger than `window`, with their weights.

    Parameters
    ----------
    length
        Pixels of the axis, 1 or more.
    window
        Largest window; itself a multiple of `multiple`.
    multiple
        Windows are multiples of this.
    config
        Overlap, and how overlaps are blended.
    """
    assert length >= 1
    assert window % multiple == 0
    overlap = least_overlap(window, config)
    size = fit_window(length, window, overlap, multiple)
    starts = plan_axis(length, size, overlap)
    if config.blend == "crop":
        spans = cut_at_middles(starts, size, length)
    else:
        spans = tuple((start, min(start + size, length)) for start in starts)
    return AxisPlan(length, size, starts, spans, _blend(starts, spans, size, gaussian=config.blend == "gaussian"))


def cut_at_middles(starts: tuple[int, ...], size: int, length: int) -> tuple[tuple[int, int], ...]:
    """Spans that meet in the middle of every overlap, where both windows are equally far from their borders."""
    cuts = [(right + left + size) // 2 for left, right in itertools.pairwise(starts)]
    return tuple(zip([0, *cuts], [*cuts, length], strict=True))


def _blend(
    starts: tuple[int, ...], spans: tuple[tuple[int, int], ...], size: int, *, gaussian: bool
) -> tuple[npt.NDArray[np.float32], ...]:
    """Weight of every pixel of every span, normalised to sum 1 over the windows."""
    profile = np.ones(size)
    if gaussian:
        distance = np.arange(size) - (size - 1) / 2
        profile = np.exp(-0.5 * (distance / (GAUSSIAN_SIGMA * size)) ** 2)
    total = np.zeros(spans[-1][1])
    parts = [profile[low - start : high - start] for start, (low, high) in zip(starts, spans, strict=True)]
    for part, (low, high) in zip(parts, spans, strict=True):
        total[low:high] += part
    return tuple((part / total[low:high]).astype(np.float32) for part, (low, high) in zip(parts, spans, strict=True))
