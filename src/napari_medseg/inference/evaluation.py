"""The ``evaluate`` document: predictions on whole images against what people drew and said."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg import metrics
from napari_medseg.annotation.surfaces import pile_of
from napari_medseg.data.whole_slides import SlideTile, WholeSlide
from napari_medseg.errors import DatasetError
from napari_medseg.inference.layer_evaluation import LayerSums, layer_sums, order_figures, surface_figures
from napari_medseg.inference.slide_evaluation import slide_counts, slide_tag
from napari_medseg.inference.structure_evaluation import structure_figures, structure_sums
from napari_medseg.inference.tag_evaluation import TagJudgements, tag_figures
from napari_medseg.measure.space import space_of
from napari_medseg.structures import Box, DatasetInfo, MaskClass, Prediction, Progress, Surface, TrainingCase

#: What the keys of the document mean.
DEFINITIONS = {
    "dice": "from pixel counts pooled over all cases; pixels that nobody looked at do not count",
    "iou": "pooled, as dice",
    "dice_per_case": "mean of the Dice of single cases, over the cases whose truth holds the class",
    "ci": "95 % interval of 2000 bootstrap resamples of whole groups",
    "signed_px": "predicted minus true row of a surface (above 0: too deep), mean over the columns where both are "
    "there; columns under areas, not looked at, or where a surface runs along the picture's edge are left out",
    "n_missing": "columns that hold the true surface but no predicted one",
    "order": "share of columns and of B-scans in which a predicted layer lies above one that it belongs below, as "
    "predicted and after the order was repaired",
    "repaired": "the same figures after the layers of every column were put in order",
    "hd95": "95th percentile of the distances between true and predicted border, the larger of both ways; mean over "
    "the cases in which both hold the class, in the unit of 'distances.unit'; not measured where it was missed",
    "assd": "mean distance of all border pixels of both to the other's border; as hd95",
    "surface_dice": "share of both borders that lies within two pixels (of the shortest side) of the other; mean over "
    "the cases in which either holds the class, 0 where only one does",
    "n_missed": "cases that hold the class but none of it was predicted; left out of hd95 and assd",
    "n_invented": "cases in which the class was predicted but is not there",
    "volume_error": "predicted minus true area or volume as a share of the true one, mean over the cases that hold the "
    "class; 'abs' without its sign",
    "piece_sensitivity": "share of the true pieces (pixels joined by sides or corners) that a prediction touches",
    "piece_precision": "share of the predicted pieces that touch a true one",
    "auc": "the second tag against the first; with more tags the mean of one against the rest, with ordered grades the "
    "mean of those above against those below every step",
    "auc of a class": "of that tag or grade against all others",
    "calibration_error": "mean distance between how sure answers were and how many were right, in ten bins of equal "
    "width (expected calibration error)",
    "sure": "share of the answers that the model calls sure, and how many of these were right",
    "kappa": "agreement on ordered grades beyond chance, disagreement weighted by its square",
}
_POOLED = ("dice", "iou", "precision", "recall")
#: Beginnings of the names of figures that have a unit, and of the counts that tell what they are means of.
_DISTANCES = ("hd95", "assd", "surface_dice", "n_measured", "n_missed", "n_invented")


@dataclass(frozen=True, slots=True)
class Judged:
    """What one case adds: counts (classes, 3) or None, tag index or None, probabilities (tags,) or None, layers.

    Of structures that are no layers also sums (classes, figures) and the unit of their distances.
    """

    case: TrainingCase
    counts: npt.NDArray[np.int64] | None
    tag: int | None
    probabilities: npt.NDArray[np.float64] | None
    layers: LayerSums | None
    structures: npt.NDArray[np.float64] | None = None
    unit: str = ""
    sure: bool | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What the model knows, and the seed of the bootstrap."""

    classes: Sequence[MaskClass]
    tags: Sequence[str]
    surfaces: Sequence[Surface]
    seed: int
    graded: bool = False

    @property
    def pile(self) -> tuple[int, ...]:
        """Label values of the layers from top to bottom."""
        return pile_of(DatasetInfo(name="", classes=tuple(self.classes), surfaces=tuple(self.surfaces)))


