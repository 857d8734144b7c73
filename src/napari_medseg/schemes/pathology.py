"""Scheme `pathology`: semi-supervised training from mixed labels (CN 112017162 A).

A tag ("this image holds malignant cells") costs seconds, a contour costs minutes. Three stages let each kind of label
improve the other's model: A, a classifier trained on all tags; B, a segmenter whose encoder starts from A's; C, the
classifier again with B's encoder. C and B are the result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, field_validator

from napari_medseg.config import BASIC, NetworkConfig, SlideConfig, parse_settings
from napari_medseg.data.whole_slides import tags_of
from napari_medseg.errors import ModelError
from napari_medseg.schemes.base import Scheme, SchemeConfig, Trained
from napari_medseg.schemes.checks import unknown_validation_tags
from napari_medseg.schemes.pathology_parts import PathologyParts, make_predictor
from napari_medseg.structures import Fault, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult


class PathologyConfig(SchemeConfig):
    """Settings of the scheme; the defaults are the source's figures (448 x 448 input, widths 64..1024)."""

    scheme: Literal["pathology"] = "pathology"
    network: NetworkConfig = Field(
        default_factory=NetworkConfig, description="The encoder that all stages share, and B's decoder."
    )
    input_size: int = Field(
        448, ge=32, le=4096, description="Side of the square network input, in pixels.", json_schema_extra=BASIC
    )
    downsample: float | None = Field(
        None,
        ge=1.0,
        le=64.0,
        description="Image pixels per network pixel; empty: chosen so that the input covers most of an image.",
    )
    class_weights: Literal["balanced", "none"] = Field(
        "balanced", description="Whether rare tags weigh more in the loss."
    )
    foreground_share: float = Field(
        0.5, ge=0.0, le=1.0, description="Share of the segmenter's patches that are centred on a drawn pixel."
    )
    slides: SlideConfig = Field(default_factory=SlideConfig, description="How whole slides are trained from.")
    fresh_head: bool = Field(False, description="Start C's linear layer anew instead of from A's.")

    @field_validator("input_size")
    @classmethod
    def _divisible(cls, value: int) -> int:
        if value % 32:
            raise ValueError(f"must be a multiple of 32 (five halvings), e.g. {max(32, round(value / 32) * 32)}")
        return value


