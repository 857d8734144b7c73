"""The experiment behind the claim of scheme `thyroid`: every change it makes to Xception beside the network without it.

All arms are trained for the same number of epochs, and each keeps the weights of its best validation.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

from napari_medseg.config import TrainingConfig
from napari_medseg.schemes.experiment import (
    Experiment,
    Judge,
    Trial,
    margin_text,
    markdown_table,
    paired_difference,
    spread,
)
from napari_medseg.schemes.thyroid import ThyroidConfig
from napari_medseg.schemes.thyroid_parts import ThyroidParts
from napari_medseg.structures import TrainingSet

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute
    from napari_medseg.models.xception import XceptionClassifier
    from napari_medseg.training.stage import Stage, StageResult

#: The scheme, and the scheme without one of its parts; the last sees machine and text too.
ARMS = ("full", "plain", "cross_entropy", "no_pretraining", "raw_frame")
_FIGURES = ("macro_f1", "balanced_accuracy", "auc", "accuracy", "calibration_error")
#: What is compared by which figure; "rarest" is the sensitivity for the class with the fewest training cases.
COMPARISONS = (
    ("full", "plain", "macro_f1"),
    ("full", "plain", "auc"),
    ("full", "cross_entropy", "macro_f1"),
    ("full", "cross_entropy", "rarest"),
    ("full", "no_pretraining", "macro_f1"),
    ("full", "no_pretraining", "auc"),
    ("raw_frame", "full", "macro_f1"),
    ("raw_frame", "full", "auc"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ThyroidExperiment(Experiment):
    """The scheme beside controls of equal budget, once per seed."""

    config: ThyroidConfig
    data: TrainingSet

    stages_per_trial: ClassVar[int | None] = None

    def trials(self, seeds: int) -> Sequence[Trial]:
        """One per seed."""
        return [Trial(name=f"seed{seed}", title=f"seed {seed}", seed=seed) for seed in range(seeds)]

    def stages(self, trial: Trial, compute: Compute) -> Generator[Stage, StageResult, Mapping[str, Predictor]]:
        """Pretrain both networks, then fine-tune every arm."""
        config = self.config.model_copy(
            update={"training": _fixed(self.config.training), "pretraining": _fixed(self.config.pretraining)}
        )
        plain = config.model_copy(update={"network": config.network.model_copy(update={"variant": "plain"})})
        fit = ThyroidParts.fit
        cropped = fit(config, self.data, trial.seed, compute, method=config.scan.method)
        raw = fit(config, self.data, trial.seed, compute, method="whole")
        before: dict[str, XceptionClassifier] = {}
        if self.data.pretraining is not None:
            method = config.scan.pretraining_method
            parts = fit(config, self.data.pretraining, trial.seed, compute, method=method)
            for variant, of_variant in (("modified", parts), ("plain", replace(parts, config=plain))):
                before[variant] = of_variant.network()
                yield of_variant.stage(
                    f"pretrain_{variant}",
                    f"Pretraining, {variant}",
                    before[variant],
                    loss=of_variant.entropy_loss(),
                    training=config.pretraining,
                )
        arms = {
            "full": (cropped, "modified", cropped.hybrid_loss()),
            "plain": (replace(cropped, config=plain), "plain", cropped.hybrid_loss()),
            "cross_entropy": (cropped, "modified", cropped.entropy_loss()),
            "raw_frame": (raw, "modified", raw.hybrid_loss()),
        }
        if before:
            arms["no_pretraining"] = (cropped, "", cropped.hybrid_loss())
        trained = {}
        for name, (parts, variant, loss) in arms.items():
            network = parts.network()
            parents = (f"pretrain_{variant}",) if variant in before else ()
            if parents:
                network.encoder.load_state_dict(before[variant].encoder.state_dict())
            yield parts.stage(name, f"Arm {name}", network, loss=loss, training=config.training, parents=parents)
            trained[name] = parts.predictor(network.eval(), parts.sureness(network))
        return trained

    def figures(self, arms: Mapping[str, Predictor], judge: Judge) -> Mapping[str, Mapping[str, Any]]:
        """Figures of every arm on the test cases, with intervals over groups, and those of every class."""
        figures = {}
        for name, predictor in arms.items():
            document = judge(predictor, self.data.of_split("test"))["classification"]
            kept = {key: document[key] for figure in _FIGURES for key in (figure, f"{figure}_ci")}
            rarest = document["per_class"][self._rarest(predictor.tags)]["sensitivity"]
            figures[name] = {**kept, "rarest": rarest, "per_class": document["per_class"]}
        return figures

    def summarise(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Mean and spread of every arm over the seeds, and paired differences with their 95 % interval over seeds."""
        summary = []
        for arm in ARMS:
            found = [row["figures"][arm] for row in rows if arm in row["figures"]]
            for figure in (*_FIGURES, "rarest"):
                values = [figures[figure] for figures in found if figures.get(figure) is not None]
                if values:
                    summary.append({"arm": arm, "figure": figure, **spread(values)})
        document: dict[str, Any] = {
            "summary": summary,
            "comparisons": [self._compare(rows, *comparison) for comparison in COMPARISONS],
            "rarest": self._rarest([tag.name for tag in self.data.info.tags]),
        }
        return document | {"table": _table(document)}

    def _rarest(self, names: Sequence[str]) -> str:
        train = [case.tag for case in self.data.of_split("train")]
        return min((name for name in names if name in train), key=train.count)

    @staticmethod
    def _compare(rows: Sequence[Mapping[str, Any]], arm: str, control: str, figure: str) -> dict[str, Any]:
        pairs = [
            (row["figures"][arm][figure], row["figures"][control][figure])
            for row in rows
            if arm in row["figures"] and control in row["figures"]
        ]
        known = [pair for pair in pairs if None not in pair]
        difference, margin = paired_difference([ours for ours, _ in known], [theirs for _, theirs in known])
        return {
            "arm": arm,
            "control": control,
            "figure": figure,
            "difference": difference,
            "margin": margin,
            "holds": margin is not None and difference > margin,
        }


def _fixed(training: TrainingConfig) -> TrainingConfig:
    """The same number of steps for every arm."""
    return training.model_copy(update={"patience": 0})


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
            "yes" if c["holds"] else "no",
        )
        for c in document["comparisons"]
        if not math.isnan(c["difference"])
    ]
    lines = markdown_table(("arm", "figure", "mean", "sd", "range", "n"), arms)
    header = ("comparison", "figure", "paired difference (95 %)", "first is better")
    lines += ["", *markdown_table(header, claims)]
    return "\n".join([*lines, "", f"'rarest' is the sensitivity for {document['rarest']}."])
