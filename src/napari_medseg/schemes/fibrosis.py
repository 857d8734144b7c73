"""Scheme `fibrosis`: the region of a tumour and an ordered grade from one network.

A region of interest around the tumour is cut out, brought to the network's input size, and seen as a whole. One encoder
feeds a decoder that draws the tumour and a head that grades it; both are trained together, so that learning where the
tumour ends helps to grade it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from napari_medseg.config import BASIC, Settings, parse_settings, unit
from napari_medseg.data.regions import RegionRule
from napari_medseg.errors import MedsegError, ModelError
from napari_medseg.schemes.base import Scheme, SchemeConfig, Trained
from napari_medseg.schemes.fibrosis_network import build_network, make_predictor
from napari_medseg.schemes.fibrosis_parts import FibrosisParts
from napari_medseg.structures import Fault, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult


class ResidualNetworkConfig(Settings):
    """What the network is made of."""

    base_width: int = Field(
        64,
        ge=4,
        le=256,
        description="Channels of the convolution unit; each of the four residual units doubles them.",
        json_schema_extra={**BASIC, **unit("channels")},
    )
    dims: Literal[2, 3] = Field(3, description="2 for pictures, 3 for volumes.", json_schema_extra=BASIC)
    dropout: float = Field(0.3, ge=0.0, lt=1.0, description="Dropout before the grade head's linear layer.")


class RegionConfig(Settings):
    """What is cut out around a tumour."""

    source: Literal["auto", "image"] = Field(
        "auto",
        description="'auto': around the drawn box, else around the mask, else the whole image; 'image': always the "
        "whole image.",
    )
    margin: float = Field(0.1, ge=0.0, le=2.0, description="Margin on every side, as a share of the tumour's side.")
    margin_mm: float = Field(
        5.0,
        ge=0.0,
        le=100.0,
        description="Margin on every side besides, where spacing is known; it lets the network see how large a tumour "
        "is.",
        json_schema_extra=unit("mm"),
    )
    proportional: bool = Field(
        True, description="Widen the shorter sides, so that tumours are not stretched to the input's size."
    )
    jitter_shift: float = Field(
        0.1, ge=0.0, le=0.5, description="Training: largest random shift of a box, as a share of its side."
    )
    jitter_size: float = Field(
        0.15, ge=0.0, le=0.5, description="Training: largest random change of a box's sides, as a share."
    )

    def rule(self) -> RegionRule:
        """The part that predictions need as well."""
        return RegionRule(margin=self.margin, margin_mm=self.margin_mm, proportional=self.proportional)


class FibrosisConfig(SchemeConfig):
    """Settings of the scheme; the defaults are the source's widths, 64..1024."""

    scheme: Literal["fibrosis"] = "fibrosis"
    network: ResidualNetworkConfig = Field(
        default_factory=ResidualNetworkConfig, description="Encoder, decoder and grade head."
    )
    region: RegionConfig = Field(default_factory=RegionConfig, description="What is cut out around a tumour.")
    input_size: int = Field(
        64, ge=16, le=1024, description="Rows and columns of the network's input.", json_schema_extra=BASIC
    )
    input_slices: int | None = Field(
        None, ge=4, le=1024, description="Slices of the input of a 3D network; empty: as many as rows."
    )
    mode: Literal["joint", "frozen_encoder"] = Field(
        "joint",
        description="'joint': region and grade are learned together; 'frozen_encoder': first the region, then the "
        "grade head on the encoder as it is.",
        json_schema_extra=BASIC,
    )
    lesion: str = Field("", description="Class that is cut out, drawn and graded; empty: all classes of the data set.")
    grade_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the grade in the joint loss.")
    region_weight: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the region in the joint loss.")
    window_low: float | None = Field(
        None, description="Intensity that becomes 0; empty: -100 HU for CT, else the region's own percentile 0.5."
    )
    window_high: float | None = Field(
        None, description="Intensity that becomes 1; empty: 240 HU for CT, else the region's own percentile 99.5."
    )

    @model_validator(mode="after")
    def _window(self) -> FibrosisConfig:
        if (self.window_low is None) != (self.window_high is None):
            raise ValueError("needs both window_low and window_high, or neither of them")
        if self.window_low is not None and self.window_high is not None and self.window_low >= self.window_high:
            raise ValueError(f"window_low ({self.window_low}) must lie below window_high ({self.window_high})")
        return self

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the network's input, ([z,] y, x)."""
        in_plane = (self.input_size, self.input_size)
        return in_plane if self.network.dims == 2 else (self.input_slices or self.input_size, *in_plane)


