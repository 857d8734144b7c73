"""What the stages of scheme `boosting` are built from; the experiment behind its claim builds its controls from it."""

from __future__ import annotations

import statistics
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_medseg.data.patches import Patches
from napari_medseg.data.resampling import working_shape
from napari_medseg.schemes.base import Trained
from napari_medseg.schemes.boosting_data import (
    check_patch,
    class_shares,
    common_spacing,
    dimensions_of,
    poolings_of,
    truncation_of,
)
from napari_medseg.schemes.boosting_levels import Variant, choose_patch, choose_variant, multiple_of, parse_variants
from napari_medseg.schemes.boosting_plan import Entry, Plan
from napari_medseg.structures import Image, MaskClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import nn

    from napari_medseg.config import TrainingConfig
    from napari_medseg.data.resolution import VolumeResolution
    from napari_medseg.data.truncation import ScanIntensity
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.losses import Annotated
    from napari_medseg.models.boosting import BoostingUNet
    from napari_medseg.models.compute import Compute
    from napari_medseg.schemes.boosting import BoostingConfig
    from napari_medseg.training.stage import Stage, StagePart, StageResult

#: Counts up when the same settings and cases would train other weights than before.
CODE_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BoostingParts:
    """The patches, the networks and how they are judged; one set of them for all variants."""

    config: BoostingConfig
    seed: int
    compute: Compute
    intensity: ScanIntensity
    resolution: VolumeResolution
    shape: tuple[int, ...]
    spacing: tuple[float, ...] | None
    variants: tuple[Variant, ...]
    patch: tuple[int, ...]
    classes: tuple[MaskClass, ...]
    shares: tuple[float, ...]
    train_cases: tuple[TrainingCase, ...]
    judged: tuple[TrainingCase, ...]
    patches: Patches
    start: Mapping[str, npt.NDArray[Any]]

    @classmethod
    def fit(
        cls,
        config: BoostingConfig,
        data: TrainingSet,
        seed: int,
        compute: Compute,
        *,
        start: Mapping[str, npt.NDArray[Any]] | None = None,
    ) -> BoostingParts:
        """Look at the training cases: their dimensions, spacing, sizes and intensities.

        Raises
        ------
        ConfigError, DatasetError
            The images have other dimensions than the settings, or not all the same.
        """
        from napari_medseg.data.resolution import VolumeResolution
        from napari_medseg.data.truncation import ScanIntensity

        train = tuple(case for case in data.of_split("train") if case.has_mask)
        judged = tuple(case for case in data.of_split("val") if case.has_mask)
        images = [case.load_image() for case in train]
        dims = dimensions_of(config, train, images)
        resolution = VolumeResolution.fit(images) if config.spacing == "median" else VolumeResolution()
        shapes = [working_shape(image, resolution.scale_of(image)) for image in images]
        shape = tuple(round(statistics.median(axis)) for axis in zip(*shapes, strict=True))
        spacing = common_spacing(images)
        chosen = (variant or choose_variant(len(train), shape) for variant in parse_variants(config.variants))
        # What was chosen may also have been asked for.
        variants = tuple({variant.groups: variant for variant in chosen}.values())
        multiples = [multiple_of(poolings_of(config, v.levels, shape, spacing)) for v in variants]
        multiple = tuple(max(steps) for steps in zip(*multiples, strict=True))
        intensity = ScanIntensity.fit(images, truncation_of(config, data), config.window)
        patch = config.patch_size or choose_patch(shape, multiple)
        check_patch(patch, multiple, dims)
        return cls(
            config=config,
            seed=seed,
            compute=compute,
            intensity=intensity,
            resolution=resolution,
            shape=shape,
            spacing=spacing,
            variants=variants,
            patch=patch,
            classes=data.info.classes,
            shares=class_shares(train, data.info.classes, nested=config.nested),
            train_cases=train,
            judged=judged,
            patches=Patches(
                train,
                classes=data.info.classes,
                tags=(),
                size=patch,
                scale_of=resolution.scale_of,
                intensity=intensity,
                foreground_share=config.foreground_share,
            ),
            start=start or {},
        )

    def poolings(self, levels: int) -> tuple[tuple[int, ...], ...]:
        """Factors of the poolings between levels."""
        return poolings_of(self.config, levels, self.shape, self.spacing)

    def network(self, levels: int) -> BoostingUNet:
        """A fresh network."""
        from napari_medseg.models.boosting import BoostingUNet

        network = BoostingUNet(
            self.intensity.channels,
            len(self.classes),
            self.poolings(levels),
            self.config.base_width,
            self.config.head,
        )
        network.expect(self.shares)
        return network

    def train(self, plan: Plan) -> Generator[Stage, StageResult, Entry]:
        """Train a variant group by group."""
        from napari_medseg.models.boosting import grow
        from napari_medseg.models.building import load_matching_weights

        network: BoostingUNet | None = None
        results: list[StageResult] = []
        for group in plan.stages:
            levels = plan.variant.levels_of(group)
            larger = self.network(levels[-1])
            load_matching_weights(larger, self.start, "network")
            if network is not None:
                known = f"network.encoders.{levels[0] - 1}.0.weight" in self.start
                grow(network, larger, pass_on=self.config.pass_on and not known)
            frozen = larger.parts(range(1, levels[0]))
            results.append(
                (
                    yield self.stage(
                        plan.stage_name(group),
                        plan.stage_title(group, self.config.repeats),
                        larger,
                        frozen=frozen,
                        parents=[result.name for result in results],
                        fingerprint={"groups": plan.variant.groups[: group + 1], "run": plan.run},
                        parts=self._levels(plan, group),
                    )
                )
            )
            network = larger
        assert network is not None
        return Entry(
            plan=plan,
            network=network,
            score=results[-1].best_score,
            details=results[-1].details,
            seconds=sum(result.seconds for result in results),
            stopped=any(result.stopped for result in results),
        )

    def stage(
        self,
        name: str,
        title: str,
        network: nn.Module,
        *,
        frozen: Sequence[nn.Module] = (),
        parents: Sequence[str] = (),
        fingerprint: Mapping[str, Any],
        training: TrainingConfig | None = None,
        parts: Sequence[StagePart] = (),
    ) -> Stage:
        """A stage that trains what of a network is not frozen."""
        from napari_medseg.losses import sigmoid_cross_entropy, sigmoid_dice_loss
        from napari_medseg.schemes.scoring import SegmentationScorer
        from napari_medseg.training.stage import Stage

        nested, weight = self.config.nested, self.config.cross_entropy

        def loss(logits: Any, batch: Annotated) -> Any:
            dice = sigmoid_dice_loss(logits, batch.labels, nested=nested)
            return dice + weight * sigmoid_cross_entropy(logits, batch.labels, nested=nested) if weight else dice

        scorer = SegmentationScorer(self.judged, self.classes, self.predictor, self.compute)
        return Stage(
            name=name,
            title=title,
            model=network,
            source=self.patches,
            loss=loss,
            training=training or self.config.training,
            augmentation=self.config.augmentation,
            scorer=scorer if self.judged else None,
            frozen=frozen,
            parents=parents,
            fingerprint=self._fingerprint() | dict(fingerprint),
            score_name="Dice",
            parts=parts,
        )

    def _levels(self, plan: Plan, group: int) -> list[StagePart]:
        """Every level of the finished network and what it does while a group is trained."""
        import torch

        from napari_medseg.training.stage import StagePart

        # Only to count weights: takes neither memory nor random numbers.
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            network = self.network(plan.variant.levels)
        return [
            StagePart(
                name=f"level {level}",
                stage=plan.stage_name(trained_in),
                state="frozen" if trained_in < group else "training" if trained_in == group else "waiting",
                parameters=sum(p.numel() for part in network.parts([level]) for p in part.parameters()),
            )
            for trained_in in plan.stages
            for level in plan.variant.levels_of(trained_in)
        ]

    def predictor(self, network: nn.Module) -> Predictor:
        """A network in training or just trained, with this set's preprocessing."""
        return make_predictor(self.config, self.intensity, self.resolution, self.patch, self.classes, network)

    def trained(self, league: Sequence[Entry], target: Entry) -> Trained:
        """The scheme's result."""
        spatial = "zyx"[-len(self.patch) :]
        return Trained(
            tensors={f"network.{name}": tensor for name, tensor in target.network.state_dict().items()},
            classes=self.classes,
            tags=(),
            preprocessing={
                "intensity": self.intensity.to_json(),
                "resolution": self.resolution.to_json(),
                "patch": list(self.patch),
                "poolings": [list(factors) for factors in self.poolings(target.plan.variant.levels)],
                "groups": list(target.plan.variant.groups),
            },
            expects={
                "axes": spatial,
                "channels": self.intensity.channels,
                "spacing": self.resolution.spacing,
                "units": self.resolution.units,
            },
            scores={"mean_dice": target.score, **{k: v for k, v in target.details.items() if k.startswith("dice ")}},
            candidates=[entry.to_json(chosen=entry is target) for entry in league],
        )

    def _fingerprint(self) -> dict[str, Any]:
        from napari_medseg.io.model_file import tensors_hash

        # What competes besides, and who wins, changes nothing of a variant, but its patch does.
        return {
            "code": CODE_VERSION,
            "config": self.config.model_dump(mode="json", exclude={"variants", "repeats", "target"}),
            "classes": [[c.value, c.name] for c in self.classes],
            "intensity": self.intensity.to_json(),
            "resolution": self.resolution.to_json(),
            "patch": list(self.patch),
            "start": tensors_hash(self.start),
            "train": [case.content_hash for case in self.train_cases],
            "validation": [case.content_hash for case in self.judged],
        }


def make_predictor(
    config: BoostingConfig,
    intensity: ScanIntensity,
    resolution: VolumeResolution,
    patch: tuple[int, ...],
    classes: Sequence[MaskClass],
    network: nn.Module,
) -> Predictor:
    """A network with windows of the size it was trained on."""
    from napari_medseg.inference.predictor import Grid, Predictor

    multiple = multiple_of(getattr(network, "poolings", ((1,) * len(patch),)))

    def grid_of(image: Image) -> Grid:
        return Grid(window=patch, multiple=multiple)

    return Predictor(
        window=patch,
        multiple=max(multiple),
        scale_of=resolution.scale_of,
        prepare=intensity.prepare,
        normalise=intensity.normalise,
        forward=lambda windows: (network(windows), None),
        classes=classes,
        tags=(),
        windows=config.windows,
        overlapping=True,
        grid_of=grid_of,
        segmenter=network,
    )
