"""Draw the next step's patches while the current one computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import numpy.typing as npt

Patches = tuple[npt.NDArray[Any], ...]


class Prefetcher:
    """One thread that works a step ahead; use it in a ``with`` statement.

    A thread rather than worker processes: those freeze where they are started from a thread, and start slowly on
    Windows. What is drawn depends on the step alone, so being ahead changes nothing.

    Parameters
    ----------
    draw
        Returns the patches of a step.
    steps
        Number of steps; none beyond is drawn.
    """

    def __init__(self, draw: Callable[[int], Patches], steps: int) -> None:
        self._draw = draw
        self._steps = steps
        self._ahead: tuple[int, Future[Patches]] | None = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="patches")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._executor.shutdown(wait=True, cancel_futures=True)

    def take(self, step: int) -> Patches:
        """Patches of a step; raises what drawing them raised."""
        ahead, self._ahead = self._ahead, None
        patches = ahead[1].result() if ahead is not None and ahead[0] == step else self._draw(step)
        if step + 1 < self._steps:
            self._ahead = (step + 1, self._executor.submit(self._draw, step + 1))
        return patches
