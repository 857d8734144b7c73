"""The league of scheme `oct`: what each candidate scored and cost, which is best, and what lies one step around it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_medseg.config import PLAIN

if TYPE_CHECKING:
    from torch import nn

    from napari_medseg.schemes.oct import Candidate

#: Factor of one step in the number of kernels.
_WIDTH_STEP = 1.5
#: Bytes of a weight in a model file.
_WEIGHT_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A trained candidate in the league.

    Parameters
    ----------
    round
        1 or 2.
    network
        With its best weights.
    score
        Mean IoU on stitched validation images; NaN without validation.
    iou
        IoU per class on them, pooled over pixels.
    windowed
        Mean IoU over the sampled validation windows, as the source has it; NaN without validation.
    """

    candidate: Candidate
    round: int
    network: nn.Module
    score: float
    iou: Mapping[str, float]
    windowed: float
    seconds: float
    stopped: bool

    @property
    def parameters(self) -> int:
        """Weights of the network."""
        return sum(p.numel() for p in self.network.parameters())

    def to_json(self, *, chosen: bool) -> dict[str, Any]:
        """A row of the table that is saved with the model."""
        return {
            "name": self.candidate.name,
            "stage": self.candidate.name,
            "title": title_of(self.candidate),
            "round": self.round,
            "settings": self.candidate.model_dump(mode="json"),
            "score": _number(self.score),
            "mean_iou": _number(self.score),
            "iou": {name: _number(value) for name, value in self.iou.items()},
            "windowed_mean_iou": _number(self.windowed),
            "seconds": round(self.seconds, 3),
            "parameters": self.parameters,
            "bytes": _WEIGHT_BYTES * self.parameters,
            "chosen": chosen,
            "stopped": self.stopped,
        }


def title_of(candidate: Candidate) -> str:
    """Words for people, e.g. "unet-plain, 2 convolutions, 32 kernels, 4 downsamplings"."""
    parts = [
        candidate.architecture if candidate.encoder == PLAIN else f"{candidate.architecture} on {candidate.encoder}"
    ]
    if candidate.encoder_weights is not None:
        parts.append(f"weights of {candidate.encoder_weights}")
    if candidate.has_convs:
        parts.append(_counted(candidate.convs_per_level, "convolution"))
    if candidate.has_width:
        parts.append(_counted(candidate.base_width, "kernel"))
    parts.append(_counted(candidate.downsamplings, "downsampling"))
    return ", ".join(parts)


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def best_entry(league: Sequence[Entry]) -> Entry:
    """The entry with the best mean IoU; the earlier one where two are equal or nothing was judged."""
    return max(league, key=lambda entry: -math.inf if math.isnan(entry.score) else entry.score)


def neighbours(winner: Candidate, width: int, height: int) -> list[Candidate]:
    """Candidates one step around the winner in each knob that it has, within what windows allow."""
    return [candidate for candidate in _steps(winner) if _fits(candidate, width, height)]


def _steps(winner: Candidate) -> Iterator[Candidate]:
    if winner.has_convs:
        for convs in (winner.convs_per_level - 1, winner.convs_per_level + 1):
            if 1 <= convs <= 5:
                yield winner.model_copy(update={"convs_per_level": convs})
    for kernels in (winner.base_width / _WIDTH_STEP, winner.base_width * _WIDTH_STEP):
        rounded = max(4, min(256, round(kernels / 4) * 4))
        if winner.has_width and rounded != winner.base_width:
            yield winner.model_copy(update={"base_width": rounded})
    # Encoders of the library have five halvings at most, and no decoder for fewer than three.
    least, most = (1, 6) if winner.encoder == PLAIN and winner.architecture == PLAIN else (3, 5)
    for downsamplings in (winner.downsamplings - 1, winner.downsamplings + 1):
        if least <= downsamplings <= most:
            yield winner.model_copy(update={"downsamplings": downsamplings})


def _fits(candidate: Candidate, width: int, height: int) -> bool:
    multiple = 2**candidate.downsamplings
    return not width % multiple and not height % multiple


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
