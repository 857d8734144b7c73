"""Trainings of scheme `boosting`: what is to be trained, and what became of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_medseg.schemes.boosting_levels import Variant

if TYPE_CHECKING:
    from torch import nn

#: Bytes of a weight in a model file.
_WEIGHT_BYTES = 4


@dataclass(frozen=True, slots=True)
class Plan:
    """One training of a variant."""

    variant: Variant
    run: int

    @property
    def name(self) -> str:
        """Name of the result; the first training bears the variant's."""
        return self.variant.name if self.run == 0 else f"{self.variant.name} run {self.run + 1}"

    @property
    def stages(self) -> range:
        """Its groups, counted from 0."""
        return range(len(self.variant.groups))

    def stage_name(self, group: int) -> str:
        """Name of a group's stage, and of its folder."""
        run = f"-run{self.run + 1}" if self.run else ""
        return f"levels-{'-'.join(map(str, self.variant.groups))}{run}-stage{group + 1}"

    def stage_title(self, group: int, repeats: int = 1) -> str:
        """Words for people."""
        levels = self.variant.levels_of(group)
        trained = f"level {levels[0]}" if len(levels) == 1 else f"levels {levels[0]} to {levels[-1]}"
        run = f", run {self.run + 1}" if repeats > 1 else ""
        return f"{self.variant.name}{run}: {trained}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A variant that was trained to its end; `score` is NaN without validation."""

    plan: Plan
    network: nn.Module
    score: float
    details: Mapping[str, float]
    seconds: float
    stopped: bool

    def to_json(self, *, chosen: bool) -> dict[str, Any]:
        """A row of the table that is saved with the model."""
        parameters = sum(p.numel() for p in self.network.parameters())
        groups = self.plan.variant.groups
        return {
            "name": self.plan.name,
            "stage": self.plan.stage_name(len(groups) - 1),
            "title": f"{self.plan.variant.levels} levels, trained {self.plan.name}",
            "reason": self.plan.variant.reason,
            "score": None if math.isnan(self.score) else self.score,
            "dice": {name: value for name, value in self.details.items() if name.startswith("dice ")},
            "seconds": round(self.seconds, 3),
            "parameters": parameters,
            "bytes": _WEIGHT_BYTES * parameters,
            "chosen": chosen,
            "stopped": self.stopped,
        }


def best_entry(league: Sequence[Entry]) -> Entry:
    """The entry with the best Dice; the earlier one where two are equal or nothing was judged."""
    return max(league, key=lambda entry: -math.inf if math.isnan(entry.score) else entry.score)
