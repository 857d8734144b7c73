"""``contradictions``: what cannot all be true in a data set."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._computing import add_computing_options, computing


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("contradictions", help="what cannot all be true: tags, drawings, twins, a model")
    parser.add_argument("data", metavar="DATASET", help="data set folder")
    parser.add_argument("--model", help="also ask this model: a file, or a run folder")
    add_computing_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print a line each, or the JSON document."""
    from napari_medseg import api

    with computing(args) as how:
        document = api.find_contradictions(
            args.data,
            args.model,
            **how,
        )
    return Result() if args.events else Result(document=document, text=_as_text(document))


def _as_text(document: dict[str, Any]) -> str:
    found = document["contradictions"]
    asked = f" ({document['model']} was asked about {document['n_cases']} cases)" if document["model"] else ""
    head = f"{len(found)} contradiction{'' if len(found) == 1 else 's'}{asked}"
    return "\n".join([head, *(f"  {each['case']}: {each['text']}" for each in found)])
