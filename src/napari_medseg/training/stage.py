"""What a scheme yields and what the loop sends back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from napari_medseg.config import AugmentationConfig, TrainingConfig
from napari_medseg.data.intensity import Intensity
from napari_medseg.structures import NO_TAG as NO_TAG

if TYPE_CHECKING:
    import torch
    from torch import nn

#: A file of this name in a stage's folder ends the stage after its present epoch; its best weights are kept.
STOP_NAME = "stop"


@dataclass(frozen=True, slots=True)
class Batch:
    """Training patches that may lack a tag, a mask, or neither.

    Parameters
    ----------
    images
        float tensor (b, c, [z,] y, x), normalised.
    labels
        int64 tensor (b, [z,] y, x): class values 0..n, 255 where nobody looked; all 255 for a sample without a mask.
    tags
        int64 tensor (b,): tag index, `NO_TAG` where there is none.
    """

    images: torch.Tensor
    labels: torch.Tensor
    tags: torch.Tensor


class PatchSource(Protocol):
    """Training patches, addressed by step so that a resumed run draws what an unbroken one would."""

    def __len__(self) -> int:
        """Number of training cases, i.e. patches of one pass."""

    def draw(self, positions: Sequence[int], seed: int) -> tuple[npt.NDArray[Any], ...]:
        """Patches at positions of the endless shuffled sequence, a pure function of its arguments.

        Returns
        -------
        images (b, c, [z,] y, x) float32, labels (b, [z,] y, x) uint8, tags (b,) int64
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseScore:
    """What validation keeps of one whole case: plain numbers, so that processes can exchange them."""

    case: str
    values: Mapping[str, Any]
    preview: npt.NDArray[np.uint8] | None = None


class Scorer(Protocol):
    """Validation on whole cases, after stitching."""

    cases: Sequence[str]

    def score_case(self, model: nn.Module, case: str, *, preview: bool) -> CaseScore:
        """Predict one case with the model (in eval mode, gradients off) and compare with its labels."""

    def summarise(self, scores: Sequence[CaseScore]) -> tuple[float, dict[str, float]]:
        """The score that early stopping maximises, and further figures (``loss`` among them where known)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StagePart:
    """A part of a network that grows or thaws, for people.

    Parameters
    ----------
    name
        E.g. ``"level 4"``.
    stage
        Name of the stage that trains it.
    state
        What it does in the present stage.
    parameters
        Number of its weights.
    """

    name: str
    stage: str
    state: Literal["frozen", "training", "waiting"]
    parameters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One part of a scheme's training.

    Parameters
    ----------
    name, title
        Key (``"a_classifier"``) and words for people.
    model
        The network as it starts; the loop leaves the best weights in it.
    source
        Training patches.
    scorer
        Validation; None trains for all epochs and keeps the last weights.
    loss
        Maps (model output, batch) to a scalar; uses `NO_TAG` and 255 as "not known".
    training, augmentation
        Settings.
    frozen
        Modules of `model` that must not move: no gradient, no weight decay, no running statistics.
    fingerprint
        JSON-able description of everything that shapes the result and that the loop cannot see: the cases' content
        hashes, tags, splits, the scheme's settings and code version. Hashed with the parents' identities and the seed.
    parents
        Names of the stages whose weights this one starts from.
    candidate
        Whether this is one of several stages of which the scheme keeps the best; shown as a league table.
    only_if_done
        Take it from the disk where it was trained to its end before; otherwise leave it out.
    score_name
        What people call the number that the scorer gives and early stopping maximises, e.g. ``"Dice"``.
    parts
        The parts of the finished network, the finest first, where stages train one after the other; for display.
    readers
        Threads that draw patches ahead; the source must allow for it.
    intensity
        How colours became network input, for changes of stains; None: there are none.
    """

    name: str
    title: str
    model: nn.Module
    source: PatchSource
    loss: Callable[[Any, Batch], torch.Tensor]
    training: TrainingConfig
    augmentation: AugmentationConfig
    scorer: Scorer | None = None
    frozen: Sequence[nn.Module] = ()
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    parents: Sequence[str] = ()
    candidate: bool = False
    only_if_done: bool = False
    score_name: str = "score"
    parts: Sequence[StagePart] = ()
    readers: int = 1
    intensity: Intensity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StageResult:
    """What the loop sends back into the scheme.

    `stopped`: a person ended the stage before its last epoch. `left_out`: nothing was trained or loaded
    (`Stage.only_if_done`); the figures mean nothing then.
    """

    name: str
    identity: str
    best_score: float
    epochs: int
    steps: int
    seconds: float
    reused: bool
    details: Mapping[str, float]
    stopped: bool = False
    left_out: bool = False