def evaluate_cases(
    predict_case: Callable[..., Prediction],
    cases: Sequence[TrainingCase],
    *,
    classes: Sequence[MaskClass],
    tags: Sequence[str],
    surfaces: Sequence[Surface] = (),
    graded: bool = False,
    region_of: Callable[[TrainingCase], Box | None] | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict every case that has a mask or a tag, and compare.

    Parameters
    ----------
    predict_case
        Predicts one whole image: called with it, and with the box of `region_of` where that is given. Its labels are
        those of the whole image, 255 where the model did not look. For whole slides and tiles of them also called with
        ``mask`` (labels of the box alone then), ``draw`` and ``of`` (the tile's case).
    cases
        Cases of one split.
    classes, tags
        What the model knows, as in its card.
    surfaces
        Boundaries between layers from top to bottom; empty: nothing is said of surfaces.
    graded
        Whether `tags` are ordered grades, lowest first, and cases tagged with theirs: AUC and agreement count the order
        then.
    region_of
        What a model that looks at one region of an image is asked about.
    seed
        Of the bootstrap.
    progress
        Called with (cases done, cases, name) after every case.

    Returns
    -------
    JSON-able ``n_cases``, ``n_groups``, ``segmentation``, ``classification`` (None where there is nothing to compare),
    ``per_case``, ``definitions``; with `surfaces` also ``surfaces``, ``surfaces_repaired``, ``segmentation_repaired``
    and ``order``; where cases have several sources, ``by_source`` with the same figures. Undefined figures are None.

    Raises
    ------
    DatasetError
        There is nothing to compare, or a case has a tag that the model does not know.
    """
    known = Known(classes, tags, surfaces, seed, graded)
    judged = judge_cases(predict_case, cases, known, region_of=region_of, progress=progress)
    document = {
        **_figures(judged, known),
        "per_case": [_row(each, known) for each in judged],
        "definitions": DEFINITIONS,
    }
    sources = sorted({each.case.source for each in judged})
    if len(sources) > 1:
        document["by_source"] = {
            source: _figures([each for each in judged if each.case.source == source], known) for source in sources
        }
    return dict(_plain(document))


def judge_cases(
    predict_case: Callable[..., Prediction],
    cases: Sequence[TrainingCase],
    known: Known,
    *,
    region_of: Callable[[TrainingCase], Box | None] | None = None,
    progress: Progress | None = None,
) -> list[Judged]:
    """What every case that has a mask or a tag adds to the figures; arguments and errors as `evaluate_cases`."""
    useful = [c for c in cases if (c.has_mask and known.classes) or (c.tag is not None and known.tags)]
    if not useful:
        raise DatasetError("No case of this split has a mask or tag to compare the model with: label some.")
    _refuse_unknown_tags(useful, known.tags)
    judged = []
    for case in useful:
        judged.append(_judge(predict_case, case, known, region_of))
        if progress is not None:
            progress(len(judged), len(useful), case.case)
    return judged


def _figures(judged: Sequence[Judged], known: Known) -> dict[str, Any]:
    """The figures of some cases together."""
    masked = [each for each in judged if each.counts is not None]
    document = {
        "n_cases": len(judged),
        "n_groups": len({each.case.group for each in judged}),
        "segmentation": _segmentation(masked, known.classes, known.seed),
        "classification": _classification([e for e in judged if e.tag is not None], known),
    }
    layered = [(each, each.layers) for each in judged if each.layers is not None]
    if layered:
        document |= _layer_figures(layered, known)
    if measured := [each for each in judged if each.structures is not None]:
        document |= _structures(measured, known)
    return document


def _structures(measured: Sequence[Judged], known: Known) -> dict[str, Any]:
    """Distances, in millimetres or in pixels where no case knows its spacing (none where only some do); the rest."""
    sums = _group_sums(measured, np.stack([each.structures for each in measured if each.structures is not None]))
    figures = structure_figures(sums, known.classes, known.seed)
    units = {each.unit for each in measured}

    def part(belongs: Callable[[str], bool]) -> dict[str, Any]:
        return {name: {k: v for k, v in values.items() if belongs(k)} for name, values in figures.items()}

    far = part(lambda key: key.startswith(_DISTANCES)) if len(units) == 1 else {}
    return {
        "distances": {"unit": units.pop() if len(units) == 1 else "mixed", **far},
        "structures": part(lambda key: not key.startswith(_DISTANCES)),
    }


def _layer_figures(layered: Sequence[tuple[Judged, LayerSums]], known: Known) -> dict[str, Any]:
    names, cases = [surface.name for surface in known.surfaces], [each for each, _ in layered]
    errors = _group_sums(cases, np.stack([sums.errors for _, sums in layered]))
    repaired = _group_sums(cases, np.stack([sums.errors_repaired for _, sums in layered]))
    put_right = [replace(each, counts=sums.counts_repaired) for each, sums in layered]
    return {
        "segmentation_repaired": _segmentation(put_right, known.classes, known.seed),
        "surfaces": surface_figures(errors, names, known.seed),
        "surfaces_repaired": surface_figures(repaired, names, known.seed),
        "order": order_figures(sum((sums.order for _, sums in layered), np.zeros(6, np.int64))),
    }


def _refuse_unknown_tags(cases: Sequence[TrainingCase], tags: Sequence[str]) -> None:
    """Said before the first prediction: the case may be the last of many."""
    unknown = [case for case in cases if case.tag is not None and case.tag not in tags] if tags else []
    if unknown:
        more = f" (and {len(unknown) - 1} more such cases)" if len(unknown) > 1 else ""
        raise DatasetError(
            f"Case '{unknown[0].case}' has the tag '{unknown[0].tag}'{more}, but the model knows only "
            f"{', '.join(tags)}: use a model trained with it, or correct the tag."
        )


def _judge(
    predict_case: Callable[..., Prediction],
    case: TrainingCase,
    known: Known,
    region_of: Callable[[TrainingCase], Box | None] | None,
) -> Judged:
    classes, tags = known.classes, known.tags
    if isinstance(case, WholeSlide):
        return _judge_slide(predict_case, case, known)
    image = case.load_image()
    if isinstance(case, SlideTile):
        prediction = predict_case(image, of=case)
    else:
        prediction = predict_case(image) if region_of is None else predict_case(image, region_of(case))
    counts, tag, probabilities, layers, structures, unit, sure = None, None, None, None, None, "", None
    truth = case.load_labels() if case.has_mask and classes else None
    if truth is not None:
        counts = metrics.class_counts(truth, np.asarray(prediction.labels), [c.value for c in classes])
        if known.surfaces and prediction.labels is not None:
            axial = space_of(truth.ndim, image.spacing, image.units).axial
            layers = layer_sums(truth, prediction.labels, known.pile, [c.value for c in classes], axial)
        elif prediction.labels is not None:
            space = space_of(truth.ndim, image.spacing, image.units)
            steps = [step for step in space.steps if step is not None] if space.is_known else None
            structures = structure_sums(truth, np.asarray(prediction.labels), classes, steps)
            unit = "mm" if steps else "px"
    if case.tag is not None and prediction.tag is not None:
        tag = tags.index(case.tag)
        probabilities = np.array([prediction.tag.probabilities[name] for name in tags])
        sure = prediction.tag.sure
    return Judged(case, counts, tag, probabilities, layers, structures, unit, sure)


def _judge_slide(predict_case: Callable[..., Prediction], slide: WholeSlide, known: Known) -> Judged:
    """A slide where somebody looked, and as a whole where it has a tag of its own."""
    counts = None
    if slide.has_mask and known.classes:
        counts = slide_counts(predict_case, slide, [c.value for c in known.classes])
    found = slide_tag(predict_case, slide) if slide.tag is not None and known.tags else None
    if found is None or slide.tag is None:
        return Judged(slide, counts, None, None, None)
    probabilities = np.array([found.probabilities[name] for name in known.tags])
    return Judged(slide, counts, known.tags.index(slide.tag), probabilities, None, sure=found.sure)


def _group_sums(judged: Sequence[Judged], values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Values per case (n, ...) summed per group: (groups, ...)."""
    names = sorted({each.case.group for each in judged})
    index = [names.index(each.case.group) for each in judged]
    sums = np.zeros((len(names), *values.shape[1:]), dtype=values.dtype)
    np.add.at(sums, index, values)
    return sums


def _segmentation(judged: Sequence[Judged], classes: Sequence[MaskClass], seed: int) -> dict[str, Any] | None:
    if not judged:
        return None
    counts = np.stack([each.counts for each in judged if each.counts is not None])
    sums = _group_sums(judged, counts)

    def pooled(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(n, classes, 3) to (n, figures, classes + 1), the mean last."""
        scores = metrics.counts_to_scores(values)
        figures = np.stack([scores[key] for key in _POOLED], axis=1)
        return np.concatenate([figures, metrics.mean_of_defined(figures)[..., np.newaxis]], axis=-1)

    def mean_per_case(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(n, classes, 2) sums and numbers of Dice to means (n, classes + 1), the mean last."""
        total, number = values[..., 0], values[..., 1]
        means = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
        return np.concatenate([means, metrics.mean_of_defined(means)[..., np.newaxis]], axis=-1)

    dice = metrics.counts_to_scores(counts)["dice"]
    parts = np.stack([np.nan_to_num(dice), ~np.isnan(dice)], axis=-1)
    figures, bounds = pooled(counts.sum(axis=0)[np.newaxis])[0], metrics.bootstrap_interval(sums, pooled, seed)
    single = mean_per_case(parts.sum(axis=0)[np.newaxis])[0]
    single_bounds = metrics.bootstrap_interval(_group_sums(judged, parts), mean_per_case, seed)
    document = {}
    for i, name in enumerate([*(c.name for c in classes), "mean"]):
        entry: dict[str, Any] = {}
        for k, key in enumerate(_POOLED):
            entry |= {key: figures[k, i], f"{key}_ci": _interval(bounds[:, k, i])}
        entry |= {"dice_per_case": single[i], "dice_per_case_ci": _interval(single_bounds[:, i])}
        document[name] = entry | {"n_cases": int(parts[:, i, 1].sum()) if i < len(classes) else len(judged)}
    return document


def _classification(judged: Sequence[Judged], known: Known) -> dict[str, Any] | None:
    if not judged:
        return None
    sure = [each.sure for each in judged if each.sure is not None]
    judgements = TagJudgements(
        truth=np.array([each.tag for each in judged]),
        probabilities=np.stack([each.probabilities for each in judged if each.probabilities is not None]),
        groups=[each.case.group for each in judged],
        sure=np.array(sure) if len(sure) == len(judged) else None,
    )
    return tag_figures(judgements, known.tags, known.seed, graded=known.graded)


def _interval(bounds: npt.NDArray[Any]) -> list[float] | None:
    return None if np.isnan(bounds).any() else [float(bounds[0]), float(bounds[1])]


def _row(judged: Judged, known: Known) -> dict[str, Any]:
    row: dict[str, Any] = {"case": judged.case.case, "group": judged.case.group, "source": judged.case.source}
    if judged.counts is not None:
        dice = metrics.counts_to_scores(judged.counts)["dice"]
        row["dice"] = {c.name: value for c, value in zip(known.classes, dice, strict=True)}
    if judged.probabilities is not None:
        row["tag"] = judged.case.tag
        row["probabilities"] = dict(zip(known.tags, judged.probabilities, strict=True))
    return row


def _plain(value: Any) -> Any:
    """JSON's own types, with None for NaN."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (np.floating, np.ndarray, float)):
        number = float(value)
        return None if math.isnan(number) else number
    return value
