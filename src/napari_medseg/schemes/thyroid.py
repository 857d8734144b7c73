"""Scheme `thyroid`: the class of a whole ultrasound frame, from a network that keeps what pooling would lose.

The scan is cut out of the machine's frame, which also drops burned-in text. The network is Xception with dense links
and dilated convolutions, pretrained on another labelled set of images where there is one, then fine-tuned with
cross-entropy and focal loss together.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from napari_medseg.config import BASIC, AugmentationConfig, Settings, TrainingConfig, parse_settings, unit
from napari_medseg.data.rows import parse_region
from napari_medseg.data.scan_region import ScanRegionMethod
from napari_medseg.errors import ModelError
from napari_medseg.schemes.base import Scheme, SchemeConfig, Trained
from napari_medseg.schemes.checks import unknown_validation_tags
from napari_medseg.schemes.thyroid_network import ScanFocus, Sureness, build_network, make_predictor
from napari_medseg.schemes.thyroid_parts import ThyroidParts
from napari_medseg.structures import Box, Fault, TagClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: Fewer training groups of a class than this say more of themselves than of the class.
_FEW_GROUPS = 5
_MULTIPLE = 32


class XceptionConfig(Settings):
    """What the network is made of."""

    base_width: int = Field(
        32,
        ge=4,
        le=128,
        multiple_of=4,
        description="Channels of the first convolution; all widths follow, 32 gives those of Xception.",
        json_schema_extra={**BASIC, **unit("channels")},
    )
    variant: Literal["modified", "plain"] = Field(
        "modified",
        description="'modified': dense links, and dilated convolutions instead of pooling; 'plain': Xception.",
        json_schema_extra=BASIC,
    )
    middle_modules: int = Field(8, ge=1, le=32, description="Modules of the middle flow.")
    dropout: float = Field(0.5, ge=0.0, lt=1.0, description="Dropout before the linear layer.")


class ScanConfig(Settings):
    """Which part of a frame the network sees."""

    method: ScanRegionMethod = Field(
        "robust",
        description="'robust': the file's own region, what moves, or what is no background; 'largest': Otsu, the "
        "largest connected region; 'whole': the whole frame, machine and text included.",
        json_schema_extra=BASIC,
    )
    pretraining_method: ScanRegionMethod = Field(
        "whole", description="The same for the pretraining set, whose images may have no frame."
    )


class HybridLossConfig(Settings):
    """What fine-tuning minimises."""

    cross_entropy: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the cross-entropy.")
    focal: float = Field(1.0, ge=0.0, le=100.0, description="Weight of the focal loss.")
    gamma: float = Field(2.0, ge=0.0, le=10.0, description="How little cases count in it that are already right.")
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="Whether rare classes weigh more, in pretraining too."
    )


class ThyroidConfig(SchemeConfig):
    """Settings of the scheme; the defaults are Xception's widths."""

    scheme: Literal["thyroid"] = "thyroid"
    network: XceptionConfig = Field(default_factory=XceptionConfig, description="Xception, modified or plain.")
    scan: ScanConfig = Field(default_factory=ScanConfig, description="Which part of a frame the network sees.")
    input_size: int = Field(
        320, ge=64, le=1024, description="Side of the square network input, in pixels.", json_schema_extra=BASIC
    )
    color: Literal["grey", "color"] = Field(
        "grey", description="'grey': the mean of the channels; 'color': as the images are."
    )
    training: TrainingConfig = Field(
        # Lower than where weights begin at random: what pretraining found shall be adapted, not lost.
        default_factory=lambda: TrainingConfig(learning_rate=3e-4),
        description="How the network is fine-tuned.",
    )
    loss: HybridLossConfig = Field(default_factory=HybridLossConfig, description="What fine-tuning minimises.")
    pretraining: TrainingConfig = Field(
        default_factory=TrainingConfig, description="How the network is pretrained, where a set for it is given."
    )
    augmentation: AugmentationConfig = Field(
        # What lies deeper is darker and has shadows: up and down are not alike.
        default_factory=lambda: AugmentationConfig(upside_down=False, rotate90=False, speckle=0.1),
        description="Random changes of training pictures.",
    )
    sure_accuracy: float = Field(
        0.8,
        gt=0.0,
        le=1.0,
        description="Share of the answers that shall be right among those called sure, on the validation cases.",
    )

    @field_validator("input_size")
    @classmethod
    def _divisible(cls, value: int) -> int:
        if value % _MULTIPLE:
            nearest = max(64, round(value / _MULTIPLE) * _MULTIPLE)
            raise ValueError(f"must be a multiple of {_MULTIPLE} (five halvings), e.g. {nearest}")
        return value


