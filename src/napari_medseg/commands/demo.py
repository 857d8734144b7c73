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
    parser.add_argument("--data", metavar="DIR", help="only make a generated data set of the scheme there")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Open the window, or make a data set."""
    if args.data is not None:
        return _make(args.scheme, args.data)
    from napari_medseg.demo import run as run_demo

    return run_demo(args.scheme, args.screenshot)


def _make(scheme: str, folder: str) -> Result:
    from napari_medseg.data.samples import make_sample_set

    dataset = make_sample_set(scheme, folder)
    counts = {split: sum(case.split == split for case in dataset.cases) for split in ("train", "val", "test")}
    listed = ", ".join(f"{count} {split}" for split, count in counts.items())
    text = f"Made {folder}: {len(dataset.cases)} generated cases ({listed})."
    return Result(document={"path": str(dataset.path), "cases": len(dataset.cases), "split": counts}, text=text)
