"""Training as one function: data set and settings in, run folder with a model file out."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.api.prediction import model_path
from napari_medseg.config import load_json
from napari_medseg.data.splitting import SPLIT_ORDER
from napari_medseg.data.whole_slides import slides_of
from napari_medseg.errors import ConfigError, DatasetError, TrainingError
from napari_medseg.io.atomic import write_text
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.checks import unsuited_slides
from napari_medseg.structures import TrainingSet
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.models.compute import Compute
    from napari_medseg.schemes.base import Scheme, SchemeConfig, Trained
    from napari_medseg.training.distributed import Group
    from napari_medseg.training.stage import StageResult


def train(
    scheme: str,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    config_file: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    pretrain: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    include_drafts: bool = False,
    resume: bool = False,
    seed: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """Train a scheme on a data set.

    Parameters
    ----------
    scheme
        Key of a scheme (``napari-medseg schemes`` lists them).
    data
        Data set folder; finished cases are used, drafts only with `include_drafts`.
    out
        Run folder; made when missing. Holds ``model.safetensors``, ``summary.json``, ``history.csv`` in the end.
    config_file, profile, assignments
        Settings: a JSON file, a named profile, single ``key=value`` changes, applied over the defaults in the order
        profile, file, assignments.
    pretrain
        Another data set folder, perhaps with other classes, that the network sees first (scheme `thyroid`).
    init
        Model file whose networks the first stages start from.
    resume
        Go on with an interrupted run, with the settings, seed, cases and start that it had where none are given.
        Without it a run folder that holds a training is refused.
    seed
        Every random choice follows from it. None: that of the run that is gone on with, 0 for a new one.
    device, precision, threads
        Chosen when None, and recorded; a resumed run uses what was recorded, and warns when others are given.
    report
        Receives the events of `napari_medseg.training.events`.

    Returns
    -------
    The content of ``summary.json``; empty in all but the first process of a distributed run.

    Raises
    ------
    ConfigError, DatasetError, TrainingError
        In a sentence, before the first step wherever possible.

    Examples
    --------
    >>> import tempfile
    >>> from napari_medseg import api
    >>> from napari_medseg.data.synthetic import make_dataset
    >>> folder = tempfile.mkdtemp()
    >>> data = make_dataset(folder + "/data", n=10, size=64, seed=0)
    >>> small = ["network.base_width=4", "input_size=32", "training.epochs=1"]
    >>> summary = api.train("pathology", folder + "/data", folder + "/run", assignments=small, device="cpu")
    >>> [stage["name"] for stage in summary["stages"]]
    ['a_classifier', 'b_segmenter', 'c_classifier']
    """
    recorded = _recorded_settings(Path(out), scheme) if resume else {}
    if seed is None:
        seed = int(recorded.get("seed", 0))
    include_drafts = include_drafts or bool(recorded.get("include_drafts"))
    base = recorded.get("config") if config_file is None and profile is None else None
    known, config, cases = _load(scheme, data, config_file, profile, assignments, include_drafts, seed, base)
    pretrain = pretrain if pretrain is not None else recorded.get("pretrain")
    cases = with_pretraining(known, cases, pretrain, include_drafts=include_drafts, seed=seed)
    return train_cases(
        known,
        config,
        cases,
        Path(out),
        pretrain=pretrain,
        init=init if init is not None else recorded.get("init"),
        include_drafts=include_drafts,
        resume=resume,
        seed=seed,
        device=device,
        precision=precision,
        threads=threads,
        report=report,
    )


def _recorded_settings(run: Path, scheme: str) -> Mapping[str, Any]:
    """What an interrupted run was started with: anything else would train its stages anew over those that are there.

    Raises
    ------
    TrainingError
        The folder holds a run of another scheme.
    """
    record = run / "run.json"
    if not record.is_file():
        return {}
    recorded = load_json(record)
    if recorded.get("scheme") != scheme:
        raise TrainingError(
            f"{run} holds a training of scheme '{recorded.get('scheme')}', not '{scheme}': name that scheme, or choose "
            "another folder."
        )
    return recorded


def estimate(
    scheme: str,
    data: str | os.PathLike[str],
    *,
    config_file: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    assignments: Sequence[str] = (),
    pretrain: str | os.PathLike[str] | None = None,
    include_drafts: bool = False,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """What `train` with the same arguments would take, measured on two steps of every stage; writes nothing.

    Returns
    -------
    ``stages`` [``name, steps, seconds``], ``seconds`` (at most; early stopping may end sooner), ``memory_bytes``
    (None where the system does not tell), ``device``, ``precision``.

    Raises
    ------
    ConfigError, DatasetError, TrainingError
        As `train`.
    """
    from napari_medseg.models.compute import choose_compute
    from napari_medseg.training.estimate import estimate_stages

    known, config, cases = _load(scheme, data, config_file, profile, assignments, include_drafts, seed=0)
    cases = with_pretraining(known, cases, pretrain, include_drafts=include_drafts, seed=0)
    _refuse_faults(known, config, cases, report)
    compute = choose_compute(device, precision, threads, training=True)
    costs, memory = estimate_stages(known.stages(config, cases, 0, compute), seed=0, compute=compute)
    document = {
        "stages": [asdict(cost) for cost in costs],
        "seconds": sum(cost.seconds for cost in costs),
        "memory_bytes": memory,
        "device": compute.device,
        "precision": compute.precision,
    }
    report("done", result=document)
    return document


def _load(
    scheme: str,
    data: str | os.PathLike[str],
    config_file: str | os.PathLike[str] | None,
    profile: str | None,
    assignments: Sequence[str],
    include_drafts: bool,
    seed: int,
    base: Mapping[str, Any] | None = None,
) -> tuple[Scheme, SchemeConfig, TrainingSet]:
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.training_set import training_set, with_corrected_weight

    known = find_scheme(scheme)
    values = load_json(Path(config_file)) if config_file is not None else base
    config = build_config(known, values=values, profile=profile, assignments=assignments)
    dataset = Dataset.open(data)
    cases = training_set(dataset, include_drafts=include_drafts, seed=seed)
    return known, config, with_corrected_weight(cases, dataset, config.training.corrected_weight)


def with_pretraining(
    scheme: Scheme, cases: TrainingSet, folder: str | os.PathLike[str] | None, *, include_drafts: bool, seed: int
) -> TrainingSet:
    """The cases together with those of another data set folder that a network sees first; None: as they are.

    Raises
    ------
    ConfigError
        The scheme takes no such set.
    DatasetError
        Both are the same data set, or the other one cannot be used.
    """
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.training_set import training_set

    if folder is None:
        return cases
    if not scheme.pretraining_titles:
        raise ConfigError(f"Scheme '{scheme.key}' takes no set for pretraining: leave --pretrain away.")
    pretraining = training_set(Dataset.open(folder), include_drafts=include_drafts, seed=seed)
    held = {case.image_hash for case in cases.cases if case.split != "train"}
    shared = [case for case in pretraining.cases if case.image_hash in held]
    if shared:
        raise DatasetError(
            f"The set for pretraining {folder} holds {len(shared)} images that the other set validates or tests with "
            f"(the first is case '{shared[0].case}'), so its figures would flatter: take them out, or choose another."
        )
    return replace(cases, pretraining=pretraining)


def _refuse_faults(scheme: Scheme, config: SchemeConfig, cases: TrainingSet, report: Report) -> None:
    """Raise the scheme's errors about the cases, report its warnings."""
    faults = unsuited_slides(scheme, cases) or scheme.check(config, cases)
    errors = [fault for fault in faults if fault.severity == "error"]
    if errors:
        raise DatasetError(" ".join(str(fault) for fault in errors))
    for fault in faults:
        report("warning", text=str(fault))


