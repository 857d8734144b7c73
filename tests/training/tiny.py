"""Small stages on small images, for tests of the loop; also a program that trains them, for tests that kill it."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_medseg.config import AugmentationConfig, TrainingConfig
from napari_medseg.data.intensity import fit_intensity
from napari_medseg.data.patches import Patches
from napari_medseg.losses import mask_loss, tag_loss
from napari_medseg.models.compute import Compute
from napari_medseg.models.unet import Classifier, PlainEncoder, Segmenter, UNetDecoder
from napari_medseg.structures import TrainingCase
from napari_medseg.training.distributed import processes
from napari_medseg.training.run import open_run, run_stages
from napari_medseg.training.stage import CaseScore, Stage, StageResult
from tests.factories import INFO, spot_set

CPU = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
STILL = AugmentationConfig(flip=False, rotate90=False, rotate=0, zoom=0, brightness=0, contrast=0, color=0, noise=0)
WIDTHS = (8, 8, 16)


def training(**changes: Any) -> TrainingConfig:
    values = {"epochs": 3, "batch_size": 4, "steps_per_epoch": 4, "learning_rate": 0.01, "checkpoint_seconds": 1000.0}
    return TrainingConfig.model_validate(values | changes)


def patches(cases: Sequence[TrainingCase], size: int = 32) -> Patches:
    return Patches(
        cases,
        classes=INFO.classes,
        tags=[tag.name for tag in INFO.tags],
        size=(size, size),
        scale_of=lambda image: (0.5, 0.5),
        intensity=fit_intensity([case.load_image() for case in cases]),
    )


class PixelScorer:
    """Mean accuracy over the pixels of whole validation patches."""

    def __init__(self, cases: Sequence[TrainingCase], source: Patches) -> None:
        self.cases = tuple(case.case for case in cases)
        self._images, self._labels, _ = patches(cases, size=32).draw(range(len(cases)), 0)

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        number = self.cases.index(case)
        predicted = model(torch.from_numpy(self._images[number : number + 1])).argmax(1)[0].numpy()
        right = float((predicted == self._labels[number]).mean())
        return CaseScore(case=case, values={"right": right}, preview=predicted.astype(np.uint8) if preview else None)

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        right = float(np.mean([score.values["right"] for score in scores]))
        return right, {"loss": 1 - right, "right": right}


def mask_stage(name: str = "segmenter", *, seed: int = 0, **changes: Any) -> Stage:
    """A segmenter on spots, its weights drawn from `seed`."""
    data = spot_set(train=6, val=2)
    torch.manual_seed(seed)
    source = patches(data.of_split("train"))
    encoder = PlainEncoder(3, WIDTHS)
    values: dict[str, Any] = {
        "name": name,
        "title": name,
        "model": Segmenter(encoder, UNetDecoder(WIDTHS, WIDTHS[:-1]), WIDTHS[0], 2),
        "source": source,
        "loss": mask_loss(),
        "training": training(),
        "augmentation": AugmentationConfig(),
        "scorer": PixelScorer(data.of_split("val"), source),
    }
    return Stage(**(values | changes))


def tag_stage(name: str = "classifier", **changes: Any) -> Stage:
    """A classifier with dropout on spots, without validation."""
    values: dict[str, Any] = {
        "name": name,
        "title": name,
        "model": Classifier(PlainEncoder(3, WIDTHS), 2, dropout=0.2),
        "source": patches(spot_set(train=6).of_split("train")),
        "loss": tag_loss(),
        "training": training(),
        "augmentation": AugmentationConfig(),
    }
    return Stage(**(values | changes))


def two_stages(fingerprints: Sequence[str] = ("", ""), **changes: Any) -> Generator[Stage, StageResult, dict[str, Any]]:
    """Classifier, then a segmenter from its encoder; returns both networks' weights."""
    config = training(**changes)
    first = tag_stage(training=config, fingerprint={"data": fingerprints[0]})
    yield first
    torch.rand(3)  # a scheme may draw random numbers of its own
    second = mask_stage(
        seed=torch.initial_seed(), training=config, fingerprint={"data": fingerprints[1]}, parents=("classifier",)
    )
    second.model.encoder.load_state_dict(first.model.encoder.state_dict())
    yield second
    return {"classifier": first.model.state_dict(), "segmenter": second.model.state_dict()}


def same_weights(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def main(run: str, out: str, *pairs: str) -> None:
    """Train the two stages in `run` and save the weights of all networks to `out` (with the rank before its suffix)."""
    changes = dict(pair.split("=") for pair in pairs)
    with processes("cpu") as group, open_run(Path(run), resume=True, leader=group.leader):
        stages = two_stages(**changes)
        weights, _ = run_stages(stages, run=Path(run), seed=7, compute=CPU, group=group)
        torch.save(weights, f"{out}.{group.rank}")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(*sys.argv[1:])
