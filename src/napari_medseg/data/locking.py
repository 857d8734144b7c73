"""A lock file that several programs on several machines can agree on, and that outlives no crash.

The lock is a file made with exclusive create. It names its holder; a waiter takes over from a holder that is dead: on
the same machine when no process has that id and start time, on another machine when the file has not changed for a
while *of the waiter's own monotonic clock*, so that clocks that differ or go backwards do no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from napari_medseg.errors import LockedError, WriteError

#: Seconds without a heartbeat after which a holder on another machine counts as dead.
STALE_SECONDS = 10.0
_POLL_SECONDS = 0.02


class FileLock:
    """A lock held for the milliseconds of one write; use it in a ``with`` statement.

    Parameters
    ----------
    path
        The lock file.
    timeout
        Seconds to wait for another holder; longer than `stale`, so that a dead one is always outwaited.
    stale
        Seconds after which an unchanged lock of another machine counts as dead.
    """

    def __init__(self, path: Path, *, timeout: float = 15.0, stale: float = STALE_SECONDS) -> None:
        self.path = path
        self.timeout = timeout
        self.stale = stale
        self._token = ""

    def __enter__(self) -> Self:
        deadline = time.monotonic() + self.timeout
        seen: tuple[bytes, int] | None = None
        seen_since = time.monotonic()
        while not self._create():
            found = _look(self.path)
            if found != seen:
                seen, seen_since = found, time.monotonic()
            if found is not None and self._is_dead(found[0], time.monotonic() - seen_since):
                self._take_away(found[0])
                continue
            if time.monotonic() > deadline:
                raise LockedError(
                    f"{self.path.parent} is being written by {_describe(found)}: try again in a moment, "
                    f"or delete {self.path.name} there if that program is gone."
                )
            time.sleep(_POLL_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_held():
            self.path.unlink(missing_ok=True)
        self._token = ""

    def is_held(self) -> bool:
        """Whether the file still names this holder (a stalled one may have been taken for dead)."""
        found = _look(self.path)
        return found is not None and _parse(found[0]).get("token") == self._token

    def beat(self) -> None:
        """Tell waiters that the holder lives; call it right before the write that the lock protects.

        Raises
        ------
        LockedError
            Another program took the lock over in the meantime; nothing must be written.
        """
        if not self.is_held():
            raise LockedError(f"Writing in {self.path.parent} stalled and another program went on: try again.")
        try:
            os.utime(self.path)
        except OSError as error:
            raise WriteError(_not_writable(self.path, error)) from error

    def _create(self) -> bool:
        self._token = uuid.uuid4().hex
        try:
            descriptor = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            return False
        except PermissionError as error:
            # Windows answers so while the file is being deleted by its last holder.
            if sys.platform == "win32" and self.path.exists():
                return False
            raise WriteError(_not_writable(self.path, error)) from error
        except OSError as error:
            raise WriteError(_not_writable(self.path, error)) from error
        try:
            os.write(descriptor, self._content())
        except OSError as error:
            self.path.unlink(missing_ok=True)
            raise WriteError(_not_writable(self.path, error)) from error
        finally:
            os.close(descriptor)
        return True

    def _content(self) -> bytes:
        holder = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": process_start(os.getpid()),
            "token": self._token,
            "time": time.time(),
        }
        return json.dumps(holder).encode()

    def _is_dead(self, content: bytes, unchanged_for: float) -> bool:
        holder = _parse(content)
        if holder.get("host") == socket.gethostname() and isinstance(holder.get("pid"), int):
            return process_start(holder["pid"]) != holder.get("started")
        return unchanged_for > self.stale

    def _take_away(self, judged: bytes) -> None:
        """Remove a dead holder's file; of several waiters exactly one renames it."""
        aside = self.path.with_name(f"{self.path.name}.{uuid.uuid4().hex}")
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        except OSError as error:
            raise WriteError(_not_writable(self.path, error)) from error
        found = _look(aside)
        if found is None or found[0] != judged:
            # Another waiter was quicker and its living lock was caught: give it back unless a third one has locked.
            # Should that fail too, the robbed holder notices in `beat`.
            with contextlib.suppress(OSError):
                os.link(aside, self.path)
        aside.unlink(missing_ok=True)


@contextlib.contextmanager
def kept_alive(lock: FileLock) -> Iterator[None]:
    """Hold a lock for longer than a write: a thread tells waiters that the holder lives.

    Raises
    ------
    LockedError, WriteError
        As the lock itself.
    """
    over = threading.Event()

    def beat() -> None:
        while not over.wait(STALE_SECONDS / 4) and lock.is_held():
            lock.beat()

    with lock:
        thread = threading.Thread(target=beat, name="lock", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def process_start(pid: int) -> str | None:
    """When a process of this machine started, in whatever unit the system counts; None when there is none."""
    if sys.platform == "linux":
        # Clock ticks since boot (field 22 of proc(5)), which setting the clock does not change. The command's name
        # (field 2) may hold spaces and brackets.
        try:
            fields = Path(f"/proc/{pid}/stat").read_text("latin-1").rpartition(")")[2].split()
        except OSError:
            return None
        return None if fields[0] == "Z" else fields[19]
    import psutil  # type: ignore[import-untyped]  # it ships no types

    try:
        return str(int(psutil.Process(pid).create_time()))
    except psutil.Error:
        return None


def _look(path: Path) -> tuple[bytes, int] | None:
    """Content of a lock file and when its holder last gave a sign of life (by the file system's clock)."""
    try:
        return path.read_bytes(), path.stat().st_mtime_ns
    except OSError:
        # Gone, or on Windows just being deleted: either way there is nothing to judge yet.
        return None


def _parse(content: bytes) -> dict[str, Any]:
    try:
        holder = json.loads(content)
    except ValueError:
        # Seen between creation and writing.
        return {}
    return holder if isinstance(holder, dict) else {}


def _describe(found: tuple[bytes, int] | None) -> str:
    holder = _parse(found[0]) if found is not None else {}
    return f"process {holder['pid']} on {holder.get('host')}" if "pid" in holder else "another program"


def _not_writable(path: Path, error: OSError) -> str:
    return (
        f"{path.parent} cannot be written ({error.strerror or error}): check that the folder is not read-only and "
        "that the disk has room; nothing was changed."
    )
