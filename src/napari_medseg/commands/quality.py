"""``quality``: what a model's results will be worth before anybody has looked, the worst first."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._computing import add_computing_options, computing


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("quality", help="expected Dice and probability right per case, the worst first")
    parser.add_argument("data", metavar="DATASET", help="data set folder")
    parser.add_argument("--model", help="model file or run folder; the model in use when not given")
    parser.add_argument("--finished", action="store_true", help="also cases that are done")
    parser.add_argument("--calibrate", action="store_true", help="calibrate on the validation cases anew")
    add_computing_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print a line per case, or the JSON document."""
    from napari_medseg import api

    with computing(args) as how:
        document = api.expected_quality(
            args.data,
            args.model,
            finished=args.finished,
            calibrate=args.calibrate,
            **how,
        )
    return Result() if args.events else Result(document=document, text=_as_text(document))


def _as_text(document: dict[str, Any]) -> str:
    basis = document["calibration"]
    head = f"{document['model']}, calibrated on {basis['dice_cases']} drawn cases"
    if basis["dice_spread"] is not None:
        head += f" (usual error of the expected Dice {basis['dice_spread']:.3f})"
    return "\n".join([head, *(_line(case) for case in document["cases"])])


def _line(case: dict[str, Any]) -> str:
    parts = [f"  {case['case']:<28}"]
    if case["dice"] is not None:
        low, high = case["dice_interval"]
        parts.append(f"Dice about {case['dice']:.2f} ({low:.2f} to {high:.2f})")
    if case["right"] is not None:
        parts.append(f"{case['tag']} right with {100 * case['right']:.0f} %")
    if case["unlike"]:
        parts.append("unlike the training images")
    return "  ".join(parts)
