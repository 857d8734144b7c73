"""What the stages of scheme `fibrosis` are built from; the experiment behind its claim uses the same parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.schemes.base import Trained
from napari_medseg.schemes.fibrosis_network import (
    Kind,
    box_finder,
    build_network,
    focus_of,
    lesion_classes,
    make_predictor,
    window_of,
)
from napari_medseg.structures import BACKGROUND, Box, MaskClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from torch import nn

    from napari_medseg.data.intensity import Intensity
    from napari_medseg.data.region_patches import RegionPatches
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.models.residual import JointNetwork
    from napari_medseg.schemes.fibrosis import FibrosisConfig
    from napari_medseg.schemes.fibrosis_scoring import RegionScorer
    from napari_medseg.training.stage import Batch, Stage

#: Counts up when the same settings and cases would train other weights than before.
CODE_VERSION = 1
#: Pixels added to hits and misses of the Dice loss: an empty mask then asks for an empty region.
_SMOOTH = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FibrosisParts:
    """What the stages are built from.

    Parameters
    ----------
    intensity
        Of the training regions.
    classes
        Classes that are drawn.
    boxes
        Tight box of every training and validation case that has one, by case id.
    """

    config: FibrosisConfig
    data: TrainingSet
    seed: int
    compute: Compute
    intensity: Intensity
    classes: tuple[MaskClass, ...]
    boxes: Mapping[str, Box]
    start: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def fit(
        cls,
        config: FibrosisConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        *,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> FibrosisParts:
        """Find the regions of all cases and how bright those of the training cases are.

        Raises
        ------
        DatasetError
            An image has other axes than the network.
        """
        from napari_medseg.data.cropping import crop
        from napari_medseg.data.intensity import fit_intensity
        from napari_medseg.data.region_patches import check_dimensions

        classes = lesion_classes(config, data.info)
        finder = box_finder(config, classes)
        boxes = {}
        for case in (*data.of_split("train"), *data.of_split("val")):
            box = finder(case)
            if box is not None:
                boxes[case.case] = box
        focus, parts = focus_of(config), []
        for case in data.of_split("train"):
            image = case.load_image()
            check_dimensions(case, image, config.network.dims)
            parts.append(crop(image, focus(image, boxes.get(case.case))))
        return cls(
            config=config,
            data=data,
            seed=seed,
            compute=compute,
            intensity=fit_intensity(parts, window_of(config, data.info)),
            classes=classes,
            boxes=boxes,
            start=start or {},
        )

    def network(self) -> JointNetwork:
        """Encoder, decoder and grade head, as in the model to start from where there is one."""
        from napari_medseg.models.building import load_matching_weights

        network = build_network(self.config, self.intensity.channels, len(self.classes) + 1, len(self.data.info.grades))
        load_matching_weights(network, self.start, "network")
        return network

    def joint_stage(self, name: str, title: str, network: JointNetwork) -> Stage:
        """Region and grade together; a case that lacks one of them teaches the other."""
        weights = (self.config.region_weight, self.config.grade_weight)

        def loss(output: tuple[torch.Tensor, torch.Tensor], batch: Batch) -> torch.Tensor:
            region, grade = output
            return weights[0] * region_loss(region, batch) + weights[1] * grade_loss(grade, batch)

        return self._stage(name, title, network, loss, cases=lambda case: case.has_mask or case.grade is not None)

    def region_stage(self, name: str, title: str, network: JointNetwork) -> Stage:
        """Encoder and decoder on the cases with a mask."""
        from napari_medseg.models.residual import RegionNetwork

        alone = RegionNetwork(network.encoder, network.decoder)
        return self._stage(name, title, alone, region_loss, cases=lambda case: case.has_mask)

    def grade_stage(
        self, name: str, title: str, network: JointNetwork, *, parents: Sequence[str] = (), frozen: bool = False
    ) -> Stage:
        """Encoder and grade head on the cases with a grade; with `frozen` the head alone learns."""
        from napari_medseg.models.residual import GradeNetwork

        alone = GradeNetwork(network.encoder, network.head)
        return self._stage(
            name,
            title,
            alone,
            grade_loss,
            cases=lambda case: case.grade is not None,
            parents=parents,
            frozen=(network.encoder,) if frozen else (),
        )

    def predictor(self, network: nn.Module, temperature: float | None = None) -> Predictor:
        """A network in training or just trained, whichever parts it has, with this set's preprocessing."""
        from napari_medseg.models.residual import GradeNetwork, RegionNetwork

        kind: Kind = "region" if isinstance(network, RegionNetwork) else "joint"
        kind = "grade" if isinstance(network, GradeNetwork) else kind
        return make_predictor(
            self.config,
            self.intensity,
            network,
            kind,
            classes=self.classes,
            grades=self.data.info.grades,
            temperature=temperature,
        )

    def temperature(self, network: nn.Module) -> float | None:
        """The temperature that calibrates a trained network on the validation cases; None with too few of them."""
        from napari_medseg.inference.calibration import fit_grade_temperature

        judged = [case for case in self.data.of_split("val") if case.grade is not None]
        if not judged:
            return None
        scorer = self._scorer(judged)
        network.eval()
        scores = [scorer.score_case(network, case.case, preview=False) for case in judged]
        probabilities = np.array([score.values["probabilities"] for score in scores])
        return fit_grade_temperature(probabilities, np.array([score.values["grade"] for score in scores]))

    def trained(self, network: JointNetwork, scores: Mapping[str, float]) -> Trained:
        """The scheme's result, calibrated on the validation cases."""
        temperature = self.temperature(network)
        dims = self.config.network.dims
        return Trained(
            tensors={f"network.{name}": tensor for name, tensor in network.state_dict().items()},
            classes=self.classes,
            tags=self.data.info.grades,
            preprocessing={
                "intensity": self.intensity.to_json(),
                "temperature": temperature,
            },
            expects={"axes": "zyx"[-dims:], "channels": self.intensity.channels},
            scores={**scores, **({} if temperature is None else {"temperature": temperature})},
        )

    def _stage(
        self,
        name: str,
        title: str,
        model: nn.Module,
        loss: Callable[[Any, Batch], torch.Tensor],
        *,
        cases: Callable[[TrainingCase], bool],
        parents: Sequence[str] = (),
        frozen: Sequence[nn.Module] = (),
    ) -> Stage:
        from napari_medseg.training.stage import Stage

        train = [case for case in self.data.of_split("train") if cases(case)]
        judged = [case for case in self.data.of_split("val") if cases(case)]
        return Stage(
            name=name,
            title=title,
            model=model,
            source=self._patches(train),
            scorer=self._scorer(judged) if judged else None,
            loss=loss,
            training=self.config.training,
            augmentation=self.config.augmentation,
            frozen=frozen,
            fingerprint=self._fingerprint(train, judged),
            parents=parents,
        )

    def _patches(self, cases: Sequence[TrainingCase]) -> RegionPatches:
        from napari_medseg.data.region_patches import Jitter, RegionPatches

        region = self.config.region
        return RegionPatches(
            cases,
            self.boxes,
            index_of_value=self._index_of_value(),
            size=self.config.shape,
            rule=region.rule(),
            jitter=Jitter(shift=region.jitter_shift, size=region.jitter_size),
            intensity=self.intensity,
        )

    def _index_of_value(self) -> npt.NDArray[np.uint8]:
        """Label of the network per label value: a class of the data set that is not drawn is background here."""
        from napari_medseg.data.patches import index_of_values

        table = index_of_values(self.classes)
        drawn = {c.value for c in self.classes}
        table[[c.value for c in self.data.info.classes if c.value not in drawn]] = BACKGROUND
        return table

    def _scorer(self, cases: Sequence[TrainingCase]) -> RegionScorer:
        from napari_medseg.schemes.fibrosis_scoring import RegionScorer

        return RegionScorer(cases, self.boxes, self.classes, self.predictor, self.compute)

    def _fingerprint(self, train: Sequence[TrainingCase], judged: Sequence[TrainingCase]) -> dict[str, Any]:
        from napari_medseg.io.model_file import tensors_hash

        return {
            "code": CODE_VERSION,
            "config": self.config.model_dump(mode="json"),
            "classes": [[c.value, c.name] for c in self.classes],
            "grades": list(self.data.info.grades),
            "intensity": self.intensity.to_json(),
            "start": tensors_hash(self.start),
            "train": [case.content_hash for case in train],
            "validation": [case.content_hash for case in judged],
        }


def region_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Dice of the region on the samples with a mask."""
    from napari_medseg.losses import soft_dice_loss

    return soft_dice_loss(logits, batch.labels, smooth=_SMOOTH)


def grade_loss(logits: torch.Tensor, batch: Batch) -> torch.Tensor:
    """Cross-entropy of the grade's steps on the samples with a grade."""
    from napari_medseg.losses import grade_cross_entropy

    return grade_cross_entropy(logits, batch.tags)
