"""``train``: a scheme on a data set, into a run folder."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import add_event_option, reporting
from napari_medseg.training.events import duration


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("train", help="train a scheme on a data set")
    parser.add_argument("scheme", metavar="SCHEME")
    parser.add_argument("--data", required=True, metavar="DIR", help="data set folder")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", metavar="RUN", help="run folder; holds model.safetensors in the end")
    target.add_argument("--estimate", action="store_true", help="only measure what the training will take")
    parser.add_argument("--config", metavar="FILE", help="settings as JSON (see 'napari-medseg config SCHEME')")
    parser.add_argument("--profile", help="a named set of settings, e.g. 'cpu'")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting")
    parser.add_argument("--pretrain", metavar="DIR", help="another data set that the network sees first")
    parser.add_argument("--init", metavar="MODEL", help="start from the networks of this model file")
    parser.add_argument("--include-drafts", action="store_true", help="also train on labels nobody has confirmed")
    parser.add_argument("--resume", action="store_true", help="go on with an interrupted run")
    parser.add_argument("--seed", type=int, help="of every random choice; 0, or the resumed run's, when not given")
    add_device_options(parser)
    parser.add_argument("--devices", type=_count, default=1, metavar="N", help="train on N devices (starts torchrun)")
    add_event_option(parser)
    parser.add_argument("--json", action="store_true", help="print the run's summary as one JSON document")
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"'{text}' is no number of devices: write 1 or more")
    return int(text)


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """``--device``, ``--precision`` and ``--threads``, which all computing commands share."""
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ...; chosen when not given")
    parser.add_argument("--precision", choices=["fp32", "bf16"], help="chosen by a short timing when not given")
    parser.add_argument("--threads", type=int, help="CPU threads; all cores when not given")


def run(args: argparse.Namespace) -> Result:
    """Train in this process, or in N processes under torchrun; or only measure."""
    if args.estimate:
        return _estimate(args)
    if args.devices > 1 and not _inside_torchrun():
        return _run_under_torchrun(args)
    from napari_medseg import api

    with reporting(args) as report:
        summary = api.train(
            args.scheme,
            args.data,
            args.out,
            config_file=args.config,
            profile=args.profile,
            assignments=args.set,
            pretrain=args.pretrain,
            init=args.init,
            include_drafts=args.include_drafts,
            resume=args.resume,
            seed=args.seed,
            device=args.device,
            precision=args.precision,
            threads=args.threads,
            report=report,
        )
    # Standard output belongs to the events then, and to rank 0 alone.
    if args.events or not summary:
        return Result()
    scores = "  ".join(f"{name} {value:.3f}" for name, value in summary["scores"].items() if value is not None)
    return Result(document=summary, text=f"Model: {summary['model']}\nValidation: {scores or 'none'}")


def _estimate(args: argparse.Namespace) -> Result:
    from napari_medseg import api

    with reporting(args) as report:
        document = api.estimate(
            args.scheme,
            args.data,
            config_file=args.config,
            profile=args.profile,
            assignments=args.set,
            pretrain=args.pretrain,
            include_drafts=args.include_drafts,
            device=args.device,
            precision=args.precision,
            threads=args.threads,
            report=report,
        )
    if args.events:
        return Result()
    memory = document["memory_bytes"]
    lines = [f"At most {duration(document['seconds'])} on {document['device']} ({document['precision']})"]
    lines += [
        f"  {stage['name']}: {stage['steps']} steps, {duration(stage['seconds'])}" for stage in document["stages"]
    ]
    if memory is not None:
        lines.append(f"Memory: {memory / 2**30:.1f} GiB")
    return Result(document=document, text="\n".join(lines))


def _inside_torchrun() -> bool:
    import os

    return "TORCHELASTIC_RUN_ID" in os.environ or "LOCAL_RANK" in os.environ


def _run_under_torchrun(args: argparse.Namespace) -> Result:
    import subprocess

    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={args.devices}"]
    command += ["-m", "napari_medseg", *sys.argv[1:]]
    finished = subprocess.run(command, check=False)
    if finished.returncode != 0 or args.events:
        return Result(exit_code=1 if finished.returncode else 0)
    from pathlib import Path

    summary = json.loads(Path(args.out, "summary.json").read_text("utf-8"))
    return Result(document=summary, text=f"Model: {summary['model']}")
