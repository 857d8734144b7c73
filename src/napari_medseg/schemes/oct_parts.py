"""What the stages of scheme `oct` are built from; the experiment behind its claim builds its controls from the same."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.data.windows import WidthWindows, power_of_two
from napari_medseg.errors import ConfigError
from napari_medseg.schemes.base import Trained
from napari_medseg.schemes.oct_league import Entry, title_of
from napari_medseg.structures import Image, MaskClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from napari_medseg.data.intensity import Intensity
    from napari_medseg.inference.predictor import Grid, Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.schemes.oct import Candidate, OctConfig
    from napari_medseg.training.stage import PatchSource, Stage, StageResult

#: Counts up when the same settings and cases would train other weights than before.
CODE_VERSION = 1
#: Weights of classes stay within this factor of the mean: a class of ten pixels must not rule the loss.
_LARGEST_WEIGHT = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OctParts:
    """The windows, the networks and how they are judged; one set of them for all candidates."""

    config: OctConfig
    data: TrainingSet
    seed: int
    compute: Compute
    intensity: Intensity
    height: int
    classes: tuple[MaskClass, ...]
    train: tuple[TrainingCase, ...]
    judged: tuple[TrainingCase, ...]
    windows: PatchSource
    start: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def fit(
        cls,
        config: OctConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        *,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> OctParts:
        """Look at the training cases: how high and how bright they are. The split is drawn before any window is cut."""
        from napari_medseg.data.intensity import fit_intensity

        train = tuple(case for case in data.of_split("train") if case.has_mask)
        judged = tuple(case for case in data.of_split("val") if case.has_mask)
        images = [case.load_image() for case in train]
        tallest = max(image.spatial_shape[-2] for image in (*images, *(case.load_image() for case in judged)))
        least = max(2**candidate.downsamplings for candidate in config.candidates)
        height = config.height or max(power_of_two(tallest), least)
        intensity = fit_intensity(images)
        windows = WidthWindows(
            train,
            classes=data.info.classes,
            width=config.window_width,
            stride=config.stride,
            height=height,
            intensity=intensity,
        )
        return cls(
            config=config,
            data=data,
            seed=seed,
            compute=compute,
            intensity=intensity,
            height=height,
            classes=data.info.classes,
            train=train,
            judged=judged,
            windows=windows,
            start=start or {},
        )

    def network(self, candidate: Candidate) -> nn.Module:
        """A candidate's network; starts from the given model where that is the same network."""
        from napari_medseg.models.building import load_matching_weights

        network = build_network(candidate, self.intensity.channels, len(self.classes) + 1)
        if _is_same_network(network, self.start):
            load_matching_weights(network, self.start, "segmenter")
        return network

    def try_out(self, candidate: Candidate) -> None:
        """Build a candidate's network and show it one small image, so that none fails after others were trained.

        Raises
        ------
        ConfigError
            There is no such network, or its parts do not go together.
        """
        import torch

        side = 2 * 2**candidate.downsamplings
        # What is drawn here must shift nothing of the training.
        with torch.random.fork_rng(devices=[]), torch.inference_mode():
            network = build_network(candidate, self.intensity.channels, len(self.classes) + 1).eval()
            try:
                network(torch.zeros(1, self.intensity.channels, side, side))
            except RuntimeError as error:
                raise ConfigError(
                    f"Candidate '{candidate.name}' cannot be used: its encoder and architecture do not fit together "
                    f"with {candidate.downsamplings} downsamplings; choose another number or another architecture."
                ) from error

    def stage(self, candidate: Candidate, network: nn.Module) -> Stage:
        """The stage that trains a candidate."""
        from napari_medseg.losses import mask_loss
        from napari_medseg.schemes.scoring import SegmentationScorer
        from napari_medseg.training.stage import Stage

        scorer = SegmentationScorer(
            self.judged, self.classes, lambda model: self.predictor(candidate, model), self.compute, figure="iou"
        )
        return Stage(
            name=candidate.name,
            title=title_of(candidate),
            model=network,
            source=self.windows,
            loss=mask_loss(self._class_weights() if self.config.class_weights == "balanced" else None),
            training=self.config.training,
            augmentation=self.config.augmentation,
            scorer=scorer if self.judged else None,
            fingerprint=self._fingerprint(candidate),
            candidate=True,
            score_name="mean IoU",
        )

    def entry(self, candidate: Candidate, network: nn.Module, result: StageResult, number: int) -> Entry:
        """A candidate that was trained in round `number`."""
        return Entry(
            candidate=candidate,
            round=number,
            network=network,
            score=result.best_score,
            iou={c.name: result.details.get(f"iou {c.name}", math.nan) for c in self.classes},
            windowed=self.windowed_iou(network) if self.judged else math.nan,
            seconds=result.seconds,
            stopped=result.stopped,
        )

    def windowed_iou(self, network: nn.Module) -> float:
        """Mean IoU over the classes, from pixels pooled over the sampled validation windows."""
        import torch

        from napari_medseg.metrics import class_counts, counts_to_scores

        windows = WidthWindows(
            self.judged,
            classes=self.classes,
            width=self.config.window_width,
            stride=self.config.stride,
            height=max(self.height, power_of_two(max(case.load_image().spatial_shape[-2] for case in self.judged))),
            intensity=self.intensity,
            cache_bytes=0,
        )
        counts = np.zeros((len(self.classes), 3), np.int64)
        values = range(1, len(self.classes) + 1)
        network.eval()
        with torch.inference_mode(), self.compute.autocast():
            for start in range(0, len(windows), self.config.training.batch_size):
                chosen = range(start, min(start + self.config.training.batch_size, len(windows)))
                drawn = [windows.window(index) for index in chosen]
                images = torch.from_numpy(np.stack([image for image, _ in drawn]))
                logits = network(self.compute.to(images))
                predicted = logits.argmax(dim=1).to(torch.uint8).cpu().numpy()
                counts += class_counts(np.stack([labels for _, labels in drawn]), predicted, list(values))
        return float(np.nanmean(counts_to_scores(counts)["iou"]))

    def trained(self, league: Sequence[Entry], target: Entry) -> Trained:
        """The scheme's result."""
        return Trained(
            tensors={f"segmenter.{name}": tensor for name, tensor in target.network.state_dict().items()},
            classes=self.classes,
            tags=(),
            preprocessing={
                "intensity": self.intensity.to_json(),
                "height": self.height,
                "candidate": target.candidate.model_dump(mode="json"),
            },
            expects={"axes": "yx", "channels": self.intensity.channels, "spacing": None, "units": None},
            scores={
                "mean_iou": target.score,
                "windowed_mean_iou": target.windowed,
                **{f"iou {name}": value for name, value in target.iou.items()},
            },
            candidates=[entry.to_json(chosen=entry is target) for entry in league],
        )

    def predictor(self, candidate: Candidate, network: nn.Module) -> Predictor:
        """A network in training or just trained, with this set's preprocessing."""
        return make_predictor(self.config, candidate, self.intensity, self.height, self.classes, network)

    def _class_weights(self) -> list[float]:
        """Weight of each class, the background first: the inverse root of its share of pixels, with mean 1 over pixels.

        The full inverse would let a layer of two rows count as much as the whole vitreous, and its noise with it.
        """
        counts = np.zeros(256, np.int64)
        for case in self.train:
            labels = case.load_labels()
            if labels is not None:
                counts += np.bincount(labels.reshape(-1), minlength=256)
        pixels = counts[[0, *(c.value for c in self.classes)]].astype(np.float64)
        shares = pixels / max(pixels.sum(), 1.0)
        weights = np.where(shares > 0, 1.0 / np.sqrt(np.maximum(shares, 1e-12)), 0.0)
        weights = np.minimum(weights / max(float((weights * shares).sum()), 1e-12), _LARGEST_WEIGHT)
        return [float(weight) for weight in weights]

    def _fingerprint(self, candidate: Candidate) -> dict[str, Any]:
        from napari_medseg.io.model_file import tensors_hash

        # What competes besides, and who wins, changes nothing of a candidate.
        config = self.config.model_dump(mode="json", exclude={"candidates", "search", "target"})
        return {
            "code": CODE_VERSION,
            "config": config,
            "candidate": candidate.model_dump(mode="json"),
            "classes": [[c.value, c.name] for c in self.classes],
            "intensity": self.intensity.to_json(),
            "height": self.height,
            "start": tensors_hash(self.start),
            "train": [case.content_hash for case in self.train],
            "validation": [case.content_hash for case in self.judged],
        }


