"""Validation of scheme `fibrosis`: every case seen in the region around its own box."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.cropping import crop
from napari_medseg.data.region_patches import in_memory
from napari_medseg.inference.engine import predict
from napari_medseg.inference.predictor import Predictor
from napari_medseg.metrics import (
    class_counts,
    confusion_to_scores,
    counts_to_scores,
    mean_of_defined,
    tag_confusion,
    weighted_grade_auc,
    weighted_kappa,
)
from napari_medseg.schemes.scoring import MakePredictor
from napari_medseg.structures import Box, Image, MaskClass, TrainingCase
from napari_medseg.training.stage import CaseScore

if TYPE_CHECKING:
    from torch import nn

    from napari_medseg.models.compute import Compute


@dataclass(frozen=True, slots=True)
class _Region:
    """What is judged of one case: the part that is cut out, its labels, and how much of every class lies outside."""

    image: Image
    labels: npt.NDArray[np.uint8] | None
    outside: npt.NDArray[np.int64]


class RegionScorer:
    """Dice of the region and likelihood of the grade, of whole cases.

    The score is the mean of the two that are known. Dice is pooled over the cases and the classes that occur; what lies
    outside of a region counts as missed. The likelihood is exp(-cross-entropy), every grade weighing the same.

    Parameters
    ----------
    cases
        Cases with a mask or a grade.
    boxes
        Tight box by case id; a case without one is seen whole.
    classes
        Classes that are drawn.
    make_predictor
        Wraps a network that is being trained.
    compute
        Device and precision.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        boxes: Mapping[str, Box],
        classes: Sequence[MaskClass],
        make_predictor: MakePredictor,
        compute: Compute,
    ) -> None:
        self._cases = {case.case: case for case in cases}
        self._boxes, self._classes = boxes, tuple(classes)
        self._make_predictor, self._compute = make_predictor, compute
        self._regions: dict[str, _Region] = {}
        self.cases: Sequence[str] = tuple(self._cases)

    @cached_property
    def _values(self) -> list[int]:
        return [c.value for c in self._classes]

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        """Counts of the region (hit, predicted, true) per class; true grade and probabilities of all grades."""
        predictor = self._make_predictor(model)
        region = self._region(case, predictor)
        found = predict(replace(predictor, focus=None), region.image, compute=self._compute)
        values: dict[str, Any] = {}
        drawn = None if found.labels is None else np.asarray(found.labels)
        if drawn is not None and region.labels is not None:
            counts = class_counts(region.labels, drawn, self._values)
            counts[:, 2] += region.outside
            values["counts"] = counts.tolist()
        grade = self._cases[case].grade
        if found.tag is not None and grade is not None:
            values |= {"grade": grade, "probabilities": [found.tag.probabilities[name] for name in predictor.tags]}
        return CaseScore(case=case, values=values, preview=drawn if preview else None)

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        """Mean of Dice and likelihood; Dice per class, and cross-entropy, AUC, kappa and accuracy of the grade."""
        details: dict[str, float] = {}
        known = []
        counted = [score.values["counts"] for score in scores if "counts" in score.values]
        if counted:
            dice = counts_to_scores(np.sum(np.asarray(counted, np.int64), axis=0))["dice"]
            named = zip(self._classes, dice, strict=True)
            details |= {f"dice {c.name}": float(value) for c, value in named if not math.isnan(value)}
            known.append(float(np.nan_to_num(mean_of_defined(dice))))
        graded = [score for score in scores if "grade" in score.values]
        if graded:
            figures = grade_figures(
                np.array([score.values["grade"] for score in graded]),
                np.array([score.values["probabilities"] for score in graded]),
            )
            details |= {name: value for name, value in figures.items() if not math.isnan(value)}
            known.append(math.exp(-figures["loss"]))
        return float(np.mean(known)), details

    def _region(self, case: str, predictor: Predictor) -> _Region:
        """Read once: a whole scan may be large, its region is not."""
        if case not in self._regions:
            known = self._cases[case]
            image = known.load_image()
            assert predictor.focus is not None, "this scheme's predictors look at one region"
            box = predictor.focus(image, self._boxes.get(case))
            labels = known.load_labels() if known.has_mask else None
            outside = np.zeros(len(self._classes), np.int64)
            if labels is not None:
                part = labels[tuple(slice(*side) for side in box)]
                counts = [np.bincount(each.reshape(-1), minlength=256)[self._values] for each in (labels, part)]
                outside, labels = counts[0] - counts[1], part.copy()
            self._regions[case] = _Region(in_memory(crop(image, box)), labels, outside)
        return self._regions[case]


def grade_figures(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> dict[str, float]:
    """Balanced cross-entropy as ``loss``, ``auc``, ``kappa`` (quadratic weights) and ``accuracy``; NaN where undefined.

    Parameters
    ----------
    truth
        (n,) grade indices.
    probabilities
        (n, grades)
    """
    surprise = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, 1.0))
    matrix = tag_confusion(truth, probabilities.argmax(axis=1), probabilities.shape[1])
    return {
        "loss": float(np.mean([surprise[truth == grade].mean() for grade in np.unique(truth)])),
        "auc": float(weighted_grade_auc(truth, probabilities, np.ones((1, len(truth))))[0]),
        "kappa": float(weighted_kappa(matrix)),
        "accuracy": float(confusion_to_scores(matrix)["accuracy"]),
    }