class PathologyScheme(Scheme):
    """Stages A, B, C and the predictor that runs C and B."""

    key: ClassVar[str] = "pathology"
    title: ClassVar[str] = "Mixed labels, three stages"
    summary: ClassVar[str] = (
        "Many image tags and few contours train a classifier and a segmenter that share an encoder."
    )
    config_type: ClassVar[type[SchemeConfig]] = PathologyConfig
    takes_slides: ClassVar[bool] = True
    profiles: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "cpu": {
            "network": {"base_width": 16},
            "input_size": 192,
            "training": {"batch_size": 8, "epochs": 40, "patience": 10},
        },
    }
    stage_titles: ClassVar[Mapping[str, str]] = {
        "a_classifier": "A: classifier on all tags",
        "b_segmenter": "B: segmenter from A's encoder",
        "c_classifier": "C: classifier from B's encoder",
    }

    def check(self, config: PathologyConfig, data: TrainingSet) -> list[Fault]:
        """Errors when neither classifier nor segmenter can be trained; warnings about what is missing."""
        train = data.of_split("train")
        tags = sum((tags_of(case, data.info) for case in train), Counter[str]())
        masks = sum(case.has_mask for case in train) if data.info.classes else 0
        faults = []
        if len(tags) < 2 and not masks:
            faults.append(
                Fault(
                    text="There is nothing to train on: no mask, and tags of fewer than two classes, among the "
                    f"{len(train)} finished training cases.",
                    mend="Tag images of at least two classes or draw at least one mask, and mark the cases as done.",
                )
            )
        elif len(tags) < 2:
            found = f"only '{next(iter(tags))}'" if tags else "none"
            faults.append(_warning(f"Tags of two classes are needed to train the classifier, found {found}: ", "B"))
        elif not masks:
            faults.append(_warning("No training case has a mask: ", "A"))
        validation = data.of_split("val")
        if not faults or faults[0].severity == "warning":
            given = {tag for case in validation for tag in tags_of(case, data.info)}
            faults += self._check_validation(tags, given, masks, validation)
        return faults

    @staticmethod
    def _check_validation(
        tags: Mapping[str, int], given: Collection[str], masks: int, cases: Sequence[TrainingCase]
    ) -> list[Fault]:
        faults = unknown_validation_tags(tags, given) if len(tags) >= 2 else []
        if len(tags) >= 2 and not given:
            faults.append(_no_validation("tagged", "classifier"))
        if masks and not any(case.has_mask for case in cases):
            faults.append(_no_validation("drawn", "segmenter"))
        return faults

    def stages(
        self,
        config: PathologyConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> Generator[Stage, StageResult, Trained]:
        """Classifier A on every tagged image, segmenter B on the contoured ones, classifier C from B's encoder."""
        parts = PathologyParts.fit(config, data, seed, compute, start=start)
        tensors: dict[str, Any] = {}
        scores: dict[str, float] = {}

        if parts.tags:
            classifier = parts.classifier()
            result = yield parts.tag_stage("a_classifier", self.stage_titles["a_classifier"], classifier)
            scores |= {f"a_{name}": value for name, value in result.details.items()}
        if parts.has_masks:
            segmenter = parts.segmenter()
            if parts.tags:
                segmenter.encoder.load_state_dict(classifier.encoder.state_dict())
            parents: tuple[str, ...] = ("a_classifier",) if parts.tags else ()
            result = yield parts.mask_stage("b_segmenter", self.stage_titles["b_segmenter"], segmenter, parents)
            scores |= {f"b_{name}": value for name, value in result.details.items()}
            tensors |= _prefixed("segmenter", segmenter)
        if parts.tags and parts.has_masks:
            final = parts.classifier(fresh=True)
            if not config.fresh_head:
                final.load_state_dict(classifier.state_dict())
            final.encoder.load_state_dict(segmenter.encoder.state_dict())
            parents = ("a_classifier", "b_segmenter")
            result = yield parts.tag_stage("c_classifier", self.stage_titles["c_classifier"], final, parents)
            scores |= {f"c_{name}": value for name, value in result.details.items()}
            classifier = final
        if parts.tags:
            tensors |= _prefixed("classifier", classifier)
        return parts.trained(tensors, scores)

    def predictor(self, card: ModelCard, tensors: Mapping[str, npt.NDArray[Any]], compute: Compute) -> Predictor:
        """C's probabilities and B's mask from one pass over the windows."""
        from napari_medseg.data.resolution import WorkingResolution
        from napari_medseg.data.stains import normaliser_from_json
        from napari_medseg.inference.folding import folded_for_inference
        from napari_medseg.models.building import build_classifier, build_segmenter, load_weights

        try:
            config = parse_settings(PathologyConfig, dict(card.config))
            intensity = normaliser_from_json(card.preprocessing["intensity"])
            resolution = WorkingResolution.from_json(card.preprocessing["resolution"])
        except (KeyError, TypeError, ValueError) as error:
            # What the file says is somebody else's text: anything can be missing or out of range.
            reason = str(error).rstrip(".")
            raise ModelError(
                f"The model file describes settings or preprocessing that this program has not ({reason}): use the "
                "version that wrote it, or train again."
            ) from error
        network = config.network.model_copy(update={"encoder_weights": None})
        names = {name.partition(".")[0] for name in tensors}
        classifier = segmenter = None
        if "classifier" in names:
            classifier = build_classifier(network, intensity.channels, len(card.tags))
            load_weights(classifier, tensors, "classifier")
        if "segmenter" in names:
            segmenter = build_segmenter(network, intensity.channels, len(card.classes) + 1)
            load_weights(segmenter, tensors, "segmenter")
        return make_predictor(
            config,
            intensity,
            resolution,
            classes=card.classes,
            tags=card.tags,
            segmenter=folded_for_inference(segmenter, intensity.channels, compute) if segmenter is not None else None,
            classifier=folded_for_inference(classifier, intensity.channels, compute)
            if classifier is not None
            else None,
        )


def _prefixed(prefix: str, model: nn.Module) -> dict[str, Any]:
    return {f"{prefix}.{name}": tensor for name, tensor in model.state_dict().items()}


def _warning(text: str, stage: str) -> Fault:
    return Fault(text=f"{text}stage {stage} alone will be trained.", severity="warning")


def _no_validation(what: str, network: str) -> Fault:
    return Fault(
        text=f"No validation case is {what}: the {network} trains for all epochs and its last weights are kept.",
        mend="Finish more groups, or put a group into the split 'val'.",
        severity="warning",
    )
