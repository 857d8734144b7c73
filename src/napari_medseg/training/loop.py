"""The one training loop: steps, validation, best weights, early stopping, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from napari_medseg.errors import Cancelled, TrainingError
from napari_medseg.models.compute import Compute
from napari_medseg.training.checkpoint import StageFolder
from napari_medseg.training.distributed import SINGLE, Group
from napari_medseg.training.events import Report, ignore
from napari_medseg.training.interrupt import deferred_interrupt
from napari_medseg.training.prefetch import Prefetcher
from napari_medseg.training.schedule import Schedule, derive_seed
from napari_medseg.training.stage import Stage, StageResult
from napari_medseg.training.step import Stepper
from napari_medseg.training.validation import Judgement, validate, write_previews

#: Least seconds between two ``step`` events.
_REPORT_SECONDS = 0.5
#: Columns of the history that are not details of the scorer.
_OWN_COLUMNS = ("epoch", "train_loss", "score", "validation_loss")


@dataclass(slots=True)
class Progress:
    """How far a stage has come; plain values, saved with every checkpoint.

    `history` has a row per ended epoch. `stale` counts validations since the best one.
    """

    step: int = 0
    best_score: float | None = None
    best_epoch: int | None = None
    stale: int = 0
    seconds: float = 0.0
    history: list[dict[str, Any]] = field(default_factory=list)

    def to_plain(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {name: getattr(self, name) for name in self.__slots__}


def fit(
    stage: Stage,
    *,
    folder: Path,
    identity: str,
    compute: Compute,
    seed: int,
    report: Report = ignore,
    group: Group = SINGLE,
) -> StageResult:
    """Train a stage, or go on with it, or load it when it is finished.

    Parameters
    ----------
    stage
        What to train; its model ends with the best weights, in eval mode.
    folder
        Where checkpoints and the result lie.
    identity
        Hash of everything that shapes the result; what is found under another identity is trained anew.
    compute
        Device and precision, already activated.
    seed
        The run's seed.
    report
        Receives the events of the stage from ``step`` to ``preview_written``.
    group
        The processes that train together.

    Raises
    ------
    TrainingError
        The loss is no longer a number, memory is too small for one patch, or a checkpoint is damaged.
    Cancelled, KeyboardInterrupt
        As asked for; a checkpoint of the last step is on the disk.
    """
    store = StageFolder(folder, identity, writes=group.leader)
    done = store.finished()
    if done is not None:
        stage.model.load_state_dict(store.load_weights(done["best_epoch"]))
        stage.model.eval()
        return _result(stage, identity, done, reused=True)
    loop = _Loop(stage, store, compute, seed, report, group)
    loop.resume()
    loop.run()
    return _result(stage, identity, loop.finish(), reused=False)


def _result(stage: Stage, identity: str, done: dict[str, Any], *, reused: bool) -> StageResult:
    return StageResult(
        name=stage.name,
        identity=identity,
        best_score=math.nan if done["best_score"] is None else done["best_score"],
        epochs=done["epochs"],
        steps=done["steps"],
        seconds=done["seconds"],
        reused=reused,
        details=done["details"],
        stopped=bool(done.get("stopped")),
    )


class _Loop:
    """The state of `fit` between its steps."""

    def __init__(
        self, stage: Stage, store: StageFolder, compute: Compute, seed: int, report: Report, group: Group
    ) -> None:
        self.stage = stage
        self.store = store
        self.report = report
        self.group = group
        self.schedule = Schedule.plan(stage.training, len(stage.source))
        self.stepper = Stepper(stage, self.schedule, compute, seed, group, report)
        self.order_seed = derive_seed(seed, stage.name, "order")
        self.progress = Progress()
        self.started = time.monotonic()
        # Where this session took the stage up.
        self.first_step, self.earlier_seconds = 0, 0.0
        self.saved_at = self.reported_at = self.started
        #: Whether a person ended the stage; looked at after every epoch, for all processes alike.
        self.stop_asked = False

    def resume(self) -> None:
        """Take up the last checkpoint, if there is one of this stage."""
        state = self.store.interrupted()
        # Nobody writes before everybody has read.
        self.group.barrier()
        if state is None:
            self.store.clear()
            return
        self.stage.model.load_state_dict(state["model"])
        self.stepper.optimiser.load_state_dict(state["optimiser"])
        self.stepper.part_size = state["part_size"]
        self.stepper.loss_sum += state["loss_sum"]
        self.progress = Progress(**state["progress"])
        self.first_step = self.progress.step
        self.earlier_seconds = self.progress.seconds

    def run(self) -> None:
        """Train until the last epoch, until validation has stopped improving, or until a person ends the stage."""
        source, stepper = self.stage.source, self.stepper
        between_steps = True
        with (
            deferred_interrupt() as check_interrupt,
            Prefetcher(
                lambda n: source.draw(stepper.positions(n), self.order_seed), self.schedule.steps, self.stage.readers
            ) as patches,
        ):
            try:
                while not self._finished():
                    stepper.train_mode()
                    while self.progress.step < (len(self.progress.history) + 1) * self.schedule.steps_per_epoch:
                        drawn = patches.take(self.progress.step)
                        between_steps = False
                        stepper.step(self.progress.step, drawn)
                        self.progress.step += 1
                        between_steps = True
                        self._after_step(check_interrupt)
                    self._end_epoch()
            except (Cancelled, KeyboardInterrupt):
                if between_steps:
                    self._save()
                raise

    def finish(self) -> dict[str, Any]:
        """Put the best weights into the model and write the stage's result."""
        progress = self.progress
        if progress.best_epoch is None:
            # Never validated, or never with a number: the last weights are the result.
            progress.best_epoch = len(progress.history)
            self.store.save_weights(self.stage.model.state_dict(), progress.best_epoch)
        self.group.barrier()
        self.stepper.release()
        self.stage.model.load_state_dict(self.store.load_weights(progress.best_epoch))
        row = next((row for row in progress.history if row["epoch"] == progress.best_epoch), {})
        done = {
            "best_score": progress.best_score,
            "best_epoch": progress.best_epoch,
            "epochs": len(progress.history),
            "steps": progress.step,
            "seconds": self._seconds(),
            "details": {name: value for name, value in row.items() if name not in _OWN_COLUMNS},
            "stopped": self.stop_asked,
        }
        self.store.finish(done)
        # Nobody looks for the finished stage before it is written.
        self.group.barrier()
        return done

    def _finished(self) -> bool:
        patience = self.stage.training.patience
        stale = patience > 0 and self.progress.stale >= patience
        return stale or self.stop_asked or len(self.progress.history) >= self.schedule.epochs

    def _after_step(self, check_interrupt: Callable[[], None]) -> None:
        now = time.monotonic()
        if now - self.reported_at >= _REPORT_SECONDS:
            self.reported_at = now
            self._check_health()
            self.report(
                "step",
                stage=self.stage.name,
                step=self.progress.step,
                steps=self.schedule.steps,
                loss=self.stepper.last_loss.item(),
                eta_seconds=self._eta(),
            )
        if now - self.saved_at >= self.stage.training.checkpoint_seconds:
            self._save()
        check_interrupt()

    def _end_epoch(self) -> None:
        """Judge the epoch, keep its weights if they are the best so far, and tell."""
        self._check_health()
        epoch = len(self.progress.history) + 1
        losses = self.group.gather(self.stepper.loss_sum.item())
        train_loss = sum(losses) / len(losses) / self.schedule.steps_per_epoch
        judgement = self._judge(epoch)
        # The row closes the epoch. Whoever cancels before it, from a report, finds the epoch to be judged again.
        self.progress.history.append(
            {
                "epoch": epoch,
                "train_loss": train_loss,
                "score": judgement.score,
                "validation_loss": judgement.loss,
                **judgement.details,
            }
        )
        self.stepper.loss_sum = torch.zeros_like(self.stepper.loss_sum)
        self.store.write_history(self.progress.history)
        self.stop_asked = any(self.group.gather(self.store.stop_asked()))
        self.report(
            "epoch_ended",
            stage=self.stage.name,
            epoch=epoch,
            epochs=self.schedule.epochs,
            train_loss=train_loss,
            score=judgement.score,
            details=judgement.details,
            validation_loss=judgement.loss,
            best_score=self.progress.best_score,
            seconds=self._seconds(),
            eta_seconds=self._eta(),
        )

    def _judge(self, epoch: int) -> Judgement:
        """Validate where it is due; a better score keeps the weights."""
        scorer = self.stage.scorer
        due = epoch % self.stage.training.validate_every == 0 or epoch == self.schedule.epochs
        if scorer is None or not scorer.cases or not due:
            return Judgement(None, None, {})
        judgement, previews = validate(self.stage.model, scorer, self.group)
        if self.group.leader:
            write_previews(previews, self.store.path, self.stage.name, epoch, self.report)
        best = self.progress.best_score
        if judgement.score is not None and (best is None or judgement.score > best):
            self.store.save_weights(self.stage.model.state_dict(), epoch)
            self.progress.best_score, self.progress.best_epoch = judgement.score, epoch
            self.progress.stale = 0
        else:
            self.progress.stale += 1
        return judgement

    def _check_health(self) -> None:
        """Stop when a loss or a gradient was not a number; the last checkpoint is of before."""
        if not math.isfinite(self.stepper.loss_sum.item()):
            rate = self.stage.training.learning_rate
            raise TrainingError(
                f"Stage '{self.stage.name}' stopped before step {self.progress.step}: the loss is no longer a number. "
                f"Train with a lower learning rate, e.g. training.learning_rate={rate / 10:g}, or another precision."
            )

    def _save(self) -> None:
        self._check_health()
        self.progress.seconds = self._seconds()
        self.store.save(
            {
                "model": self.stage.model.state_dict(),
                "optimiser": self.stepper.optimiser.state_dict(),
                "part_size": self.stepper.part_size,
                "loss_sum": self.stepper.loss_sum.item(),
                "progress": self.progress.to_plain(),
                "best_epoch": self.progress.best_epoch,
            }
        )
        self.saved_at = time.monotonic()

    def _seconds(self) -> float:
        return self.earlier_seconds + time.monotonic() - self.started

    def _eta(self) -> float | None:
        """Seconds until the last epoch's end at this session's pace; early stopping may end sooner."""
        taken = self.progress.step - self.first_step
        spent = time.monotonic() - self.started
        return spent / taken * (self.schedule.steps - self.progress.step) if taken else None
