"""The experiment behind the claim of scheme `oct`: its windows and its candidates beside controls of equal budget.

The source claims that windows across the width, taken from several devices, generalise better than images brought to
one size, and that comparing candidates finds a better network than settling for one. Every arm takes the same number
of optimiser steps on batches of the same number of pixels, keeps its best weights by validation, and is judged on the
test cases of every source:

======================  =============================================================================================
arm                     what it is
======================  =============================================================================================
``candidate <name>``    every candidate on windows of all sources, those of round 2 among them where it is asked for
``winner``              the candidate with the best validation, i.e. what the scheme returns
``windows, <source>``   the first candidate on windows of one source's training and validation cases (``all``: every
                        source, the same network as ``candidate`` of that name)
``resized, <source>``   the same network on whole B-scans, brought to the size of a window
======================  =============================================================================================

Whole B-scans keep their rows and lose columns, which is the mildest way to bring them to that size: layers change
quickly from row to row and slowly from column to column.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.data.naming import file_name
from napari_medseg.errors import DatasetError
from napari_medseg.schemes.experiment import (
    Experiment,
    Judge,
    Trial,
    margin_text,
    markdown_table,
    paired_difference,
    spread,
)
from napari_medseg.schemes.oct import Candidate, OctConfig, race_candidates
from napari_medseg.schemes.oct_league import best_entry
from napari_medseg.schemes.oct_parts import OctParts
from napari_medseg.structures import Image, MaskClass, TrainingSet

if TYPE_CHECKING:
    from torch import nn

    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: Stands for every source in the names of arms.
ALL = "all"
WINNER = "winner"
FIGURES = ("dice", "iou")


@dataclass(frozen=True, kw_only=True)
class OctExperiment(Experiment):
    """Arms on all sources and on each of them; a data set of one source compares sampling and candidates alone."""

    config: OctConfig
    data: TrainingSet

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Sources of the drawn cases, in alphabetical order; none for a data set of a single source.

        Raises
        ------
        DatasetError
            A source has no drawn case in one of the splits.
        """
        drawn = [case for case in self.data.cases if case.has_mask]
        names = tuple(sorted({case.source for case in drawn}))
        if len(names) < 2:
            return ()
        for name in names:
            splits = {case.split for case in drawn if case.source == name}
            missing = [split for split in ("train", "val", "test") if split not in splits]
            if missing:
                raise DatasetError(
                    f"Source '{name}' has no drawn case in split '{missing[0]}', so it cannot be compared with the "
                    "others: put some of its groups there in the column 'split'."
                )
        return names

    @cached_property
    def common_classes(self) -> tuple[MaskClass, ...]:
        """Classes that every source's training cases hold: what a source never shows cannot be learned from it.

        Raises
        ------
        DatasetError
            There is none.
        """
        seen = [self._values(source) for source in self.sources or (ALL,)]
        common = set.intersection(*seen)
        classes = tuple(c for c in self.data.info.classes if c.value in common)
        if not classes:
            raise DatasetError(
                "The sources have no class in common, so they cannot be compared: bring their classes to the same "
                "names when they are imported."
            )
        return classes

    def trials(self, seeds: int) -> Sequence[Trial]:
        """The scheme itself, whole images on all sources, and both on each source."""
        plan = [("windows", ALL), ("resized", ALL)]
        plan += [(sampling, source) for source in self.sources for sampling in ("windows", "resized")]
        return [
            Trial(
                name=f"{sampling}-{file_name(source or 'no source')}-seed{seed}",
                title=f"{arm_name(sampling, source)}, seed {seed}",
                seed=seed,
                facts={"sampling": sampling, "trained_on": source},
            )
            for seed in range(seeds)
            for sampling, source in plan
        ]

    def stages(self, trial: Trial, compute: Compute) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
        """All candidates on windows of all sources; the first candidate in the other trials."""
        sampling, source = trial.facts["sampling"], trial.facts["trained_on"]
        parts = OctParts.fit(self._equal_budget(trial.seed, compute), self._of_source(source), trial.seed, compute)
        if sampling == "windows" and source == ALL:
            league = yield from race_candidates(parts)
            arms = {
                f"candidate {entry.candidate.name}": parts.predictor(entry.candidate, entry.network) for entry in league
            }
            return {
                arm_name(sampling, source): parts.predictor(league[0].candidate, league[0].network),
                **arms,
                WINNER: arms[f"candidate {best_entry(league).candidate.name}"],
            }
        candidate = self.config.candidates[0]
        network = parts.network(candidate)
        if sampling == "windows":
            yield parts.stage(candidate, network)
            return {arm_name(sampling, source): parts.predictor(candidate, network)}
        yield resized_stage(parts, candidate, network)
        return {arm_name(sampling, source): resized_predictor(parts, candidate, network)}

    def figures(self, arms: Mapping[str, Predictor], judge: Judge) -> Mapping[str, Mapping[str, Any]]:
        """Dice and IoU on the test cases, mean over the common classes; per source, and as mean over the sources."""
        found: dict[int, dict[str, float | None]] = {}
        # The winner is one of the candidates, and its predictor the same object: judged once.
        for predictor in arms.values():
            if id(predictor) not in found:
                found[id(predictor)] = self._figures_of(predictor, judge)
        return {name: found[id(predictor)] for name, predictor in arms.items()}

    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Every arm with mean and spread over the seeds, the claims, and both as a table."""
        by_seed = _by_seed(rows)
        arms = list(dict.fromkeys(arm for figures in by_seed.values() for arm in figures))
        summary = []
        for arm in arms:
            for key in self._keys():
                figures = [by_arm.get(arm, {}).get(key) for by_arm in by_seed.values()]
                values = [float(value) for value in figures if value is not None]
                if values:
                    summary.append({"arm": arm, "figure": key} | spread(values))
        comparisons = [self._compare(by_seed, *claim) for claim in self._claims(arms)]
        document = {
            "summary": summary,
            "comparisons": comparisons,
            "classes": [c.name for c in self.common_classes],
            "sources": list(self.sources),
        }
        return document | {"table": _table(document)}

    def _figures_of(self, predictor: Predictor, judge: Judge) -> dict[str, float | None]:
        figures: dict[str, float | None] = {}
        for source in self.sources or (ALL,):
            cases = [case for case in self.data.of_split("test") if case.has_mask and source in (ALL, case.source)]
            per_class = judge(predictor, cases)["segmentation"]
            for key in FIGURES:
                values = [per_class.get(c.name, {}).get(key) for c in self.common_classes]
                figures[_key(key, source)] = _mean(values)
        if self.sources:
            for key in FIGURES:
                figures[key] = _mean([figures[_key(key, source)] for source in self.sources])
        return figures

    def _keys(self) -> list[str]:
        return [_key(key, source) for key in FIGURES for source in (ALL, *self.sources)]

    def _claims(self, arms: Sequence[str]) -> Iterator[tuple[str, str, str, bool]]:
        """(arm, control, figure, whether the arm must be better or only not worse)."""
        for trained_on in (ALL, *self.sources):
            for tested_on in (ALL, *self.sources):
                yield arm_name("windows", trained_on), arm_name("resized", trained_on), _key("dice", tested_on), True
        for arm in arms:
            if arm.startswith("candidate "):
                yield WINNER, arm, "dice", False
        for source in self.sources:
            for tested_on in self.sources:
                yield arm_name("windows", ALL), arm_name("windows", source), _key("dice", tested_on), True

    def _compare(
        self, by_seed: Mapping[int, Mapping[str, Mapping[str, Any]]], arm: str, control: str, key: str, better: bool
    ) -> dict[str, Any]:
        """One claim; an arm that need not be better holds where the mean difference is not below zero."""
        figures = [f for f in by_seed.values() if arm in f and control in f]
        found = [(f[arm].get(key), f[control].get(key)) for f in figures]
        pairs = [(float(ours), float(theirs)) for ours, theirs in found if ours is not None and theirs is not None]
        difference, margin = paired_difference([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
        proven = margin is not None and difference > margin
        return {
            "arm": arm,
            "control": control,
            "figure": key,
            "claim": "better" if better else "not worse",
            "difference": difference,
            "margin": margin,
            "holds": proven if better else bool(pairs) and difference >= 0,
        }

    def _equal_budget(self, seed: int, compute: Compute) -> OctConfig:
        """The settings without early stopping, an epoch being one pass over the windows of all sources in every arm."""
        windows = len(OctParts.fit(self.config, self.data, seed, compute).windows)
        training = self.config.training
        steps = training.steps_per_epoch or math.ceil(windows / training.batch_size)
        training = training.model_copy(update={"patience": 0, "steps_per_epoch": steps})
        return self.config.model_copy(update={"training": training})

    def _of_source(self, source: str) -> TrainingSet:
        if source == ALL:
            return self.data
        return replace(self.data, cases=tuple(case for case in self.data.cases if case.source == source))

    def _values(self, source: str) -> set[int]:
        """Label values in a source's training cases."""
        values: set[int] = set()
        for case in self._of_source(source).of_split("train"):
            labels = case.load_labels()
            if labels is not None:
                values |= set(np.unique(labels).tolist())
        return values


