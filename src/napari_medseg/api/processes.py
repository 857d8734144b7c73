"""Processes of this machine that share a cohort; each has a device of its own where there are several.

They are started anew (spawned), talk with this program by a pipe each, and end with it: a program that is killed leaves
none behind. A process that is killed is replaced.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import TYPE_CHECKING, Self

from napari_medseg.api.cohort import Message, Task
from napari_medseg.api.cohort_worker import CohortWorker
from napari_medseg.api.prediction_item import Request
from napari_medseg.errors import Cancelled

if TYPE_CHECKING:
    from napari_medseg.models.compute import Compute

#: Seconds that processes may take to end by themselves.
_END_SECONDS = 3.0
#: Longest wait for a message, and least seconds between two reports of progress.
_WAIT_SECONDS, _PROGRESS_SECONDS = 0.5, 0.2


def share_compute(
    count: int, *, device: str | None = None, precision: str | None = None, threads: int | None = None
) -> tuple[Compute, list[str]]:
    """How each of several processes runs networks, and the devices that they share out, as CUDA names them.

    Parameters
    ----------
    count
        Processes.
    device, precision, threads
        As in `napari_medseg.models.compute.choose_compute`; threads of one process. None: an equal share of them.

    Returns
    -------
    the same for all processes, so that their results are alike; and the devices, none where there is nothing to share
    """
    from napari_medseg.models.compute import choose_compute, usual_threads, visible_devices

    compute = choose_compute(device, precision, threads or max(1, usual_threads() // count))
    devices = visible_devices() if compute.device.startswith("cuda") and device in (None, "cuda") else []
    return compute, devices if len(devices) > 1 else []


class _Worker:
    """One process and the task that it does."""

    def __init__(self, request: Request, compute: Compute, slot: int, device: str | None) -> None:
        context = multiprocessing.get_context("spawn")
        self.slot = slot
        self.task: int | None = None
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(theirs, request, compute, device), daemon=True)
        with _deaf_to_interrupts():
            self.process.start()
        theirs.close()

    def end(self, seconds: float) -> None:
        """Wait for the process; end it when it does not within this time."""
        self.process.join(max(seconds, 0.0))
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        self.connection.close()


class Processes:
    """A pool of processes; use it in a ``with`` statement, after which none is alive.

    Parameters
    ----------
    request, compute
        What every process does, and how.
    count
        Processes.
    devices
        Devices that they share, each process seeing one; empty to let all see everything.
    """

    def __init__(self, request: Request, compute: Compute, count: int, devices: list[str]) -> None:
        self.size = count
        self._request, self._compute, self._devices = request, compute, devices
        self._workers: list[_Worker] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers:
            with contextlib.suppress(OSError):
                worker.connection.send(None)
        limit = time.monotonic() + _END_SECONDS
        for worker in self._workers:
            worker.end(limit - time.monotonic())

    def start(self, number: int, task: Task) -> None:
        """Let a process that is free, or a new one, do a task."""
        worker = next((worker for worker in self._workers if worker.task is None), None)
        if worker is None:
            slot = min(set(range(self.size)) - {worker.slot for worker in self._workers})
            device = self._devices[slot % len(self._devices)] if self._devices else None
            worker = _Worker(self._request, self._compute, slot, device)
            self._workers.append(worker)
        worker.task = number
        with contextlib.suppress(OSError):  # a process that ended is noticed by its silence
            worker.connection.send((number, task))

    def messages(self) -> list[Message]:
        """What processes say; that one ended is the last of it."""
        by_connection = {worker.connection: worker for worker in self._workers}
        heard = []
        for connection in wait(list(by_connection), _WAIT_SECONDS):
            assert isinstance(connection, Connection)
            worker = by_connection[connection]
            try:
                message: Message = connection.recv()
            except (EOFError, OSError):
                heard += self._bury(worker)
                continue
            if message.progress is None:
                worker.task = None
            heard.append(message)
        return heard

    def _bury(self, worker: _Worker) -> list[Message]:
        worker.end(_END_SECONDS)
        self._workers.remove(worker)
        if worker.task is None:
            return []
        return [Message(worker.task, lost=f"The worker process ended ({_reason(worker.process.exitcode)})")]


def _reason(code: int | None) -> str:
    """Why a process ended."""
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"code {code}"


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Let a new process start with interrupts ignored: Ctrl-C reaches all of them, but only the first one decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _serve(connection: Connection, request: Request, compute: Compute, device: str | None) -> None:
    """Do tasks until none comes any more (in the new process)."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    inbox: queue.SimpleQueue[tuple[int, Task] | None] = queue.SimpleQueue()
    stopped = threading.Event()
    threading.Thread(target=_listen, args=(connection, inbox, stopped), daemon=True).start()
    compute.limit_threads()
    worker = CohortWorker(request, compute)
    while (given := inbox.get()) is not None:
        number, task = given
        last = 0.0

        def progress(done: int, of: int, number: int = number) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= _PROGRESS_SECONDS or done >= of:
                last = now
                connection.send(Message(number, progress=(done, of)))

        try:
            answer = worker.do(task, progress, stopped.is_set)
        except Cancelled:
            return
        connection.send(Message(number, answer=answer))


def _listen(
    connection: Connection, inbox: queue.SimpleQueue[tuple[int, Task] | None], stopped: threading.Event
) -> None:
    """Take tasks, and the word to stop, while the network works; end with the program that gave them."""
    try:
        while (given := connection.recv()) is not None:
            inbox.put(given)
    except (EOFError, OSError):
        os._exit(130)
    stopped.set()
    inbox.put(None)
