"""``convert``: any readable image to OME-Zarr or TIFF."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands.info import add_reading_options


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("convert", help="any readable image to OME-Zarr (with pyramid) or TIFF")
    parser.add_argument("path", metavar="PATH")
    parser.add_argument("out", metavar="OUT", help="name.zarr or name.tif")
    add_reading_options(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Read lazily, write piece by piece."""
    from napari_medseg.io import read, write_image

    image = read(args.path, kind=args.kind, series=args.series)
    written = write_image(Path(args.out), image)
    return Result(document={"path": str(args.path), "out": str(written)}, text=f"Wrote {written}")
