"""``demo``: napari on a bundled sample with a bundled model's prediction."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("demo", help="open napari on a sample with its prediction")
    parser.add_argument("scheme", nargs="?", default="pathology", metavar="SCHEME")
    parser.add_argument("--screenshot", metavar="FILE", help="write a picture of the window and end")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Open the window."""
    from napari_medseg.demo import run as run_demo

    return run_demo(args.scheme, args.screenshot)