class FibrosisScheme(Scheme):
    """One stage with two losses, or the region first and the grade head on its frozen encoder."""

    key: ClassVar[str] = "fibrosis"
    title: ClassVar[str] = "Tumour region and grade"
    summary: ClassVar[str] = "One network draws a tumour inside a box around it and gives it an ordered grade."
    config_type: ClassVar[type[SchemeConfig]] = FibrosisConfig
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cpu": {
            "network": {"base_width": 8},
            "input_size": 32,
            "input_slices": 16,
            "training": {"batch_size": 8, "epochs": 40, "patience": 10},
        },
    }
    judges_region: ClassVar[bool] = True
    stage_titles: ClassVar[Mapping[str, str]] = {"joint": "Region and grade together"}

    def known_stages(self, config: FibrosisConfig) -> Mapping[str, str]:
        """One stage, or two with the encoder frozen in the second."""
        if config.mode == "joint":
            return self.stage_titles
        return {"region": "Region", "grade_head": "Grade head on the frozen encoder"}

    def check(self, config: FibrosisConfig, data: TrainingSet) -> list[Fault]:
        """Errors when region or grade cannot be learned; warnings about what is missing for judging."""
        train, validation = data.of_split("train"), data.of_split("val")
        faults = []
        if config.lesion and config.lesion not in {c.name for c in data.info.classes}:
            known = ", ".join(c.name for c in data.info.classes) or "none"
            faults.append(
                Fault(
                    text=f"There is no class '{config.lesion}' to draw and to grade; the data set has: {known}.",
                    mend="Set lesion to one of them, or leave it empty.",
                )
            )
        faults += _check_axes(config, train)
        grades = Counter(case.grade for case in train if case.grade is not None)
        if len(grades) < 2:
            faults.append(
                Fault(
                    text=f"Training cases of two grades are needed, but {_found(grades, data)} among the {len(train)} "
                    "finished ones.",
                    mend="Give grades in the column 'grade', lowest first in dataset.json, and mark cases as done.",
                )
            )
        if not any(case.has_mask for case in train) or not data.info.classes:
            faults.append(
                Fault(
                    text="No training case has a mask, so the region cannot be learned.",
                    mend="Draw the tumour in at least one case and mark it as done.",
                )
            )
        if not any(case.grade is not None and case.has_mask for case in validation):
            faults.append(
                Fault(
                    text="No validation case has both a grade and a mask: what is missing there is not judged, and "
                    "probabilities stay as they are, not calibrated.",
                    mend="Finish more groups, or put a group into the split 'val'.",
                    severity="warning",
                )
            )
        return faults

    def stages(
        self,
        config: FibrosisConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Generator[Stage, StageResult, Trained]:
        """Both losses at once; or the region, then the grade head on the frozen encoder."""
        parts = FibrosisParts.fit(config, data, seed, compute, start=start)
        titles = self.known_stages(config)
        network = parts.network()
        if config.mode == "joint":
            result = yield parts.joint_stage("joint", titles["joint"], network)
            scores = dict(result.details)
        else:
            drawn = yield parts.region_stage("region", titles["region"], network)
            result = yield parts.grade_stage(
                "grade_head", titles["grade_head"], network, parents=("region",), frozen=True
            )
            scores = {**drawn.details, **result.details}
        return parts.trained(network, scores)

    def predictor(self, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]], compute: Compute) -> Predictor:
        """Region and grade of one region of an image."""
        from napari_medseg.data.intensity import Intensity
        from napari_medseg.inference.folding import fold_batch_norm
        from napari_medseg.models.building import load_weights

        try:
            config = parse_settings(FibrosisConfig, dict(card.config))
            intensity = Intensity.from_json(card.preprocessing["intensity"])
            temperature = card.preprocessing["temperature"]
            temperature = None if temperature is None else float(temperature)
        except (KeyError, TypeError, ValueError) as error:
            # What the file says is somebody else's text: anything can be missing or out of range.
            reason = str(error).rstrip(".")
            raise ModelError(
                f"The model file describes settings or preprocessing that this program has not ({reason}): use the "
                "version that wrote it, or train again."
            ) from error
        import torch

        network = build_network(config, intensity.channels, len(card.classes) + 1, len(card.tags))
        load_weights(network, tensors, "network")
        example = torch.linspace(-2.0, 2.0, intensity.channels * 32**config.network.dims)
        example = example.reshape(1, intensity.channels, *(32,) * config.network.dims)
        folded = compute.prepare_inference(fold_batch_norm(network.eval(), example))
        return make_predictor(
            config, intensity, folded, "joint", classes=card.classes, grades=card.tags, temperature=temperature
        )


def _check_axes(config: FibrosisConfig, train: Sequence[TrainingCase]) -> list[Fault]:
    """Whether the first training image has as many axes as the network; the others are looked at when it starts."""
    try:
        axes = train[0].load_image().spatial_axes if train else ""
    except MedsegError:
        return []  # reading it will say why
    if not axes or len(axes) == config.network.dims:
        return []
    return [
        Fault(
            text=f"The images have the axes '{axes}', but the network takes {config.network.dims}.",
            where=f"case '{train[0].case}'",
            mend=f"Set network.dims to {len(axes)}.",
        )
    ]


def _found(grades: Mapping[int, int], data: TrainingSet) -> str:
    return f"only '{data.info.grades[next(iter(grades))]}' was found" if grades else "none was found"
