"""Where a command's events go: lines for people on standard error, or JSON lines for a program."""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from napari_medseg.errors import MedsegError
from napari_medseg.training.events import EventPipe, Report, duration


def add_event_option(parser: argparse.ArgumentParser) -> None:
    """``--events json``: what the panels read."""
    parser.add_argument(
        "--events", choices=["json"], help="print one JSON event per line on standard output, for programs"
    )


@contextmanager
def reporting(args: argparse.Namespace) -> Iterator[Report]:
    """A report for the command's events; failures are reported too before they go on."""
    report: Report = EventPipe() if args.events == "json" else ConsoleReport()
    try:
        yield report
    except MedsegError as error:
        report("failed", text=str(error), details="")
        raise
    except Exception as error:
        report("failed", text=f"Unexpected {type(error).__name__}: {error}", details=traceback.format_exc())
        raise


class ConsoleReport:
    """Events as lines on standard error; steps only when a person watches, on one line that is written over."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._open_line = False
        self._last = 0.0

    def __call__(self, event: str, /, **values: Any) -> None:
        """Print what a person wants to read of an event."""
        if event in ("step", "progress"):
            self._progress(event, values)
            return
        text = _LINES[event](values) if event in _LINES else ""
        if text:
            print(("\r\033[K" if self._open_line else "") + text, file=sys.stderr, flush=True)
            self._open_line = False

    def _progress(self, event: str, values: dict[str, Any]) -> None:
        if not self._live or time.monotonic() - self._last < 0.2:
            return
        self._last = time.monotonic()
        if event == "step":
            text = f"  step {values['step']}/{values['steps']}  loss {values['loss']:.4f}"
            if values.get("eta_seconds") is not None:
                text += f"  {duration(values['eta_seconds'])} left"
        else:
            text = f"  {values['done']}/{values['of']} {values.get('text', '')}"
        print("\r\033[K" + text, end="", file=sys.stderr, flush=True)
        self._open_line = True


def _started(v: dict[str, Any]) -> str:
    return f"{v['scheme']} on {v['device']} ({v['precision']}, {v['threads']} threads) into {v['run']}"


def _stage_started(v: dict[str, Any]) -> str:
    cases = v["cases"]
    number = f"{v['index'] + 1}/{v['of']}" if v["of"] else str(v["index"] + 1)
    return f"[{number}] {v['title']}: {cases['train']} training samples, {cases['validation']} validation cases"


def _epoch_ended(v: dict[str, Any]) -> str:
    text = f"  epoch {v['epoch']}/{v['epochs']}  loss {v['train_loss']:.4f}"
    if v["score"] is not None:
        details = "".join(f"  {name} {value:.3f}" for name, value in v["details"].items() if value is not None)
        text += f"  score {v['score']:.4f} (best {v['best_score']:.4f}){details}"
    return text


def _stage_ended(v: dict[str, Any]) -> str:
    how = "reused" if v["reused"] else f"{v['epochs']} epochs in {duration(v['seconds'])}"
    score = f", best score {v['best_score']:.4f}" if math.isfinite(v["best_score"]) else ", not validated"
    return f"  {v['stage']}: {how}{score}"


_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "started": _started,
    "stage_started": _stage_started,
    "epoch_ended": _epoch_ended,
    "stage_ended": _stage_ended,
    "warning": lambda v: f"Warning: {v['text']}",
    "item_started": lambda v: f"[{v['index'] + 1}/{v['of']}] {v['input']}",
}
