"""``verify``: whether a predicted label file still is what its trace says."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from napari_medseg.commands import Result

_MARKS = {True: "holds  ", False: "DIFFERS", None: "unknown"}


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    text = "whether a predicted label file is unchanged, and of which input and model"
    parser = subparsers.add_parser("verify", help=text, description=text)
    parser.add_argument("labels", metavar="FILE", help="a label file that 'predict' wrote")
    parser.add_argument("--input", metavar="IMAGE", help="default: what predictions.csv beside it names")
    parser.add_argument("--model", metavar="MODEL", help="the model file, or its run folder")
    parser.add_argument("--again", action="store_true", help="predict once more and compare every pixel")
    parser.add_argument("--device", help="for --again; default: as it was")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """A line per finding; ends with 1 when one differs."""
    from napari_medseg.api.tracing import verify

    findings = verify(args.labels, source=args.input, model=args.model, again=args.again, device=args.device)
    differs = any(finding.holds is False for finding in findings)
    document = {"labels": args.labels, "holds": not differs, "findings": [asdict(finding) for finding in findings]}
    text = "\n".join(f"{_MARKS[finding.holds]}  {finding.text}" for finding in findings)
    return Result(document=document, text=text, exit_code=1 if differs else 0)
