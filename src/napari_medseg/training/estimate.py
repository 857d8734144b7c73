"""What a training will cost, from two steps and one validation case of every stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import torch

from napari_medseg.models.compute import Compute
from napari_medseg.training.distributed import SINGLE
from napari_medseg.training.events import ignore
from napari_medseg.training.schedule import Schedule, derive_seed
from napari_medseg.training.stage import Stage, StageResult
from napari_medseg.training.step import Stepper


@dataclass(frozen=True, slots=True, kw_only=True)
class StageCost:
    """What one stage will take at most; early stopping may end it sooner.

    Parameters
    ----------
    name
        The stage's key.
    steps
        Optimiser steps.
    seconds
        Wall time, validation included.
    """

    name: str
    steps: int
    seconds: float


def estimate_stages(
    stages: Generator[Stage, StageResult, Any], *, seed: int, compute: Compute
) -> tuple[list[StageCost], int | None]:
    """Time a scheme's stages without training them.

    Parameters
    ----------
    stages
        A scheme's generator, not started.
    seed, compute
        As for a training; compute is activated here.

    Returns
    -------
    cost of every stage; peak memory in bytes (of the device, or of this process on the CPU; None where the
    system does not tell)
    """
    compute.activate()
    costs: list[StageCost] = []
    if compute.device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(compute.device)
    result = None
    while True:
        torch.manual_seed(derive_seed(seed, "build", len(costs)))
        try:
            stage = next(stages) if result is None else stages.send(result)
        except StopIteration:
            return costs, _peak_memory(compute)
        costs.append(_measure(stage, seed, compute))
        result = StageResult(
            name=stage.name, identity="", best_score=0.0, epochs=0, steps=0, seconds=0.0, reused=False, details={}
        )


def _measure(stage: Stage, seed: int, compute: Compute) -> StageCost:
    schedule = Schedule.plan(stage.training, len(stage.source))
    stepper = Stepper(stage, schedule, compute, seed, SINGLE, ignore)
    patches = stage.source.draw(stepper.positions(0), seed)
    stepper.train_mode()
    stepper.step(0, patches)  # the first step prepares kernels
    _wait(compute)
    started = time.perf_counter()
    stepper.step(1, patches)
    _wait(compute)
    seconds = (time.perf_counter() - started) * schedule.steps
    stepper.release()
    if stage.scorer is not None and stage.scorer.cases:
        started = time.perf_counter()
        with torch.no_grad():
            stage.scorer.score_case(stage.model, stage.scorer.cases[0], preview=False)
        validations = stage.training.epochs // stage.training.validate_every
        seconds += (time.perf_counter() - started) * len(stage.scorer.cases) * validations
    return StageCost(name=stage.name, steps=schedule.steps, seconds=seconds)


def _wait(compute: Compute) -> None:
    if compute.device.startswith("cuda"):
        torch.cuda.synchronize(compute.device)


def _peak_memory(compute: Compute) -> int | None:
    if compute.device.startswith("cuda"):
        return int(torch.cuda.max_memory_allocated(compute.device))
    if sys.platform == "win32":
        return None  # Python has no such figure there
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
