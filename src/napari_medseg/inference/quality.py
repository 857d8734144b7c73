"""How good a result will be before anybody has looked: calibrated on validation cases, kept in the model file.

For drawings: if its probabilities were true, a model could tell the expected Dice of its own drawing
(`Doubt.expected_dice`). They never quite are, so a straight line from that figure to the Dice that people measured is
fitted to validation cases. For tags: the probability of the answer at the temperature that fits the validation cases
(`napari_medseg.inference.calibration`). For images unlike those of the training: how far the network's mean features
lie from theirs (Mahalanobis distance in the directions in which these vary most, Lee et al. 2018, arXiv:1807.03888, and
what lies outside of these directions), against the distances of validation cases.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.inference.calibration import at_temperature
from napari_medseg.inference.impressions import Impression
from napari_medseg.io.model_file import FeatureSpace, QualityCard, QualityLine

Floats = npt.NDArray[np.float64]

#: Fewest validation cases that a line is fitted to, and fewest training cases that span a space of features.
FEWEST = 6
#: Directions of features that are kept at most.
_DIRECTIONS = 8
#: Share of images like the training's that may be called unlike it.
_FALSE_ALARMS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What is expected of a result.

    Parameters
    ----------
    dice, dice_interval
        Expected mean Dice, and within which bounds 90 % of cases lie; None where nothing is drawn, or nothing was
        calibrated.
    right
        Probability that the tag is right; None likewise.
    distance
        Distance of the image's features from the training's over the largest that counts as like them: above 1 is
        unlike; None where it is not known.
    """

    dice: float | None = None
    dice_interval: tuple[float, float] | None = None
    right: float | None = None
    distance: float | None = None

    @property
    def is_unlike(self) -> bool:
        """Whether the image is unlike those that the model learned from."""
        return self.distance is not None and self.distance > 1.0

    @property
    def worst_first(self) -> float:
        """For sorting: images unlike the training's first, then by what is expected, the least first."""
        known = [value for value in (self.dice, self.right) if value is not None]
        return (min(known) if known else 1.0) - (1.0 if self.is_unlike else 0.0)


def score_of(impression: Impression) -> float:
    """What the line is laid over: mean expected Dice of the classes that were drawn; 0 where none was."""
    if impression.doubt is None:
        return float("nan")
    expected = impression.doubt.expected_dice
    known = expected[~np.isnan(expected)]
    return float(known.mean()) if known.size else 0.0


def fit_line(scores: Sequence[float], dice: Sequence[float], groups: Sequence[str]) -> QualityLine | None:
    """The line from scores to Dice, never falling; its spread is that of cases of groups it was not fitted to.

    Returns
    -------
    None with fewer than `FEWEST` cases or two groups.
    """
    x, y = np.asarray(scores, np.float64), np.asarray(dice, np.float64)
    names = sorted(set(groups))
    if len(x) < FEWEST or len(names) < 2:
        return None
    slope, offset = _line(x, y)
    of_group = np.array([names.index(group) for group in groups])
    left_out = np.empty(len(x))
    for number in range(len(names)):
        others = of_group != number
        a, b = _line(x[others], y[others])
        left_out[~others] = np.clip(a * x[~others] + b, 0.0, 1.0) - y[~others]
    spread = float(np.sqrt(np.mean(left_out**2)))
    return QualityLine(slope=slope, offset=offset, spread=spread, cases=len(x), groups=len(names))


def _line(x: Floats, y: Floats) -> tuple[float, float]:
    """Least squares with a slope of 0 or more."""
    centred = x - x.mean()
    scale = float((centred**2).sum())
    slope = max(0.0, float((centred * y).sum()) / scale) if scale > 1e-12 else 0.0
    return slope, float(y.mean() - slope * x.mean())


def fit_space(training: Floats, validation: Floats) -> FeatureSpace | None:
    """Where the features of the training's images lie, and from which distance on an image is unlike them.

    Parameters
    ----------
    training, validation
        (cases, channels); the limit is set on the latter.

    Returns
    -------
    None with too few cases.
    """
    if len(training) < FEWEST or len(validation) < FEWEST:
        return None
    mean = training.mean(axis=0)
    _, sizes, directions = np.linalg.svd(training - mean, full_matrices=False)
    kept = min(_DIRECTIONS, len(training) // 3)
    variances = sizes**2 / max(1, len(training) - 1)
    rest = float(variances[kept:].sum()) + 1e-12
    space = FeatureSpace(
        mean=tuple(mean.tolist()),
        directions=tuple(tuple(row) for row in directions[:kept].tolist()),
        # Few cases make the smallest variances too small: each is pulled towards the mean of all.
        variances=tuple((0.9 * variances[:kept] + 0.1 * variances.mean() + 1e-12).tolist()),
        rest=rest,
        limit=1.0,
        cases=len(training),
    )
    distances = np.sort([distance_in(space, each) for each in validation])
    # The smallest limit that, by the cases seen, at most one in twenty images like these exceeds (split conformal).
    place = min(len(distances) - 1, math.ceil((len(distances) + 1) * (1 - _FALSE_ALARMS)) - 1)
    return space.model_copy(update={"limit": float(distances[place])})


def distance_in(space: FeatureSpace, features: Floats) -> float:
    """Mahalanobis distance of features (channels,) within the directions kept, and what lies outside of them."""
    apart = np.asarray(features, np.float64) - np.asarray(space.mean)
    along = np.asarray(space.directions) @ apart
    outside = float((apart**2).sum() - (along**2).sum())
    return float(np.sqrt((along**2 / np.asarray(space.variances)).sum() + max(0.0, outside) / space.rest))


def quality_of(impression: Impression, card: QualityCard) -> Quality:
    """What is to be expected of a result, by the impression of it."""
    dice, interval = None, None
    if card.line is not None and impression.doubt is not None:
        middle = card.line.offset + card.line.slope * score_of(impression)
        dice = float(np.clip(middle, 0.0, 1.0))
        half = 1.645 * card.line.spread
        interval = (float(np.clip(middle - half, 0.0, 1.0)), float(np.clip(middle + half, 0.0, 1.0)))
    right = None
    if card.temperature is not None and len(impression.tag_probabilities) > 1:
        chances = np.array([[*impression.tag_probabilities.values()]])
        right = float(at_temperature(chances, card.temperature).max())
    distance = None
    if card.space is not None and impression.features is not None:
        if len(impression.features) == len(card.space.mean):
            distance = distance_in(card.space, impression.features) / max(card.space.limit, 1e-12)
    return Quality(dice=dice, dice_interval=interval, right=right, distance=distance)
