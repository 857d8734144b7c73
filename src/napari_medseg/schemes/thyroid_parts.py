"""What the stages of scheme `thyroid` are built from; the experiment behind its claim uses the same parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.data.cropping import crop
from napari_medseg.data.rows import format_region
from napari_medseg.data.scan_region import ScanRegionMethod, device_key
from napari_medseg.data.tags import balanced_weights
from napari_medseg.schemes.base import Trained
from napari_medseg.schemes.thyroid_network import ScanFocus, Sureness, build_network, make_predictor
from napari_medseg.structures import Box, Image, TagClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt

    from napari_medseg.config import TrainingConfig
    from napari_medseg.data.intensity import Intensity
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.losses import Loss
    from napari_medseg.models.compute import Compute
    from napari_medseg.models.xception import XceptionClassifier
    from napari_medseg.schemes.scoring import TagScorer
    from napari_medseg.schemes.thyroid import ThyroidConfig
    from napari_medseg.training.stage import Stage

#: Counts up when the same settings and cases would train other weights than before.
CODE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ThyroidParts:
    """What the stages on one data set are built from.

    Parameters
    ----------
    tags
        Those of the training cases, in the order of the data set.
    train, judged
        Cases with one of them.
    boxes
        What is seen of each of them, by case id.
    focus
        What finds the scan in other images.
    intensity
        Of what is seen.
    """

    config: ThyroidConfig
    seed: int
    compute: Compute
    tags: tuple[TagClass, ...]
    train: tuple[TrainingCase, ...]
    judged: tuple[TrainingCase, ...]
    boxes: Mapping[str, Box]
    focus: ScanFocus
    intensity: Intensity

    @classmethod
    def fit(
        cls,
        config: ThyroidConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        *,
        method: ScanRegionMethod,
    ) -> ThyroidParts:
        """Find the scans of all cases and how bright those of the training cases are.

        Parameters
        ----------
        method
            How the scan is found.

        Raises
        ------
        DatasetError
            An image is no picture and no stack of pictures.
        """
        from napari_medseg.data.intensity import fit_intensity
        from napari_medseg.data.picture_patches import check_picture

        seen = {case.tag for case in data.of_split("train")}
        tags = tuple(tag for tag in data.info.tags if tag.name in seen)
        names = {tag.name for tag in tags}
        train, judged = (
            tuple(case for case in data.of_split(split) if case.tag in names) for split in ("train", "val")
        )
        focus, boxes, parts, devices = ScanFocus(method=method, devices={}), {}, [], {}
        for case in (*train, *judged):
            image = case.load_image()
            check_picture(case, image)
            boxes[case.case] = focus(image, case.box)
            if case.split == "train":
                parts.append(_in_color(crop(image, boxes[case.case]), config))
            if case.box is not None and (key := device_key(image)) is not None:
                devices[key] = case.box[-2:]
        return cls(
            config=config,
            seed=seed,
            compute=compute,
            tags=tags,
            train=train,
            judged=judged,
            boxes=boxes,
            focus=replace(focus, devices=devices),
            intensity=fit_intensity(parts),
        )

    def network(self, start: Mapping[str, npt.NDArray[Any]] | None = None) -> XceptionClassifier:
        """The classifier, as in the model to start from where there is one; its linear layer is always new."""
        from napari_medseg.models.building import load_matching_weights

        network = build_network(self.config, self.intensity.channels, len(self.tags))
        # The classes of another model may be others, or the same in another order.
        kept = {name: tensor for name, tensor in (start or {}).items() if ".linear." not in name}
        load_matching_weights(network, kept, "network")
        return network

    def stage(
        self,
        name: str,
        title: str,
        network: XceptionClassifier,
        *,
        loss: Loss,
        training: TrainingConfig,
        parents: Sequence[str] = (),
    ) -> Stage:
        """A stage that trains the classifier on every training case."""
        from napari_medseg.data.picture_patches import PicturePatches
        from napari_medseg.training.stage import Stage

        side, names = self.config.input_size, [tag.name for tag in self.tags]
        return Stage(
            name=name,
            title=title,
            model=network,
            source=PicturePatches(
                self.train,
                [names.index(str(case.tag)) for case in self.train],
                self.picture,
                size=(side, side),
                intensity=self.intensity,
            ),
            scorer=self._scorer() if self.judged else None,
            loss=loss,
            training=training,
            augmentation=self.config.augmentation,
            fingerprint=self._fingerprint(),
            parents=parents,
            score_name="likelihood",
        )

    def picture(self, case: TrainingCase) -> Image:
        """What is seen of a case."""
        return crop(case.load_image(), self.boxes[case.case])

    def entropy_loss(self) -> Loss:
        """Cross-entropy alone."""
        from napari_medseg.losses import tag_loss

        return tag_loss(self._class_weights())

    def hybrid_loss(self) -> Loss:
        """Cross-entropy and focal loss."""
        from napari_medseg.losses import hybrid_tag_loss

        loss = self.config.loss
        return hybrid_tag_loss(
            cross_entropy=loss.cross_entropy,
            focal=loss.focal,
            gamma=loss.gamma,
            class_weights=self._class_weights(),
        )

    def predictor(self, network: XceptionClassifier, sureness: Sureness | None = None) -> Predictor:
        """A network in training or just trained, with this set's preprocessing."""
        from napari_medseg.models.xception import attention_of_class

        return make_predictor(
            self.config,
            self.intensity,
            network,
            tags=self.tags,
            focus=self.focus,
            sureness=sureness or Sureness(),
            attend=attention_of_class(network),
        )

    def sureness(self, network: XceptionClassifier) -> Sureness:
        """Temperature and threshold of a trained network, from the validation cases."""
        from napari_medseg.inference.calibration import at_temperature, fit_tag_temperature, sure_from

        if not self.judged:
            return Sureness()
        scorer = self._scorer()
        scores = [scorer.score_case(network.eval(), case.case, preview=False) for case in self.judged]
        probabilities = np.array([score.values["probabilities"] for score in scores])
        truth = np.array([score.values["tag"] for score in scores])
        temperature = fit_tag_temperature(probabilities, truth)
        calibrated = at_temperature(probabilities, temperature or 1.0)
        right = calibrated.argmax(axis=1) == truth
        threshold = sure_from(calibrated.max(axis=1), right, self.config.sure_accuracy)
        return Sureness(temperature=temperature, sure_from=threshold)

    def trained(self, network: XceptionClassifier, scores: Mapping[str, float]) -> Trained:
        """The scheme's result, calibrated on the validation cases."""
        sureness = self.sureness(network)
        temperature = sureness.temperature
        return Trained(
            tensors={f"network.{name}": tensor for name, tensor in network.state_dict().items()},
            classes=(),
            tags=tuple(tag.name for tag in self.tags),
            preprocessing={
                "intensity": self.intensity.to_json(),
                "colors": [tag.color for tag in self.tags],
                "devices": {key: format_region(box) for key, box in self.focus.devices.items()},
                "temperature": temperature,
                "sure_from": sureness.sure_from,
            },
            expects={"axes": "yx", "channels": self.intensity.channels},
            scores={**scores, **({} if temperature is None else {"temperature": temperature})},
        )

    def _scorer(self) -> TagScorer:
        from napari_medseg.schemes.scoring import TagScorer

        def look(network: Any) -> Predictor:
            # The scorer shows what is seen of a case, and nothing is drawn for it.
            return replace(self.predictor(network), focus=None, classes=())

        names = [tag.name for tag in self.tags]
        return TagScorer(self.judged, names, look, self.compute, self._shown(), calibrated=True)

    def _shown(self) -> Callable[[TrainingCase], Image]:
        """What is seen of cases, read once; stacks are read again each time."""
        from napari_medseg.data.region_patches import in_memory

        kept: dict[str, Image] = {}

        def shown(case: TrainingCase) -> Image:
            if case.case not in kept:
                picture = self.picture(case)
                if len(picture.spatial_shape) > 2:
                    return picture
                kept[case.case] = in_memory(picture)
            return kept[case.case]

        return shown

    def _class_weights(self) -> list[float] | None:
        if self.config.loss.class_weights == "none":
            return None
        return balanced_weights([str(case.tag) for case in self.train], [tag.name for tag in self.tags])

    def _fingerprint(self) -> dict[str, Any]:
        return {
            "code": CODE_VERSION,
            "config": self.config.model_dump(mode="json"),
            "tags": [tag.name for tag in self.tags],
            "intensity": self.intensity.to_json(),
            "train": [(case.content_hash, format_region(self.boxes[case.case])) for case in self.train],
            "validation": [(case.content_hash, format_region(self.boxes[case.case])) for case in self.judged],
        }


def _in_color(part: Image, config: ThyroidConfig) -> Image:
    """A training image as the settings want its channels: the mean of them, or as it is."""
    if config.color == "color" or "c" not in part.axes:
        return part
    pixels = np.asarray(part.data[(slice(None),) * len(part.shape)])
    kept = pixels.mean(axis=part.axes.index("c"), dtype=np.float32).astype(pixels.dtype)
    return replace(part, levels=(kept,), axes=part.axes.replace("c", ""), rgb=False, channels=())
