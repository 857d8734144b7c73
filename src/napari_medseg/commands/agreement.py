"""``agreement``: how well the readers of a data set agree; ``consensus``: one draft out of several readings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_medseg.commands import Result

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: Worst cases that are printed.
_SHOWN = 10
_TITLES = {
    "dice": "Dice of {}",
    "surface": "distance of {}, pixels",
    "surface_um": "distance of {}, µm",
    "kappa": "kappa of {}s",
    "kappa_quadratic": "kappa of {}s, squared distance",
    "same": "share of cases with one {}",
}


def add_parser(subparsers: Any) -> None:
    """Register the commands."""
    text = "how well several readers agree: Dice, kappa, distances of surfaces"
    parser = subparsers.add_parser("agreement", help=text, description=text)
    parser.add_argument("data", metavar="DATASET")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)
    text = "make one draft of the finished readings of each case, for a person to look at"
    parser = subparsers.add_parser("consensus", help=text, description=text)
    parser.add_argument("data", metavar="DATASET")
    parser.add_argument("--method", choices=("majority", "staple"), default="majority")
    parser.add_argument("--cases", default="", metavar="ID,...", help="these alone (default: all without a consensus)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_consensus)


def run(args: argparse.Namespace) -> Result:
    """Compare all finished readings."""
    from napari_medseg.api.agreement import agreement
    from napari_medseg.commands._reporting import ConsoleReport

    report = ConsoleReport()
    found = agreement(args.data, progress=lambda done, of, text: report("progress", done=done, of=of, text=text))
    document = found.document()
    return Result(document=document, text="\n".join(_lines(document)))


def _consensus(args: argparse.Namespace) -> Result:
    from napari_medseg.api.consensus import adjudicate_all
    from napari_medseg.commands._reporting import ConsoleReport

    report = ConsoleReport()
    cases = [name.strip() for name in args.cases.split(",") if name.strip()]
    made: list[dict[str, Any]] = []
    for found in adjudicate_all(
        args.data,
        args.method,
        cases,
        progress=lambda done, of, text: report("progress", done=done, of=of, text=text),
    ):
        disputed = 0.0 if found.disagreement is None else float((found.disagreement > 0).mean())
        made.append(
            {
                "case": found.case,
                "readers": list(found.readers),
                "tag": found.tag,
                "disputed": round(disputed, 6),
                "places": len(found.disputes),
                "reliability": found.reliability,
            }
        )
    lines = [
        f"  {each['case']}: {each['disputed']:.2%} disputed, {each['places']} places to look at, "
        f"of {', '.join(each['readers'])}"
        for each in made
    ]
    count = f"{len(made)} case{'' if len(made) == 1 else 's'}"
    ends = "look at them, then mark them done" if made else "no case was finished by two readers and has none yet"
    return Result(
        document={"method": args.method, "cases": made},
        text="\n".join([f"Consensus by {args.method} of {count}, as drafts: {ends}.", *lines]),
    )


def _lines(document: Mapping[str, Any]) -> list[str]:
    readers = document["readers"]
    lines = [f"{document['n_cases']} cases finished by two readers or more: {', '.join(readers)}", ""]
    width = max(len(reader) for reader in readers) + 2
    for key, figure in document["figures"].items():
        measure, _, name = key.partition("/")
        if measure == "surface" and f"surface_um/{name}" in document["figures"]:
            # Micrometres say the same in a better unit.
            continue
        if figure["mean"] is None:
            lines.append(f"{_TITLES[measure].format(name)}: not defined")
            continue
        lines.append(f"{_TITLES[measure].format(name)}: {figure['mean']:.3f}")
        if len(readers) > 2:
            lines.append(" " * (width + 2) + "".join(f"{reader:>{width}}" for reader in readers))
            for reader, values in zip(readers, figure["matrix"], strict=True):
                cells = ("-" if value is None else f"{value:.3f}" for value in values)
                lines.append(f"  {reader:<{width}}" + "".join(f"{cell:>{width}}" for cell in cells))
    lines += ["", "Least agreed upon:"]
    for case in document["cases"][:_SHOWN]:
        dice = "" if case["dice"] is None else f"Dice {case['dice']:.3f}"
        disputed = "" if case["disputed"] is None else f"{case['disputed']:.2%} of the pixels disputed"
        tags = " / ".join(tag or "none" for tag in case["tags"]) if len(set(case["tags"])) > 1 else ""
        lines.append(f"  {case['case']}: " + ", ".join(filter(None, (dice, disputed, tags))))
    return lines
