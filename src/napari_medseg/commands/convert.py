"""``convert``: any readable image to OME-Zarr or TIFF; ultrasound, cut to its scan, to DICOM too."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import add_event_option, reporting
from napari_medseg.commands.info import add_reading_options


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("convert", help="any readable image to OME-Zarr (with pyramid), TIFF or DICOM")
    parser.add_argument("path", metavar="PATH")
    parser.add_argument("out", metavar="OUT", help="name.zarr or name.tif; name.dcm for ultrasound")
    parser.add_argument(
        "--scan",
        default="robust",
        metavar="HOW",
        help="ultrasound is cut to its scan: robust (default), largest, whole, or a box y0:y1,x0:x1",
    )
    add_reading_options(parser)
    add_event_option(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Read lazily, write piece by piece; an OME-Zarr that was interrupted is gone on with."""
    from napari_medseg.io import read, write_image

    image = read(args.path, kind=args.kind, series=args.series)
    notes: list[str] = []
    if image.kind == "ultrasound":
        from napari_medseg.data.scan_cropping import cut_to_scan

        image, notes = cut_to_scan(image, args.scan)
        # Names of files often are names of people.
        image = replace(image, name=Path(args.out).stem)
    with reporting(args) as report:
        written = write_image(
            Path(args.out),
            image,
            progress=lambda done, total, text: report("progress", done=done, of=total, text=text),
            # What was cut differently must not be gone on with.
            resumable=image.kind != "ultrasound",
        )
    document = {"path": str(args.path), "out": str(written)} | ({"notes": notes} if notes else {})
    return Result(document=document, text="\n".join([*notes, f"Wrote {written}"]))
