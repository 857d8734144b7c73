"""Many images through several programs: who does what next, what is lost with a program, and how long it will take.

A task is a whole image, or a band of rows of a slide where there are fewer images than programs. Bands are chosen by
the program that begins the slide, and put together by the one that finishes it; see `napari_medseg.api.slide_work`.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from napari_medseg.api.prediction_table import Table
from napari_medseg.api.slide_work import BandResult
from napari_medseg.training.events import Report, duration

#: A task whose program ended is begun again, until it has been tried so often.
_MOST_TRIES = 3
#: Least seconds between two reports of progress.
_REPORT_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Item:
    """An input: its place in the list, its file, and its name among the results."""

    index: int
    file: Path
    name: str


@dataclass(frozen=True, slots=True)
class Task:
    """What one program does at a time.

    Parameters
    ----------
    stage
        ``"begin"`` predicts an image, or only chooses the bands of a slide when several `parts` are wanted and it has
        them; ``"band"`` predicts one; ``"finish"`` puts them together.
    band, done
        Which one; what was done of all.
    """

    item: Item
    stage: Literal["begin", "band", "finish"] = "begin"
    parts: int = 1
    band: int = 0
    done: tuple[BandResult, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a task.

    Parameters
    ----------
    row
        Of ``predictions.csv``, where the image is finished or faulty.
    bands
        Windows of every band, where a slide was begun that has several.
    band
        What was done of a band.
    warnings
        Sentences for people.
    """

    row: dict[str, Any] | None = None
    bands: tuple[int, ...] = ()
    band: BandResult | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Message:
    """What a pool hears of a task: windows done of how many, its answer, or that its program ended (`lost`: why)."""

    number: int
    progress: tuple[int, int] | None = None
    answer: Answer | None = None
    lost: str = ""


class Pool(Protocol):
    """Programs that do tasks."""

    @property
    def size(self) -> int:
        """Tasks that it does at a time."""

    def start(self, number: int, task: Task) -> None:
        """Let a program that is free do a task."""

    def messages(self) -> list[Message]:
        """What was heard since the last call; waits for a moment where there is nothing."""


