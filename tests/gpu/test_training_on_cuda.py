"""The training loop on a CUDA device against the CPU, and against memory that really runs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_medseg.config import AugmentationConfig
from napari_medseg.errors import Cancelled
from napari_medseg.models.compute import Compute, choose_compute
from napari_medseg.training.loop import fit
from napari_medseg.training.stage import CaseScore, Stage, StageResult
from tests.training.test_loop import Recorder, StoppingSource
from tests.training.tiny import CPU, STILL, mask_stage, training

pytestmark = pytest.mark.gpu


def train(stage: Stage, folder: Path, compute: Compute, recorder: Recorder | None = None) -> StageResult:
    return fit(stage, folder=folder, identity="x", compute=compute, seed=3, report=recorder or Recorder())


def test_a_few_steps_are_those_of_the_cpu(tmp_path: Path, cuda: Compute) -> None:
    # AdamW's first steps follow the sign of gradients near zero, so that rounding grows; plain losses show agreement.
    few = training(epochs=1, steps_per_epoch=3, learning_rate=1e-4)
    losses = {}
    for compute in (CPU, cuda):
        recorder = Recorder()
        stage = mask_stage(training=few, augmentation=STILL, scorer=None)
        train(stage, tmp_path / compute.device.replace(":", ""), compute, recorder)
        losses[compute.device] = recorder.of("epoch_ended")[-1]["loss"]
    assert losses["cuda:0"] == pytest.approx(losses["cpu"], rel=1e-3)


class Moved:
    """The scorer of the CPU's tests, for a network that lies elsewhere."""

    def __init__(self, scorer: Any, compute: Compute) -> None:
        self.scorer, self.compute, self.cases = scorer, compute, scorer.cases

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        def answer(images: torch.Tensor) -> torch.Tensor:
            return model(self.compute.to(images)).cpu()

        score: CaseScore = self.scorer.score_case(answer, case, preview=preview)
        return score

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        summary: tuple[float, dict[str, float]] = self.scorer.summarise(scores)
        return summary


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_segmenter_learns(tmp_path: Path, precision: str) -> None:
    compute = choose_compute("cuda", precision)
    compute.activate()
    stage = mask_stage(training=training(epochs=12, learning_rate=0.02, patience=0))
    result = train(replace(stage, scorer=Moved(stage.scorer, compute)), tmp_path, compute)
    assert result.best_score > 0.95


def test_a_cancelled_training_goes_on_from_its_checkpoint(tmp_path: Path, cuda: Compute) -> None:
    changes = {"scorer": None, "augmentation": AugmentationConfig()}
    unbroken, broken = mask_stage(**changes), mask_stage(**changes)
    train(unbroken, tmp_path / "unbroken", cuda)
    with pytest.raises(Cancelled):
        train(mask_stage(source=StoppingSource(broken.source, 7), **changes), tmp_path / "broken", cuda)
    train(broken, tmp_path / "broken", cuda)
    for name, weight in unbroken.model.state_dict().items():
        # Some sums of a GPU have no fixed order, so that not every bit agrees.
        torch.testing.assert_close(broken.model.state_dict()[name], weight, rtol=1e-2, atol=1e-3, msg=name)


class Hungry(nn.Module):
    """A layer that holds `mb` MB of the device per patch while it is trained."""

    def __init__(self, inner: nn.Module, mb: int) -> None:
        super().__init__()
        self.inner, self.mb = inner, mb

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = torch.empty((len(x), self.mb, 2**20), dtype=torch.uint8, device=x.device)
        output: torch.Tensor = self.inner(x) + 0 * held[0, 0, 0].float().nan_to_num()
        return output


def test_memory_that_really_runs_out_makes_the_parts_smaller(tmp_path: Path, cuda: Compute) -> None:
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1.0 * 2**30 / total)
    try:
        stage = mask_stage(scorer=None, training=training(epochs=1, batch_size=8))
        recorder = Recorder()
        train(replace(stage, model=Hungry(stage.model, 200)), tmp_path, cuda, recorder)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "parts of 4" in recorder.of("warning")[0]["text"]
