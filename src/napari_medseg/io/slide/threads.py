"""Threads that decode tiles side by side; decoders let go of Python's lock, so that they use several cores."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: Fewer tiles than this are decoded sooner than a thread is woken.
_WORTH_THREADS = 4
_MOST_THREADS = 8


def num_threads() -> int:
    """How many threads decode at once: one per core, up to eight."""
    return min(_MOST_THREADS, os.cpu_count() or 1)


@lru_cache(maxsize=2)
def _pool(process: int, depth: int) -> ThreadPoolExecutor:
    # By process, because threads do not survive a fork.
    return ThreadPoolExecutor(num_threads(), thread_name_prefix="tiles")


#: Smallest depth at which the current thread is at work.
_here = threading.local()


def in_threads(work: Callable[[T], R], items: Sequence[T], *, depth: int = 0) -> list[R]:
    """Results of `work` for every item, in order; the first error of one is raised.

    The calling thread works too, and takes whatever the others have not begun: on a busy machine nobody waits for a
    thread that has yet to wake up.

    Parameters
    ----------
    work
        May call this function again; with a smaller depth it gets threads of its own.
    depth
        Which of two groups of threads helps. One that waits for a free thread of its own group could wait forever, so
        there the items are worked on at once.
    """
    if len(items) < _WORTH_THREADS or num_threads() == 1 or getattr(_here, "depth", depth + 1) <= depth:
        return [work(item) for item in items]
    results: dict[int, R] = {}
    # Python hands out each number once, whichever thread asks.
    numbers = iter(range(len(items)))

    def take_turns() -> None:
        before, _here.depth = getattr(_here, "depth", depth + 1), depth
        try:
            for number in numbers:
                results[number] = work(items[number])
        except BaseException:
            # Nobody begins with what is left.
            deque(numbers, maxlen=0)
            raise
        finally:
            _here.depth = before

    helpers = [_pool(os.getpid(), depth).submit(take_turns) for _ in range(num_threads() - 1)]
    try:
        take_turns()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
    for helper in begun:
        helper.result()
    return [results[number] for number in range(len(items))]
