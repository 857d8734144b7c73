"""One label image out of several readers' (majority), and where they disagree.

A reader who did not look at a pixel (255) has no vote there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.annotation.votes import Labels, Votes, votes_of
from napari_medseg.structures import NOT_LOOKED_AT, Box


def majority(readings: Sequence[Labels]) -> Labels:
    """What most readers say of every pixel; 255 where several values have equally many votes, or nobody looked.

    Parameters
    ----------
    readings
        uint8 labels of one shape, at least two.

    Raises
    ------
    AnnotationError
        As `votes_of`.

    Examples
    --------
    >>> majority([np.array([1, 1, 0, 255], np.uint8), np.array([1, 2, 0, 2], np.uint8)]).tolist()
    [1, 255, 0, 2]
    """
    return majority_of(votes_of(readings))


def majority_of(votes: Votes) -> Labels:
    """`majority` of votes that were counted before."""
    if not votes.values:
        return np.full(votes.index.shape, NOT_LOOKED_AT, np.uint8)
    tally = votes.tally()
    most = tally.max(axis=1)
    decided = (most > 0) & ((tally == most[:, np.newaxis]).sum(axis=1) == 1)
    values = np.asarray(votes.values, np.uint8)[tally.argmax(axis=1)]
    return np.where(decided, values, np.uint8(NOT_LOOKED_AT))[votes.index]


def disagreement_of(votes: Votes) -> npt.NDArray[np.float32]:
    """Share of the pairs of readers that disagree about a pixel, float32 0 to 1; 0 where fewer than two looked.

    With n readers, of whom n_v say v, it is ``1 - sum(n_v (n_v - 1)) / (n (n - 1))``: one minus the extent of agreement
    of J. L. Fleiss, "Measuring nominal scale agreement among many raters", Psychological Bulletin 76 (1971).
    """
    tally = votes.tally() if votes.values else np.zeros((len(votes.counts), 1), np.int64)
    looked = tally.sum(axis=1)
    agreeing = (tally * (tally - 1)).sum(axis=1)
    pairs = looked * (looked - 1)
    share = np.where(pairs > 0, 1 - agreeing / np.maximum(pairs, 1), 0.0)
    return np.asarray(share.astype(np.float32)[votes.index])


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispute:
    """A connected part of an image about which readers disagree.

    Parameters
    ----------
    box
        ``(start, stop)`` per axis.
    place
        The disputed pixel ([z,] y, x) that lies deepest inside, of the slice that holds most of them.
    pixels
        How many pixels it has.
    strength
        Mean disagreement, 0 to 1.
    """

    box: Box
    place: tuple[int, ...]
    pixels: int
    strength: float


def disputes_of(disagreement: npt.NDArray[np.float32], *, smallest: int = 1) -> tuple[Dispute, ...]:
    """The places that readers must talk about, the largest first.

    Parameters
    ----------
    disagreement
        As `disagreement_of` gives it, ([z,] y, x).
    smallest
        Parts of fewer pixels are left out: outlines by two hands always differ by a pixel.
    """
    parts, count = ndimage.label(disagreement > 0, structure=np.ones((3,) * disagreement.ndim))
    if not count:
        return ()
    found = []
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        mask = parts[place] == number
        pixels = int(np.count_nonzero(mask))
        if pixels < smallest:
            continue
        deepest = _deepest(mask)
        found.append(
            Dispute(
                box=tuple((side.start, side.stop) for side in place),
                place=tuple(int(side.start + i) for side, i in zip(place, deepest, strict=True)),
                pixels=pixels,
                strength=float(disagreement[place][mask].mean()),
            )
        )
    return tuple(sorted(found, key=lambda dispute: -dispute.pixels))


def _deepest(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """The pixel that lies deepest inside, of a volume in the slice with most pixels."""
    outer: tuple[int, ...] = ()
    if mask.ndim == 3:
        outer = (int(mask.sum(axis=(1, 2)).argmax()),)
    plane = mask[outer]
    depth = ndimage.distance_transform_edt(np.pad(plane, 1))[1:-1, 1:-1]
    return (*outer, *(int(i) for i in np.unravel_index(int(depth.argmax()), plane.shape)))
