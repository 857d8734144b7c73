"""What the joint network of scheme `fibrosis` is compared with, and boxes that are not quite right.

=================  ==========================================================  =======================
arm                what it is                                                  optimiser steps
=================  ==========================================================  =======================
``joint``          region and grade together                                   E
``grade_alone``    the same encoder and grade head, trained on the grade only  E
``frozen_encoder`` grade head on an encoder that learned the region only       E / 2, after the region
``region_alone``   encoder and decoder, trained on the region only             E / 2
``volume``         the grade from the volume of the drawn mask alone           none: a curve per step
=================  ==========================================================  =======================

``joint, jittered box`` and ``joint, predicted box`` are the joint network asked about boxes that are not the true ones.
``frozen_encoder`` and ``region_alone`` share their encoder, so that all of the scheme's second mode takes E steps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_medseg.data.regions import jittered, largest_part_box, lesion_mask, mask_box, steps_of
from napari_medseg.schemes.fibrosis import FibrosisConfig
from napari_medseg.schemes.fibrosis_parts import FibrosisParts
from napari_medseg.schemes.pathology_parts import count_steps
from napari_medseg.structures import Box, MaskClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

RegionOf = Callable[[TrainingCase], Box | None]
Floats = npt.NDArray[np.float64]
#: How far boxes are moved and resized to see what that costs, as a share of their sides; fixed beforehand.
JITTER_SHIFT, JITTER_SIZE = 0.25, 0.3
#: Keeps slopes of separable grades finite.
_RIDGE = 1e-3


def control_stages(
    config: FibrosisConfig, data: TrainingSet, seed: int, compute: Compute
) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
    """Yield the joint stage and its controls; return the predictor of every network by the name of its arm.

    Early stopping is off: every arm takes all of its steps and keeps its best weights by validation.
    """
    whole = _parts(config, data, seed, compute, config.training.epochs)
    half = _parts(config, data, seed, compute, max(1, config.training.epochs // 2))
    joint = whole.network()
    yield whole.joint_stage("joint", "Region and grade together", joint)
    alone = whole.network()
    yield whole.grade_stage("grade_alone", "Control: the grade alone", alone)
    drawn = half.network()
    yield half.region_stage("region_alone", "Control: the region alone", drawn)
    # The stage that follows trains the head only, so what draws the region stays as it is.
    yield half.grade_stage(
        "frozen_encoder", "Grade head on the frozen encoder", drawn, parents=("region_alone",), frozen=True
    )
    from napari_medseg.models.residual import GradeNetwork, RegionNetwork

    networks = {
        "joint": joint,
        "grade_alone": GradeNetwork(alone.encoder, alone.head),
        "region_alone": RegionNetwork(drawn.encoder, drawn.decoder),
        "frozen_encoder": GradeNetwork(drawn.encoder, drawn.head),
    }
    arms = {name: whole.predictor(network.eval()) for name, network in networks.items()}
    asked = arms["joint"]
    assert asked.region_of is not None, "this scheme's predictors look at one region"
    return arms | {
        "joint, jittered box": replace(asked, region_of=jittered_boxes(asked.region_of, seed)),
        "joint, predicted box": replace(asked, region_of=predicted_boxes(asked, compute)),
    }


def _parts(config: FibrosisConfig, data: TrainingSet, seed: int, compute: Compute, epochs: int) -> FibrosisParts:
    steps = count_steps(config.training, len(data.of_split("train")))
    training = config.training.model_copy(update={"epochs": epochs, "patience": 0, "steps_per_epoch": steps})
    return FibrosisParts.fit(config.model_copy(update={"training": training}), data, seed, compute)


def jittered_boxes(region_of: RegionOf, seed: int) -> RegionOf:
    """The boxes of cases, moved and resized at random, by `JITTER_SHIFT` and `JITTER_SIZE` at most."""

    def find(case: TrainingCase) -> Box | None:
        box = region_of(case)
        if box is None:
            return None
        # Seeded by the case, so that the others around it do not matter.
        rng = np.random.default_rng([seed, *case.case.encode()])
        return jittered(box, case.load_image().spatial_shape, rng, shift=JITTER_SHIFT, size=JITTER_SIZE)

    return find


def predicted_boxes(predictor: Predictor, compute: Compute) -> RegionOf:
    """Boxes around what a network draws when it sees the whole image; None where it draws nothing."""
    from napari_medseg.inference.engine import predict

    def find(case: TrainingCase) -> Box | None:
        return largest_part_box(np.asarray(predict(predictor, case.load_image(), compute=compute).labels))

    return find


def fill_the_box_dice(cases: Sequence[TrainingCase], classes: Sequence[MaskClass]) -> float:
    """Dice of calling everything in the true box a lesion, pooled over the cases."""
    hit = predicted = 0
    for case in cases:
        labels = case.load_labels() if case.has_mask else None
        values = [c.value for c in classes]
        box = None if labels is None else mask_box(labels, values)
        if labels is not None and box is not None:
            hit += int(lesion_mask(labels, values).sum())
            predicted += int(np.prod([stop - start for start, stop in box]))
    return 2 * hit / (predicted + hit) if predicted else 0.0


def log_volume(case: TrainingCase, labels: npt.NDArray[np.uint8], classes: Sequence[MaskClass]) -> float:
    """Logarithm of a lesion's volume in mm³ (of its pixels where spacing is not known), never of less than a pixel."""
    steps = steps_of(case.load_image())
    size = 1.0 if steps is None else float(np.prod(steps))
    return float(np.log(max(1, int(lesion_mask(labels, [c.value for c in classes]).sum())) * size))


def grades_from_volume(train: Floats, grades: npt.NDArray[np.int64], test: Floats, number: int) -> Floats:
    """Probabilities (n, number) of the grades of test cases from one figure alone: a logistic curve per step."""
    from scipy.optimize import minimize

    mean, scale = train.mean(), max(float(train.std()), 1e-9)
    known, asked = (train - mean) / scale, (test - mean) / scale
    above = []
    for step in range(number - 1):
        sign = np.where(grades > step, 1.0, -1.0)

        def surprise(line: Floats, sign: Floats = sign) -> float:
            return float(np.logaddexp(0.0, -sign * (line[0] + line[1] * known)).mean() + _RIDGE * line[1] ** 2)

        fitted = minimize(surprise, np.zeros(2)).x
        above.append(1 / (1 + np.exp(-(fitted[0] + fitted[1] * asked))))
    held = np.minimum.accumulate(np.stack(above, axis=1), axis=1)
    ends = np.concatenate([np.ones((len(test), 1)), held, np.zeros((len(test), 1))], axis=1)
    return np.asarray(ends[:, :-1] - ends[:, 1:], np.float64)
