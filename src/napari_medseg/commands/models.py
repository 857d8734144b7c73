"""``models``: which model a data set works with, which ones it followed, and changing it."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("models", help="the models of a data set: list, put one in use, go back")
    parser.add_argument("data", metavar="DATASET", help="data set folder")
    change = parser.add_mutually_exclusive_group()
    change.add_argument("--promote", metavar="MODEL", help="model file or run folder to put in use")
    change.add_argument("--roll-back", action="store_true", help="go back to the model before the one in use")
    parser.add_argument("--reason", default="", metavar="TEXT", help="with --promote: why, for the list")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Change the model in use if asked to, and print all of them."""
    from napari_medseg import api

    if args.promote:
        api.promote_model(args.data, args.promote, reason=args.reason)
    elif args.roll_back:
        api.roll_back_model(args.data)
    document = api.list_models(args.data)
    return Result(document=document, text=_as_text(document))


def _as_text(document: dict[str, Any]) -> str:
    lines = [_line(model) for model in document["models"]] or ["No model yet: train one."]
    if document["promotions"]:
        lines.append("Promotions:")
        for made in document["promotions"]:
            reason = f": {made['reason']}" if made["reason"] else ""
            lines.append(f"  {made['time']} {made['author']}: {made['action']} {made['name']}{reason}")
    return "\n".join(lines)


def _line(model: dict[str, Any]) -> str:
    sign = "*" if model["in_use"] else " "
    if model["fault"]:
        return f"{sign} {model['name']:<24}{model['fault']}"
    scores = "  ".join(f"{name} {value:.3f}" for name, value in model["scores"].items())
    return f"{sign} {model['name']:<24}{model['scheme']:<11}{model['training_cases'] or '?':>5} cases  {scores}"
