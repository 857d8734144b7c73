"""``export-model``: a trained network as ONNX or as a package of bioimage.io."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    text = "a trained network as ONNX, or as package of bioimage.io"
    parser = subparsers.add_parser("export-model", help=text, description=text)
    parser.add_argument("model", metavar="MODEL", help="model file, or a run folder")
    parser.add_argument("out", metavar="OUT", help="name.onnx, or name.zip for bioimage.io")
    parser.add_argument("--author", default="", metavar="NAME", help="who answers for a package")
    parser.add_argument("--licence", default="", metavar="SPDX", help="licence of a package, e.g. CC-BY-4.0")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Write the file, and say how far it is from the network."""
    from napari_medseg.api.model_export import export_model

    written = export_model(args.model, args.out, author=args.author, licence=args.licence)
    document = {"out": str(written.path), "difference": written.difference, "facts": dict(written.facts)}
    text = f"Wrote {written.path}; its probabilities differ from the network's by at most {written.difference:.1g}."
    return Result(document=document, text=text)
