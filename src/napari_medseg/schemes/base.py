"""What a training scheme is: settings, a generator of stages, and a predictor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from napari_medseg.config import AugmentationConfig, Settings, TrainingConfig, WindowConfig
from napari_medseg.structures import Fault, MaskClass, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult


class SchemeConfig(Settings):
    """Settings that every scheme has; a scheme's own class adds ``scheme: Literal[key]`` and what is special."""

    training: TrainingConfig = Field(default_factory=TrainingConfig, description="How each stage is trained.")
    augmentation: AugmentationConfig = Field(
        default_factory=AugmentationConfig, description="Random changes of training patches."
    )
    windows: WindowConfig = Field(default_factory=WindowConfig, description="How large images are cut for prediction.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a scheme's generator returns: the weights and what a model file must say about them.

    Parameters
    ----------
    tensors
        Weights by name, e.g. ``"classifier.encoder.stages.0.0.weight"``.
    classes, tags
        Mask classes and tag names in the channel order of the networks.
    preprocessing
        Plain values that `Scheme.predictor` needs to repeat the training's preprocessing.
    expects
        ``axes``, ``channels``, ``spacing``, ``units`` of an input image.
    scores
        Final validation figures, for the summary and the model card.
    candidates
        What was compared, where the scheme chose between several: plain values with ``name``, ``stage``, ``title``,
        ``score``, ``seconds``, ``parameters``, ``chosen`` and ``stopped`` each, and what else the scheme has to say.
    """

    tensors: Mapping[str, torch.Tensor]
    classes: Sequence[MaskClass]
    tags: Sequence[str]
    preprocessing: Mapping[str, Any]
    expects: Mapping[str, Any]
    scores: Mapping[str, float] = field(default_factory=dict)
    candidates: Sequence[Mapping[str, Any]] = ()


class Scheme(ABC):
    """A training scheme. Stateless: everything it knows comes as arguments."""

    key: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    config_type: ClassVar[type[SchemeConfig]]
    #: Partial settings by profile name, applied over the defaults (``"cpu"`` trains in minutes on a laptop).
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: Stage names and titles in order, for time lines before training starts; see `known_stages` too.
    stage_titles: ClassVar[Mapping[str, str]] = {}
    #: Names and titles of the stages that come first where a set for pretraining is given; empty: it takes none.
    pretraining_titles: ClassVar[Mapping[str, str]] = {}
    #: Whether its models judge one region of an image, that somebody has to point out.
    judges_region: ClassVar[bool] = False
    #: Whether its stages compete, and the best one is kept; more of them may follow those that are known beforehand.
    competes: ClassVar[bool] = False

    #: Whether it trains from whole slides, piece by piece.
    takes_slides: ClassVar[bool] = False

    @abstractmethod
    def check(self, config: Any, data: TrainingSet) -> list[Fault]:
        """What keeps this scheme from training on these cases, and what may surprise; imports no torch."""

    def known_stages(self, config: Any) -> Mapping[str, str]:
        """Names and titles of the stages that settings tell of before training starts, in order."""
        return self.stage_titles

    @abstractmethod
    def stages(
        self,
        config: Any,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Generator[Stage, StageResult, Trained]:
        """Yield stages; each yield gives the stage's result back, with the best weights in the stage's model.

        `start` holds the tensors of a model file that training begins with instead of random weights.
        """

    @abstractmethod
    def predictor(self, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]], compute: Compute) -> Predictor:
        """A predictor from a model file's content, with its networks placed as `compute` says."""
