"""A cohort on the workers of a dask.distributed scheduler: one task per slide or band, each on a worker that is free.

Progress comes back as events of the scheduler, answers as futures. What a worker had written when it ended is not
computed again by the one that takes its task over, since folders are shared. A worker does one task at a time, however
many threads it has: networks use those themselves.
"""

from __future__ import annotations

import contextlib
import os
import queue
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from napari_medseg.api.cohort import Answer, Message, Task
from napari_medseg.api.cohort_worker import CohortWorker
from napari_medseg.api.prediction_item import Request
from napari_medseg.errors import Cancelled, ConfigError

if TYPE_CHECKING:
    from napari_medseg.models.compute import Compute

#: Seconds to wait for the scheduler, for its first worker, and for tasks to stop.
_CONNECT_SECONDS, _WORKER_SECONDS, _STOP_SECONDS = 10.0, 60.0, 10.0
#: Longest wait for a message, and least seconds between two reports of progress or questions whether to stop.
_WAIT_SECONDS, _PROGRESS_SECONDS = 0.5, 1.0


@dataclass(frozen=True, slots=True)
class _Facts:
    """Of a worker: its machine, the CUDA devices and the threads that it finds there."""

    host: str
    devices: int
    threads: int


class Cluster:
    """The workers of a scheduler; use it in a ``with`` statement, after which none works for this program.

    Parameters
    ----------
    request
        What is made of every image, with absolute paths.
    address
        Of the scheduler, e.g. ``tcp://10.0.0.1:8786``.
    device, precision, threads
        As in `napari_medseg.models.compute.choose_compute`; what is None is chosen on the first worker for all of them.
        Where a machine has several CUDA devices, its workers share them out; threads are shared alike.

    Raises
    ------
    ConfigError
        dask.distributed is not installed, no scheduler or worker answers, or the workers cannot predict alike.
    """

    def __init__(
        self,
        request: Request,
        address: str,
        *,
        device: str | None = None,
        precision: str | None = None,
        threads: int | None = None,
    ) -> None:
        self._request, self._address, self._threads = request, address, threads
        self._client = _connect(address)
        self._heard: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._futures: dict[int, Any] = {}
        self._places: dict[int, str] = {}
        #: Names this run to the workers: of its events, and of the word to stop.
        self._run = f"napari-medseg-{uuid.uuid4().hex}"
        try:
            self._workers = self._facts()
            self._shares_devices = device in (None, "cuda")
            first = next(iter(self._workers))
            wanted = (device, precision, threads or self._threads_of(first))
            self._compute: Compute = self._client.run(_choose, *wanted, workers=[first])[first]
            self._refuse_unlike()
            self._client.subscribe_topic(self._run, self._on_event)
        except BaseException:  # also when interrupted: nobody else would close the connection
            self._client.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from distributed import Event, wait

        # What goes wrong with the scheduler here went wrong before: that is what is to be told.
        with contextlib.suppress(Exception):
            if self._futures:
                Event(self._run, client=self._client).set()
                wait(list(self._futures.values()), timeout=_STOP_SECONDS)
        with contextlib.suppress(Exception):
            self._client.close()

    @property
    def size(self) -> int:
        """Workers that are there now."""
        known = self._client.nthreads()
        if set(known) != set(self._workers) and known:
            # One that ends right now does not answer; what was known of others goes on to count until then.
            found = self._client.run(_look, on_error="ignore")
            self._workers = dict(sorted(found.items())) or self._workers
        return max(len(known), 1)

    def start(self, number: int, task: Task) -> None:
        """Let a worker that is free do a task; dask gives it to another one when that worker ends."""
        busy = {self._places[running] for running in self._futures}
        place = next((address for address in self._workers if address not in busy), next(iter(self._workers)))
        future = self._client.submit(
            _work,
            self._run,
            self._request,
            self._compute_of(place),
            number,
            task,
            key=f"{self._run}-{number}",
            workers=[place],
            allow_other_workers=True,
            pure=False,
        )
        self._futures[number], self._places[number] = future, place
        future.add_done_callback(lambda done, number=number: self._heard.put(_answer_of(number, done)))

    def messages(self) -> list[Message]:
        """What workers say.

        Raises
        ------
        ConfigError
            The scheduler is gone.
        """
        heard = []
        try:
            heard.append(self._heard.get(timeout=_WAIT_SECONDS))
            while True:
                heard.append(self._heard.get_nowait())
        except queue.Empty:
            pass
        for message in heard:
            if message.progress is None:
                self._futures.pop(message.number, None)
        if self._client.status not in ("running", "connecting"):
            raise ConfigError(
                f"The scheduler at {self._address} is gone: start it and run the same command again to go on."
            )
        return heard

    def _on_event(self, event: Any) -> None:
        """Take what a worker logged (in a thread of dask's)."""
        _, (number, done, of) = event
        self._heard.put(Message(number, progress=(done, of)))

    def _facts(self) -> dict[str, _Facts]:
        """What there is of workers, by their addresses."""
        try:
            self._client.wait_for_workers(1, timeout=_WORKER_SECONDS)
            known: dict[str, _Facts] = self._client.run(_look)
        except TimeoutError:
            raise ConfigError(
                f"The scheduler at {self._address} has no worker: start some (dask worker {self._address})."
            ) from None
        except ImportError as error:
            raise ConfigError(
                f"A worker of {self._address} lacks a package ({error}): install the same napari-medseg there."
            ) from error
        return dict(sorted(known.items()))

    def _refuse_unlike(self) -> None:
        """Raise where results would depend on who made them."""
        if not self._compute.device.startswith("cuda"):
            return
        without = sorted({facts.host for facts in self._workers.values() if facts.devices == 0})
        if without:
            raise ConfigError(
                f"Workers on {', '.join(without)} have no CUDA device, others have: add --device cpu, or stop them."
            )

    def _neighbours(self, address: str) -> list[str]:
        """The workers of one machine."""
        host = self._workers[address].host
        return [other for other, facts in self._workers.items() if facts.host == host]

    def _threads_of(self, address: str) -> int:
        return max(1, self._workers[address].threads // len(self._neighbours(address)))

    def _compute_of(self, address: str) -> Compute:
        """How a worker runs networks: as the others do, on its share of the machine."""
        device, count = self._compute.device, self._workers[address].devices
        if device.startswith("cuda") and self._shares_devices and count > 1:
            device = f"cuda:{self._neighbours(address).index(address) % count}"
        return replace(self._compute, device=device, threads=self._threads or self._threads_of(address))


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError as error:
        raise ConfigError(
            "Prediction on a cluster needs dask.distributed: pip install 'napari-medseg[cluster]', here and there."
        ) from error
    try:
        return Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"No dask scheduler answers at {address}: check the address (e.g. tcp://10.0.0.1:8786), and that it runs."
        ) from error