def arm_name(sampling: str, source: str) -> str:
    """Name of the arm that was trained on a source's cases, e.g. ``"windows, all"``."""
    return f"{sampling}, {source or 'no source'}"


def resized_stage(parts: OctParts, candidate: Candidate, network: nn.Module) -> Stage:
    """The stage of a candidate on whole B-scans that are brought to the size of a window."""
    from napari_medseg.data.patches import Patches
    from napari_medseg.schemes.scoring import SegmentationScorer

    stage = parts.stage(candidate, network)
    source = Patches(
        parts.train,
        classes=parts.classes,
        tags=(),
        size=_size(parts),
        scale_of=_scale_to(_size(parts)),
        intensity=parts.intensity,
        foreground_share=0.0,
    )
    scorer = SegmentationScorer(
        parts.judged,
        parts.classes,
        lambda model: resized_predictor(parts, candidate, model),
        parts.compute,
        figure="iou",
    )
    return dataclasses.replace(
        stage,
        name=f"resized-{stage.name}",
        title=f"Resized B-scans: {stage.title}",
        source=source,
        scorer=scorer if parts.judged else None,
        fingerprint={**stage.fingerprint, "sampling": "resized"},
        candidate=False,
    )


def resized_predictor(parts: OctParts, candidate: Candidate, network: nn.Module) -> Predictor:
    """The predictor that goes with `resized_stage`: one window holds the whole B-scan."""
    predictor = parts.predictor(candidate, network)
    return dataclasses.replace(predictor, scale_of=_scale_to(_size(parts)), grid_of=None)


