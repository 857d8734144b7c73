"""How long a stage lasts, how fast it learns, and where its random numbers come from: pure functions of the step."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from napari_medseg.config import TrainingConfig

#: Share of the highest learning rate that is left at a stage's last step.
_FINAL_SHARE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The planned length of a stage.

    Parameters
    ----------
    steps_per_epoch, epochs
        Optimiser steps per epoch; most epochs.
    warmup_steps
        Steps over which the learning rate rises.
    peak
        Highest learning rate.
    """

    steps_per_epoch: int
    epochs: int
    warmup_steps: int
    peak: float

    @classmethod
    def plan(cls, training: TrainingConfig, cases: int) -> Schedule:
        """The schedule for a number of training cases; an epoch is one pass over them unless it is set."""
        steps = training.steps_per_epoch or math.ceil(cases / training.batch_size)
        return cls(
            steps_per_epoch=steps,
            epochs=training.epochs,
            warmup_steps=training.warmup_steps,
            peak=training.learning_rate,
        )

    @property
    def steps(self) -> int:
        """Most steps of the stage."""
        return self.steps_per_epoch * self.epochs

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step (from 0): linear warm-up, then a cosine down to a hundredth of the peak.

        The warm-up takes a tenth of the stage at most, so that short stages reach the peak too.

        Examples
        --------
        >>> schedule = Schedule(steps_per_epoch=10, epochs=10, warmup_steps=5, peak=1.0)
        >>> [round(schedule.learning_rate(step), 2) for step in (0, 4, 52, 99)]
        [0.2, 1.0, 0.51, 0.01]
        """
        warmup = min(self.warmup_steps, self.steps // 10)
        if step < warmup:
            return self.peak * (step + 1) / warmup
        share = (step - warmup) / max(1, self.steps - warmup)
        return self.peak * (_FINAL_SHARE + (1 - _FINAL_SHARE) * (1 + math.cos(math.pi * share)) / 2)


def derive_seed(*parts: int | str) -> int:
    """A seed of 63 bits for one purpose, the same on every machine.

    Examples
    --------
    >>> derive_seed(0, "a_classifier", 7) == derive_seed(0, "a_classifier", 7)
    True
    >>> derive_seed(0, "a_classifier", 7) == derive_seed(0, "a_classifier", 8)
    False
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
