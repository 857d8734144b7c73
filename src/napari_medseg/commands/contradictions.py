"""``contradictions``: what cannot all be true in a data set."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import add_event_option, reporting
from napari_medseg.commands.train import add_device_options


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("contradictions", help="what cannot all be true: tags, drawings, twins, a model")
    parser.add_argument("data", metavar="DATASET", help="data set folder")
    parser.add_argument("--model", help="also ask this model: a file, or a run folder")
    add_device_options(parser)
    add_event_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print a line each, or the JSON document."""
    from napari_medseg import api

    with reporting(args) as report:
        document = api.find_contradictions(
            args.data,
            args.model,
            device=args.device,
            precision=args.precision,
            threads=args.threads,
            report=report,
        )
    return Result() if args.events else Result(document=document, text=_as_text(document))


def _as_text(document: dict[str, Any]) -> str:
    found = document["contradictions"]
    asked = f" ({document['model']} was asked about {document['n_cases']} cases)" if document["model"] else ""
    head = f"{len(found)} contradiction{'' if len(found) == 1 else 's'}{asked}"
    return "\n".join([head, *(f"  {each['case']}: {each['text']}" for each in found)])
