"""The experiment behind the claim of scheme `boosting`: stage by stage against at once, on clean and on spoilt scans.

The source claims that training a U-Net in groups of levels beats training the same network at once, and resists added
noise and blur better. For every variant and seed:

==================  ===================================================================================================
arm                 what it is
==================  ===================================================================================================
``3+1, staged``     the scheme: levels 1 to 3, then level 4 with the others frozen
``3+1, at once``    the same network on the same patches, all levels from the start, for the summed steps of all stages
``plain U-Net``     a U-Net of the usual kind (widths doubling, batch normalisation) for the same steps, as reference
==================  ===================================================================================================

All arms keep their best weights by validation; none stops early. The test scans are judged as they are, with noise (a
tenth of the scan's range, added before any preprocessing) and blurred (a gaussian of 1 voxel).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from napari_medseg.data.naming import file_name
from napari_medseg.data.truncation import scan_range
from napari_medseg.errors import ConfigError
from napari_medseg.schemes.boosting import BoostingConfig
from napari_medseg.schemes.boosting_levels import Variant, parse_variants
from napari_medseg.schemes.boosting_parts import BoostingParts
from napari_medseg.schemes.boosting_plan import Plan
from napari_medseg.schemes.experiment import (
    Experiment,
    Judge,
    Trial,
    margin_text,
    markdown_table,
    paired_difference,
    spread,
)
from napari_medseg.structures import Image, TrainingCase, TrainingSet

if TYPE_CHECKING:
    from torch import nn

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: Standard deviation of the added noise, as a share of the scan's range (its 0.5 to 99.5 percentiles).
NOISE = 0.1
#: Standard deviation of the blur, in voxels.
BLUR = 1.0
CONDITIONS = ("clean", "noisy", "blurred")
STAGED, AT_ONCE, PLAIN = "staged", "at once", "plain U-Net"
#: The groupings of the source.
SOURCE_VARIANTS = "2+1, 3+1, 4+1"


@dataclass(frozen=True, kw_only=True)
class BoostingExperiment(Experiment):
    """Every variant stage by stage and at once, and a plain U-Net; variants of "auto" are those of the source."""

    config: BoostingConfig
    data: TrainingSet

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What is compared.

        Raises
        ------
        ConfigError
            A variant is to be chosen by the data, or has no second stage.
        """
        text = SOURCE_VARIANTS if self.config.variants.strip() == "auto" else self.config.variants
        variants = parse_variants(text)
        named = [variant for variant in variants if variant is not None and len(variant.groups) > 1]
        if len(named) < len(variants):
            raise ConfigError(
                f"Setting 'variants' = {text!r}: the experiment compares variants of two stages or more with training "
                "at once, e.g. 2+1, 3+1."
            )
        return tuple(named)

    def trials(self, seeds: int) -> Sequence[Trial]:
        """Every variant in both ways, and the plain U-Net, with every seed."""
        arms = [(variant.name, way) for variant in self.variants for way in (STAGED, AT_ONCE)]
        return [
            Trial(
                name=f"{file_name(' '.join(filter(None, (name, way))))}-seed{seed}",
                title=f"{arm_name(name, way)}, seed {seed}",
                seed=seed,
                facts={"variant": name, "way": way},
            )
            for seed in range(seeds)
            for name, way in [*arms, (PLAIN, "")]
        ]

    def stages(self, trial: Trial, compute: Compute) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
        """One arm."""
        config = self.config.model_copy(update={"variants": ", ".join(variant.name for variant in self.variants)})
        training = config.training.model_copy(update={"patience": 0})
        parts = BoostingParts.fit(config.model_copy(update={"training": training}), self.data, trial.seed, compute)
        name, way = trial.facts["variant"], trial.facts["way"]
        if way == STAGED:
            variant = next(each for each in self.variants if each.name == name)
            entry = yield from parts.train(Plan(variant, 0))
            return {arm_name(name, way): parts.predictor(entry.network)}
        if way == AT_ONCE:
            variant = next(each for each in self.variants if each.name == name)
            network: nn.Module = parts.network(variant.levels)
            stages = len(variant.groups)
        else:
            network = plain_network(parts)
            stages = max(len(each.groups) for each in self.variants)
        yield parts.stage(
            "at-once",
            arm_name(name, way),
            network,
            fingerprint={"at once": name},
            training=training.model_copy(update={"epochs": training.epochs * stages}),
        )
        return {arm_name(name, way): parts.predictor(network)}

    def figures(self, arms: Mapping[str, Predictor], judge: Judge) -> Mapping[str, Mapping[str, Any]]:
        """Figures of the test cases, clean and spoilt, and how much of the Dice is kept."""
        cases = [case for case in self.data.of_split("test") if case.has_mask]
        figures = {}
        for name, predictor in arms.items():
            found: dict[str, float | None] = {}
            for condition in CONDITIONS:
                document = judge(predictor, [spoilt(case, condition) for case in cases])
                found[_key("dice", condition)] = document["segmentation"]["mean"]["dice_per_case"]
                distances = document.get("distances", {}).get("mean", {})
                for key in ("hd95", "assd"):
                    found[_key(key, condition)] = distances.get(key)
                found[_key("missed", condition)] = distances.get("n_missed")
            for condition in CONDITIONS[1:]:
                spoilt_dice, clean = found[_key("dice", condition)], found["dice"]
                if spoilt_dice is not None and clean is not None:
                    found[_key("change", condition)] = spoilt_dice - clean
            figures[name] = found
        return figures

    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Every arm with mean and spread over the seeds, the claims, and both as a table."""
        by_seed: dict[int, dict[str, Mapping[str, Any]]] = {}
        for row in rows:
            by_seed.setdefault(row["seed"], {}).update(row["figures"])
        arms = list(dict.fromkeys(arm for figures in by_seed.values() for arm in figures))
        summary = []
        for arm in arms:
            for key in dict.fromkeys(key for figures in by_seed.values() for key in figures.get(arm, {})):
                found = [figures[arm].get(key) for figures in by_seed.values() if arm in figures]
                values = [float(value) for value in found if value is not None]
                if values:
                    summary.append({"arm": arm, "figure": key} | spread(values))
        keys = ("dice", *(_key("dice", c) for c in CONDITIONS[1:]), *(_key("change", c) for c in CONDITIONS[1:]))
        comparisons = [
            _compare(by_seed, arm_name(variant.name, STAGED), arm_name(variant.name, AT_ONCE), key)
            for variant in self.variants
            for key in keys
        ]
        document = {"summary": summary, "comparisons": comparisons}
        return document | {"table": _table(document, arms)}


def arm_name(variant: str, way: str) -> str:
    """Name of an arm, e.g. ``"3+1, staged"``."""
    return f"{variant}, {way}" if way else variant


def plain_network(parts: BoostingParts) -> nn.Module:
    """The reference: widths that double from level to level, batch normalisation, the levels of the deepest variant."""
    from napari_medseg.models.unet import PlainEncoder, Segmenter, UNetDecoder, level_widths

    dims = len(parts.patch)
    widths = level_widths(parts.config.base_width, max(variant.levels for variant in parts.variants))
    encoder = PlainEncoder(parts.intensity.channels, widths, dims=dims)
    decoder = UNetDecoder(widths, widths[:-1], dims=dims)
    return Segmenter(encoder, decoder, widths[0], len(parts.classes), dims=dims)


def spoilt(case: TrainingCase, condition: str) -> TrainingCase:
    """A case whose scan is noisy or blurred; the noise is the same whenever it is read."""
    return case if condition == "clean" else replace(case, load_image=lambda: _spoil(case, condition))


def _spoil(case: TrainingCase, condition: str) -> Image:
    image = case.load_image()
    pixels = np.asarray(image.data).astype(np.float32)
    sides = tuple(0.0 if axis == "c" else BLUR for axis in image.axes)
    if condition == "blurred":
        changed: npt.NDArray[np.float32] = gaussian_filter(pixels, sides)
    else:
        limits = scan_range(image, "percentile", (0.0, 1.0))
        rng = np.random.default_rng(int(case.image_hash[:12], 16))
        noise = rng.standard_normal(pixels.shape, dtype=np.float32)
        changed = pixels + NOISE * float((limits.high - limits.low).max()) * noise
    return replace(image, levels=(changed,))


def _key(figure: str, condition: str) -> str:
    return figure if condition == "clean" else f"{figure}, {condition}"


def _compare(
    by_seed: Mapping[int, Mapping[str, Mapping[str, Any]]], arm: str, control: str, key: str
) -> dict[str, Any]:
    figures = [f for f in by_seed.values() if arm in f and control in f]
    found = [(f[arm].get(key), f[control].get(key)) for f in figures]
    pairs = [(float(ours), float(theirs)) for ours, theirs in found if ours is not None and theirs is not None]
    difference, margin = paired_difference([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    return {
        "arm": arm,
        "control": control,
        "figure": key,
        "difference": difference,
        "margin": margin,
        "holds": margin is not None and difference > margin,
    }


def _table(document: Mapping[str, Any], arms: Sequence[str]) -> str:
    found = {(entry["arm"], entry["figure"]): entry for entry in document["summary"]}
    keys = [_key(figure, condition) for condition in CONDITIONS for figure in ("dice", "hd95", "assd", "missed")]

    def cell(arm: str, key: str) -> str:
        entry = found.get((arm, key))
        return "" if entry is None else f"{entry['mean']:.3f} ({entry['sd']:.3f})"

    lines = markdown_table(("arm", *keys), [(arm, *(cell(arm, key) for key in keys)) for arm in arms])
    claims = [
        (
            f"{c['arm']} against {c['control']}",
            c["figure"],
            f"{c['difference']:+.3f} {margin_text(c['margin'])}",
            "yes" if c["holds"] else "no",
        )
        for c in document["comparisons"]
    ]
    header = ("comparison", "figure", "paired difference (95 %)", "staged is better")
    return "\n".join([*lines, "", *markdown_table(header, claims)])