def train_cases(
    scheme: Scheme,
    config: SchemeConfig,
    cases: TrainingSet,
    run: Path,
    *,
    pretrain: str | os.PathLike[str] | None = None,
    init: str | os.PathLike[str] | None = None,
    include_drafts: bool = False,
    resume: bool = False,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """`train` for a scheme, settings and cases that are already in memory.

    `pretrain` and `include_drafts` are only recorded.
    """
    _refuse_faults(scheme, config, cases, report)
    from napari_medseg.io.model_file import read_model
    from napari_medseg.models.compute import choose_compute
    from napari_medseg.training.distributed import processes
    from napari_medseg.training.run import open_run, run_stages

    with processes(device) as group, open_run(run, resume=resume, leader=group.leader) as recorded:
        device = group.device or device or recorded.get("device")
        compute = choose_compute(
            device,
            precision or recorded.get("precision"),
            threads or recorded.get("threads"),
            channels_last=recorded.get("channels_last"),
            training=True,
        )
        say = report if group.leader else ignore
        first = scheme.pretraining_titles if cases.pretraining is not None else {}
        known = {**first, **scheme.known_stages(config)}
        if group.leader:
            _record_settings(run, scheme, config, seed, compute, include_drafts, pretrain, init)
            _say_started(say, scheme, known, run, compute, group)
            _warn_of_other_compute(say, recorded, compute)
        start = read_model(model_path(init))[1] if init is not None else None
        generator = scheme.stages(config, cases, seed, compute, start)
        trained, results = run_stages(
            generator,
            run=run,
            seed=seed,
            compute=compute,
            report=say,
            group=group,
            of=len(known) if known and not scheme.competes else None,
        )
        if not group.leader:
            return {}
        summary = _summary(scheme, seed, cases, results, trained, run)
        _write_model(run, scheme, config, cases, trained, summary)
        write_text(run / "summary.json", json.dumps(summary, indent=2))
        say("done", result={"model": summary["model"], "summary": summary})
    return summary


def _say_started(
    say: Report, scheme: Scheme, stages: Mapping[str, str], run: Path, compute: Compute, group: Group
) -> None:
    say(
        "started",
        scheme=scheme.key,
        run=str(run),
        device=compute.device,
        precision=compute.precision,
        threads=compute.threads,
        processes=group.size,
        stages=[{"name": name, "title": title, "candidate": scheme.competes} for name, title in stages.items()],
    )


def _warn_of_other_compute(say: Report, recorded: Mapping[str, Any], compute: Compute) -> None:
    """Say where a resumed run computes with something else than what it was started with."""
    chosen = {"device": compute.device, "precision": compute.precision, "threads": compute.threads}
    changes = [
        f"{key} {value} instead of {recorded[key]}"
        for key, value in chosen.items()
        if recorded.get(key) not in (None, value)
    ]
    if changes:
        text = f"The run goes on with {' and '.join(changes)}: its weights will differ from those of an unbroken run."
        say("warning", text=text)


def _record_settings(
    run: Path,
    scheme: Scheme,
    config: SchemeConfig,
    seed: int,
    compute: Compute,
    include_drafts: bool,
    pretrain: str | os.PathLike[str] | None,
    init: str | os.PathLike[str] | None,
) -> None:
    settings = {
        "include_drafts": include_drafts,
        "pretrain": None if pretrain is None else str(Path(pretrain).resolve()),
        "init": None if init is None else str(Path(init).resolve()),
        "scheme": scheme.key,
        "seed": seed,
        "device": compute.device,
        "precision": compute.precision,
        "channels_last": compute.channels_last,
        "threads": compute.threads,
        "config": config.model_dump(mode="json"),
    }
    write_text(run / "run.json", json.dumps(settings, indent=2))


def label_kinds(cases: TrainingSet) -> dict[str, dict[str, int]]:
    """How many cases of each split have a tag, a mask, both, a grade; of slides also how many, and their tiles."""
    counts: dict[str, dict[str, int]] = {}
    has_slides = bool(slides_of(cases.cases))
    for split in SPLIT_ORDER:
        of_split = cases.of_split(split)
        slides = slides_of(of_split)
        counts[split] = {
            "cases": len(of_split),
            "tags": sum(case.tag is not None for case in of_split),
            "masks": sum(case.has_mask for case in of_split),
            "tags_and_masks": sum(case.has_mask and case.tag is not None for case in of_split),
            "grades": sum(case.grade is not None for case in of_split),
            **(
                {"slides": len(slides), "tiles": sum(len(slide.labels.tile_tags) for slide in slides)}
                if has_slides
                else {}
            ),
        }
    return counts


def _summary(
    scheme: Scheme, seed: int, cases: TrainingSet, results: Sequence[StageResult], trained: Trained, run: Path
) -> dict[str, Any]:
    stages = [
        {
            "name": result.name,
            "epochs": result.epochs,
            "best_score": result.best_score,
            "seconds": round(result.seconds, 3),
            "reused": result.reused,
        }
        for result in results
    ]
    groups = {split: len({case.group for case in cases.of_split(split)}) for split in SPLIT_ORDER}
    summary = {
        "scheme": scheme.key,
        "seed": seed,
        "cases": label_kinds(cases),
        "groups": groups,
        **({"pretraining": label_kinds(cases.pretraining)} if cases.pretraining is not None else {}),
        "stages": stages,
        **({"candidates": list(trained.candidates)} if trained.candidates else {}),
        "scores": dict(trained.scores),
        "model": str(run / "model.safetensors"),
    }
    # A stage without validation has NaN for a score, which is no JSON.
    return dict(plain(summary))


def _write_model(
    run: Path,
    scheme: Scheme,
    config: SchemeConfig,
    cases: TrainingSet,
    trained: Trained,
    summary: Mapping[str, Any],
) -> None:
    from napari_medseg.io.model_file import write_model

    tensors = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in trained.tensors.items()}
    if not tensors:
        raise TrainingError("The scheme trained no network: check which labels the training cases have.")
    write_model(run / "model.safetensors", tensors, _card(scheme, config, cases, trained, summary))


