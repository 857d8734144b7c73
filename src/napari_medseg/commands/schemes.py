"""``schemes``: the training schemes there are."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("schemes", help="list the training schemes")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """List key, title, summary and profiles."""
    from napari_medseg.schemes import SCHEMES

    document = {
        "schemes": [
            {"key": s.key, "title": s.title, "summary": s.summary, "profiles": list(s.profiles)}
            for s in SCHEMES.values()
        ]
    }
    text = "\n".join(f"{s.key:<12}{s.title}\n{'':<12}{s.summary}" for s in SCHEMES.values())
    return Result(document=document, text=text)