def build_network(candidate: Candidate, in_channels: int, num_outputs: int) -> nn.Module:
    """A candidate's network with fresh weights; raises `ConfigError` for unknown names."""
    from napari_medseg.config import NetworkConfig
    from napari_medseg.models.building import build_segmenter

    network = NetworkConfig(
        encoder=candidate.encoder,
        encoder_weights=candidate.encoder_weights,
        decoder=candidate.architecture,
        base_width=candidate.base_width,
    )
    return build_segmenter(
        network,
        in_channels,
        num_outputs,
        downsamplings=candidate.downsamplings,
        convs_per_level=candidate.convs_per_level,
    )


def make_predictor(
    config: OctConfig,
    candidate: Candidate,
    intensity: Intensity,
    height: int,
    classes: Sequence[MaskClass],
    network: nn.Module,
) -> Predictor:
    """A network with the windows it was trained on."""
    from napari_medseg.inference.predictor import Grid, Predictor

    multiple = 2**candidate.downsamplings

    def grid_of(image: Image) -> Grid:
        rows, columns = image.spatial_shape[-2:]
        padded = height if rows <= height else power_of_two(rows)
        # An image narrower than a window is mirrored to the window; in others windows may shrink to what covers them.
        step = config.window_width if columns < config.window_width else multiple
        note = f"The B-scans are {rows} pixels high, more than the {height} of the training: padded to {padded}."
        return Grid(
            window=(padded, config.window_width), multiple=(padded, step), notes=(note,) if rows > height else ()
        )

    return Predictor(
        window=(height, config.window_width),
        multiple=multiple,
        scale_of=lambda image: (1.0,) * len(image.spatial_axes),
        prepare=intensity.prepare,
        normalise=intensity.normalise,
        forward=lambda windows: (network(windows), None),
        classes=classes,
        tags=(),
        windows=config.windows,
        grid_of=grid_of,
        segmenter=network,
    )


def _is_same_network(network: nn.Module, tensors: Mapping[str, npt.NDArray[Any]]) -> bool:
    """Whether a model's tensors are those of a network, up to a head of another number of classes."""
    shapes = {f"segmenter.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    own = {name: shape for name, shape in shapes.items() if not name.startswith("segmenter.head.")}
    given = {name: tuple(t.shape) for name, t in tensors.items() if not name.startswith("segmenter.head.")}
    return bool(own == given)
