"""``history``: who did what in a data set, what it cost, and what people changed of a model's proposals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_medseg.commands import Result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: Pairs of classes and cases that are printed.
_SHOWN = 12


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    text = "who annotated and reviewed a data set, minutes per case, corrections of a model's proposals"
    parser = subparsers.add_parser("history", help=text, description=text)
    parser.add_argument("data", metavar="DATASET")
    parser.add_argument("--json", action="store_true", help="print one JSON document, with every case")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Sum up the history."""
    from napari_medseg.api.work_report import work_report

    document = work_report(args.data).document()
    return Result(document=document, text="\n".join(_lines(document)))


def _lines(document: Mapping[str, Any]) -> list[str]:
    lines = ["Cases: " + (", ".join(f"{count} {name}" for name, count in document["status"].items()) or "none")]
    lines += [f"  reviewed by {name or 'somebody'}: {count}" for name, count in document["reviewed"].items()]
    if not document["cases"]:
        return [*lines, "No work was timed yet: cases that are drawn or tagged in napari and marked done are."]
    lines.append("Work:")
    for name, title in (("drawn", "drawn from nothing"), ("corrected", "corrected"), ("tagged", "tagged")):
        lines += _speed_lines(title, document[name])
    lines += [f"  {name}: {_of(speed)}" for name, speed in document["people"].items()]
    if document["gain"] is not None:
        lines.append(f"Annotations per second against drawing from nothing: {document['gain']:.2f} times")
    lines += _edit_lines(document)
    cases = document["cases"]
    if len(cases) >= 6:
        third = len(cases) // 3
        parts = ("first", cases[:third]), ("last", cases[-third:])
        told = (f"{name} {third} cases {_median([c['minutes'] for c in part]):.2f}" for name, part in parts)
        lines.append(f"Minutes per case, median: {', '.join(told)}")
    return lines


def _speed_lines(title: str, speed: Mapping[str, Any]) -> list[str]:
    if not speed["cases"]:
        return []
    rate = speed["objects_per_second"]
    parts = f", {speed['objects']} parts, {rate:.3f} per second" if speed["objects"] and rate is not None else ""
    return [f"  {title}: {_of(speed)}, median {speed['median_minutes']:.2f}{parts}"]


def _of(speed: Mapping[str, Any]) -> str:
    return f"{speed['cases']} case{'' if speed['cases'] == 1 else 's'} in {speed['minutes']:.1f} minutes"


def _edit_lines(document: Mapping[str, Any]) -> list[str]:
    if not document["proposed_pixels"]:
        return []
    share = document["changed_pixels"] / document["proposed_pixels"]
    lines = [f"Of {document['proposed_pixels']:,} proposed pixels {share:.2%} were changed:"]
    for edit in document["edits"][:_SHOWN]:
        lines.append(f"  {edit['proposed']} to {edit['now']}: {edit['pixels']:,}")
    return lines


def _median(values: list[float]) -> float:
    from statistics import median

    return median(values)
