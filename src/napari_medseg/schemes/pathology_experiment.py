"""The experiment of scheme `pathology` as a table: arms over numbers of masks and seeds, and the claims."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from napari_medseg.schemes.experiment import (
    Experiment,
    Judge,
    Trial,
    margin_text,
    markdown_table,
    paired_difference,
    spread,
)
from napari_medseg.schemes.pathology import PathologyConfig
from napari_medseg.schemes.pathology_controls import COMPARISONS, control_stages, thin_out
from napari_medseg.schemes.pathology_parts import PathologyParts
from napari_medseg.structures import TrainingSet

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: Names of the arms in the table, in its order.
ARMS = ("a", "b", "c", "b_scratch", "a_on", "tags_alone")


@dataclass(frozen=True, slots=True, kw_only=True)
class PathologyExperiment(Experiment):
    """The three stages beside controls of equal budget, at several numbers of masks.

    Parameters
    ----------
    masks
        Numbers of training masks to keep; None keeps all.
    tag_share
        Share of the given training tags to keep.
    """

    stages_per_trial: ClassVar[int | None] = len(ARMS)

    config: PathologyConfig
    data: TrainingSet
    masks: Sequence[int] | None = None
    tag_share: float = 1.0

    def trials(self, seeds: int) -> Sequence[Trial]:
        """One per number of masks and seed."""
        total = sum(case.has_mask for case in self.data.of_split("train"))
        return [
            Trial(
                name=f"masks{count}-seed{seed}", title=f"{count} masks, seed {seed}", seed=seed, facts={"masks": count}
            )
            for count in self.masks or [total]
            for seed in range(seeds)
        ]

    def stages(self, trial: Trial, compute: Compute) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
        """The arms of `napari_medseg.schemes.pathology_controls`."""
        thinned, tags_alone = self._thinned(trial)
        networks = yield from control_stages(self.config, thinned, tags_alone, trial.seed, compute)
        parts = PathologyParts.fit(self.config, thinned, trial.seed, compute)
        return {
            name: parts.predictor(segmenter=network.eval())
            if name in ("b", "b_scratch")
            else parts.predictor(classifier=network.eval())
            for name, network in networks.items()
        }

    def figures(self, arms: Mapping[str, Predictor], judge: Judge) -> Mapping[str, Mapping[str, Any]]:
        """Dice and IoU, or AUC and accuracy, with intervals over groups."""
        figures: dict[str, dict[str, Any]] = {}
        for name, predictor in arms.items():
            document = judge(predictor, self.data.of_split("test"))
            if predictor.classes:
                figures[name] = {key: document["segmentation"]["mean"].get(key) for key in ("dice", "dice_ci", "iou")}
            else:
                figures[name] = {key: document["classification"].get(key) for key in ("auc", "auc_ci", "accuracy")}
        return figures

    def facts(self, trial: Trial) -> Mapping[str, Any]:
        """Numbers of masks and tags that were kept."""
        thinned, _ = self._thinned(trial)
        return {**trial.facts, "tags": sum(case.tag is not None for case in thinned.of_split("train"))}

    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """`summarise` beside what trivial answers reach."""
        return summarise(rows, trivial_answers(self.data)) | {"tag_share": self.tag_share}

    def _thinned(self, trial: Trial) -> tuple[TrainingSet, TrainingSet]:
        return thin_out(self.data, masks=trial.facts["masks"], tag_share=self.tag_share, seed=trial.seed)


def trivial_answers(cases: TrainingSet) -> dict[str, float]:
    """What the majority class and the empty mask reach on the test cases."""
    tags = [case.tag for case in cases.of_split("test") if case.tag is not None]
    train = [case.tag for case in cases.of_split("train") if case.tag is not None]
    majority = max(sorted(set(train)), key=train.count) if train else None
    accuracy = sum(tag == majority for tag in tags) / len(tags) if tags else math.nan
    return {"auc": 0.5, "accuracy": accuracy, "dice": 0.0, "iou": 0.0}


def summarise(rows: Sequence[Mapping[str, Any]], trivial: Mapping[str, float]) -> dict[str, Any]:
    """Mean, spread and range of every arm over the seeds, and whether each claim holds.

    A claim holds where the arm beats its control in the mean of the paired differences by more than the 95 %
    interval of that mean (Student's t over the seeds), and both beat the trivial answer.
    """
    summary, comparisons = [], []
    for masks in sorted({row["masks"] for row in rows}):
        of_masks = [row for row in rows if row["masks"] == masks]
        for arm in ARMS:
            figures = [row["figures"][arm] for row in of_masks]
            for key in ("dice", "iou", "auc", "accuracy"):
                values = [f[key] for f in figures if f.get(key) is not None]
                if values:
                    summary.append({"masks": masks, "arm": arm, "figure": key} | spread(values))
        for arm, control, key in COMPARISONS:
            comparisons.append({"masks": masks} | _compare(of_masks, arm, control, key, trivial[key]))
    document = {"summary": summary, "comparisons": comparisons, "trivial": dict(trivial)}
    return document | {"table": _table(document)}


def _compare(rows: Sequence[Mapping[str, Any]], arm: str, control: str, key: str, trivial: float) -> dict[str, Any]:
    pairs = [(row["figures"][arm][key], row["figures"][control][key]) for row in rows]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    difference, margin = paired_difference([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    both_beat_trivial = all(min(pair) > trivial for pair in pairs) and bool(pairs)
    return {
        "arm": arm,
        "control": control,
        "figure": key,
        "difference": difference,
        "margin": margin,
        "both_beat_trivial": both_beat_trivial,
        "holds": both_beat_trivial and margin is not None and difference > margin,
    }


def _table(document: Mapping[str, Any]) -> str:
    arms = [
        (
            str(s["masks"]),
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
            str(c["masks"]),
            f"{c['arm']} against {c['control']}",
            c["figure"],
            f"{c['difference']:+.3f} {margin_text(c['margin'])}",
            "yes" if c["both_beat_trivial"] else "no",
            "yes" if c["holds"] else "no",
        )
        for c in document["comparisons"]
    ]
    lines = markdown_table(("masks", "arm", "figure", "mean", "sd", "range", "n"), arms)
    header = ("masks", "comparison", "figure", "paired difference (95 %)", "both beat trivial", "claim holds")
    lines += ["", *markdown_table(header, claims)]
    trivial = ", ".join(f"{name} {value:.3f}" for name, value in document["trivial"].items())
    return "\n".join([*lines, "", f"Trivial answers (majority class, empty mask): {trivial}."])
