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
    region, series
        As in ``cases.csv``; empty for whole images, and for the first series of a file.
    inputs
        Files or folders.
    on_whole
        Whether labels of a region cover the whole image all the same, as on slides.
    """

    region: str
    inputs: tuple[Path, ...]
    series: str = ""
    on_whole: bool = False


def plan_batches(items: Iterable[tuple[Path, str, str]]) -> list[Batch]:
    """Group (file, region, series) so that each batch has one region and series and fits a command line.

    A file comes once for each of them.

    Examples
    --------
    >>> items = [(Path("a"), "", ""), (Path("b"), "0:4,0:4", ""), (Path("c"), "", ""), (Path("a"), "", "")]
    >>> [len(batch.inputs) for batch in plan_batches(items)]
    [2, 1]
    """
    alike: dict[tuple[str, str], dict[Path, None]] = {}
    for path, region, series in items:
        alike.setdefault((region, series), {})[path] = None
    return [Batch(region, part, series) for (region, series), paths in alike.items() for part in _fitting(paths)]


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
    options
        Further options of the command.
    program
        As of `ChildJob`.
    """

    predicted = Signal(dict)
    progress = Signal(int, int, str)
    warned = Signal(str)

    def __init__(
        self,
        model: Path,
        batches: Sequence[Batch],
        out: Path,
        *,
        options: Sequence[str] = (),
        program: Sequence[str] = PROGRAM,
    ) -> None:
        super().__init__()
        self._program = program
        self._batches = list(batches)
        self._commands = [
            [*_command(model, batch, out / f"part-{number}" if len(batches) > 1 else out), *options]
            for number, batch in enumerate(batches, start=1)
        ]
        self._next = self._items = 0
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
            self._items = event["of"]
            self.progress.emit(event["index"], event["of"], Path(event["input"]).name)
        elif kind == "progress" and self._items == 1:
            self.progress.emit(event["done"], event["of"], f"{event['done']:,} of {event['of']:,} {event['text']}")
        elif kind == "item_ended":
            # The table does not tell the series of a file: a batch has one.
            self.predicted.emit({**event["row"], "series": self._batches[self._next - 1].series})
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
    # Labels of a region are taken over in its own size; those of a slide would cover all of it.
    region = ["--region", batch.region, *([] if batch.on_whole else ["--format", "tif"])] if batch.region else []
    series = ["--series", batch.series] if batch.series else []
    return ["predict", str(model), *map(str, batch.inputs), "--out", str(out), *region, *series]