def _answer_of(number: int, future: Any) -> Message:
    """What became of a task (in a thread of dask's)."""
    if future.status == "finished":
        answer: Answer = future.result()
        return Message(number, answer=answer)
    if future.status == "error":
        error = future.exception()
        return Message(number, lost=f"Its worker failed ({type(error).__name__}: {str(error).splitlines()[0]})")
    return Message(number, lost=f"The task was {future.status} by the scheduler")


# What follows runs on the workers.

#: Held by the one task that a worker does; a second thread of it waits.
_one_at_a_time = threading.Lock()
#: The last request and how it was run, with the model that was loaded for it.
_loaded: list[tuple[Request, Compute, CohortWorker]] = []


def _look() -> _Facts:
    from napari_medseg.models.compute import usual_threads, visible_devices

    return _Facts(socket.gethostname(), len(visible_devices()), max(usual_threads(), os.cpu_count() or 1))


def _choose(device: str | None, precision: str | None, threads: int) -> Compute:
    from napari_medseg.models.compute import choose_compute

    return choose_compute(device, precision, threads)


def _work(run: str, request: Request, compute: Compute, number: int, task: Task) -> Answer:
    """Do a task of a run."""
    from distributed import get_worker

    worker, last = get_worker(), 0.0
    stopped = _asked_to_stop(run)

    def progress(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            worker.log_event(run, (number, done, of))

    with _one_at_a_time:
        if not _loaded or _loaded[0][:2] != (request, compute):
            compute.limit_threads()
            _loaded[:] = [(request, compute, CohortWorker(request, compute))]
        try:
            return _loaded[0][2].do(task, progress, stopped)
        except Cancelled:
            return Answer()


def _asked_to_stop(run: str) -> Callable[[], bool]:
    """Whether the program that began a run wants it to stop; asked of the scheduler now and then."""
    from distributed import Event

    event, asked = Event(run), 0.0

    def stopped() -> bool:
        nonlocal asked
        if time.monotonic() - asked < _PROGRESS_SECONDS:
            return False
        asked = time.monotonic()
        return bool(event.is_set())

    return stopped
