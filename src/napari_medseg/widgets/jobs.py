"""The one bridge from panels to work that takes long: child processes and worker threads.

A job is started by a panel, reports through Qt signals in the window's thread, and ends exactly once with an outcome:
``"done"``, ``"cancelled"`` or ``"failed"``. A failed job has said why before, in one sentence, with details to unfold.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from qtpy.QtCore import QCoreApplication, QObject, QProcess, QTimer, Signal
from qtpy.QtWidgets import QWidget

from napari_medseg.errors import Cancelled, MedsegError
from napari_medseg.models.guard import guard_torch_import
from napari_medseg.structures import Progress

#: Program that child jobs run: never the console script, which may belong to another environment.
PROGRAM = (sys.executable, "-u", "-X", "utf8", "-m", "napari_medseg")
#: Seconds that a cancelled child may take to end by itself.
TERMINATE_SECONDS = 3.0
#: Lines of the child's standard error that are kept for details.
STDERR_LINES = 200
#: Least seconds between two progress signals of a thread.
PROGRESS_SECONDS = 0.05


class Job(QObject):
    """What child and thread jobs share: signals, one outcome, and an end that comes with its owner's."""

    failed = Signal(str, str)
    finished = Signal(str)

    #: Jobs under way. They belong to nobody in Qt's tree, so that a closed panel cannot delete one mid-signal.
    running: ClassVar[set[Job]] = set()

    def __init__(self) -> None:
        super().__init__()
        self.outcome: str | None = None
        self._cancelled = False

    def start(self) -> None:
        """Begin; returns at once."""
        Job.running.add(self)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.end)

    def cancel(self) -> None:
        """Ask the job to stop; `finished` follows."""
        raise NotImplementedError

    def end(self) -> None:
        """Stop now and wait: nothing of the job is alive afterwards."""
        raise NotImplementedError

    def end_with(self, owner: QWidget) -> None:
        """End the job when its owner is destroyed, as panels are when their viewer closes."""
        owner.destroyed.connect(self.end)

    def _finish(self, outcome: str) -> None:
        if self.outcome is not None:
            return
        self.outcome = outcome
        Job.running.discard(self)
        application = QCoreApplication.instance()
        if application is not None:
            application.aboutToQuit.disconnect(self.end)
        self.finished.emit(outcome)


@atexit.register
def _end_all() -> None:
    """End what a script leaves behind that closes its window without an event loop to tell of it."""
    for job in list(Job.running):
        job.end()


class ChildJob(Job):
    """A command of this package in a process of its own; its events arrive as dictionaries (`training.events`).

    The child's standard input stays open for as long as this process lives: the child ends itself when it closes.

    Parameters
    ----------
    arguments
        Command line after the program, e.g. ``["train", "pathology", "--data", ...]``; ``--events json`` is added.
    program
        Program and its first arguments.
    """

    reported = Signal(dict)

    def __init__(self, arguments: Sequence[str], *, program: Sequence[str] = PROGRAM) -> None:
        super().__init__()
        self._command = [*program, *arguments, "--events", "json"]
        self._pending = b""
        self._half_line = b""
        self._words: deque[str] = deque(maxlen=STDERR_LINES)
        self._said: tuple[str, str] | None = None
        self._done = False
        self._process = QProcess()
        self._process.readyReadStandardOutput.connect(self._read_events)
        self._process.readyReadStandardError.connect(self._read_words)
        self._process.errorOccurred.connect(self._on_error)
        self._process.finished.connect(self._on_finished)
        self._killer = QTimer(self)
        self._killer.setSingleShot(True)
        self._killer.setInterval(round(TERMINATE_SECONDS * 1000))
        self._killer.timeout.connect(self._process.kill)

    @property
    def pid(self) -> int:
        """Process id; 0 when the child does not run."""
        return int(self._process.processId())

    def start(self) -> None:
        """Start the child."""
        super().start()
        self._process.start(self._command[0], self._command[1:])

    def cancel(self) -> None:
        """Ask the child to end; kill it when it has not after `TERMINATE_SECONDS`."""
        if self.outcome is not None or self._cancelled:
            return
        self._cancelled = True
        if sys.platform == "win32":
            # Console programs on Windows do not hear `terminate`, but end when their standard input does.
            self._process.closeWriteChannel()
        self._process.terminate()
        self._killer.start()

    def end(self) -> None:
        """Kill the child and wait until it is gone; the last checkpoint is on disk already."""
        if self.outcome is not None:
            return
        self._cancelled = True
        self._process.kill()
        self._process.waitForFinished(round(TERMINATE_SECONDS * 1000))
        self._finish("cancelled")

    def _read_events(self) -> None:
        *lines, self._pending = (self._pending + self._process.readAllStandardOutput().data()).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        """Emit the event of one line; anything that is no event is kept with the child's other words."""
        text = line.decode("utf-8", "replace").strip()
        if not text:
            return
        try:
            event = json.loads(text)
        except json.JSONDecodeError:
            event = None
        if not isinstance(event, dict) or not isinstance(event.get("event"), str):
            self._words.append(text)
            return
        if event["event"] == "failed":
            self._said = (str(event.get("text", "")), str(event.get("details", "")))
        # A child that said so is done, whatever its exit code says of single inputs.
        self._done = self._done or event["event"] == "done"
        self.reported.emit(event)

    def _read_words(self) -> None:
        # What arrives may end in the middle of a line, or of a letter.
        *lines, self._half_line = (self._half_line + self._process.readAllStandardError().data()).split(b"\n")
        self._keep_words(lines)

    def _keep_words(self, lines: Sequence[bytes]) -> None:
        texts = (line.decode("utf-8", "replace").rstrip() for line in lines)
        self._words.extend(text for text in texts if text)

    def _on_error(self, error: QProcess.ProcessError) -> None:
        # Every other error of QProcess is followed by `finished`; a program that never started has no end.
        if error == QProcess.ProcessError.FailedToStart:
            text = f"{self._command[0]} could not be started ({self._process.errorString()}): check the installation."
            self.failed.emit(text, " ".join(self._command))
            self._finish("failed")

    def _on_finished(self, code: int, status: QProcess.ExitStatus) -> None:
        self._killer.stop()
        self._read_words()
        self._keep_words([self._half_line])
        self._read_events()
        self._take(self._pending)
        if self._cancelled:
            self._finish("cancelled")
        elif self._done or (status == QProcess.ExitStatus.NormalExit and code == 0):
            self._finish("done")
        elif self._said is None and code == 130 and status == QProcess.ExitStatus.NormalExit:
            self._finish("cancelled")
        else:
            text, details = self._said or (explain_exit(code, crashed=status == QProcess.ExitStatus.CrashExit), "")
            self.failed.emit(text, "\n".join(filter(None, (details, *self._words))))
            self._finish("failed")


