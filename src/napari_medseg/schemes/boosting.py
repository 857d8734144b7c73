"""Scheme `boosting`: a U-Net that grows, its levels trained in groups, the finest first.

Volumes with few training cases overfit a deep network that is trained at once. Here the levels are cut into groups. The
first group is a shallow U-Net, trained until its Dice no longer improves; then the next group is put below it and
trained alone, all that was there before being frozen; and so on. Several numbers of levels and groupings can compete,
repeatedly; the one with the best Dice on the validation volumes becomes the model.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from napari_medseg.config import BASIC, AugmentationConfig, parse_settings, unit
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.schemes.base import Scheme, SchemeConfig, Trained
from napari_medseg.schemes.boosting_levels import parse_variants
from napari_medseg.schemes.boosting_parts import BoostingParts, make_predictor
from napari_medseg.schemes.boosting_plan import Entry, Plan, best_entry
from napari_medseg.structures import Fault, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult


def _default_augmentation() -> AugmentationConfig:
    """Bodies lie in scanners as they lie: mirrored left and right, turned a little, never upside down."""
    return AugmentationConfig(upside_down=False, rotate90=False, rotate=10.0, color=0.0)


class BoostingConfig(SchemeConfig):
    """Settings of the scheme."""

    scheme: Literal["boosting"] = "boosting"
    variants: str = Field(
        "auto",
        description="Levels per group: 3+1 trains levels 1 to 3, then level 4. Several (2+1, 3+1) compete; or auto.",
        json_schema_extra=BASIC,
    )
    repeats: int = Field(1, ge=1, le=20, description="How often each variant is trained, from other random weights.")
    target: str | None = Field(None, description="Name of the variant that becomes the model; empty: the best one.")
    dims: Literal[2, 3] | None = Field(None, description="Dimensions of the network; empty: those of the images.")
    base_width: int = Field(
        32, ge=4, le=256, description="Kernels of level 1; level i has i times as many.", json_schema_extra=BASIC
    )
    head: Literal["default", "literal"] = Field(
        "default", description="How level 1 ends: two 3x3 convolutions and one 1x1, or 3x3, 1x1 and a sigmoid, twice."
    )
    pass_on: bool = Field(
        True, description="A new level starts by passing on what is above it, so that the score hardly falls."
    )
    patch_size: tuple[int, ...] | None = Field(
        None,
        description="Training patch ([z,] y, x); empty: the median image, at most 64 voxels long.",
        json_schema_extra={**BASIC, **unit("voxels")},
    )
    truncate: Literal["auto", "window", "percentile", "none"] = Field(
        "auto",
        description="Truncate intensities to the window, to the scan's own 0.5 and 99.5 percentiles, or not; auto: to "
        "the window for CT.",
        json_schema_extra=BASIC,
    )
    window: tuple[float, float] = Field(
        (-100.0, 240.0), description="Lowest and highest value of the window.", json_schema_extra=unit("HU")
    )
    spacing: Literal["median", "own"] = Field(
        "median", description="Resample images to the median spacing of the training images, or leave them their own."
    )
    pooling: Literal["auto", "all axes", "in plane"] = Field(
        "auto", description="Which axes are halved between levels; auto: slices only while they are not thick."
    )
    foreground_share: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of the patches that are centred on a drawn voxel."
    )
    cross_entropy: float = Field(
        0.1,
        ge=0.0,
        le=10.0,
        description="Weight of cross-entropy beside the Dice loss, which alone cannot leave a state where everything "
        "is background; 0: Dice alone.",
    )
    nested: bool = Field(
        False, description="Each class lies inside the ones before it (a tumour in its organ), whose voxels it shares."
    )
    augmentation: AugmentationConfig = Field(
        default_factory=_default_augmentation, description="Random changes of training patches."
    )

    @field_validator("variants", "target", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """A single number of levels may be written as a number."""
        return str(value) if isinstance(value, int) else value

    @field_validator("variants")
    @classmethod
    def _is_grouping(cls, value: str) -> str:
        parse_variants(value)
        return value

    @field_validator("window")
    @classmethod
    def _rises(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("the first value must be lower than the second")
        return value

    @model_validator(mode="after")
    def _patch_fits(self) -> Self:
        if self.patch_size is not None:
            if len(self.patch_size) != (self.dims or len(self.patch_size)) or len(self.patch_size) not in (2, 3):
                raise ValueError("patch_size needs one number per dimension, e.g. 32, 64, 64 for volumes")
            if min(self.patch_size) < 2:
                raise ValueError("patch_size must be 2 or more along every axis")
        return self


class BoostingScheme(Scheme):
    """The stages of every variant, and the predictor of the best one."""

    key: ClassVar[str] = "boosting"
    title: ClassVar[str] = "Growing U-Net for volumes"
    summary: ClassVar[str] = "A 3D U-Net trained level group by level group, the earlier groups frozen."
    config_type: ClassVar[type[SchemeConfig]] = BoostingConfig
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cpu": {
            "base_width": 8,
            "training": {
                "batch_size": 2,
                "epochs": 10,
                "steps_per_epoch": 40,
                "patience": 4,
                "learning_rate": 0.001,
            },
        },
    }

    def check(self, config: BoostingConfig, data: TrainingSet) -> list[Fault]:
        """Errors when no labelled image can be trained on; a warning without validation."""
        drawn = [case for case in data.of_split("train") if case.has_mask]
        if not data.info.classes or not drawn:
            return [
                Fault(
                    text="There is nothing to train on: no training case has drawn structures.",
                    mend="Draw the structures of some volumes, and mark the cases as done.",
                )
            ]
        if any(case.has_mask for case in data.of_split("val")):
            return []
        text = "No validation case is drawn"
        mend = "Finish more patients, or put a group into the split 'val'."
        if len(parse_variants(config.variants)) > 1 or config.repeats > 1:
            return [Fault(text=f"{text}: the variants cannot be compared.", mend=f"{mend} Or train one variant once.")]
        return [Fault(text=f"{text}: the last weights are kept.", mend=mend, severity="warning")]

    def known_stages(self, config: BoostingConfig) -> Mapping[str, str]:
        """The stages of all variants, where none is chosen by looking at the data."""
        variants = parse_variants(config.variants)
        chosen = [variant for variant in variants if variant is not None]
        if len(chosen) < len(variants):
            return {}
        plans = [Plan(variant, run) for variant in chosen for run in range(config.repeats)]
        return {plan.stage_name(k): plan.stage_title(k, config.repeats) for plan in plans for k in plan.stages}

    def stages(
        self,
        config: BoostingConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Generator[Stage, StageResult, Trained]:
        """Every variant, group by group; the best one is the model."""
        parts = BoostingParts.fit(config, data, seed, compute, start=start)
        league: list[Entry] = []
        for variant in parts.variants:
            for run in range(config.repeats):
                league.append((yield from parts.train(Plan(variant, run))))
        return parts.trained(league, _target(config, league))

    def predictor(self, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]], compute: Compute) -> Predictor:
        """The chosen network over overlapping windows of the volume at the working resolution."""
        from napari_medseg.data.resolution import VolumeResolution
        from napari_medseg.data.truncation import ScanIntensity
        from napari_medseg.models.boosting import BoostingUNet
        from napari_medseg.models.building import load_weights

        try:
            config = parse_settings(BoostingConfig, dict(card.config))
            intensity = ScanIntensity.from_json(card.preprocessing["intensity"])
            resolution = VolumeResolution.from_json(card.preprocessing["resolution"])
            patch = tuple(int(side) for side in card.preprocessing["patch"])
            poolings = tuple(tuple(int(f) for f in factors) for factors in card.preprocessing["poolings"])
        except (ConfigError, KeyError, TypeError, ValueError) as error:
            # What the file says is somebody else's text: anything can be missing or out of range.
            reason = str(error).rstrip(".")
            raise ModelError(
                f"The model file describes settings or preprocessing that this program has not ({reason}): use the "
                "version that wrote it, or train again."
            ) from error
        network = BoostingUNet(intensity.channels, len(card.classes), poolings, config.base_width, config.head)
        load_weights(network, tensors, "network")
        network = compute.prepare_inference(network)
        return make_predictor(config, intensity, resolution, patch, card.classes, network)


def _target(config: BoostingConfig, league: Sequence[Entry]) -> Entry:
    """The variant that was asked for, else the best."""
    if config.target is None:
        return best_entry(league)
    found = [entry for entry in league if config.target in (entry.plan.name, entry.plan.variant.name)]
    if not found:
        names = ", ".join(entry.plan.name for entry in league)
        raise ConfigError(f"There is no variant '{config.target}' to be the target: choose one of {names}.")
    return best_entry(found)
