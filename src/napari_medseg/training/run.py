"""A run folder: the stages of a scheme, trained one after the other or taken from the disk.

``RUN/stages/<name>/`` holds what `napari_medseg.training.checkpoint` describes, ``RUN/history.csv`` a row per epoch of
every stage. A stage is taken from the disk where its identity is the one on the disk; identities contain those of the
parents, so that a change retrains what depends on it and nothing else.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import torch

from napari_medseg.config import load_json
from napari_medseg.data.locking import STALE_SECONDS, FileLock, kept_alive
from napari_medseg.errors import LockedError, TrainingError
from napari_medseg.io.atomic import not_written, write_text
from napari_medseg.models.compute import Compute
from napari_medseg.training.checkpoint import StageFolder, table_text
from napari_medseg.training.distributed import SINGLE, Group
from napari_medseg.training.events import Report, ignore
from napari_medseg.training.loop import fit
from napari_medseg.training.schedule import Schedule, derive_seed
from napari_medseg.training.stage import Stage, StageResult

R = TypeVar("R")

#: Counts up when the loop, the losses or the augmentation would train other weights than before.
CODE_VERSION = 1
#: Seconds that a training waits for a run folder; long enough to notice that a holder on another machine is dead.
LOCK_SECONDS = STALE_SECONDS + 2


@contextlib.contextmanager
def open_run(run: Path, *, resume: bool, leader: bool = True) -> Iterator[Mapping[str, Any]]:
    """Hold a run folder while a training works in it.

    Parameters
    ----------
    run
        The folder; made when missing.
    resume
        Whether a training that is there is gone on with. Otherwise it is refused.
    leader
        Whether this process writes; the others of a distributed run only look.

    Yields
    ------
    What ``run.json`` recorded of the training that is gone on with; empty for a new one.

    Raises
    ------
    TrainingError
        Another training works in the folder, it holds one and `resume` is False, or it is no folder of a training:
        that of a data set or its labels, or one with other files.
    """
    record = run / "run.json"
    if not leader:
        yield load_json(record) if resume and record.is_file() else {}
        return
    _refuse_dataset(run)
    if not resume:
        _refuse_foreign_files(run)
    try:
        run.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(run, error) from error
    with _held(run):
        if not resume and (record.exists() or (run / "stages").exists()):
            raise TrainingError(
                f"{run} already holds a training: add --resume to go on with it, or choose another folder."
            )
        yield load_json(record) if record.is_file() else {}


def _refuse_dataset(run: Path) -> None:
    """Raise where a training would write among the files of a data set."""
    folder = run.absolute()
    dataset = next((parent for parent in (folder, *folder.parents) if (parent / "dataset.json").is_file()), None)
    if dataset is not None and folder.relative_to(dataset).parts[:1] in ((), ("labels",), ("images",)):
        raise TrainingError(
            f"{run} belongs to the data set {dataset}: choose a folder of the training's own, e.g. {dataset}/runs/1."
        )


def _refuse_foreign_files(run: Path) -> None:
    """Raise where a new training would write among files of something else; settings and logs may lie there."""
    if run.exists() and not run.is_dir():
        raise TrainingError(f"{run} is a file: choose a new folder for the training.")
    if not run.exists() or (run / "run.json").exists() or (run / "stages").exists():
        return
    names = (path.name for path in sorted(run.iterdir()) if path.suffix not in (".json", ".log"))
    foreign = [name for name in names if not name.startswith(".")]
    if foreign:
        raise TrainingError(f"{run} holds other files, e.g. '{foreign[0]}': choose a new or an empty folder.")


@contextlib.contextmanager
def _held(run: Path) -> Iterator[None]:
    """The folder's lock, kept alive by a thread for as long as the block lasts."""
    with contextlib.ExitStack() as held:
        try:
            held.enter_context(kept_alive(FileLock(run / ".lock", timeout=LOCK_SECONDS)))
        except LockedError as error:
            raise TrainingError(
                f"Another training works in {run}: wait for it, stop it, or choose another folder."
            ) from error
        yield


