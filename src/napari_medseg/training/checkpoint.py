"""The folder of one stage: what a finished stage left, and what an interrupted one needs to go on.

``best-<epoch>.pt`` holds the weights of the best epoch so far, ``last.pt`` everything that the next step depends on
and the epoch of the best weights that belong to it, ``done.json`` the result. Best weights are written under a new name
and the old ones removed only after ``last.pt`` names the new ones, so that a crash at any moment leaves a pair.
"""

from __future__ import annotations

import csv
import io
import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from napari_medseg.errors import TrainingError
from napari_medseg.io.atomic import replacing, write_text
from napari_medseg.training.stage import STOP_NAME

State = dict[str, Any]


class StageFolder:
    """Files of one stage.

    Parameters
    ----------
    path
        The folder; made at the first write.
    identity
        Hash of everything that shapes the stage's result; files of another identity are not used.
    writes
        False in all but the first process of a distributed run: nothing is written then.
    """

    def __init__(self, path: Path, identity: str, *, writes: bool = True) -> None:
        self.path = path
        self.identity = identity
        self.writes = writes

    def finished(self) -> State | None:
        """What ``done.json`` says; None when the stage is not finished or was another one."""
        try:
            done = json.loads((self.path / "done.json").read_text("utf-8"))
        except (FileNotFoundError, UnicodeDecodeError, json.JSONDecodeError):
            return None
        known = isinstance(done, dict) and done.get("identity") == self.identity
        return done if known and self._best(int(done["best_epoch"])).is_file() else None

    def interrupted(self) -> State | None:
        """The last checkpoint; None when there is none or it is of another stage.

        Raises
        ------
        TrainingError
            The file is damaged.
        """
        path = self.path / "last.pt"
        if not path.is_file():
            return None
        state = self._load(path)
        return state if state.get("identity") == self.identity else None

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a checkpoint, and drop best weights that it does not name."""
        if not self.writes:
            return
        self._save({"identity": self.identity, **state}, self.path / "last.pt")
        self._drop_weights_but(state["best_epoch"])

    def save_weights(self, weights: Mapping[str, torch.Tensor], epoch: int) -> None:
        """Write the weights of an epoch that is the best so far."""
        if self.writes:
            self._save({"weights": dict(weights)}, self._best(epoch))

    def load_weights(self, epoch: int) -> dict[str, torch.Tensor]:
        """The weights of a best epoch, on the CPU; raises `TrainingError` when the file is damaged."""
        weights: dict[str, torch.Tensor] = self._load(self._best(epoch))["weights"]
        return weights

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write ``done.json`` and drop what only an interrupted stage needs."""
        if not self.writes:
            return
        write_text(self.path / "done.json", json.dumps({"identity": self.identity, **result}, indent=2))
        self._drop_weights_but(result["best_epoch"])
        for name in ("last.pt", STOP_NAME):
            (self.path / name).unlink(missing_ok=True)

    def stop_asked(self) -> bool:
        """Whether somebody put a file `STOP_NAME` into the folder: the stage shall end with what it has."""
        return (self.path / STOP_NAME).exists()

    def clear(self) -> None:
        """Forget a stage of another identity, before the first write of this one."""
        if self.writes and self.path.is_dir():
            for name in ("done.json", "last.pt", "history.csv", STOP_NAME):
                (self.path / name).unlink(missing_ok=True)

    def write_history(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ``history.csv``: a row per epoch."""
        if self.writes:
            write_text(self.path / "history.csv", table_text(rows))

    def _best(self, epoch: int) -> Path:
        return self.path / f"best-{epoch:05d}.pt"

    def _drop_weights_but(self, epoch: int | None) -> None:
        kept = None if epoch is None else self._best(epoch)
        for path in self.path.glob("best-*.pt"):
            if path != kept:
                path.unlink(missing_ok=True)

    @staticmethod
    def _save(state: Mapping[str, Any], path: Path) -> None:
        with replacing(path) as temporary:
            torch.save(state, temporary)

    @staticmethod
    def _load(path: Path) -> State:
        try:
            state: State = torch.load(path, map_location="cpu", weights_only=True)
        except (OSError, EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"Checkpoint {path} cannot be read ({type(error).__name__}): delete the folder {path.parent} to train "
                "this stage again; the other stages are kept."
            ) from error
        return state


def table_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV of rows that need not have the same keys; columns in the order of their first appearance."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
