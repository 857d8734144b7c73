"""Validation on whole cases, shared by the processes of a training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import nn

from napari_medseg.io.atomic import replacing
from napari_medseg.training.distributed import Group
from napari_medseg.training.events import Report
from napari_medseg.training.stage import CaseScore, Scorer

#: Cases whose prediction is shown while training.
_PREVIEWS = 2


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a validation found.

    `score` is None where the scorer could not give a number; `loss` where it knows none.
    """

    score: float | None
    loss: float | None
    details: dict[str, float]


def validate(model: nn.Module, scorer: Scorer, group: Group) -> tuple[Judgement, Sequence[CaseScore]]:
    """Judge a model on every case of a scorer, each process on its share.

    Returns
    -------
    judgement, the same on every process; the cases that have a preview
    """
    group.share_buffers(model)
    model.eval()
    own = []
    with torch.no_grad():
        for number in range(len(scorer.cases))[group.rank :: group.size]:
            own.append((number, scorer.score_case(model, scorer.cases[number], preview=number < _PREVIEWS)))
    shared = sorted((item for part in group.gather(own) for item in part), key=lambda item: item[0])
    scores = [score for _, score in shared]
    score, details = scorer.summarise([replace(each, preview=None) for each in scores])
    figures = {name: float(value) for name, value in details.items()}
    loss = figures.pop("loss", None)
    judgement = Judgement(float(score) if math.isfinite(score) else None, loss, figures)
    return judgement, [each for each in scores if each.preview is not None]


def write_previews(scores: Sequence[CaseScore], folder: Path, stage: str, epoch: int, report: Report) -> None:
    """Write predictions of validation cases as TIFF, over those of the epoch before, and tell where they are."""
    for number, score in enumerate(scores):
        path = folder / f"preview-{number}.tif"
        with replacing(path) as temporary:
            tifffile.imwrite(temporary, np.asarray(score.preview, np.uint8), compression="zlib")
        report("preview_written", stage=stage, epoch=epoch, case=score.case, path=str(path))
