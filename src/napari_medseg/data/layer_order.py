"""Whether layers lie in masks as a data set declares them, from top to bottom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.data.layers import layer_names
from napari_medseg.data.retina import BACKGROUND_WORD
from napari_medseg.structures import ArrayLike, DatasetInfo

#: B-scans of a volume that are looked at: an order that is declared wrongly shows in any of them.
_MOST_BSCANS = 9

Votes = npt.NDArray[np.int64]


def layer_values(info: DatasetInfo) -> list[int]:
    """Label values of the declared layers from top to bottom, without the background; empty without layers."""
    value_of = {c.name: c.value for c in info.classes}
    return [value_of[name] for name in layer_names(info.surfaces) if name in value_of]


def layer_votes(labels: ArrayLike, values: Sequence[int]) -> Votes:
    """In how many columns one layer begins and ends above where another one does.

    A class that stands on both sides of another, as what lies around the retina may, counts neither as above nor as
    below it.

    Parameters
    ----------
    labels
        Integer ([bscan,] y, x); of a volume some B-scans are looked at, evenly spread.
    values
        Of the layers.

    Returns
    -------
    (layers, layers), the first index the upper one, in the order of `values`

    Examples
    --------
    >>> layer_votes(np.array([[2, 0], [1, 1]]), [1, 2]).tolist()
    [[0, 0], [1, 0]]
    """
    votes = np.zeros((len(values), len(values)), np.int64)
    for bscan in _some_bscans(labels) if len(values) > 1 else ():
        ends = np.stack([_ends(bscan, value) for value in values])
        # Where a layer is missing its rows are NaN, for which no comparison holds.
        votes += (ends[:, None] < ends[None]).all(axis=2).sum(axis=2)
    return votes


def _some_bscans(labels: ArrayLike) -> Iterator[npt.NDArray[np.integer]]:
    if len(labels.shape) == 2:
        yield np.asarray(labels[...])
        return
    for index in np.unique(np.linspace(0, labels.shape[0] - 1, _MOST_BSCANS).round().astype(int)):
        yield np.asarray(labels[int(index)])


def _ends(bscan: npt.NDArray[np.integer], value: int) -> npt.NDArray[np.float32]:
    """First and last row of a value, float32 (2, x); NaN where it is missing."""
    there = bscan == value
    ends = np.stack([there.argmax(axis=0), len(bscan) - 1 - there[::-1].argmax(axis=0)]).astype(np.float32)
    return np.where(there.any(axis=0), ends, np.float32(np.nan))


def order_fault(votes: Votes, info: DatasetInfo) -> str:
    """What masks say against the declared order of layers, as a clause; empty where they agree with it.

    They contradict it where the lower one of two layers lies above the upper one in most columns that hold both.

    Parameters
    ----------
    votes
        Of one mask or summed over several, as `layer_votes` counts them for `layer_values` of `info`.
    """
    # Entry [lower, upper] of two layers out of order: in how many columns they are so.
    wrong = np.where(votes > votes.T, np.tril(votes), 0)
    if not wrong.any():
        return ""
    layers = layer_names(info.surfaces)
    named = [name for name in layers if name != BACKGROUND_WORD]
    lower, upper = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    both = int(votes[lower, upper] + votes[upper, lower])
    return (
        f"'{named[lower]}' lies above '{named[upper]}' in {int(wrong[lower, upper])} of {both} columns, so the layers "
        f"from top to bottom are {','.join(_right_order(votes, layers))}"
    )


def _right_order(votes: Votes, layers: Sequence[str]) -> list[str]:
    """Layers as masks show them: one lies the higher, the more others it lies above in most columns.

    Layers that no mask holds keep their places among their equals. In a list that stands upside down, the background
    belongs to the other end.
    """
    named = [name for name in layers if name != BACKGROUND_WORD]
    above = (votes > votes.T).sum(axis=1) - (votes < votes.T).sum(axis=1)
    order = np.argsort(-above, kind="stable")
    head = [name for name in layers[:1] if name == BACKGROUND_WORD]
    tail = [name for name in layers[-1:] if name == BACKGROUND_WORD]
    if order[0] > order[-1]:
        head, tail = tail, head
    return [*head, *(named[index] for index in order), *tail]
