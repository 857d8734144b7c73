"""What commands share that run a model over a data set and answer in one document."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from napari_medseg.commands._reporting import add_event_option, reporting
from napari_medseg.commands.train import add_device_options


def add_computing_options(parser: argparse.ArgumentParser) -> None:
    """Device, events and ``--json``."""
    add_device_options(parser)
    add_event_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


@contextmanager
def computing(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """How a function of the api is to compute and to report, as its keyword arguments."""
    with reporting(args) as report:
        yield {"device": args.device, "precision": args.precision, "threads": args.threads, "report": report}
