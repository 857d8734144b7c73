"""Validation on whole cases, as every scheme needs it: stitched, pooled, at the image's own resolution."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.data.windows import labelled_bscans
from napari_medseg.inference.calibration import at_temperature, fit_tag_temperature
from napari_medseg.inference.engine import predict
from napari_medseg.inference.predictor import Predictor
from napari_medseg.inference.slide_tiles import predictor_for
from napari_medseg.metrics import auc, balanced_accuracy, class_counts, counts_to_scores
from napari_medseg.structures import NOT_LOOKED_AT, Image, MaskClass, TrainingCase
from napari_medseg.training.stage import CaseScore

if TYPE_CHECKING:
    from torch import nn

    from napari_medseg.models.compute import Compute

#: Wraps a network that is being trained into a predictor.
MakePredictor = Callable[["nn.Module"], Predictor]


class SegmentationScorer:
    """Mean Dice or IoU over mask classes, from pixel counts pooled over whole validation images.

    Pooled counts rather than a mean over images: an image without a class says nothing of that class's Dice, yet its
    false positives count. A class that no validation image holds is left out of the mean. Of a stack that a network
    sees slice by slice, the slices alone are judged in which anybody looked at anything.

    Parameters
    ----------
    figure
        ``"dice"`` or ``"iou"``.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        classes: Sequence[MaskClass],
        make_predictor: MakePredictor,
        compute: Compute,
        figure: Literal["dice", "iou"] = "dice",
    ) -> None:
        self._figure = figure
        self._cases = {case.case: case for case in cases if case.has_mask}
        self._classes = tuple(classes)
        self._make_predictor = make_predictor
        self._compute = compute
        self.cases: Sequence[str] = tuple(self._cases)

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        """Counts of one stitched image; `values["counts"]` has a row (hit, predicted, true) per class."""
        labels = self._cases[case].load_labels()
        if labels is None:
            raise ValueError(f"case {case} has lost its mask")  # a scorer's cases have masks
        predicted = self._predict(model, case, labels)
        counts = class_counts(labels, predicted, [c.value for c in self._classes], ignore=NOT_LOOKED_AT)
        return CaseScore(case=case, values={"counts": counts.tolist()}, preview=predicted if preview else None)

    def _predict(self, model: nn.Module, case: str, labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Labels of a whole case; 255 in slices that nobody looked at."""
        predictor, image = predictor_for(self._make_predictor(model), self._cases[case]), self._cases[case].load_image()
        if labels.ndim == len(predictor.window):
            return np.asarray(predict(predictor, image, compute=self._compute).labels)
        predicted = np.full_like(labels, NOT_LOOKED_AT)
        for index in labelled_bscans(labels):
            region = ((index, index + 1), *((0, n) for n in labels.shape[1:]))
            predicted[index] = np.asarray(predict(predictor, image, region=region, compute=self._compute).labels)[0]
        return predicted

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        """Mean Dice (IoU), and that of every class."""
        counts = np.sum([np.asarray(score.values["counts"], dtype=np.int64) for score in scores], axis=0)
        figures = counts_to_scores(counts)[self._figure]
        named = zip(self._classes, figures, strict=True)
        details = {f"{self._figure} {c.name}": float(value) for c, value in named if not math.isnan(value)}
        present = [value for value in figures if not math.isnan(value)]
        return (float(np.mean(present)) if present else 0.0), details


class TagScorer:
    """How probable the true tags are to a classifier, on whole validation images.

    The score is exp(-cross-entropy), the geometric mean of the probability given to the true class, every class
    weighing the same. It is a proper score: unlike accuracy or AUC it still tells two models apart when both put all
    of a small validation set in order.

    Parameters
    ----------
    image_of
        What is shown of a case; None: its whole image.
    calibrated
        Score the probabilities at the temperature that fits the validation cases best, for schemes that calibrate them
        in the end: otherwise a network that puts more cases in order, but is too sure of it, loses to a guess.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        tags: Sequence[str],
        make_predictor: MakePredictor,
        compute: Compute,
        image_of: Callable[[TrainingCase], Image] | None = None,
        *,
        calibrated: bool = False,
    ) -> None:
        self._cases = {case.case: case for case in cases if case.tag is not None}
        self._tags = tuple(tags)
        self._image_of = image_of or (lambda case: case.load_image())
        self._calibrated = calibrated
        self._make_predictor = make_predictor
        self._compute = compute
        self.cases: Sequence[str] = tuple(self._cases)

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        """Probabilities of one whole image."""
        known = self._cases[case]
        predictor = predictor_for(self._make_predictor(model), known)
        result = predict(predictor, self._image_of(known), compute=self._compute)
        if result.tag is None:
            raise ValueError("the predictor of a tag scorer must classify")
        values: dict[str, Any] = {
            "tag": self._tags.index(str(known.tag)),
            "probabilities": [result.tag.probabilities[tag] for tag in self._tags],
        }
        return CaseScore(case=case, values=values)

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        """Balanced likelihood; cross-entropy as ``loss``, accuracy, balanced accuracy and AUC as details."""
        truth = np.array([score.values["tag"] for score in scores])
        probabilities = np.array([score.values["probabilities"] for score in scores])
        loss = _balanced_entropy(truth, probabilities)
        chosen = probabilities.argmax(axis=1)
        details = {
            "loss": loss,
            "accuracy": float(np.mean(chosen == truth)),
            "balanced_accuracy": balanced_accuracy(truth, chosen),
        }
        area = auc(truth, probabilities)
        if not math.isnan(area):
            details["auc"] = area
        temperature = fit_tag_temperature(probabilities, truth) if self._calibrated else None
        if temperature is not None:
            loss = _balanced_entropy(truth, at_temperature(probabilities, temperature))
        return math.exp(-loss), details


def _balanced_entropy(truth: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> float:
    """Cross-entropy of the true tags, every tag weighing the same."""
    surprise = -np.log(np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, 1.0))
    return float(np.mean([surprise[truth == tag].mean() for tag in np.unique(truth)]))
