"""The experiment behind the claim of scheme `fibrosis` as a table: whether learning the region improves the grade."""

from __future__ import annotations

import statistics
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from napari_medseg.metrics import bootstrap_weights, percentile_interval, weighted_grade_auc
from napari_medseg.schemes.experiment import Experiment, Judge, Trial, markdown_table, spread
from napari_medseg.schemes.fibrosis import FibrosisConfig
from napari_medseg.schemes.fibrosis_controls import (
    control_stages,
    fill_the_box_dice,
    grades_from_volume,
    log_volume,
)
from napari_medseg.schemes.fibrosis_network import lesion_classes
from napari_medseg.structures import TrainingCase, TrainingSet

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: Names of the arms in the table, in its order; the last is no network.
VOLUME = "volume"
ARMS = ("joint", "grade_alone", "frozen_encoder", VOLUME, "joint, jittered box", "joint, predicted box", "region_alone")
#: What is compared with what, by the AUC of the grade.
COMPARISONS = (("joint", "grade_alone"), ("joint", "frozen_encoder"), ("joint", VOLUME))
_FIGURES = ("auc", "kappa", "accuracy", "dice")

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class FibrosisExperiment(Experiment):
    """The joint network beside controls of equal budget, once per seed."""

    stages_per_trial: ClassVar[int | None] = 4

    config: FibrosisConfig
    data: TrainingSet

    def trials(self, seeds: int) -> Sequence[Trial]:
        """One per seed."""
        return [Trial(name=f"seed{seed}", title=f"seed {seed}", seed=seed) for seed in range(seeds)]

    def stages(self, trial: Trial, compute: Compute) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
        """The arms of `napari_medseg.schemes.fibrosis_controls`."""
        return (yield from control_stages(self.config, self.data, trial.seed, compute))

    def figures(self, arms: Mapping[str, Predictor], judge: Judge) -> Mapping[str, Mapping[str, Any]]:
        """Figures of every arm on the test cases, and the probabilities of every graded case."""
        figures: dict[str, Mapping[str, Any]] = {}
        for name, predictor in arms.items():
            document = judge(predictor, self.data.of_split("test"))
            figures[name] = {**_of_document(document), "cases": _graded_rows(document)}
        return figures | {VOLUME: self._from_volume()}

    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mean and spread of every arm over the seeds; the comparisons, resampled over groups; filling the box."""
        summary = []
        for arm in ARMS:
            found = [row["figures"][arm] for row in rows if arm in row["figures"]]
            for key in _FIGURES:
                values = [figures[key] for figures in found if figures.get(key) is not None]
                if values:
                    summary.append({"arm": arm, "figure": key, **spread(values), "ci": _mean_bounds(found, key)})
        document: dict[str, Any] = {
            "summary": summary,
            "comparisons": [self._compare(rows, arm, control) for arm, control in COMPARISONS],
            "fill_the_box_dice": fill_the_box_dice(self.data.of_split("test"), self._classes),
        }
        return document | {"table": _table(document)}

    @cached_property
    def _classes(self) -> Any:
        return lesion_classes(self.config, self.data.info)

    def _volumes(self, cases: Sequence[TrainingCase]) -> Floats:
        volumes = []
        for case in cases:
            labels = case.load_labels()
            assert labels is not None, "only drawn cases have a volume"
            volumes.append(log_volume(case, labels, self._classes))
        return np.array(volumes)

    def _from_volume(self) -> dict[str, Any]:
        """What the volume of the drawn mask alone says of the grade."""
        from napari_medseg.schemes.fibrosis_scoring import grade_figures  # loads torch

        train, test = (
            [case for case in self.data.of_split(split) if case.has_mask and case.grade is not None]
            for split in ("train", "test")
        )
        grades, number = np.array([case.grade for case in train]), len(self.data.info.grades)
        probabilities = grades_from_volume(self._volumes(train), grades, self._volumes(test), number)
        truth = np.array([case.grade for case in test])
        found = grade_figures(truth, probabilities)
        groups = [case.group for case in test]
        bounds = percentile_interval(_resampled_auc(truth, probabilities, groups))
        rows = zip(test, probabilities.tolist(), strict=True)
        return {
            **{key: found[key] for key in ("auc", "kappa", "accuracy")},
            "auc_ci": bounds.tolist(),
            "cases": [{"case": c.case, "group": c.group, "grade": c.grade, "probabilities": p} for c, p in rows],
        }

    def _compare(self, rows: Sequence[Mapping[str, Any]], arm: str, control: str) -> dict[str, Any]:
        """Difference of AUC, the mean over the seeds, with its 95 % interval over resampled groups of test cases."""
        differences = []
        for row in rows:
            ours, theirs = row["figures"][arm]["cases"], row["figures"][control]["cases"]
            common = {entry["case"] for entry in ours} & {entry["case"] for entry in theirs}
            areas = []
            for entries in (ours, theirs):
                kept = sorted((e for e in entries if e["case"] in common), key=lambda e: str(e["case"]))
                truth = np.array([int(e["grade"]) for e in kept])
                areas.append(
                    _resampled_auc(truth, np.array([e["probabilities"] for e in kept]), [e["group"] for e in kept])
                )
            differences.append(areas[0] - areas[1])
        low, high = percentile_interval(np.mean(differences, axis=0))
        plain = [_auc_of(row, arm) - _auc_of(row, control) for row in rows]
        return {
            "arm": arm,
            "control": control,
            "figure": "auc",
            "difference": statistics.fmean(plain),
            "by_seed": plain,
            "ci": [float(low), float(high)],
            "holds": bool(low > 0),
        }


def _of_document(document: Mapping[str, Any]) -> dict[str, Any]:
    graded, drawn = document["classification"] or {}, (document["segmentation"] or {}).get("mean", {})
    keys = ("auc", "auc_ci", "kappa", "kappa_ci", "accuracy", "accuracy_ci")
    return {key: graded.get(key) for key in keys} | {key: drawn.get(key) for key in ("dice", "dice_ci")}


def _graded_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    rows = [row for row in document["per_case"] if "probabilities" in row]
    return [
        {
            "case": row["case"],
            "group": row["group"],
            "grade": list(row["probabilities"]).index(row["tag"]),
            "probabilities": list(row["probabilities"].values()),
        }
        for row in rows
    ]


def _resampled_auc(truth: npt.NDArray[np.int64], probabilities: Floats, groups: Sequence[str]) -> Floats:
    """AUC of resamples of whole groups, the same resamples for all arms."""
    names = sorted(set(groups))
    weights = bootstrap_weights(len(names), seed=0)[:, [names.index(group) for group in groups]]
    return weighted_grade_auc(truth, probabilities, weights)


def _auc_of(row: Mapping[str, Any], arm: str) -> float:
    return float(row["figures"][arm]["auc"])


def _mean_bounds(figures: Sequence[Mapping[str, Any]], key: str) -> list[float] | None:
    """Interval over the test cases, its bounds averaged over the seeds; None where it is not known."""
    known = [f[f"{key}_ci"] for f in figures if f.get(f"{key}_ci") is not None]
    return [statistics.fmean(bound) for bound in zip(*known, strict=True)] if known else None


def _table(document: Mapping[str, Any]) -> str:
    arms = [
        (
            s["arm"],
            s["figure"],
            f"{s['mean']:.3f}",
            f"{s['lowest']:.3f} to {s['highest']:.3f}",
            "" if s["ci"] is None else f"{s['ci'][0]:.3f} to {s['ci'][1]:.3f}",
            str(s["n"]),
        )
        for s in document["summary"]
    ]
    header = ("arm", "figure", "mean", "over seeds", "95 % interval over cases", "n")
    lines = markdown_table(header, arms)
    claims = [
        (
            f"{c['arm']} against {c['control']}",
            c["figure"],
            f"{c['difference']:+.3f}",
            f"{c['ci'][0]:+.3f} to {c['ci'][1]:+.3f}",
            "yes" if c["holds"] else "no",
        )
        for c in document["comparisons"]
    ]
    lines += ["", *markdown_table(("comparison", "figure", "difference", "95 % interval over cases", "better"), claims)]
    return "\n".join([*lines, "", f"Dice of filling the true box: {document['fill_the_box_dice']:.3f}."])
