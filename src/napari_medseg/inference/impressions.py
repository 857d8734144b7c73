"""How sure a model is of an image that nobody labelled: what the next label and the quality of a result follow from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset_file import EMPTY
from napari_medseg.inference.engine import predict
from napari_medseg.inference.predictor import Predictor
from napari_medseg.inference.probing import FeatureProbe
from napari_medseg.models.compute import Compute
from napari_medseg.structures import Box, Image, Prediction

Floats = npt.NDArray[np.float64]

#: Share of the slices of a stack that decide for all of it: the few that are worst, not the many that show nothing.
_WORST_SHARE = 0.1
#: Pixels whose entropy is computed at a time.
_BLOCK = 2**22
#: Share of the likeliest pixels of a class that say how sure the model is that the class is there at all.
_LIKELIEST = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """How unsure a model is of one picture, or one slice of a stack.

    Parameters
    ----------
    entropy
        Mean entropy of the pixels' classes, 0 (sure) to 1 (all classes alike); NaN where nothing is drawn.
    by_class
        (classes,) the same over the pixels that were given each class; NaN where a class was not drawn.
    shares
        (classes,) share of the pixels that were given each class.
    presence
        (classes,) mean probability of each class over its likeliest hundredth of the pixels.
    confidence
        Mean probability of what was drawn, over the pixels of all classes but the background; NaN where there are none.
    overlap
        (classes, 3) sums over the pixels: of the class's probability where it was drawn, of the pixels where it was
        drawn, of its probability anywhere.
    """

    entropy: float
    by_class: Floats
    shares: Floats
    presence: Floats
    confidence: float
    overlap: Floats

    @property
    def expected_dice(self) -> Floats:
        """(classes,) the Dice that each drawn class would have if the probabilities were true; NaN where none is drawn.

        The expected hits, twice, over the pixels drawn and those expected: a ratio of expectations.
        """
        hit, drawn, chance = self.overlap.T
        return np.asarray(np.divide(2 * hit, drawn + chance, out=np.full(len(hit), np.nan), where=drawn > 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Impression:
    """What a model says of a case.

    Parameters
    ----------
    case, group
        Of the table.
    doubt
        Of the picture; of a stack the mean over its worst tenth of slices.
    slices
        Of every slice of a stack; empty for a single picture.
    tag_probabilities
        By tag or grade; empty where the model does not classify.
    disagreement
        How far two opinions on the case differ, 0 to 1; NaN where that was not asked.
    features
        (channels,) of the network's deepest map; None where there is none.
    regions
        Of a slide: the boxes (y, x) that `slices` are about, in level-0 pixels.
    """

    case: str
    group: str
    doubt: Doubt | None
    slices: tuple[Doubt, ...]
    tag_probabilities: Mapping[str, float]
    disagreement: float = float("nan")
    features: Floats | None = None
    regions: tuple[Box, ...] = ()

    @property
    def tag_entropy(self) -> float:
        """Entropy of the tags, 0 to 1; NaN without tags."""
        if len(self.tag_probabilities) < 2:
            return float("nan")
        return float(normalised_entropy(np.array([*self.tag_probabilities.values()]))[()])

    @property
    def entropy(self) -> float:
        """How unsure the model is of all it says of the case, 0 to 1: the mean of what there is of pixels and tags."""
        known = [self.doubt.entropy] if self.doubt is not None else []
        return float(np.nanmean([*known, *([self.tag_entropy] if len(self.tag_probabilities) > 1 else [])]))


def impression_of(
    predictor: Predictor,
    image: Image,
    compute: Compute,
    *,
    case: str = "",
    group: str = "",
    region: Box | None = None,
    implies: Mapping[str, str] | None = None,
    second_opinion: bool = False,
) -> Impression:
    """Predict an image and keep how sure the model was.

    Parameters
    ----------
    region
        What a model that judges one region is asked about.
    implies
        What drawn classes say of the tag (`DatasetInfo.implies`), for `second_opinion`.
    second_opinion
        Also find the disagreement: between classifier and segmenter where `implies` says how one contradicts the
        other, else between the predictions of the image and of its mirror image.
    """
    probe = FeatureProbe(predictor)
    drawn = bool(predictor.classes) and not predictor.marks_region
    prediction = predict(probe.predictor, image, region=region, probabilities=drawn, compute=compute)
    found = impression_from(prediction, case=case, group=group, features=probe.features())
    if not second_opinion:
        return found
    between = disagreement_of_tag(found, predictor, implies or {})
    if between is None:
        mirrored = predict(
            predictor, mirror(image), region=_mirrored(region, image), probabilities=drawn, compute=compute
        )
        between = disagreement_with_mirror(prediction, mirrored)
    return replace(found, disagreement=between)


def impression_from(
    prediction: Prediction, *, case: str = "", group: str = "", features: Floats | None = None
) -> Impression:
    """The impression that a prediction leaves; without probabilities only tags count."""
    slices = doubts_of(prediction) if prediction.probabilities is not None else ()
    return Impression(
        case=case,
        group=group,
        doubt=worst_of(slices) if slices else None,
        slices=() if len(prediction.region) == 2 else slices,
        tag_probabilities=dict(prediction.tag.probabilities) if prediction.tag is not None else {},
        features=features,
    )


def joined(parts: Sequence[Impression], regions: Sequence[Box]) -> Impression:
    """The impression of a slide from those of some of its regions."""
    doubts = tuple(part.doubt for part in parts if part.doubt is not None)
    tags = parts[0].tag_probabilities
    features = [part.features for part in parts if part.features is not None]
    disagreements = np.array([part.disagreement for part in parts])
    return replace(
        parts[0],
        doubt=worst_of(doubts) if doubts else None,
        slices=doubts,
        tag_probabilities={tag: float(np.mean([part.tag_probabilities[tag] for part in parts])) for tag in tags},
        disagreement=float("nan") if np.isnan(disagreements).any() else float(disagreements.max()),
        features=np.mean(features, axis=0) if features else None,
        regions=tuple(regions),
    )


def normalised_entropy(probabilities: npt.NDArray[Any]) -> Floats:
    """Entropy over the first axis (classes): 0 where one is certain, 1 where all are alike; sums may differ from 1.

    Examples
    --------
    >>> normalised_entropy(np.array([[1.0, 0.25], [0.0, 0.25], [0.0, 0.25], [0.0, 0.25]])).tolist()
    [0.0, 1.0]
    """
    shares = np.asarray(probabilities, np.float64)
    total = shares.sum(axis=0)
    shares = np.divide(shares, total, out=np.full(shares.shape, 1.0 / len(shares)), where=total > 0)
    logs = np.log(shares, out=np.zeros_like(shares), where=shares > 0)
    # "+ 0.0" turns the -0.0 of a certain class into 0.0.
    return np.asarray(-(shares * logs).sum(axis=0) / np.log(len(shares)) + 0.0)


def doubts_of(prediction: Prediction) -> tuple[Doubt, ...]:
    """One doubt per slice of a prediction with probabilities; a single one for a picture."""
    shares = prediction.probabilities
    assert shares is not None, "predict with probabilities"
    if len(prediction.region) == 2:
        return (_doubt(np.asarray(shares)),)
    return tuple(_doubt(np.asarray(shares[:, index])) for index in range(shares.shape[1]))


def _doubt(shares: npt.NDArray[Any]) -> Doubt:
    """Of probabilities (classes + 1, y, x), the background first."""
    flat = shares.reshape(len(shares), -1)
    number, pixels = flat.shape
    entropy, drawn, best = np.empty(pixels), np.empty(pixels, np.int64), np.empty(pixels)
    for start in range(0, pixels, _BLOCK):
        part = slice(start, start + _BLOCK)
        block = flat[:, part].astype(np.float32)
        entropy[part], drawn[part], best[part] = normalised_entropy(block), block.argmax(axis=0), block.max(axis=0)
    counts = np.bincount(drawn, minlength=number)
    sums = np.bincount(drawn, weights=entropy, minlength=number)
    by_class = np.divide(sums, counts, out=np.full(number, np.nan), where=counts > 0)
    likeliest = max(1, round(_LIKELIEST * pixels))
    presence = np.partition(flat[1:], pixels - likeliest, axis=1)[:, -likeliest:].astype(np.float64).mean(axis=1)
    inside = drawn > 0
    hit = [flat[k, drawn == k].sum(dtype=np.float64) for k in range(1, number)]
    overlap = np.stack([hit, counts[1:], flat[1:].sum(axis=1, dtype=np.float64)], axis=1)
    return Doubt(
        entropy=float(entropy.mean()),
        by_class=by_class[1:],
        shares=counts[1:] / pixels,
        presence=presence,
        confidence=float(best[inside].mean()) if inside.any() else float("nan"),
        overlap=overlap,
    )


def worst_of(slices: Sequence[Doubt]) -> Doubt:
    """The doubt about a stack: entropies are those of its worst tenth of slices, shares those of all."""
    if len(slices) == 1:
        return slices[0]
    many = max(1, round(_WORST_SHARE * len(slices)))
    weights = np.array([each.shares.sum() for each in slices])
    confidence = np.array([each.confidence for each in slices])
    sure = ~np.isnan(confidence)
    return Doubt(
        entropy=float(np.sort([each.entropy for each in slices])[-many:].mean()),
        by_class=_worst_mean(np.stack([each.by_class for each in slices]), many),
        shares=np.mean([each.shares for each in slices], axis=0),
        presence=np.max([each.presence for each in slices], axis=0),
        confidence=float(np.average(confidence[sure], weights=weights[sure])) if sure.any() else float("nan"),
        overlap=np.sum([each.overlap for each in slices], axis=0),
    )


def _worst_mean(values: Floats, many: int) -> Floats:
    """Mean of the `many` largest numbers of every column, NaN left out; NaN where a column has none."""
    means = np.full(values.shape[1], np.nan)
    for column, each in enumerate(values.T):
        known = np.sort(each[~np.isnan(each)])
        if known.size:
            means[column] = known[-many:].mean()
    return means


def disagreement_of_tag(found: Impression, predictor: Predictor, implies: Mapping[str, str]) -> float | None:
    """How far the classifier's tags differ from those that the drawing implies (total variation, 0 to 1).

    Returns
    -------
    None where the model has not both, or nothing is implied.
    """
    drawn_tag = tag_of_drawing(found, predictor, implies)
    if drawn_tag is None or not found.tag_probabilities:
        return None
    tags = {*drawn_tag, *found.tag_probabilities}
    return 0.5 * sum(abs(found.tag_probabilities.get(tag, 0.0) - drawn_tag.get(tag, 0.0)) for tag in tags)


def tag_of_drawing(found: Impression, predictor: Predictor, implies: Mapping[str, str]) -> dict[str, float] | None:
    """How likely each implied tag is by what was drawn: by the class of highest presence, the rest by `"<empty>"`.

    None where the model draws nothing, or what it draws implies no tag; or where it may draw something of another
    meaning than all tags that are implied, and a missing drawing says nothing.
    """
    if found.doubt is None:
        return None
    shares: dict[str, float] = {}
    for mask_class, presence in zip(predictor.classes, found.doubt.presence.tolist(), strict=True):
        if mask_class.name in implies:
            tag = implies[mask_class.name]
            shares[tag] = max(shares.get(tag, 0.0), presence)
    rest = max(0.0, 1.0 - max(shares.values(), default=0.0))
    if EMPTY in implies:
        shares[implies[EMPTY]] = max(shares.get(implies[EMPTY], 0.0), rest)
    elif len(predictor.tags) == 2 and len(shares) == 1:
        (other,) = set(predictor.tags) - set(shares)
        shares[other] = rest
    total = sum(shares.values())
    return {tag: share / total for tag, share in shares.items()} if len(shares) > 1 and total > 0 else None


def mirror(image: Image) -> Image:
    """The image with its columns reversed."""
    axis = image.axes.index("x")
    pixels = np.flip(np.asarray(image.data[...]), axis)
    return replace(image, levels=(np.ascontiguousarray(pixels),), affine=None, oct=None, ultrasound=None)


def _mirrored(region: Box | None, image: Image) -> Box | None:
    width = image.spatial_shape[-1]
    return None if region is None else (*region[:-1], (width - region[-1][1], width - region[-1][0]))


def disagreement_with_mirror(prediction: Prediction, mirrored: Prediction) -> float:
    """How far a prediction differs from that of the mirror image: 1 - mean Dice of the classes, or of the tags.

    With both, the mean of both. Dice is soft (of probabilities), so that two unsure predictions differ too.
    """
    parts = []
    if prediction.probabilities is not None and mirrored.probabilities is not None:
        first = np.asarray(prediction.probabilities, np.float32)[1:].reshape(len(prediction.classes), -1)
        other = np.flip(np.asarray(mirrored.probabilities, np.float32), -1)[1:].reshape(len(prediction.classes), -1)
        both = first.sum(axis=1, dtype=np.float64) + other.sum(axis=1, dtype=np.float64)
        overlap = 2 * np.minimum(first, other).sum(axis=1, dtype=np.float64)
        there = both > 1.0
        parts.append(1.0 - float((overlap[there] / both[there]).mean()) if there.any() else 0.0)
    if prediction.tag is not None and mirrored.tag is not None:
        chances = [prediction.tag.probabilities, mirrored.tag.probabilities]
        parts.append(0.5 * sum(abs(chances[0][tag] - chances[1][tag]) for tag in chances[0]))
    return float(np.mean(parts)) if parts else float("nan")
