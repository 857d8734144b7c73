"""``next``: which case to label next, and with which kind of label."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._computing import add_computing_options, computing

#: As in `napari_medseg.inference.ranking`, which needs torch.
STRATEGIES = ("random", "foreground-random", "entropy", "disagreement", "clasp")
#: Cases that are printed when nobody says how many.
_SHOWN = 10


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("next", help="which case to label next, and whether with a tag or a contour")
    parser.add_argument("data", metavar="DATASET", help="data set folder")
    parser.add_argument("--model", help="model file or run folder; the model in use when not given")
    parser.add_argument(
        "--strategy", default="foreground-random", choices=STRATEGIES, help="how to choose (default: foreground-random)"
    )
    parser.add_argument("--kind", choices=["contour", "tag"], help="which label (default: contour where classes are)")
    parser.add_argument("--n", type=int, metavar="N", help=f"how many cases ({_SHOWN}; with --json all)")
    parser.add_argument("--seed", type=int, default=0, help="of random choices")
    add_computing_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print the first cases and the advice, or the JSON document."""
    from napari_medseg import api

    with computing(args) as how:
        document = api.next_cases(
            args.data,
            args.model,
            strategy=args.strategy,
            kind=args.kind,
            n=args.n,
            seed=args.seed,
            **how,
        )
    return Result() if args.events else Result(document=document, text=_as_text(document, args.n or _SHOWN))


def _as_text(document: dict[str, Any], shown: int) -> str:
    head = f"{document['n_unlabelled']} cases lack a {document['kind']}, {document['n_labelled']} have one"
    if document["held_out"]:
        head += f"; {document['held_out']} of validation and test are not chosen by a model's doubts"
    lines = [f"{head}. Strategy {document['strategy']}:"]
    for entry in document["ranking"][:shown]:
        score = "" if entry["score"] is None else f"  {entry['score']:.3f}"
        lines.append(f"{entry['rank']:>4}  {entry['case']:<28}{score}  {entry['reason']}{_places(entry['places'])}")
    advice = document["advice"]
    lines += [f"{entry['sentence']}" for entry in advice["kinds"].values()]
    if len(advice["kinds"]) > 1:
        lines.append(advice["sentence"])
    return "\n".join(lines)


def _places(places: list[dict[str, Any]]) -> str:
    if not places:
        return ""
    if "slice" in places[0]:
        return "; slices " + ", ".join(str(place["slice"] + 1) for place in places)
    return "; regions " + " ".join(place["region"] for place in places)
