"""The order of layers in predicted or painted labels: counted, and repaired with as few changed pixels as can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.surfaces import Labels, ranks_of_labels


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRepair:
    """Labels in order, and what that took.

    Parameters
    ----------
    labels
        uint8, shaped as they came.
    changed_columns
        Share of columns in which a pixel was changed, of those that hold a layer.
    changed_pixels
        How many pixels were changed.
    violations_before, violations_after
        Columns out of order (`count_violations`); afterwards there are none.
    """

    labels: Labels
    changed_columns: float
    changed_pixels: int
    violations_before: int
    violations_after: int


def count_violations(labels: Labels, pile: Sequence[int]) -> int:
    """Columns in which a pixel of a layer lies above a pixel of an upper layer.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x).
    pile
        Label values of the layers from top to bottom.
    """
    return sum(int(_out_of_order(bscan, pile).sum()) for bscan in _bscans(labels))


def repair_order(labels: Labels, pile: Sequence[int]) -> OrderRepair:
    """Put the layers of every column in order, changing the fewest pixels.

    What the pile does not name (areas, 255) keeps its place and value. The cuts between the layers are found by dynamic
    programming down the pile: the most pixels that can keep their value, given where the last layer so far ends. Each
    cut is looked for at or below the one before, so the result is in order by construction; a column in order is not
    changed.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x); not changed.
    pile
        Label values of the layers from top to bottom.

    Examples
    --------
    >>> repair_order(np.array([[0, 1, 2, 1, 1, 2]], np.uint8).T, (0, 1, 2)).labels.T.tolist()
    [[0, 1, 1, 1, 1, 2]]
    """
    repaired = labels.copy()
    before = 0
    for bscan in _bscans(repaired):
        wrong = _out_of_order(bscan, pile)
        before += int(wrong.sum())
        if wrong.any():
            bscan[:, wrong] = _ordered(bscan[:, wrong], pile)
    different = repaired != labels
    layered = np.isin(labels, list(pile)).any(axis=-2)
    return OrderRepair(
        labels=repaired,
        changed_columns=float(different.any(axis=-2).sum() / max(layered.sum(), 1)),
        changed_pixels=int(different.sum()),
        violations_before=before,
        violations_after=count_violations(repaired, pile),
    )


def _bscans(labels: Labels) -> Labels:
    """The B-scans of an array, (z, y, x); a view."""
    return labels[None] if labels.ndim == 2 else labels


def _out_of_order(bscan: Labels, pile: Sequence[int]) -> npt.NDArray[np.bool_]:
    ranks = ranks_of_labels(bscan, pile)
    if pile[0] == pile[-1]:
        # A background that stands at both ends is in order exactly where it is not between two layers.
        inner = (ranks > 0) & (bscan != pile[0])
        above = np.maximum.accumulate(inner, axis=0)
        below = np.maximum.accumulate(inner[::-1], axis=0)[::-1]
        enclosed = (bscan == pile[0]) & above & below
        ranks = np.where(inner, ranks, -1)
    else:
        enclosed = np.zeros(bscan.shape, bool)
    upper = (ranks >= 0) & (ranks < np.maximum.accumulate(ranks, axis=0))
    wrong: npt.NDArray[np.bool_] = (upper | enclosed).any(axis=0)
    return wrong


def _ordered(bscan: Labels, pile: Sequence[int]) -> Labels:
    """Columns (y, x) in order."""
    height, width = bscan.shape
    counts = np.zeros((len(pile), height + 1, width), np.int32)  # pixels of each layer above each cut
    np.cumsum(np.asarray(pile)[:, None, None] == bscan, axis=1, out=counts[:, 1:])
    # kept[k]: most pixels above a cut that keep their value when layer k ends there.
    begins = np.zeros((len(pile), height + 1, width), np.int32)  # best gain of beginning layer k at or above a cut
    kept = counts[0]
    for k in range(1, len(pile)):
        begins[k] = np.maximum.accumulate(kept - counts[k], axis=0)
        kept = begins[k] + counts[k]
    ranks = np.zeros((height, width), np.intp)
    end = np.full(width, height)
    pixel = np.arange(height)[:, None]
    for k in range(len(pile) - 1, 0, -1):
        best = np.take_along_axis(begins[k], end[None], axis=0)
        start = (begins[k] == best).argmax(axis=0)  # the highest cut with the best gain
        ranks += pixel >= start
        end = start
    layers = np.asarray(pile, np.uint8)[ranks]
    return np.where(np.isin(bscan, list(pile)), layers, bscan)
