"""Prediction of many files in child processes, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal

from napari_medseg.widgets.jobs import PROGRAM, ChildJob, Job

#: Characters of file names on one command line; Windows allows 32,767 for all of it.
MOST_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that one child predicts.

    Parameters
    ----------
    region
        As in ``cases.csv``; empty for whole images.
    inputs
        Files or folders.
    """

    region: str
    inputs: tuple[Path, ...]


def plan_batches(items: Iterable[tuple[Path, str]]) -> list[Batch]:
    """Group (file, region) pairs so that each batch has one region and fits a command line; a file comes once.

    Examples
    --------
    >>> [
    ...     len(b.inputs)
    ...     for b in plan_batches([(Path("a"), ""), (Path("b"), "0:4,0:4"), (Path("c"), ""), (Path("a"), "")])
    ... ]
    [2, 1]
    """
    by_region: dict[str, dict[Path, None]] = {}
    for path, region in items:
        by_region.setdefault(region, {})[path] = None
    return [Batch(region, part) for region, paths in by_region.items() for part in _fitting(paths)]


def _fitting(paths: Iterable[Path]) -> Iterator[tuple[Path, ...]]:
    part: list[Path] = []
    length = 0
    for path in paths:
        size = len(str(path)) + 3
        if part and length + size > MOST_CHARACTERS:
            yield tuple(part)
            part, length = [], 0
        part.append(path)
        length += size
    yield tuple(part)


class BatchJob(Job):
    """Runs ``napari-medseg predict`` on batches; rows of ``predictions.csv`` arrive as they are ready.

    Parameters
    ----------
    model
        Model file.
    batches
        What to predict.
    out
        Folder for labels and tables; several batches get a folder each in it.
    program
        As of `ChildJob`.
    """

    predicted = Signal(dict)
    progress = Signal(int, int, str)
    warned = Signal(str)

    def __init__(self, model: Path, batches: Sequence[Batch], out: Path, *, program: Sequence[str] = PROGRAM) -> None:
        super().__init__()
        self._program = program
        self._commands = [
            _command(model, batch, out / f"part-{number}" if len(batches) > 1 else out)
            for number, batch in enumerate(batches, start=1)
        ]
        self._next = 0
        self._child: ChildJob | None = None

    def start(self) -> None:
        """Start the first child."""
        super().start()
        self._start_next()

    def cancel(self) -> None:
        """Stop the child that runs, and start no other."""
        self._cancelled = True
        if self._child is not None:
            self._child.cancel()

    def end(self) -> None:
        """Kill the child that runs."""
        self._cancelled = True
        if self._child is not None:
            self._child.end()

    def _start_next(self) -> None:
        self._child = ChildJob(self._commands[self._next], program=self._program)
        self._next += 1
        self._child.reported.connect(self._on_event)
        self._child.failed.connect(self.failed)
        self._child.finished.connect(self._on_child_finished)
        self._child.start()

    def _on_event(self, event: Mapping[str, Any]) -> None:
        kind = event["event"]
        if kind == "item_started":
            self.progress.emit(event["index"], event["of"], Path(event["input"]).name)
        elif kind == "item_ended":
            self.predicted.emit(event["row"])
            self.progress.emit(event["index"] + 1, event["of"], "")
        elif kind == "warning":
            self.warned.emit(event["text"])

    def _on_child_finished(self, outcome: str) -> None:
        self._child = None
        if outcome == "done" and self._next < len(self._commands) and not self._cancelled:
            self._start_next()
        else:
            self._finish(outcome)


def _command(model: Path, batch: Batch, out: Path) -> list[str]:
    region = ["--region", batch.region] if batch.region else []
    return ["predict", str(model), *map(str, batch.inputs), "--out", str(out), *region]
