"""``compare``: whether the new model is better than the one in use."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._computing import add_computing_options, computing


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("compare", help="is a model better than another, on cases that neither learned from")
    parser.add_argument("model_a", metavar="MODEL_A", help="model file or run folder: the one in use")
    parser.add_argument("model_b", metavar="MODEL_B", help="model file or run folder: the new one")
    parser.add_argument("data", metavar="DATASET", help="data set folder")
    parser.add_argument("--split", default="val", choices=["val", "test"], help="which cases (default: val)")
    add_computing_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print the sentence and a table, or the JSON document."""
    from napari_medseg import api

    with computing(args) as how:
        document = api.compare(
            args.model_a,
            args.model_b,
            args.data,
            split=args.split,
            **how,
        )
    if args.events:
        return Result()
    return Result(document=document, text=as_table(document))


def as_table(document: dict[str, Any]) -> str:
    """The sentence, alarms, a line per class and tag, and what to bear in mind."""
    lines = [document["sentence"], *(f"ALARM: {text}" for text in document["alarms"])]
    head = f"{document['model_a']['name']} → {document['model_b']['name']}, {document['n_cases']} cases"
    lines.append(f"{head} of {document['n_groups']} groups, split '{document['split']}'")
    for name, entry in (document["segmentation"] or {}).items():
        lines.append(_line(name, "dice", entry))
    tags = document["classification"]
    if tags:
        lines += [_line(key.replace("_", " "), key, tags[key]) for key in ("auc", "balanced_accuracy")]
        lines += [_line(f"finds {tag}", "sensitivity", entry) for tag, entry in tags["per_class"].items()]
    return "\n".join([*lines, *(f"Note: {text}" for text in document["notes"])])


def _line(name: str, key: str, entry: dict[str, Any]) -> str:
    if entry["difference"] is None:
        return f"  {name:<22}not defined on these cases"
    interval = entry["difference_ci"]
    bounds = f" [{interval[0]:+.3f}, {interval[1]:+.3f}]" if interval else ""
    figures = f"{entry[f'{key}_a']:.3f} → {entry[f'{key}_b']:.3f}   {entry['difference']:+.3f}{bounds}"
    return f"  {name:<22}{figures}   {entry['verdict']}"
