"""Work that is done behind the main one: a thread that blends and writes while the network runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any


class Behind:
    """One thread that does what it is handed, call after call; a context manager that ends when all is done.

    At most one call is under way or waiting, so that what is handed over takes bounded memory.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="blend-windows")
        self._last: Future[None] | None = None
        #: Seconds for which callers waited.
        self.waited = 0.0

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)

    def do(self, work: Callable[..., None], *arguments: Any) -> None:
        """Have something done once the call before is; raises what that one raised."""
        self.wait()
        self._last = self._pool.submit(work, *arguments)

    def wait(self) -> None:
        """Return when the last call is done; raises what it raised."""
        last, self._last = self._last, None
        if last is not None:
            started = time.perf_counter()
            try:
                last.result()
            finally:
                self.waited += time.perf_counter() - started
