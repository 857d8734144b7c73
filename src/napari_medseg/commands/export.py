"""``export``: labels to NIfTI, DICOM SEG, OME-Zarr or TIFF, lying where their image lies."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands.dataset import value_names


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    text = "labels to NIfTI, DICOM SEG, OME-Zarr or TIFF, on their image's grid"
    parser = subparsers.add_parser("export", help=text, description=text)
    parser.add_argument("labels", metavar="LABELS", help="a label file, a DICOM SEG among them")
    parser.add_argument("out", metavar="OUT", help="name.nii.gz, name.dcm (DICOM SEG), name.zarr or name.tif")
    parser.add_argument("--image", metavar="I", help="the image that was drawn on; for a SEG its DICOM series")
    parser.add_argument("--series", type=int, help="which of the image's series, from 0")
    parser.add_argument(
        "--classes", type=value_names, metavar="VALUE=NAME,...", help="names of the values, where the file has none"
    )
    parser.add_argument("--model", default="", metavar="NAME", help="the model that drew the labels, if one did")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Write the file, and say what happened to labels that lay on another grid."""
    from napari_medseg.api.exporting import export_labels

    written = export_labels(
        args.labels, args.out, image=args.image, series=args.series, classes=args.classes, model=args.model
    )
    document = {"labels": str(args.labels), "out": str(written.path), "notes": list(written.notes)}
    return Result(document=document, text="\n".join([f"Wrote {written.path}", *written.notes]))
