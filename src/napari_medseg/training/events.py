"""What a training or prediction run says while it works, one JSON object per line.

The same events drive the progress lines of the command line (rendered), the Train and Predict widgets (read from the
child's pipe) and tests. ASCII only. Every event has ``event`` (its kind) and ``time`` (seconds since the epoch).

====================  =====================================================================================
event                 further keys
====================  =====================================================================================
``started``           scheme, run, device, precision, threads, processes, stages [{name, title, candidate}], as far as
                      they are known (candidates of a second round follow from the first)
``stage_started``     stage, title, index, of, cases {train, validation}, parameters {trainable, frozen}, steps,
                      candidate (whether it is one of several of which the best is kept), score_name (e.g. Dice),
                      parts [{name, stage, state, parameters}] of a network that is trained part by part
``step``              stage, step, steps, loss, eta_seconds (at most two per second)
``epoch_ended``       stage, epoch, epochs, train_loss, score (None when not validated), details {name: number},
                      validation_loss (None when unknown), best_score, seconds, eta_seconds
``preview_written``   stage, epoch, case, path (uint8 label TIFF)
``stage_ended``       stage, best_score, epochs, seconds, reused, stopped (whether a person ended it early)
``item_started``      input, index, of                                                     (prediction)
``item_ended``        input, index, of, row {columns of predictions.csv}                   (prediction)
``progress``          done, of, text                                                       (anything else)
``warning``           text
``failed``            text (one sentence), details (traceback; empty for a person's fault)
``done``              result {model, summary, ...}
====================  =====================================================================================
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

#: Takes the kind of an event and its further keys.
Report = Callable[..., None]


def ignore(event: str, /, **values: Any) -> None:
    """A `Report` that says nothing."""


def encode(event: str, /, **values: Any) -> str:
    """One line for one event: ASCII JSON without NaN (which JSON has not)."""
    return json.dumps({"event": event, "time": round(time.time(), 3), **plain(values)}, ensure_ascii=True)


def plain(value: Any) -> Any:
    """Plain JSON values, with None for numbers that JSON cannot hold (NaN and the infinities)."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    return number if abs(number) < float("inf") else None


def duration(seconds: float) -> str:
    """A length of time for people.

    Examples
    --------
    >>> duration(42), duration(192), duration(7260)
    ('42 s', '3 min 12 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class EventPipe:
    """Writes events to what was standard output, on a descriptor that nothing else knows.

    C libraries and stray prints write to descriptor 1, which is pointed at standard error from here on, so that a
    reader of the pipe sees events alone. When the reader closes the pipe, or its end of standard input, the process
    ends: a closed napari must leave no job on the GPU.
    """

    def __init__(self, *, watch_stdin: bool = True) -> None:
        sys.stdout.flush()
        self._descriptor = os.dup(1)
        os.dup2(2, 1)
        self._lock = threading.Lock()
        if watch_stdin:
            threading.Thread(target=_exit_at_end_of_stdin, daemon=True).start()

    def __call__(self, event: str, /, **values: Any) -> None:
        """Write one event."""
        line = (encode(event, **values) + "\n").encode("ascii")
        with self._lock:
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                os._exit(130)


def _exit_at_end_of_stdin() -> None:
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        pass
    os._exit(130)