def _card(
    scheme: Scheme, config: SchemeConfig, cases: TrainingSet, trained: Trained, summary: Mapping[str, Any]
) -> ModelCard:
    from napari_medseg.data.retina import known_surfaces
    from napari_medseg.io.model_file import ModelCard, hash_group

    salt = secrets.token_hex(16)
    seen = {split: list(cases.of_split(split)) for split in SPLIT_ORDER}
    if cases.pretraining is not None:
        # Whatever its split: the network was fitted to these images or chosen by them.
        seen["train"] += cases.pretraining.cases
    return ModelCard(
        scheme=scheme.key,
        config=config.model_dump(mode="json"),
        classes=tuple(trained.classes),
        tags=tuple(trained.tags),
        surfaces=known_surfaces(cases.info, trained.classes),
        preprocessing=dict(trained.preprocessing),
        expects=dict(trained.expects),
        training={
            "seed": summary["seed"],
            "cases": summary["cases"],
            "hashes": {split: sorted(case.image_hash for case in found) for split, found in seen.items()},
            "salt": salt,
            "group_hashes": {
                split: sorted({hash_group(case.group, salt) for case in cases.of_split(split)}) for split in SPLIT_ORDER
            },
            "groups": summary["groups"],
            "stages": summary["stages"],
            "scores": summary["scores"],
            "candidates": summary.get("candidates", ()),
        },
    )