def run_stages(
    stages: Generator[Stage, StageResult, R],
    *,
    run: Path,
    seed: int,
    compute: Compute,
    report: Report = ignore,
    group: Group = SINGLE,
    of: int | None = None,
) -> tuple[R, list[StageResult]]:
    """Train what a scheme yields, sending each result back.

    Parameters
    ----------
    stages
        A scheme's generator, not started.
    run
        The run folder, held by `open_run`.
    seed
        Every random choice follows from it, the construction of the networks included.
    compute
        Device and precision; activated here.
    report
        Receives events from ``stage_started`` to ``stage_ended``.
    group
        The processes that train together.
    of
        How many stages there will be, where known.

    Returns
    -------
    what the generator returned; the stages' results in order, without those that were left out
    """
    compute.activate()
    results: list[StageResult] = []
    while True:
        # Seeded by number: what a skipped stage did not draw shifts nothing.
        torch.manual_seed(derive_seed(seed, "build", len(results)))
        try:
            stage = stages.send(results[-1]) if results else next(stages)
        except StopIteration as end:
            return end.value, [result for result in results if not result.left_out]
        _check_parents(stage, results)
        result = _run_stage(stage, results, run, seed, compute, report, group, of)
        results.append(result)


def stage_identity(stage: Stage, parents: Sequence[StageResult], seed: int) -> str:
    """Hash of everything that shapes a stage's result: equal identities give equal weights on one machine."""
    known = {result.name: result.identity for result in parents}
    training = stage.training.model_dump(mode="json")
    # How often it is saved changes nothing of what is trained.
    del training["checkpoint_seconds"]
    described = {
        "code": CODE_VERSION,
        "name": stage.name,
        "seed": seed,
        "parents": [known[name] for name in stage.parents],
        "training": training,
        "augmentation": stage.augmentation.model_dump(mode="json"),
        "fingerprint": stage.fingerprint,
        "weights": {name: list(tensor.shape) for name, tensor in stage.model.state_dict().items()},
        "trainable": [name for name, p in stage.model.named_parameters() if p.requires_grad],
        "frozen": sum(_count(module.parameters()) for module in stage.frozen),
    }
    return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()


def _check_parents(stage: Stage, results: Sequence[StageResult]) -> None:
    names = [result.name for result in results]
    missing = [parent for parent in stage.parents if parent not in names]
    if stage.name in names or missing:
        raise ValueError(f"stage {stage.name!r} after {names}: its name is taken, or its parents {missing} are missing")


def _run_stage(
    stage: Stage,
    results: Sequence[StageResult],
    run: Path,
    seed: int,
    compute: Compute,
    report: Report,
    group: Group,
    of: int | None,
) -> StageResult:
    folder, identity = run / "stages" / stage.name, stage_identity(stage, results, seed)
    if stage.only_if_done and StageFolder(folder, identity, writes=False).finished() is None:
        return _left_out(stage, identity)
    frozen = {id(p) for module in stage.frozen for p in module.parameters()}
    trainable = [p for p in stage.model.parameters() if p.requires_grad and id(p) not in frozen]
    trained = _count(trainable)
    report(
        "stage_started",
        stage=stage.name,
        title=stage.title,
        index=len(results),
        of=of,
        cases={"train": len(stage.source), "validation": len(stage.scorer.cases) if stage.scorer else 0},
        parameters={"trainable": trained, "frozen": _count(stage.model.parameters()) - trained},
        steps=Schedule.plan(stage.training, len(stage.source)).steps,
        candidate=stage.candidate,
        score_name=stage.score_name,
        parts=[asdict(part) for part in stage.parts],
    )

    names = [result.name for result in results] + [stage.name]

    def report_and_record(event: str, /, **values: Any) -> None:
        # First the file, then the event that makes others look at it.
        if event == "epoch_ended" and group.leader:
            write_text(run / "history.csv", _history(run, names))
        report(event, **values)

    result = fit(
        stage,
        folder=folder,
        identity=identity,
        compute=compute,
        seed=seed,
        report=report_and_record,
        group=group,
    )
    if group.leader:
        write_text(run / "history.csv", _history(run, names))
    report(
        "stage_ended",
        stage=stage.name,
        best_score=result.best_score,
        epochs=result.epochs,
        seconds=result.seconds,
        reused=result.reused,
        stopped=result.stopped,
    )
    return result


def _left_out(stage: Stage, identity: str) -> StageResult:
    return StageResult(
        name=stage.name,
        identity=identity,
        best_score=math.nan,
        epochs=0,
        steps=0,
        seconds=0.0,
        reused=False,
        details={},
        left_out=True,
    )


def _history(run: Path, stages: Sequence[str]) -> str:
    """The histories of all stages so far in one table."""
    rows: list[dict[str, Any]] = []
    for name in stages:
        path = run / "stages" / name / "history.csv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as file:
                rows += [{"stage": name, **row} for row in csv.DictReader(file)]
    return table_text(rows)


def _count(parameters: Iterator[torch.nn.Parameter] | Sequence[torch.nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)
