"""Keep the memory of one forward pass for the next one.

The C library of Linux gives large blocks back to the system when they are freed, so that every layer's output is made
of pages that the kernel must find and clear anew: a quarter of the time of a U-Net on a CPU. Inside `kept_memory` such
blocks stay with the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

#: Parameters of mallopt(3): freed memory at the top of the heap beyond this goes back; larger blocks lie outside it.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
#: The largest values that it takes.
_KEEP_ALL = {_MMAP_THRESHOLD: 2**30, _TRIM_THRESHOLD: 2**31 - 1}
#: Where the library's own adjustment ends after blocks as large as these were used.
_USUAL = {_MMAP_THRESHOLD: 2**25, _TRIM_THRESHOLD: 2**26}


_lock = threading.Lock()
_holders = 0


def keep_freed_memory() -> None:
    """Keep freed blocks for the rest of the process; does nothing where the C library is not glibc."""
    _hold()


@contextlib.contextmanager
def kept_memory() -> Iterator[None]:
    """Keep freed blocks inside the block; when nobody else wants them any more, give back what is free at its end."""
    _hold()
    try:
        yield
    finally:
        _release()


def _hold() -> None:
    global _holders
    with _lock:
        _holders += 1
        if _holders == 1:
            _set(_KEEP_ALL)


def _release() -> None:
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            _set(_USUAL)
            library = _glibc()
            if library is not None:
                library.malloc_trim(0)


def _set(thresholds: dict[int, int]) -> None:
    library = _glibc()
    if library is not None:
        for name, value in thresholds.items():
            library.mallopt(name, value)


@lru_cache(maxsize=1)
def _glibc() -> Any:
    """The C library, where it is the one with these functions; else None."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") and hasattr(library, "malloc_trim") else None
