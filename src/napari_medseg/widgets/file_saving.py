"""Saving a file while one draws: a little after each change, in a thread, tried again until it works."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.data.naming import free_path
from napari_medseg.errors import MedsegError, WriteError
from napari_medseg.widgets import autosave

#: Seconds after the labels, which are written first.
_AFTER_LABELS = 0.1

_Stamp = tuple[int, int] | None


class FileSaving(QObject):
    """Writes what is drawn on a case to its file.

    Parameters
    ----------
    path
        The file. One that another program wrote meanwhile, or that could not be read, is kept in `kept` before it is
        replaced.
    prepare
        Called in the window's thread; returns a function that writes the present state in any thread.
    kept
        Folder for replaced files.
    what
        What is drawn, as the first word of a sentence and in the plural: ``"Curves"``.
    """

    #: The file was written.
    saved = Signal()
    #: They could not be written: one sentence.
    failed = Signal(str)
    _written = Signal(object, object)

    def __init__(
        self,
        path: Path,
        prepare: Callable[[], Callable[[], None]],
        kept: Path,
        *,
        what: str,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.path = path
        self._prepare = prepare
        self._what = what
        self._kept = kept
        self._known: _Stamp = None
        self._changed = False
        self._since: float | None = None
        self._retry_seconds = autosave.RETRY_SECONDS[0]
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="save-file")
        self._under_way: Future[None] | None = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._save_in_thread)
        self._written.connect(self._on_written)

    def trust_file(self) -> None:
        """What lies in the file now was read: it may be replaced."""
        self._known = _stamp(self.path)

    def is_saved(self) -> bool:
        """Whether the file holds all changes."""
        return not self._changed and self._under_way is None

    def note_change(self) -> None:
        """Save soon."""
        self._changed = True
        now = time.monotonic()
        if self._since is None:
            self._since = now
        wait = min(autosave.QUIET_SECONDS, self._since + autosave.MOST_SECONDS - now)
        self._timer.start(max(0, round((wait + _AFTER_LABELS) * 1000)))

    def flush(self) -> None:
        """Save now and wait until it is done.

        Raises
        ------
        WriteError
            It could not be saved; it is tried again.
        """
        self._timer.stop()
        if self._under_way is not None:
            if self._under_way.exception() is not None:
                self._changed = True
            self._under_way = None
        if not self._changed:
            return
        self._changed, self._since = False, None
        try:
            self._write(self._prepare())
        except Exception:
            self._changed = True
            self._retry_later()
            raise
        self._note_written()

    def stop(self) -> None:
        """Save no more; call `flush` before."""
        self._timer.stop()
        self._writer.shutdown(wait=True)

    def _save_in_thread(self) -> None:
        if self._under_way is not None or not self._changed:
            # `_on_written` starts the next round.
            return
        self._changed, self._since = False, None
        self._under_way = future = self._writer.submit(self._write, self._prepare())
        future.add_done_callback(lambda done: self._written.emit(done, done.exception()))

    def _write(self, write: Callable[[], None]) -> None:
        self._keep_foreign()
        write()
        self._known = _stamp(self.path)

    def _keep_foreign(self) -> None:
        path = self.path
        if not path.exists() or _stamp(path) == self._known:
            return
        try:
            self._kept.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, free_path(self._kept, path.stem, path.suffix))
        except OSError as error:
            raise WriteError(
                f"{path} was changed by somebody else and could not be kept in {self._kept} "
                f"({error.strerror or error}): check folder and space."
            ) from error

    def _on_written(self, future: Future[None], error: BaseException | None) -> None:
        if future is not self._under_way:
            # `flush` came between.
            return
        self._under_way = None
        if error is not None:
            self._changed = True
            self._retry_later()
            text = str(error) if isinstance(error, MedsegError) else f"{type(error).__name__}: {error}"
            self.failed.emit(f"{self._what} could not be saved; they stay in memory and are tried again. {text}")
            return
        self._note_written()

    def _note_written(self) -> None:
        self._retry_seconds = autosave.RETRY_SECONDS[0]
        if self._changed:
            # Drawn on while the file was written.
            self.note_change()
        self.saved.emit()

    def _retry_later(self) -> None:
        self._timer.start(round(self._retry_seconds * 1000))
        self._retry_seconds = min(2 * self._retry_seconds, autosave.RETRY_SECONDS[1])


def _stamp(path: Path) -> _Stamp:
    """What tells one version of a file from the next; None without a file."""
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_ino
