"""``config``: a scheme's settings as JSON, to be edited and given to ``train --config``."""

from __future__ import annotations

import argparse
import json
from typing import Any

from napari_medseg.commands import Result


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("config", help="print a scheme's default settings as JSON")
    parser.add_argument("scheme", metavar="SCHEME")
    parser.add_argument("--profile", help="a named set of settings, e.g. 'cpu' (trains in minutes without a GPU)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is JSON anyway")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print the settings."""
    from napari_medseg.schemes import build_config, find_scheme

    config = build_config(find_scheme(args.scheme), profile=args.profile, assignments=args.set)
    document = config.model_dump(mode="json")
    return Result(document=document, text=json.dumps(document, indent=2))
