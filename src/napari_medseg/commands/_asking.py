"""``dataset ask``: ask a person to read some cases, for example a random share of those that are done."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the action."""
    parser.add_argument("--reader", required=True, metavar="NAME")
    chosen = parser.add_mutually_exclusive_group(required=True)
    chosen.add_argument("--cases", metavar="ID,...", help="these cases")
    chosen.add_argument("--share", type=float, metavar="F", help="a random share of the cases that are done, 0 to 1")
    parser.add_argument("--seed", type=int, default=0, help="of the random share")


def run(args: argparse.Namespace) -> Result:
    """Write the reader's name into the column ``readers``."""
    import numpy as np

    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.readings import ask_reader
    from napari_medseg.errors import ConfigError, DatasetError

    dataset = Dataset.open(args.path)
    if args.cases is not None:
        chosen = [name.strip() for name in args.cases.split(",") if name.strip()]
    else:
        if not 0 < args.share <= 1:
            raise ConfigError(f"--share {args.share} is no share: write a number above 0 and up to 1, such as 0.2.")
        done = [case.case for case in dataset.cases if case.status in ("done", "reviewed")]
        if not done:
            raise DatasetError(f"No case of {dataset.path} is done: name the cases with --cases.")
        count = min(len(done), max(1, round(args.share * len(done))))
        picked = np.random.default_rng(args.seed).permutation(len(done))[:count]
        chosen = [done[place] for place in sorted(picked.tolist())]
    asked = ask_reader(dataset, args.reader, chosen)
    document: dict[str, Any] = {"reader": args.reader, "cases": chosen, "newly_asked": asked}
    text = (
        f"{args.reader} is asked to read {len(chosen)} cases ({asked} of them newly): open {dataset.path} as a reader."
    )
    return Result(document=document, text=text)
