"""STAPLE: the labels that several readers most likely meant, and how reliable each reader is.

S. K. Warfield, K. H. Zou, W. M. Wells, "Simultaneous truth and performance level estimation (STAPLE): an algorithm for
the validation of image segmentation", IEEE Transactions on Medical Imaging 23 (2004), for several labels, without a
spatial model. The truth of a pixel is hidden; expectation maximisation alternates between its
probabilities, given how reliable the readers are, and the readers' confusion, given those probabilities.

Every iteration works on the patterns of votes, not on pixels. A reader who did not look at a pixel says nothing of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.consensus import majority_of
from napari_medseg.annotation.votes import Labels, Votes, votes_of
from napari_medseg.structures import NOT_LOOKED_AT

Floats = npt.NDArray[np.float64]

_MOST_ITERATIONS = 500
#: Change of the readers' confusion at which the iteration ends.
_TOLERANCE = 1e-7


@dataclass(frozen=True, slots=True)
class Staple:
    """What STAPLE found.

    Parameters
    ----------
    values
        Label values, in order.
    confusion
        float64 (readers, values, values): probability that a reader says the second where the first is true; NaN for
        a value that is nowhere likely.
    probabilities
        float64 (patterns, values): how likely each value is for each pattern of `votes`.
    votes
        What it was computed from.
    """

    values: tuple[int, ...]
    confusion: Floats
    probabilities: Floats
    votes: Votes

    def labels(self) -> Labels:
        """The most likely value of every pixel, uint8; 255 where nobody looked or two are equally likely."""
        if not self.values:
            return np.full(self.votes.index.shape, NOT_LOOKED_AT, np.uint8)
        best = self.probabilities.max(axis=1, keepdims=True)
        alone = (self.probabilities >= best - 1e-12).sum(axis=1) == 1
        looked = (self.votes.patterns != NOT_LOOKED_AT).any(axis=1)
        values = np.asarray(self.values, np.uint8)[self.probabilities.argmax(axis=1)]
        return np.where(alone & looked, values, np.uint8(NOT_LOOKED_AT))[self.votes.index]

    def probability(self, value: int) -> npt.NDArray[np.float32]:
        """How likely a value is, float32 of the image's shape."""
        column = self.probabilities[:, self.values.index(value)]
        return np.asarray(column.astype(np.float32)[self.votes.index])


def staple(readings: Sequence[Labels]) -> Staple:
    """Estimate what is true and how reliable the readers are.

    It begins with what the majority says. The prior probability of a value is its share of all votes.

    Parameters
    ----------
    readings
        uint8 labels of one shape, at least two; three or more are needed to tell who errs.

    Raises
    ------
    AnnotationError
        As `votes_of`.
    """
    votes = votes_of(readings)
    values = votes.values
    if not values:
        return Staple((), np.zeros((len(readings), 0, 0)), np.zeros((len(votes.counts), 0)), votes)
    said = np.stack([votes.patterns == value for value in values], axis=2)  # (patterns, readers, values)
    weight = votes.counts.astype(np.float64)
    prior = np.einsum("p,prv->v", weight, said)
    prior /= prior.sum()
    confusion = _confusion_of(_first_guess(votes, prior), said, weight)
    for _ in range(_MOST_ITERATIONS):
        probabilities = _expectation(said, confusion, prior)
        updated = _confusion_of(probabilities, said, weight)
        done = np.nanmax(np.abs(updated - confusion)) < _TOLERANCE
        confusion = updated
        if done:
            break
    return Staple(values, confusion, _expectation(said, confusion, prior), votes)


def _first_guess(votes: Votes, prior: Floats) -> Floats:
    """Certainty (patterns, values) where the majority is clear, the prior elsewhere."""
    guess = np.tile(prior, (len(votes.counts), 1))
    one_pixel_each = Votes(votes.patterns, votes.counts, np.arange(len(votes.counts), dtype=np.int32))
    for row, value in enumerate(majority_of(one_pixel_each).tolist()):
        if value != NOT_LOOKED_AT:
            guess[row] = np.asarray(votes.values) == value
    return guess


def _expectation(said: npt.NDArray[np.bool_], confusion: Floats, prior: Floats) -> Floats:
    """Probability (patterns, values) of each value, given the votes: Warfield's equation 20."""
    with np.errstate(divide="ignore"):
        # A value that a reader never says of another one rules it out; one that is nowhere likely stays so.
        told = np.log(np.nan_to_num(confusion, nan=0.0))  # (readers, true, said)
        start = np.log(prior)
    likelihood = np.tile(start, (len(said), 1))
    for reader in range(said.shape[1]):
        rows, values = np.nonzero(said[:, reader])
        likelihood[rows] += told[reader][:, values].T
    highest = likelihood.max(axis=1, keepdims=True)
    weights = np.exp(likelihood - np.where(np.isfinite(highest), highest, 0.0))
    total = weights.sum(axis=1, keepdims=True)
    # Votes that the confusion rules out altogether leave the prior.
    return np.where(total > 0, weights / np.where(total > 0, total, 1.0), prior)


def _confusion_of(probabilities: Floats, said: npt.NDArray[np.bool_], weight: Floats) -> Floats:
    """Confusion (readers, true, said), given the probabilities of what is true: Warfield's equation 24."""
    mass = np.einsum("p,pt,prv->rtv", weight, probabilities, said.astype(np.float64))
    total = mass.sum(axis=2, keepdims=True)
    return np.where(total > 0, mass / np.where(total > 0, total, 1.0), np.nan)