def explain_exit(code: int, *, crashed: bool) -> str:
    """One sentence for a child that ended without a word.

    Parameters
    ----------
    code
        Exit status, or on POSIX the signal's number when `crashed`.
    crashed
        Whether the system ended the program.
    """
    if not crashed:
        return f"The program stopped with code {code} and did not say why: see the details, and report them."
    if os.name == "posix" and code == signal.SIGKILL:
        return (
            "The system ended the program, most often because memory ran out: "
            "close other programs, or choose a smaller batch size or patch size."
        )
    name = f"signal {signal.Signals(code).name}" if code in set(signal.Signals) else f"code {code}"
    return f"The program crashed ({name}); work up to its last checkpoint is kept: see the details, and resume."


class ThreadJob(Job):
    """A function in a thread of this process, for work that must reach the window's own arrays.

    Warnings need no bridge here: unlike napari's workers, a plain thread leaves them to napari's own hook.

    Parameters
    ----------
    work
        Called with a `Progress`, which raises `Cancelled` once the job is cancelled; its value goes to `result`.
    """

    progress = Signal(int, int, str)
    result = Signal(object)
    _returned = Signal(object, object)

    def __init__(self, work: Callable[[Progress], Any]) -> None:
        super().__init__()
        self._work = work
        self._last_report = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._returned.connect(self._on_returned)

    def start(self) -> None:
        """Start the thread."""
        super().start()
        self._thread.start()

    def cancel(self) -> None:
        """Make the next progress report of the work raise `Cancelled`."""
        self._cancelled = True

    def end(self) -> None:
        """Cancel and wait for the thread, as long as a child may take to end."""
        if self.outcome is not None:
            return
        self._cancelled = True
        self._thread.join(TERMINATE_SECONDS)
        self._finish("cancelled")

    def _report(self, done: int, total: int, text: str) -> None:
        if self._cancelled:
            raise Cancelled("Stopped as asked.")
        now = time.monotonic()
        if now - self._last_report >= PROGRESS_SECONDS or done >= total:
            self._last_report = now
            self.progress.emit(done, total, text)

    def _run(self) -> None:
        try:
            # Whatever this work is, it may be the first to import torch in a process with a window.
            guard_torch_import()
            value, error = self._work(self._report), None
        except BaseException as raised:  # handed to the window's thread, which tells the person
            value, error = None, raised
        self._work = _nothing
        self._returned.emit(value, error)

    def _on_returned(self, value: Any, error: BaseException | None) -> None:
        if self._cancelled or isinstance(error, Cancelled):
            self._finish("cancelled")
        elif error is not None:
            self.failed.emit(*explain_error(error))
            self._finish("failed")
        else:
            self.result.emit(value)
            self._finish("done")


def _nothing(_: Progress) -> None:
    """Stands in for work that is over, so that its images can be freed."""


def explain_error(error: BaseException) -> tuple[str, str]:
    """Sentence and details of an error: a person's fault has no details, a defect has its traceback."""
    if isinstance(error, MedsegError):
        return str(error), ""
    if isinstance(error, MemoryError):
        return "Memory ran out: close other images or choose a smaller region.", ""
    details = "".join(traceback.format_exception(error))
    return f"Unexpected error ({type(error).__name__}: {error}): see the details, and report them.", details
