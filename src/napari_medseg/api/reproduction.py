"""The experiment behind a scheme's claim: the scheme beside controls of equal budget, over seeds, as a table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.api.training import with_pretraining
from napari_medseg.config import load_json
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io.atomic import write_text
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.boosting_experiment import BoostingExperiment
from napari_medseg.schemes.experiment import Experiment, Trial
from napari_medseg.schemes.fibrosis_experiment import FibrosisExperiment
from napari_medseg.schemes.oct_controls import OctExperiment
from napari_medseg.schemes.pathology_experiment import PathologyExperiment
from napari_medseg.schemes.thyroid_experiment import ThyroidExperiment
from napari_medseg.structures import TrainingCase
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute

#: Makes a scheme's experiment from ``config``, ``data`` and options of its own, by the scheme's key.
EXPERIMENTS: Mapping[str, Callable[..., Experiment]] = {
    "pathology": PathologyExperiment,
    "oct": OctExperiment,
    "boosting": BoostingExperiment,
    "fibrosis": FibrosisExperiment,
    "thyroid": ThyroidExperiment,
}


def reproduce(
    scheme: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    seeds: int = 3,
    pretrain: str | os.PathLike[str] | None = None,
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
    pretrain
        Scheme `thyroid`: data set that networks see first.
    masks
        Scheme `pathology`: numbers of training masks to keep; None keeps all.
    tag_share
        Scheme `pathology`: share of the given training tags to keep.
    config_file, profile, assignments, device, precision, threads, report
        As in `train`.

    Returns
    -------
    ``rows`` (one per trial), ``summary`` (per arm: mean and spread), ``comparisons`` (does the claim hold), ``table``
    (Markdown), and what else the scheme's experiment has to say.

    Raises
    ------
    ConfigError, DatasetError
        The scheme has no experiment, the data set cannot feed it, or `out` holds one with other settings.
    """
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.training_set import training_set
    from napari_medseg.models.compute import choose_compute

    if seeds < 1:
        raise ConfigError(f"{seeds} repetitions give no figure: ask for one or more seeds.")
    known = find_scheme(scheme)
    values = load_json(Path(config_file)) if config_file is not None else None
    config = build_config(known, values=values, profile=profile, assignments=assignments)
    options = _options(scheme, masks, tag_share)
    cases = training_set(Dataset.open(data), include_drafts=False, seed=0)
    cases = with_pretraining(known, cases, pretrain, include_drafts=False, seed=0)
    if not cases.of_split("test"):
        raise DatasetError(f"Data set {data} has no test cases: run 'napari-medseg dataset split' first.")
    experiment = EXPERIMENTS[scheme](config=config, data=cases, **options)
    trials = experiment.trials(seeds)
    folder = Path(out)
    _record(folder, {"scheme": scheme, "config": config.model_dump(mode="json"), **options, **_pretrained(pretrain)})
    compute = choose_compute(device, precision, threads, training=True)
    rows = []
    for index, trial in enumerate(trials):
        report("item_started", input=trial.title, index=index, of=len(trials))
        rows.append(_run_trial(experiment, trial, folder / trial.name, compute, report))
    document = {"rows": rows} | experiment.summarise(rows)
    document |= {"scheme": scheme, "seeds": seeds, "config": config.model_dump(mode="json")}
    write_text(folder / "table.json", json.dumps(plain(document), indent=2))
    write_text(folder / "table.md", document["table"] + "\n")
    return document


def _pretrained(folder: str | os.PathLike[str] | None) -> dict[str, str]:
    """The set for pretraining, for the record."""
    return {} if folder is None else {"pretrain": str(Path(folder).resolve())}


def _options(scheme: str, masks: Sequence[int] | None, tag_share: float) -> dict[str, Any]:
    """The options that a scheme's experiment takes.

    Raises
    ------
    ConfigError
        The scheme has no experiment, or one without the given options.
    """
    if scheme not in EXPERIMENTS:
        raise ConfigError(f"Scheme '{scheme}' has no experiment to reproduce.")
    if scheme == "pathology":
        return {"masks": masks, "tag_share": tag_share}
    if masks is not None or tag_share != 1.0:
        raise ConfigError(
            f"Numbers of masks and a share of tags belong to scheme 'pathology', not to '{scheme}': leave them away."
        )
    return {}


def _record(folder: Path, settings: Mapping[str, Any]) -> None:
    """Note the settings of an experiment; trials with others than those that are finished would not be comparable.

    Raises
    ------
    ConfigError
        The folder holds an experiment with other settings.
    """
    record, wanted = folder / "experiment.json", json.loads(json.dumps(settings))
    if not record.is_file():
        write_text(record, json.dumps(wanted, indent=2))
    elif (known := load_json(record)) != wanted:
        before, now = _flat(known), _flat(wanted)
        names = [name for name in {**now, **before} if before.get(name) != now.get(name)]
        raise ConfigError(
            f"{folder} holds an experiment with other settings ({', '.join(names) or 'of another version'}): give the "
            "settings that it was started with, or choose another folder."
        )


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by their full names, e.g. ``config.training.epochs``."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{before}{name}.") if isinstance(value, Mapping) else {f"{before}{name}": value}
    return flat


def _run_trial(experiment: Experiment, trial: Trial, run: Path, compute: Compute, report: Report) -> dict[str, Any]:
    """Train the arms of a trial, judge them on the test cases, and keep the figures beside the run."""
    finished = run / "figures.json"
    if finished.is_file():
        return load_json(finished)
    from napari_medseg.api.evaluation import figures_of
    from napari_medseg.training.run import open_run, run_stages

    def judge(predictor: Predictor, cases: Sequence[TrainingCase]) -> dict[str, Any]:
        return figures_of(predictor, cases, compute)

    with open_run(run, resume=True):
        arms, results = run_stages(
            experiment.stages(trial, compute),
            run=run,
            seed=trial.seed,
            compute=compute,
            report=report,
            of=experiment.stages_per_trial,
        )
        figures = experiment.figures(arms, judge)
    row = {
        **experiment.facts(trial),
        "seed": trial.seed,
        "steps": {result.name: result.steps for result in results},
        "figures": figures,
    }
    write_text(finished, json.dumps(plain(row), indent=2))
    return row
