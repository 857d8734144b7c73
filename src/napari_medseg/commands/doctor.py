"""``doctor``: what this machine lacks, and what to do about it."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from napari_medseg.commands import Result

_MARKS = {"ok": "ok   ", "note": "note ", "fault": "FAULT"}


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    text = "look at packages, GPU, window, codecs and folders, and say what to mend"
    parser = subparsers.add_parser("doctor", help=text, description=text)
    parser.add_argument("folder", nargs="?", metavar="DIR", help="where results will be written (default: here)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """A line per check, with its mend; ends with 1 when one is a fault."""
    from napari_medseg.api.doctor import diagnose

    checks = diagnose(args.folder)
    lines = []
    for check in checks:
        lines.append(f"{_MARKS[check.state]} {check.name:<15} {check.found}")
        if check.mend:
            lines.append(f"{'':21} -> {check.mend}")
    faults = sum(check.state == "fault" for check in checks)
    lines.append(f"{faults} to be mended." if faults else "Ready.")
    document = {"ok": not faults, "checks": [asdict(check) for check in checks]}
    return Result(document=document, text="\n".join(lines), exit_code=1 if faults else 0)