@dataclass(slots=True)
class _State:
    """An item under way."""

    weight: float
    began: float
    #: Windows of every band, what was done of them, and the share of every one that is under way.
    bands: tuple[int, ...] = (1,)
    results: dict[int, BandResult] = field(default_factory=dict)
    shares: dict[int, float] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the item that is done."""
        done = sum(windows * self.shares.get(band, 0.0) for band, windows in enumerate(self.bands))
        return done / max(sum(self.bands), 1)


def predict_cohort(
    pool: Pool,
    items: Sequence[Item],
    empty_row: Callable[[Path], dict[str, Any]],
    table: Table,
    report: Report,
) -> list[dict[str, Any]]:
    """Predict all items.

    Parameters
    ----------
    pool
        Who predicts.
    empty_row
        The row of an image of which nothing is known.
    table
        Receives every row when it is known, and at the end all of them in the order of the items.

    Returns
    -------
    the rows, in the order of the items

    Raises
    ------
    WriteError
        The table cannot be written.
    """
    return _Cohort(pool, items, empty_row, table, report).run()


class _Cohort:
    """Who does what next."""

    def __init__(
        self,
        pool: Pool,
        items: Sequence[Item],
        empty_row: Callable[[Path], dict[str, Any]],
        table: Table,
        report: Report,
    ) -> None:
        self._pool, self._items, self._empty_row, self._table, self._report = pool, items, empty_row, table, report
        weights = {item.index: _bytes_of(item.file) for item in items}
        # The largest first: what is begun last should not keep the others waiting.
        self._queue = deque(Task(item) for item in sorted(items, key=lambda item: -weights[item.index]))
        self._weights = weights
        self._states: dict[int, _State] = {}
        self._running: dict[int, Task] = {}
        #: How often tasks were begun that are not finished, by item, stage and band.
        self._tries: Counter[tuple[int, str, int]] = Counter()
        self._rows: dict[int, dict[str, Any]] = {}
        self._number = 0
        self._pace = Pace(sum(weights.values()))
        self._reported = 0.0

    def run(self) -> list[dict[str, Any]]:
        while len(self._rows) < len(self._items):
            self._start_tasks()
            for message in self._pool.messages():
                self._take(message)
        rows = [self._rows[item.index] for item in self._items]
        self._table.sort(rows)
        return rows

    def _start_tasks(self) -> None:
        while self._queue and (free := self._pool.size - len(self._running)) > 0:
            task = self._queue.popleft()
            if task.item.index in self._rows:
                continue  # another band of it failed
            if task.stage == "begin" and task.item.index not in self._states:
                waiting = 1 + sum(other.stage == "begin" for other in self._queue)
                task = Task(task.item, parts=-(-free // waiting))
                self._states[task.item.index] = _State(self._weights[task.item.index], time.monotonic())
                index, of = task.item.index, len(self._items)
                self._report("item_started", input=str(task.item.file), index=index, of=of)
            self._number += 1
            self._running[self._number] = task
            self._pool.start(self._number, task)

    def _take(self, message: Message) -> None:
        task = self._running.get(message.number)
        if task is None:
            return
        if message.progress is None:
            del self._running[message.number]
        if task.item.index in self._rows:
            return  # another band of it failed
        if message.progress is not None:
            done, of = message.progress
            self._states[task.item.index].shares[task.band] = done / max(of, 1)
            self._tell_progress()
        elif message.answer is not None:
            self._take_answer(task, message.answer)
        else:
            self._take_loss(task, message.lost)

    def _take_answer(self, task: Task, answer: Answer) -> None:
        for text in answer.warnings:
            self._report("warning", text=text)
        state = self._states[task.item.index]
        if answer.row is not None:
            self._end(task.item, answer.row)
        elif answer.band is not None:
            state.results[task.band], state.shares[task.band] = answer.band, 1.0
            if len(state.results) == len(state.bands):
                done = tuple(state.results[band] for band in range(len(state.bands)))
                self._queue.appendleft(Task(task.item, stage="finish", done=done))
        else:
            state.bands = answer.bands
            bands = [Task(task.item, stage="band", parts=task.parts, band=band) for band in range(len(answer.bands))]
            self._queue.extendleft(reversed(bands))

    def _take_loss(self, task: Task, why: str) -> None:
        """Begin a task again whose program ended: what it had written is not computed again."""
        key = (task.item.index, task.stage, task.band)
        self._tries[key] += 1
        if self._tries[key] < _MOST_TRIES:
            self._report("warning", text=f"{task.item.file}: {why}; another one goes on with it.")
            self._queue.appendleft(task)
            return
        row = self._empty_row(task.item.file)
        row["error"] = f"{why}, {_MOST_TRIES} times: try it with fewer workers, most often memory ran out."
        self._report("warning", text=f"{task.item.file}: {row['error']}")
        self._end(task.item, row)

    def _end(self, item: Item, row: dict[str, Any]) -> None:
        state = self._states[item.index]
        if len(state.bands) > 1:
            row["seconds"] = round(time.monotonic() - state.began, 3)
        if not state.shares:
            self._pace.skip(state.weight)  # finished before, or faulty: nothing was computed
        state.bands, state.shares = (1,), {0: 1.0}
        self._rows[item.index] = row
        self._table.add(row)
        self._report("item_ended", input=str(item.file), index=item.index, of=len(self._items), row=row)
        self._tell_progress()

    def _tell_progress(self) -> None:
        now = time.monotonic()
        if now - self._reported < _REPORT_SECONDS:
            return
        self._reported = now
        done = sum(state.weight * state.share for state in self._states.values())
        seconds = self._pace.left(done)
        left = "" if seconds is None else f", {duration(seconds)} left"
        text = f"done, {self._pace.share(done):.0%} of all{left}"
        self._report("progress", done=len(self._rows), of=len(self._items), text=text)


class Pace:
    """The time left, by the pace since something was first done: loading a model tells nothing of it.

    Parameters
    ----------
    total
        Sum of the weights of all there is to do.
    clock
        Seconds.

    Examples
    --------
    >>> seconds = iter([5.0, 15.0])
    >>> pace = Pace(100.0, clock=lambda: next(seconds))
    >>> pace.left(done=10.0)
    >>> pace.skip(20.0)
    >>> pace.left(done=50.0)  # 20 of the rest in 10 seconds
    25.0
    """

    def __init__(self, total: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock = total, clock
        self._skipped = 0.0
        self._first: tuple[float, float] | None = None

    def skip(self, weight: float) -> None:
        """Something was finished before: it tells nothing of the pace."""
        self._skipped += weight

    def share(self, done: float) -> float:
        """Share that is done, what was skipped included."""
        return done / self._total

    def left(self, done: float) -> float | None:
        """Seconds until all is done; None where nothing tells of the pace yet."""
        worked, now = done - self._skipped, self._clock()
        if self._first is None:
            self._first = (now, worked)
        began, before = self._first
        return (now - began) / (worked - before) * (self._total - done) if worked > before else None


def _bytes_of(file: Path) -> float:
    """How much work a file is likely to be, compared with others: slides are as large as they hold tissue."""
    paths = [file] if file.is_file() else file.rglob("*")
    return float(sum(path.stat().st_size for path in paths)) or 1.0
