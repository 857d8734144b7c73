"""``info``: what the reader sees in a file, before anything is loaded."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from napari_medseg.commands import Result

#: `napari_medseg.structures.KINDS`, repeated because that module loads numpy, which the help text must not wait for.
KINDS = ("image", "slide", "oct", "ct", "mr", "ultrasound")


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("info", help="what a file or folder holds: kind, axes, size, spacing, levels")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    add_reading_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """``--kind`` and ``--series``, which all commands that read images share."""
    parser.add_argument("--kind", choices=KINDS, help="what sort of image, where the file does not tell")
    parser.add_argument("--series", type=int, help="which of the file's images, from 0")


def run(args: argparse.Namespace) -> Result:
    """Describe every path; a single path gives one document, several a list under ``images``."""
    from napari_medseg.api import describe

    documents = [describe(path, kind=args.kind, series=args.series) for path in args.paths]
    document = documents[0] if len(documents) == 1 else {"images": documents}
    return Result(document=document, text="\n\n".join(_as_text(d) for d in documents))


def _as_text(document: Mapping[str, Any]) -> str:
    shown = {
        key: _value(value) for key, value in document.items() if key != "path" and value not in (None, [], [""], "")
    }
    width = max(map(len, shown), default=0)
    return "\n".join([str(document["path"]), *(f"  {key:<{width}}  {text}" for key, text in shown.items())])


def _value(value: Any) -> str:
    if isinstance(value, list):
        # Names may hold commas themselves.
        separator = "; " if any(isinstance(part, str) and "," in part for part in value) else ", "
        return separator.join(_value(part) for part in value)
    # What files store in half precision is 0.0038716697599738836 here; a table of pixels needs no more than this.
    return f"{value:.6g}" if isinstance(value, float) else str(value)
