"""``reproduce``: the experiment behind a scheme's claim, as a table."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import ConsoleReport
from napari_medseg.commands.dataset import whole_numbers
from napari_medseg.commands.train import add_device_options


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("reproduce", help="test a scheme's claim against controls of equal budget")
    parser.add_argument("scheme", metavar="SCHEME")
    parser.add_argument("--data", required=True, metavar="DIR", help="data set folder")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for runs and table.md, table.json")
    parser.add_argument("--seeds", type=int, default=3, metavar="N")
    parser.add_argument("--pretrain", metavar="DIR", help="another data set that networks see first (thyroid)")
    parser.add_argument(
        "--masks", type=whole_numbers, metavar="N,N", help="numbers of training masks to try (the others are hidden)"
    )
    parser.add_argument("--tag-share", type=float, default=1.0, metavar="S", help="share of training tags that is used")
    parser.add_argument("--config", metavar="FILE")
    parser.add_argument("--profile")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    add_device_options(parser)
    parser.add_argument("--json", action="store_true", help="print the table as one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Run what is not yet done in the output folder, then print the table."""
    from napari_medseg import api

    document = api.reproduce(
        args.scheme,
        args.data,
        args.out,
        seeds=args.seeds,
        pretrain=args.pretrain,
        masks=args.masks,
        tag_share=args.tag_share,
        config_file=args.config,
        profile=args.profile,
        assignments=args.set,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        report=ConsoleReport(),
    )
    return Result(document=document, text=document["table"])
