"""What the stages of scheme `pathology` are built from.

The scheme yields its three stages of these parts, and the experiment behind its claim builds the controls from the same
ones (`napari_medseg.schemes.pathology_controls`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_medseg.config import TrainingConfig
from napari_medseg.data.intensity import Intensity, Normaliser
from napari_medseg.data.tags import balanced_weights
from napari_medseg.data.whole_slides import pictures_of, slides_of
from napari_medseg.schemes.base import Trained
from napari_medseg.structures import MaskClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from napari_medseg.data.patches import PatchUnit
    from napari_medseg.data.resolution import WorkingResolution
    from napari_medseg.data.stains import StainIntensity
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.schemes.pathology import PathologyConfig
    from napari_medseg.schemes.pathology_slides import SlideParts
    from napari_medseg.training.stage import Stage

#: Counts up when the same settings and cases would train other weights than before.
CODE_VERSION = 1
#: A pass over a handful of cases is too short to be worth a validation.
SMALLEST_EPOCH = 20
#: Threads that draw patches of slides, each a step ahead.
READERS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PathologyParts:
    """What the stages are built from; `reproduce` builds the scheme's controls from the same parts."""

    config: PathologyConfig
    training: TrainingConfig
    data: TrainingSet
    seed: int
    compute: Compute
    intensity: Intensity | StainIntensity
    resolution: WorkingResolution
    classes: tuple[MaskClass, ...]
    tags: tuple[str, ...]
    contoured: tuple[TrainingCase, ...]
    slides: SlideParts
    start: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def fit(
        cls,
        config: PathologyConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        *,
        steps_per_epoch: int | None = None,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> PathologyParts:
        """Look at the training cases: which classes there are, how bright and how large the images are.

        An epoch has the same number of optimiser steps in every stage, so that the segmenter with its few contours is
        trained as long as the classifier with its many tags.
        """
        from napari_medseg.data.resolution import fit_resolution
        from napari_medseg.schemes.pathology_slides import fit_normaliser, sampled_slides, shown_tiles

        train, wanted = data.of_split("train"), config.slides
        pictures, slides = pictures_of(train), slides_of(train)
        images = [case.load_image() for case in pictures]
        resolution = fit_resolution(
            [*images, *shown_tiles(slides)],
            config.input_size,
            config.downsample,
            slides=[slide.load_image() for slide in slides],
            mpp=wanted.mpp,
        )
        sampled = sampled_slides(config, data, resolution, seed)
        seen = {case.tag for case in pictures if case.tag is not None} | sampled.tags
        tags = tuple(tag.name for tag in data.info.tags if tag.name in seen)
        patches = len(pictures) + wanted.tiles_per_pass * len(slides)
        steps = steps_per_epoch or count_steps(config.training, patches)
        return cls(
            config=config,
            training=config.training.model_copy(update={"steps_per_epoch": steps}),
            data=data,
            seed=seed,
            compute=compute,
            intensity=fit_normaliser(config, images, slides),
            resolution=resolution,
            classes=data.info.classes,
            tags=tags if len(tags) > 1 else (),
            contoured=tuple(case for case in pictures if case.has_mask) if data.info.classes else (),
            slides=sampled,
            start=start or {},
        )

    @property
    def has_masks(self) -> bool:
        """Whether there is anything to train a segmenter with."""
        return bool(self.contoured) or (bool(self.classes) and bool(self.slides.masked))

    def classifier(self, *, fresh: bool = False) -> Any:
        """Encoder and classification head, as in the model to start from if there is one and `fresh` is not set."""
        from napari_medseg.models.building import build_classifier, load_matching_weights

        network = build_classifier(self.config.network, self.intensity.channels, len(self.tags))
        if not fresh:
            load_matching_weights(network, self.start, "classifier")
        return network

    def segmenter(self) -> Any:
        """Encoder, decoder and segmentation head, as in the model to start from if there is one."""
        from napari_medseg.models.building import build_segmenter, load_matching_weights

        network = build_segmenter(self.config.network, self.intensity.channels, len(self.classes) + 1)
        load_matching_weights(network, self.start, "segmenter")
        return network

    def tag_stage(self, name: str, title: str, model: nn.Module, parents: Sequence[str] = ()) -> Stage:
        """A stage that trains a classifier on every training case with a tag, given or implied."""
        from napari_medseg.losses import tag_loss
        from napari_medseg.schemes.scoring import TagScorer
        from napari_medseg.training.stage import Stage

        tagged = tuple(case for case in pictures_of(self.data.of_split("train")) if case.tag in self.tags)
        units = self.slides.tag_units(self.intensity, self.tags)
        pictures = tuple(case for case in pictures_of(self.data.of_split("val")) if case.tag in self.tags)
        judged = (*pictures, *self.slides.judged_tags(self.tags))
        weights = None
        if self.config.class_weights == "balanced":
            drawn = [str(case.tag) for case in tagged] + [unit.tag for unit in units for _ in range(unit.weight)]
            weights = balanced_weights(drawn, self.tags)
        scorer = TagScorer(judged, self.tags, lambda network: self.predictor(classifier=network), self.compute)
        return Stage(
            name=name,
            title=title,
            model=model,
            source=self._patches(tagged, units, foreground_share=0.0),
            loss=tag_loss(weights),
            training=self.training,
            augmentation=self.config.augmentation,
            scorer=scorer if judged else None,
            fingerprint=self._fingerprint((*tagged, *(unit.slide.case for unit in units)), judged),
            **self._drawing(),
            parents=parents,
            score_name="likelihood",
        )

    def mask_stage(self, name: str, title: str, model: nn.Module, parents: Sequence[str] = ()) -> Stage:
        """A stage that trains a segmenter on every training case with a mask, the empty ones included."""
        from napari_medseg.losses import mask_loss
        from napari_medseg.schemes.scoring import SegmentationScorer
        from napari_medseg.training.stage import Stage

        pictures = tuple(case for case in pictures_of(self.data.of_split("val")) if case.has_mask)
        judged = (*pictures, *self.slides.judged_masks())
        units = self.slides.mask_units(self.intensity)
        scorer = SegmentationScorer(
            judged, self.classes, lambda network: self.predictor(segmenter=network), self.compute
        )
        return Stage(
            name=name,
            title=title,
            model=model,
            source=self._patches(self.contoured, units, foreground_share=self.config.foreground_share),
            loss=mask_loss(),
            training=self.training,
            augmentation=self.config.augmentation,
            scorer=scorer if judged else None,
            fingerprint=self._fingerprint((*self.contoured, *self.slides.masked), judged),
            **self._drawing(),
            parents=parents,
            score_name="Dice",
        )

    def trained(self, tensors: Mapping[str, Any], scores: Mapping[str, float]) -> Trained:
        """The scheme's result."""
        return Trained(
            tensors=tensors,
            classes=self.classes if any(name.startswith("segmenter.") for name in tensors) else (),
            tags=self.tags,
            preprocessing={"intensity": self.intensity.to_json(), "resolution": self.resolution.to_json()},
            expects={
                "axes": "yx",
                "channels": self.intensity.channels,
                "spacing": self.resolution.spacing,
                "units": self.resolution.units,
            },
            scores=scores,
        )

    def predictor(self, *, segmenter: nn.Module | None = None, classifier: nn.Module | None = None) -> Predictor:
        """Networks in training or just trained, with this set's preprocessing."""
        return make_predictor(
            self.config,
            self.intensity,
            self.resolution,
            classes=self.classes,
            tags=self.tags,
            segmenter=segmenter,
            classifier=classifier,
        )

    def _drawing(self) -> dict[str, Any]:
        """How patches are drawn and changed, for a stage: those of slides are read by several threads."""
        colours = self.intensity if isinstance(self.intensity, Intensity) else self.intensity.intensity
        return {"readers": READERS if self.slides.train else 1, "intensity": colours}

    def _patches(self, cases: Sequence[TrainingCase], units: Sequence[PatchUnit], *, foreground_share: float) -> Any:
        from napari_medseg.data.patches import Patches

        return Patches(
            cases,
            classes=self.classes,
            tags=self.tags,
            size=(self.config.input_size,) * 2,
            scale_of=self.resolution.scale_of,
            intensity=self.intensity,
            foreground_share=foreground_share,
            units=units,
        )

    def _fingerprint(self, train: Sequence[TrainingCase], judged: Sequence[TrainingCase]) -> dict[str, Any]:
        from napari_medseg.io.model_file import tensors_hash

        return {
            "code": CODE_VERSION,
            "config": self.config.model_dump(mode="json"),
            "classes": [[c.value, c.name] for c in self.classes],
            "tags": list(self.tags),
            "intensity": self.intensity.to_json(),
            "resolution": self.resolution.to_json(),
            "start": tensors_hash(self.start),
            "train": [case.content_hash for case in train],
            "validation": [case.content_hash for case in judged],
        }


def count_steps(training: TrainingConfig, cases: int) -> int:
    """Optimiser steps per epoch: as set, else one pass over the cases, at least `SMALLEST_EPOCH`."""
    return training.steps_per_epoch or max(SMALLEST_EPOCH, math.ceil(cases / training.batch_size))


def make_predictor(
    config: PathologyConfig,
    intensity: Normaliser,
    resolution: WorkingResolution,
    *,
    classes: Sequence[MaskClass],
    tags: Sequence[str],
    segmenter: nn.Module | None,
    classifier: nn.Module | None,
) -> Predictor:
    """The networks with the preprocessing they were trained with; either may be missing."""
    from napari_medseg.inference.predictor import Predictor

    def forward(windows: Any) -> tuple[Any, Any]:
        mask = segmenter(windows) if segmenter is not None else None
        tag = classifier(windows) if classifier is not None else None
        return mask, tag

    return Predictor(
        window=(config.input_size, config.input_size),
        multiple=32,
        scale_of=resolution.scale_of,
        prepare=intensity.prepare,
        normalise=intensity.normalise,
        forward=forward,
        classes=classes if segmenter is not None else (),
        tags=tags if classifier is not None else (),
        windows=config.windows,
        segmenter=segmenter,
    )
