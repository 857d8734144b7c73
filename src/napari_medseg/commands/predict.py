"""``predict``: labels, tags and tables for files, folders and zarr."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import add_event_option, reporting
from napari_medseg.commands.info import add_reading_options
from napari_medseg.commands.train import add_device_options


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("predict", help="run a model on files and folders")
    parser.add_argument("model", metavar="MODEL", help="model file, or a run folder")
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="images, folders of images, OME-Zarr")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for labels and predictions.csv")
    parser.add_argument(
        "--region",
        metavar="BOX|MASK",
        help="y0:y1,x0:x1 (z0:z1,...) in pixels of the finest level, or labels: a file, or a folder with one per image",
    )
    parser.add_argument("--region-model", metavar="MODEL", help="find the region by what this model draws")
    parser.add_argument("--probabilities", action="store_true", help="also write class probabilities as OME-Zarr")
    parser.add_argument("--repair-order", action="store_true", help="OCT: put layers that are out of order in order")
    parser.add_argument(
        "--format",
        choices=["tif", "zarr", "nii.gz"],
        help="format of the label files: tif, for slides zarr; nii.gz (NIfTI) lies where the scan lies",
    )
    parser.add_argument(
        "--tissue",
        default="auto",
        metavar="auto|none|MASK",
        help="slides: predict the tissue that is found (auto), everything, or what a small label image marks",
    )
    parser.add_argument(
        "--report",
        action="store_true",
        dest="reports",
        help="thyroid: also a picture per image that explains its class",
    )
    parser.add_argument("--spacing", metavar="Z,Y,X", help="millimetres per pixel where the file does not tell; or y,x")
    sharing = parser.add_mutually_exclusive_group()
    sharing.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="share the inputs, or a slide's rows, among N processes"
    )
    sharing.add_argument(
        "--scheduler", metavar="ADDRESS", help="share them among the workers of a dask.distributed scheduler"
    )
    add_reading_options(parser)
    add_device_options(parser)
    add_event_option(parser)
    parser.add_argument("--json", action="store_true", help="print the table as one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Predict every input; a faulty one becomes a row with its error, and the exit code 1."""
    from napari_medseg import api

    with reporting(args) as report:
        rows = api.predict_files(
            args.model,
            args.inputs,
            args.out,
            region=args.region,
            region_model=args.region_model,
            probabilities=args.probabilities,
            repair_order=args.repair_order,
            label_format=args.format,
            tissue=args.tissue,
            reports=args.reports,
            kind=args.kind,
            series=args.series,
            spacing=args.spacing,
            device=args.device,
            precision=args.precision,
            threads=args.threads,
            workers=args.workers,
            scheduler=args.scheduler,
            report=report,
        )
    failed = [row for row in rows if row["error"]]
    code = 1 if failed else 0
    if args.events:
        return Result(exit_code=code)
    lines = [_line(row) for row in rows]
    return Result(document={"predictions": rows, "out": str(args.out)}, text="\n".join(lines), exit_code=code)


def _count(text: str) -> int:
    """A number of processes."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of processes: write 1 or more")
    return int(text)


def _line(row: dict[str, Any]) -> str:
    if row["error"]:
        # Why was said on standard error when it happened, and stands in the table.
        return f"{row['input']} -> nothing"
    trust = "" if row.get("calibrated") == "yes" else " (not calibrated)"
    tag = f"  {row['class']} {row['p_' + row['class']]:.3f}{trust}" if row["class"] else ""
    repaired = f"  order repaired in {row['repaired']:.1%} of the columns" if row.get("repaired") else ""
    return f"{row['input']} -> {row['labels']}{tag}{repaired}  {row['seconds']:.1f} s"
