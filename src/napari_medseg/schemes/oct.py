"""Scheme `oct`: windows across the width of B-scans, candidates compared (CN 115713495 A).

B-scans of several devices differ in width, height and range. Windows that slide along the width bring them to one size
and make many samples of few annotated scans; several networks are trained on them, and the one with the best mean IoU
becomes the model (round 1). Then its number of convolutions, kernels and downsamplings is tuned by the same rule
(round 2). No module takes the result of another: one network, end to end.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from napari_medseg.config import (
    BASIC,
    DECODERS,
    DECODERS_WITH_WIDTHS,
    ENCODERS,
    PLAIN,
    AugmentationConfig,
    Settings,
    parse_settings,
    unit,
)
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.schemes.base import Scheme, SchemeConfig, Trained
from napari_medseg.schemes.oct_league import Entry, best_entry, neighbours, title_of
from napari_medseg.schemes.oct_parts import OctParts, make_predictor
from napari_medseg.structures import Fault, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult


class Candidate(Settings):
    """A network that competes."""

    architecture: str = Field(
        PLAIN,
        description="'unet-plain' (all skips) or a decoder of segmentation-models-pytorch, e.g. 'unetplusplus'.",
        json_schema_extra={"suggestions": DECODERS},
    )
    encoder: str = Field(
        PLAIN,
        description="'unet-plain' or any encoder of segmentation-models-pytorch, e.g. 'resnet18'.",
        json_schema_extra={"suggestions": ENCODERS},
    )
    encoder_weights: str | None = Field(
        None, description="Pretrained weights of that library's encoder, e.g. 'imagenet'; downloaded on first use."
    )
    convs_per_level: int = Field(2, ge=1, le=5, description="Convolutions per level (plain encoder and decoder).")
    base_width: int = Field(32, ge=4, le=256, description="Kernels of the finest level; each level doubles them.")
    downsamplings: int = Field(4, ge=1, le=6, description="How often the encoder halves the image.")

    @model_validator(mode="after")
    def _has_depth(self) -> Self:
        if not (self.encoder == self.architecture == PLAIN or 3 <= self.downsamplings <= 5):
            raise ValueError("parts of segmentation-models-pytorch need 3, 4 or 5 downsamplings")
        return self

    @property
    def has_convs(self) -> bool:
        """Whether the number of convolutions is a knob of it."""
        return PLAIN in (self.architecture, self.encoder)

    @property
    def has_width(self) -> bool:
        """Whether the number of kernels is a knob of it."""
        return self.encoder == PLAIN or self.architecture in DECODERS_WITH_WIDTHS

    @property
    def name(self) -> str:
        """Short and unique among different candidates, e.g. ``"unet-plain-c2-w32-d4"``."""
        parts = [self.architecture]
        if self.encoder != PLAIN:
            parts.append(self.encoder if self.encoder_weights is None else f"{self.encoder}-{self.encoder_weights}")
        if self.has_convs:
            parts.append(f"c{self.convs_per_level}")
        if self.has_width:
            parts.append(f"w{self.base_width}")
        parts.append(f"d{self.downsamplings}")
        return re.sub(r"[^\w.-]", "_", "-".join(parts))


def _default_candidates() -> tuple[Candidate, ...]:
    return (
        Candidate(),
        Candidate(architecture="unetplusplus"),
        Candidate(architecture="fpn", encoder="resnet18", downsamplings=5),
    )


def _default_augmentation() -> AugmentationConfig:
    """Layers keep their order: never upside down, hardly turned; speckle as light makes it."""
    return AugmentationConfig(upside_down=False, rotate90=False, rotate=5.0, zoom=0.1, color=0.0, speckle=0.1)


class OctConfig(SchemeConfig):
    """Settings of the scheme."""

    scheme: Literal["oct"] = "oct"
    window_width: int = Field(
        256, ge=16, le=4096, description="Columns of a window.", json_schema_extra={**BASIC, **unit("columns")}
    )
    stride: int = Field(
        128,
        ge=1,
        le=4095,
        description="Columns between neighbouring windows; less than a window.",
        json_schema_extra={**BASIC, **unit("columns")},
    )
    height: int | None = Field(
        None,
        ge=16,
        le=8192,
        description="Rows of a window, a power of two; empty: the least that holds every B-scan of the set.",
        json_schema_extra=unit("rows"),
    )
    candidates: tuple[Candidate, ...] = Field(
        default_factory=_default_candidates,
        min_length=1,
        description="The networks of round 1.",
        json_schema_extra=BASIC,
    )
    search: bool = Field(
        True,
        description="Round 2: try one step around the winner in convolutions, kernels and downsamplings.",
        json_schema_extra=BASIC,
    )
    target: str | None = Field(
        None,
        description="Name of the candidate that becomes the model; the others are not trained. Empty: the best one.",
    )
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="Whether pixels of thin layers weigh more in the loss."
    )
    augmentation: AugmentationConfig = Field(
        default_factory=_default_augmentation, description="Random changes of training windows."
    )

    @field_validator("height")
    @classmethod
    def _is_power_of_two(cls, value: int | None) -> int | None:
        if value is not None and value & (value - 1):
            raise ValueError(f"must be a power of two, e.g. {1 << value.bit_length()}")
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.stride >= self.window_width:
            raise ValueError(
                f"stride must be less than window_width={self.window_width}, e.g. {self.window_width // 2}"
            )
        for candidate in self.candidates:
            multiple = 2**candidate.downsamplings
            if self.window_width % multiple:
                raise ValueError(
                    f"window_width must be a multiple of {multiple} for {candidate.downsamplings} downsamplings, e.g. "
                    f"{-(-self.window_width // multiple) * multiple}"
                )
            if self.height is not None and self.height < multiple:
                raise ValueError(f"height must be at least {multiple} for {candidate.downsamplings} downsamplings")
        names = [candidate.name for candidate in self.candidates]
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ValueError(f"two candidates are the same network ({twice}): change or remove one")
        if self.target is not None and not self.search and self.target not in names:
            raise ValueError(
                f"there is no candidate '{self.target}' to be the target: choose one of {', '.join(names)}"
            )
        return self


class OctScheme(Scheme):
    """Round 1, round 2, and the predictor of the winner."""

    key: ClassVar[str] = "oct"
    title: ClassVar[str] = "OCT layers, candidates compared"
    summary: ClassVar[str] = (
        "Windows across the width of B-scans train several networks; the best one is tuned and kept."
    )
    config_type: ClassVar[type[SchemeConfig]] = OctConfig
    competes: ClassVar[bool] = True
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cpu": {
            "window_width": 128,
            "stride": 64,
            "candidates": [
                {"base_width": 12},
                {"architecture": "unetplusplus", "base_width": 12},
                {"architecture": "fpn", "encoder": "resnet18", "downsamplings": 5},
            ],
            "search": False,
            "training": {"batch_size": 8, "epochs": 12, "patience": 5, "learning_rate": 0.004},
        },
    }

    def check(self, config: OctConfig, data: TrainingSet) -> list[Fault]:
        """Errors when no labelled B-scan can be trained on; warnings when candidates cannot be compared."""
        drawn = [case for case in data.of_split("train") if case.has_mask]
        if not data.info.classes or not drawn:
            return [
                Fault(
                    text="There is nothing to train on: no training case has drawn layers.",
                    mend="Draw the layers of some B-scans, and mark the cases as done.",
                )
            ]
        judged = [case for case in data.of_split("val") if case.has_mask]
        if not judged:
            text = "No validation case is drawn: the candidates cannot be compared"
            mend = "Finish more patients or eyes, or put a group into the split 'val'."
            if len(config.candidates) > 1 or config.search:
                mend = f"{mend} Or train one candidate without search."
                return [Fault(text=f"{text}.", mend=mend)]
            return [Fault(text=f"{text} and the last weights are kept.", mend=mend, severity="warning")]
        unseen = {case.source for case in judged} - {case.source for case in drawn}
        if unseen:
            names = ", ".join(sorted(source or "no source" for source in unseen))
            text = f"Validation cases come from {names}, of which no training case is."
            return [Fault(text=text, mend="That is right where other devices are to be tested.", severity="warning")]
        return []

    def known_stages(self, config: OctConfig) -> Mapping[str, str]:
        """The candidates of round 1."""
        return {candidate.name: title_of(candidate) for candidate in config.candidates}

    def stages(
        self,
        config: OctConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Generator[Stage, StageResult, Trained]:
        """Every candidate on the same windows; then the winner's neighbours; the best of all is the model."""
        parts = OctParts.fit(config, data, seed, compute, start=start)
        league = yield from race_candidates(parts)
        return parts.trained(league, _target(config, league))

    def predictor(self, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]], compute: Compute) -> Predictor:
        """The chosen network over windows of all rows, blended across the width."""
        from napari_medseg.data.intensity import Intensity
        from napari_medseg.inference.folding import folded_for_inference
        from napari_medseg.models.building import load_weights
        from napari_medseg.schemes.oct_parts import build_network

        try:
            config = parse_settings(OctConfig, dict(card.config))
            intensity = Intensity.from_json(card.preprocessing["intensity"])
            candidate = parse_settings(Candidate, dict(card.preprocessing["candidate"]))
            height = int(card.preprocessing["height"])
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            # What the file says is somebody else's text: anything can be missing or out of range.
            reason = str(error).rstrip(".")
            raise ModelError(
                f"The model file describes settings or preprocessing that this program has not ({reason}): use the "
                "version that wrote it, or train again."
            ) from error
        candidate = candidate.model_copy(update={"encoder_weights": None})
        network = build_network(candidate, intensity.channels, len(card.classes) + 1)
        load_weights(network, tensors, "segmenter")
        network = folded_for_inference(network, intensity.channels, compute)
        return make_predictor(config, candidate, intensity, height, card.classes, network)