def _size(parts: OctParts) -> tuple[int, int]:
    return parts.height, parts.config.window_width


def _scale_to(size: tuple[int, int]) -> Callable[[Image], tuple[float, ...]]:
    """Working pixels per image pixel that bring every B-scan to one size; slices of a volume stay as they are."""

    def scale_of(image: Image) -> tuple[float, ...]:
        *lead, height, width = image.spatial_shape
        return (*(1.0 for _ in lead), size[0] / height, size[1] / width)

    return scale_of


def _key(figure: str, source: str) -> str:
    """Name of a figure on a source's test cases; on those of every source it has no addition."""
    return figure if source == ALL else f"{figure}, {source or 'no source'}"


def _mean(values: Sequence[float | None]) -> float | None:
    """Mean of the figures that are defined; None where there is none."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _by_seed(rows: Sequence[Mapping[str, Any]]) -> dict[int, dict[str, Mapping[str, Any]]]:
    """Figures of all arms, whichever trial they come from, per seed."""
    by_seed: dict[int, dict[str, Mapping[str, Any]]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], {}).update(row["figures"])
    return by_seed


def _table(document: Mapping[str, Any]) -> str:
    arms = [
        (
            s["arm"],
            s["figure"],
            f"{s['mean']:.3f}",
            f"{s['sd']:.3f}",
            f"{s['lowest']:.3f} to {s['highest']:.3f}",
            str(s["n"]),
        )
        for s in document["summary"]
    ]
    claims = [
        (
            f"{c['arm']} against {c['control']}",
            c["figure"],
            f"{c['difference']:+.3f} {margin_text(c['margin'])}",
            c["claim"],
            "yes" if c["holds"] else "no",
        )
        for c in document["comparisons"]
    ]
    lines = markdown_table(("arm", "figure on test cases", "mean", "sd", "range", "n"), arms)
    header = ("comparison", "figure", "paired difference (95 %)", "claim", "holds")
    lines += ["", *markdown_table(header, claims)]
    return "\n".join([*lines, "", f"Figures are means over {', '.join(document['classes'])}."])
