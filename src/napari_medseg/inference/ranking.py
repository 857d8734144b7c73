"""Which case is labelled next: strategies that put cases in order by what a model says of them.

ClaSP-PE follows the description by Lüth, Traub et al. 2026 (arXiv:2601.13677): two thirds of the places are shared out
evenly among the classes, each class choosing by the entropy of the pixels that were given it; the others go by the
entropy of all pixels. Scores are put on a logarithmic scale and noise is added to them (Gumbel, as in Kirsch et al.
2021, arXiv:2106.12059: taking the first then draws in proportion to a power of the score); the noise is wide in the
beginning, when a model's doubts say little, and decays as labels come in. The power runs from 1 to 100 here; the
authors' patches of volumes are whole cases.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ConfigError
from napari_medseg.inference.impressions import Doubt, Impression

Floats = npt.NDArray[np.float64]
Strategy = Literal["random", "foreground-random", "entropy", "disagreement", "clasp"]

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
#: Share of the places that classes choose, in `clasp` and `foreground-random`.
CLASS_SHARE = 0.66
#: The power of the score at the first and at the last label.
_FIRST_POWER, _LAST_POWER = 1.0, 100.0
#: Smallest score that has a logarithm.
_LEAST = 1e-6
#: A class counts as drawn in a case from this share of the pixels on.
_DRAWN = 1e-4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A case in its place; `reason` says in a few words why it stands there."""

    case: str
    score: float
    reason: str


def rank(
    impressions: Sequence[Impression],
    strategy: Strategy,
    *,
    class_names: Sequence[str] = (),
    progress: float = 0.0,
    seed: int = 0,
) -> list[Ranked]:
    """Put cases in the order in which they should be labelled.

    Parameters
    ----------
    impressions
        What the model says of every unlabelled case; for ``random`` only names count.
    class_names
        Of the mask classes, in the order of `Doubt.by_class`.
    progress
        How much of the labelling is done, 0 to 1: the noise of ``clasp`` decays with it.
    seed
        Of every random choice.

    Raises
    ------
    ConfigError
        The strategy needs what the model does not say.
    """
    rng = np.random.default_rng(seed)
    if strategy == "random" or not impressions:
        return [_of(impressions[i], np.nan, "drawn at random") for i in rng.permutation(len(impressions))]
    if strategy == "entropy":
        return _sorted(impressions, [each.entropy for each in impressions], "the model is unsure")
    if strategy == "disagreement":
        values = [each.disagreement for each in impressions]
        if np.isnan(values).all():
            raise ConfigError("The model has no two opinions that could differ: choose another strategy, e.g. entropy.")
        return _sorted(impressions, values, "two opinions differ")
    if strategy == "foreground-random":
        return _foreground_random(impressions, class_names, rng)
    return _clasp(impressions, class_names, progress, rng)


def rank_places(doubts: Sequence[Doubt], strategy: Strategy, seed: int = 0) -> list[int]:
    """Slices of a stack, or regions of a slide, in the order in which they should be labelled.

    Random strategies draw; ``foreground-random`` draws those first in which something was found. The others go by
    entropy.
    """
    rng = np.random.default_rng(seed)
    if strategy == "random":
        return [int(i) for i in rng.permutation(len(doubts))]
    if strategy == "foreground-random":
        found = np.array([each.shares.max(initial=0.0) > _DRAWN for each in doubts], bool)
        return [int(i) for i in np.lexsort((rng.random(len(doubts)), ~found))]
    return [int(i) for i in np.argsort([-each.entropy for each in doubts], kind="stable")]


def _of(impression: Impression, score: float, reason: str) -> Ranked:
    return Ranked(case=impression.case, score=float(score), reason=reason)


def _sorted(impressions: Sequence[Impression], scores: Sequence[float], reason: str) -> list[Ranked]:
    """Highest score first, unknown scores last."""
    values = np.nan_to_num(np.asarray(scores, np.float64), nan=-np.inf)
    return [_of(impressions[i], scores[i], reason) for i in np.argsort(-values, kind="stable")]


def _foreground_random(
    impressions: Sequence[Impression], class_names: Sequence[str], rng: np.random.Generator
) -> list[Ranked]:
    """Two thirds of the places: a class at random, then a case at random in which the model draws it."""
    if any(each.doubt is None for each in impressions):
        # A model that only classifies: its tags are what can be balanced.
        return _by_tag_at_random(impressions, rng)
    drawn = np.stack([each.doubt.shares > _DRAWN for each in impressions if each.doubt is not None])
    left, ranked = list(range(len(impressions))), []
    while left:
        classes = np.flatnonzero(drawn[left].any(axis=0))
        if classes.size and rng.random() < CLASS_SHARE:
            chosen = int(rng.choice(classes))
            place = int(rng.choice([i for i in left if drawn[i, chosen]]))
            reason = f"drawn at random among those with {class_names[chosen]}"
        else:
            place, reason = int(rng.choice(left)), "drawn at random"
        left.remove(place)
        ranked.append(_of(impressions[place], np.nan, reason))
    return ranked


def _by_tag_at_random(impressions: Sequence[Impression], rng: np.random.Generator) -> list[Ranked]:
    tags = [max(p, key=p.__getitem__) if (p := each.tag_probabilities) else "" for each in impressions]
    left, ranked = list(range(len(impressions))), []
    while left:
        tag = str(rng.choice(sorted({tags[i] for i in left})))
        place = int(rng.choice([i for i in left if tags[i] == tag]))
        left.remove(place)
        ranked.append(_of(impressions[place], np.nan, f"drawn at random among those taken for {tag}"))
    return ranked


def _clasp(
    impressions: Sequence[Impression], class_names: Sequence[str], progress: float, rng: np.random.Generator
) -> list[Ranked]:
    """Classes choose in turn by their own entropy, every third place goes by the entropy of all."""
    overall = np.array([each.entropy for each in impressions])
    by_class = np.array([each.doubt.by_class for each in impressions if each.doubt is not None])
    if len(by_class) < len(impressions):
        by_class = np.empty((len(impressions), 0))
    power = _FIRST_POWER * (_LAST_POWER / _FIRST_POWER) ** float(np.clip(progress, 0.0, 1.0))
    noisy = [_with_noise(column, power, rng) for column in (*by_class.T, overall)]
    turns = list(rng.permutation(by_class.shape[1]))
    left, ranked, owed = set(range(len(impressions))), [], 0.0
    while left:
        owed += CLASS_SHARE
        column = by_class.shape[1]
        reason, scores = "the model is unsure", overall
        if owed >= 1.0 and turns:
            owed -= 1.0
            turns.append(turns.pop(0))
            if any(not np.isneginf(noisy[turns[-1]][i]) for i in left):
                column = int(turns[-1])
                reason, scores = f"the model is unsure of {class_names[column]}", by_class[:, column]
        place = max(sorted(left), key=lambda i: noisy[column][i])
        left.remove(place)
        ranked.append(_of(impressions[place], scores[place], reason))
    return ranked


def _with_noise(scores: Floats, power: float, rng: np.random.Generator) -> Floats:
    """Logarithm of the scores with Gumbel noise of scale 1 / power; minus infinity where a score is unknown."""
    noise = rng.gumbel(0.0, 1.0 / power, len(scores))
    known = ~np.isnan(scores)
    return np.where(known, np.log(np.clip(np.where(known, scores, 1.0), _LEAST, None)) + noise, -np.inf)