def race_candidates(parts: OctParts) -> Generator[Stage, StageResult, list[Entry]]:
    """Train the candidates of round 1, and where it is asked for those of round 2, one step around the best so far.

    Where one of round 1 is asked for by name, the others only stand beside it if they were trained before.
    """
    target = parts.config.target
    is_known = target in {candidate.name for candidate in parts.config.candidates}
    for candidate in parts.config.candidates:
        parts.try_out(candidate)
    league: list[Entry] = []
    for candidate in parts.config.candidates:
        league += yield from _race(parts, candidate, 1, only_if_done=is_known and candidate.name != target)
    if parts.config.search:
        raced = {entry.candidate.name for entry in league}
        around = neighbours(best_entry(league).candidate, parts.config.window_width, parts.height)
        for candidate in (c for c in around if c.name not in raced and _works(parts, c)):
            league += yield from _race(parts, candidate, 2, only_if_done=is_known)
    return league


def _works(parts: OctParts, candidate: Candidate) -> bool:
    """Whether there is such a network: some encoders and decoders of the library have one depth alone."""
    try:
        parts.try_out(candidate)
    except ConfigError:
        return False
    return True


def _race(
    parts: OctParts, candidate: Candidate, number: int, *, only_if_done: bool
) -> Generator[Stage, StageResult, list[Entry]]:
    """Train one candidate; empty where it was left out."""
    network = parts.network(candidate)
    result = yield replace(parts.stage(candidate, network), only_if_done=only_if_done)
    return [] if result.left_out else [parts.entry(candidate, network, result, number)]


def _target(config: OctConfig, league: Sequence[Entry]) -> Entry:
    """The candidate that was asked for, else the best."""
    if config.target is None:
        return best_entry(league)
    found = [entry for entry in league if entry.candidate.name == config.target]
    if not found:
        names = ", ".join(entry.candidate.name for entry in league)
        raise ConfigError(f"There is no candidate '{config.target}' to be the target: choose one of {names}.")
    return found[0]
