"""The experiment behind a scheme's claim: the scheme beside controls of equal budget, over seeds, as a table."""

from __future__ import annotations

import json
import math
import os
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.config import load_json
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io.atomic import write_text
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.structures import TrainingSet
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.models.compute import Compute
    from napari_medseg.schemes.pathology import PathologyConfig

#: Names of the arms in the table, in its order.
ARMS = ("a", "b", "c", "b_scratch", "a_on", "tags_alone")


def reproduce(
    scheme: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seeds: int = 3,
    masks: Sequence[int] | None = None,
    tag_share: float = 1.0,
    config_file: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """Test a scheme's claim on a data set with a test split.

    Parameters
    ----------
    scheme
        Key of a scheme that has such an experiment.
    data, out
        Data set folder, and folder for the runs and the table. What is finished there is not trained again.
    seeds
        Number of repetitions; the seed draws which labels are kept, the initial weights and the patches.
    masks
        Numbers of training masks to keep; None keeps all.
    tag_share
        Share of the given training tags to keep.
    config_file, profile, assignments, device, precision, threads, report
        As in `train`.

    Returns
    -------
    ``rows`` (one per number of masks and seed), ``summary`` (per number of masks and arm: mean and spread),
    ``comparisons`` (does the claim hold), ``trivial`` (majority class, empty mask), ``table`` (Markdown).

    Raises
    ------
    ConfigError, DatasetError
        The scheme has no experiment, or the data set cannot feed it.
    """
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.training_set import training_set
    from napari_medseg.models.compute import choose_compute

    known = find_scheme(scheme)
    if known.key != "pathology":
        raise ConfigError(f"Scheme '{scheme}' has no experiment to reproduce.")
    values = load_json(Path(config_file)) if config_file is not None else None
    config = build_config(known, values=values, profile=profile, assignments=assignments)
    cases = training_set(Dataset.open(data), include_drafts=False, seed=0)
    if not cases.of_split("test"):
        raise DatasetError(f"Data set {data} has no test cases: run 'napari-medseg dataset split' first.")
    compute = choose_compute(device, precision, threads, training=True)
    folder = Path(out)
    total = sum(case.has_mask for case in cases.of_split("train"))
    settings = [(count, seed) for count in masks or [total] for seed in range(seeds)]
    rows = []
    for index, (count, seed) in enumerate(settings):
        report("item_started", input=f"{count} masks, seed {seed}", index=index, of=len(settings))
        run = folder / f"masks{count}-seed{seed}"
        rows.append(_one_run(config, cases, run, count, tag_share, seed, compute, report))
    document = summarise(rows, trivial_answers(cases))
    document |= {"scheme": scheme, "seeds": seeds, "tag_share": tag_share, "config": config.model_dump(mode="json")}
    write_text(folder / "table.json", json.dumps(plain(document), indent=2))
    write_text(folder / "table.md", document["table"] + "\n")
    return document


def _one_run(
    config: Any,
    cases: TrainingSet,
    run: Path,
    masks: int,
    tag_share: float,
    seed: int,
    compute: Compute,
    report: Report,
) -> dict[str, Any]:
    """Train all arms, judge them on the test cases, and keep the figures beside the run."""
    finished = run / "figures.json"
    if finished.is_file():
        return load_json(finished)
    from napari_medseg.schemes.pathology_controls import control_stages, thin_out
    from napari_medseg.training.run import open_run, run_stages

    thinned, tags_alone = thin_out(cases, masks=masks, tag_share=tag_share, seed=seed)
    with open_run(run, resume=True):
        networks, results = run_stages(
            control_stages(config, thinned, tags_alone, seed, compute),
            run=run,
            seed=seed,
            compute=compute,
            report=report,
            of=len(ARMS),
        )
        figures = _judge(config, thinned, networks, seed, compute)
    row = {
        "masks": masks,
        "seed": seed,
        "tags": sum(case.tag is not None for case in thinned.of_split("train")),
        "steps": {result.name: result.steps for result in results},
        "figures": figures,
    }
    write_text(finished, json.dumps(plain(row), indent=2))
    return row


def _judge(
    config: PathologyConfig, data: TrainingSet, networks: Mapping[str, Any], seed: int, compute: Compute
) -> dict[str, dict[str, Any]]:
    """Dice and IoU or AUC and accuracy of every arm on the test cases, with intervals over groups."""
    from napari_medseg.api.evaluation import figures_of
    from napari_medseg.schemes.pathology_parts import PathologyParts

    parts = PathologyParts.fit(config, data, seed, compute)
    test = data.of_split("test")
    figures: dict[str, dict[str, Any]] = {}
    for name, network in networks.items():
        kind = "segmenter" if name in ("b", "b_scratch") else "classifier"
        document = figures_of(parts.predictor(**{kind: network.eval()}), test, compute)
        if kind == "segmenter":
            figures[name] = {key: document["segmentation"]["mean"].get(key) for key in ("dice", "dice_ci", "iou")}
        else:
            figures[name] = {key: document["classification"].get(key) for key in ("auc", "auc_ci", "accuracy")}
    return figures


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
    from napari_medseg.schemes.pathology_controls import COMPARISONS

    summary, comparisons = [], []
    for masks in sorted({row["masks"] for row in rows}):
        of_masks = [row for row in rows if row["masks"] == masks]
        for arm in ARMS:
            figures = [row["figures"][arm] for row in of_masks]
            for key in ("dice", "iou", "auc", "accuracy"):
                values = [f[key] for f in figures if f.get(key) is not None]
                if values:
                    summary.append({"masks": masks, "arm": arm, "figure": key} | _spread(values))
        for arm, control, key in COMPARISONS:
            comparisons.append({"masks": masks} | _compare(of_masks, arm, control, key, trivial[key]))
    document = {"rows": list(rows), "summary": summary, "comparisons": comparisons, "trivial": dict(trivial)}
    return document | {"table": _table(document)}


def _spread(values: Sequence[float]) -> dict[str, float]:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return {
        "mean": statistics.fmean(values),
        "sd": deviation,
        "lowest": min(values),
        "highest": max(values),
        "n": len(values),
    }


def _compare(rows: Sequence[Mapping[str, Any]], arm: str, control: str, key: str, trivial: float) -> dict[str, Any]:
    from scipy import stats

    pairs = [(row["figures"][arm][key], row["figures"][control][key]) for row in rows]
    pairs = [(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None]
    differences = [ours - theirs for ours, theirs in pairs]
    mean = statistics.fmean(differences) if differences else math.nan
    margin = math.inf
    if len(differences) > 1:
        error = statistics.stdev(differences) / math.sqrt(len(differences))
        margin = float(stats.t.ppf(0.975, len(differences) - 1)) * error
    both_beat_trivial = all(min(pair) > trivial for pair in pairs) and bool(pairs)
    holds = both_beat_trivial and mean - margin > 0
    return {
        "arm": arm,
        "control": control,
        "figure": key,
        "difference": mean,
        "margin": margin if math.isfinite(margin) else None,
        "both_beat_trivial": both_beat_trivial,
        "holds": holds,
    }


def _table(document: Mapping[str, Any]) -> str:
    lines = ["| masks | arm | figure | mean | sd | range | n |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for s in document["summary"]:
        lines.append(
            f"| {s['masks']} | {s['arm']} | {s['figure']} | {s['mean']:.3f} | {s['sd']:.3f} | "
            f"{s['lowest']:.3f} to {s['highest']:.3f} | {s['n']} |"
        )
    lines += ["", "| masks | comparison | figure | paired difference (95 %) | both beat trivial | claim holds |"]
    lines += ["| --- | --- | --- | --- | --- | --- |"]
    for c in document["comparisons"]:
        margin = "one seed" if c["margin"] is None else f"± {c['margin']:.3f}"
        lines.append(
            f"| {c['masks']} | {c['arm']} against {c['control']} | {c['figure']} | {c['difference']:+.3f} {margin} | "
            f"{'yes' if c['both_beat_trivial'] else 'no'} | {'yes' if c['holds'] else 'no'} |"
        )
    trivial = ", ".join(f"{name} {value:.3f}" for name, value in document["trivial"].items())
    return "\n".join([*lines, "", f"Trivial answers (majority class, empty mask): {trivial}."])
