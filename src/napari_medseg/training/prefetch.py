"""Draw the patches of the next steps while the current one computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

Patches = tuple[npt.NDArray[Any], ...]


class Prefetcher:
    """Threads that work some steps ahead; use it in a ``with`` statement.

    Threads rather than worker processes: those freeze where they are started from a thread, and start slowly on
    Windows. What is drawn depends on the step alone, so being ahead, and who draws it, changes nothing.

    Parameters
    ----------
    draw
        Returns the patches of a step; with several threads it is called by several at a time.
    steps
        Number of steps; none beyond is drawn.
    threads
        How many draw, each one a step.
    """

    def __init__(self, draw: Callable[[int], Patches], steps: int, threads: int = 1) -> None:
        self._draw = draw
        self._steps = steps
        self._threads = threads
        self._ahead: dict[int, Future[Patches]] = {}
        self._executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="patches")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int) -> Patches:
        """Patches of a step; raises what drawing them raised."""
        ahead = self._ahead.pop(step, None)
        # The first step is drawn alone: a source for one thread must not be asked by two.
        drawn = self._draw(step) if ahead is None else ()
        # The threads go on with later steps while this one is waited for.
        for later in range(step + 1, min(step + 1 + self._threads, self._steps)):
            if later not in self._ahead:
                self._ahead[later] = self._executor.submit(self._draw, later)
        return ahead.result() if ahead is not None else drawn
