"""``evaluate``: a model against the labels of a data set's cases."""

from __future__ import annotations

import argparse
from typing import Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import ConsoleReport
from napari_medseg.commands.train import add_device_options


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("evaluate", help="figures on whole images with confidence intervals")
    parser.add_argument("model", metavar="MODEL", help="model file, or a run folder")
    parser.add_argument("--data", required=True, metavar="DIR", help="data set folder")
    parser.add_argument("--split", default="test", choices=["train", "val", "test"])
    parser.add_argument(
        "--allow-training-cases", action="store_true", help="judge cases the model was trained on (figures flatter)"
    )
    add_device_options(parser)
    parser.add_argument("--page", metavar="FILE.html", help="also write figures, plots and pictures as a page")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Print a table, or the JSON document."""
    from napari_medseg import api

    document = api.evaluate(
        args.model,
        args.data,
        split=args.split,
        allow_training_cases=args.allow_training_cases,
        device=args.device,
        precision=args.precision,
        threads=args.threads,
        page=args.page,
        report=ConsoleReport(),
    )
    written = f"\nWrote {args.page}" if args.page else ""
    return Result(document=document, text=as_table(document) + written)


def as_table(document: dict[str, Any]) -> str:
    """The figures with their intervals, one line each; those of each source below."""
    lines = [f"{document['n_cases']} cases of {document['n_groups']} groups, split '{document['split']}'"]
    lines += _lines(document)
    for source, figures in document.get("by_source", {}).items():
        lines.append(f"source {source or '(none)'}: {figures['n_cases']} cases of {figures['n_groups']} groups")
        lines += _lines(figures)
    return "\n".join(lines)


def _lines(document: dict[str, Any]) -> list[str]:
    lines = []
    for name, values in (document.get("segmentation") or {}).items():
        lines.append(f"  {name:<20}" + "  ".join(_figure(values, key) for key in ("dice", "iou") if key in values))
    for name, values in (document.get("structures") or {}).items():
        distances = (document.get("distances") or {}).get(name, {})
        far = "  ".join(_figure(distances, key) for key in ("surface_dice", "hd95", "assd") if key in distances)
        lines.append(f"  {name:<20}{far}  {_figure(values, 'volume_error')}  {_figure(values, 'piece_sensitivity')}")
    classification = document.get("classification")
    if classification:
        keys = ("auc", *(["kappa"] if "kappa" in classification else []), "accuracy", "balanced_accuracy", "macro_f1")
        name = "grade" if "kappa" in classification else "image class"
        lines.append(f"  {name:<20}" + "  ".join(_figure(classification, k) for k in keys))
        lines += _tag_lines(classification)
    if "surfaces" in document:
        lines += _surface_lines(document)
    return lines


def _tag_lines(document: dict[str, Any]) -> list[str]:
    """Every tag against the others, and how far probabilities can be believed."""
    lines = []
    for tag, values in document["per_class"].items():
        figures = "  ".join(_figure(values, key) for key in ("sensitivity", "precision", "auc"))
        lines.append(f"  {tag:<20}{figures}  ({values['n_cases']} cases)")
    believed = _figure(document, "calibration_error")
    if "sure" in document:
        share, right = document["sure"]["share"], document["sure"]["accuracy"]
        believed += f"; {_share(share)} of the answers called sure, {_share(right)} of these right"
    lines.append(f"  {'probabilities':<20}{believed}")
    return lines


def _surface_lines(document: dict[str, Any]) -> list[str]:
    """How far surfaces are off, in µm where spacing is known, and what putting layers in order changed."""
    head = f"  {'surface':<20}{'signed px':>11}{'abs px':>9}{'signed µm':>11}{'abs µm':>9}{'columns':>10}{'missing':>9}"
    lines = [f"{head}{'abs px, repaired':>18}"]
    keys = (("signed_px", 11), ("abs_px", 9), ("signed_um", 11), ("abs_um", 9))
    for name, values in document["surfaces"].items():
        cells = "".join(f"{_short(values[key]):>{width}}" for key, width in keys)
        counts = f"{values['n_columns']:>10}{values['n_missing']:>9}"
        lines.append(f"  {name:<20}{cells}{counts}{_short(document['surfaces_repaired'][name]['abs_px']):>18}")
    order, repaired = document["order"], (document["segmentation_repaired"] or {}).get("mean", {})
    lines.append(
        f"  out of order: {_share(order['columns_before'])} of columns, {_share(order['bscans_before'])} of B-scans; "
        f"after repair {_share(order['columns_after'])} and {_share(order['bscans_after'])}, "
        f"mean {_figure(repaired, 'dice')}"
    )
    return lines


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _figure(values: dict[str, Any], key: str) -> str:
    value = values.get(key)
    if value is None:
        return f"{key} not defined"
    interval = values.get(f"{key}_ci")
    bounds = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval and None not in interval else ""
    return f"{key} {value:.3f}{bounds}"