class ThyroidScheme(Scheme):
    """Pretraining where a set for it is given, then fine-tuning."""

    key: ClassVar[str] = "thyroid"
    title: ClassVar[str] = "Ultrasound frames, one class each"
    summary: ClassVar[str] = (
        "A network sees the scan inside an ultrasound frame and tells its class, pretrained on another set if you like."
    )
    config_type: ClassVar[type[SchemeConfig]] = ThyroidConfig
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cpu": {
            "network": {"base_width": 8, "middle_modules": 4},
            "input_size": 128,
            "training": {"batch_size": 16, "epochs": 40, "patience": 10},
            "pretraining": {"batch_size": 16, "epochs": 40, "patience": 10},
        },
    }
    stage_titles: ClassVar[Mapping[str, str]] = {"finetune": "Fine-tuning"}
    pretraining_titles: ClassVar[Mapping[str, str]] = {"pretrain": "Pretraining on the other set"}

    def check(self, config: ThyroidConfig, data: TrainingSet) -> list[Fault]:
        """Errors when no class can be learned; warnings about rare classes and what is missing for judging."""
        faults = _check_tags(data.of_split("train"), "training")
        if data.pretraining is not None:
            faults += _check_tags(data.pretraining.of_split("train"), "pretraining")
        if any(fault.severity == "error" for fault in faults):
            return faults
        validation = [case for case in data.of_split("val") if case.tag is not None]
        faults += unknown_validation_tags(
            {case.tag for case in data.of_split("train")}, {case.tag for case in validation}
        )
        if not validation:
            faults.append(
                Fault(
                    text="No validation case has a tag: the network trains for all epochs, its last weights are kept, "
                    "and probabilities stay as they are, not calibrated.",
                    mend="Finish more groups, or put a group into the split 'val'.",
                    severity="warning",
                )
            )
        return faults

    def stages(
        self,
        config: ThyroidConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Generator[Stage, StageResult, Trained]:
        """Pretrain the encoder on another set's classes, then fine-tune all on this set's."""
        parts = ThyroidParts.fit(config, data, seed, compute, method=config.scan.method)
        network = parts.network(start)
        scores: dict[str, float] = {}
        if data.pretraining is not None:
            before = ThyroidParts.fit(config, data.pretraining, seed, compute, method=config.scan.pretraining_method)
            pretrained = before.network(start)
            result = yield before.stage(
                "pretrain",
                self.pretraining_titles["pretrain"],
                pretrained,
                loss=before.entropy_loss(),
                training=config.pretraining,
            )
            scores |= {f"pretrain_{name}": value for name, value in result.details.items()}
            network.encoder.load_state_dict(pretrained.encoder.state_dict())
        result = yield parts.stage(
            "finetune",
            self.stage_titles["finetune"],
            network,
            loss=parts.hybrid_loss(),
            training=config.training,
            parents=() if data.pretraining is None else ("pretrain",),
        )
        return parts.trained(network, {**scores, **result.details})

    def predictor(self, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]], compute: Compute) -> Predictor:
        """The class of the scan inside a frame, and of every frame of a cine."""
        from napari_medseg.data.intensity import Intensity
        from napari_medseg.inference.folding import folded_for_inference
        from napari_medseg.models.building import load_weights
        from napari_medseg.models.xception import attention_of_class

        try:
            config = parse_settings(ThyroidConfig, dict(card.config))
            intensity = Intensity.from_json(card.preprocessing["intensity"])
            sureness = Sureness(
                temperature=_number(card.preprocessing["temperature"]),
                sure_from=_number(card.preprocessing["sure_from"]),
            )
            named = zip(card.tags, card.preprocessing["colors"], strict=True)
            tags = tuple(TagClass(name=name, color=str(color)) for name, color in named)
            devices = _boxes(card.preprocessing["devices"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            # What the file says is somebody else's text: anything can be missing or out of range.
            reason = str(error).rstrip(".")
            raise ModelError(
                f"The model file describes settings or preprocessing that this program has not ({reason}): use the "
                "version that wrote it, or train again."
            ) from error
        network = build_network(config, intensity.channels, len(tags))
        load_weights(network, tensors, "network")
        return make_predictor(
            config,
            intensity,
            folded_for_inference(network, intensity.channels, compute),
            tags=tags,
            focus=ScanFocus(method=config.scan.method, devices=devices),
            sureness=sureness,
            attend=attention_of_class(compute.prepare_inference(network.eval())),
        )


def _check_tags(cases: Sequence[TrainingCase], what: str) -> list[Fault]:
    """Whether there are two classes to tell apart, and which of them are rare."""
    counts = Counter(case.tag for case in cases if case.tag is not None)
    if len(counts) < 2:
        found = f"only '{next(iter(counts))}' was found" if counts else "none was found"
        return [
            Fault(
                text=f"Tags of two classes are needed, but {found} among the {len(cases)} finished {what} cases.",
                mend="Tag images of at least two classes, and mark the cases as done.",
            )
        ]
    groups = defaultdict(set)
    for case in cases:
        groups[case.tag].add(case.group)
    few = {tag: len(found) for tag, found in groups.items() if tag is not None and len(found) < _FEW_GROUPS}
    if not few:
        return []
    named = ", ".join(f"'{tag}' ({count})" for tag, count in sorted(few.items()))
    return [
        Fault(
            text=f"Few groups of the {what} cases have the class {named}: what is learned of it may not hold.",
            mend="Add patients of that class, or leave it out.",
            severity="warning",
        )
    ]


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _boxes(texts: Mapping[str, str]) -> dict[str, Box]:
    found = {str(key): parse_region(str(text)) for key, text in texts.items()}
    return {key: box for key, box in found.items() if box is not None}
