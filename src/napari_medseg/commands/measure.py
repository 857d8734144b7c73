"""``measure``: labels to thickness, the ETDRS grid, areas, volumes and diameters, as one table."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from napari_medseg.commands import Result
from napari_medseg.commands._reporting import ConsoleReport
from napari_medseg.commands.dataset import value_names
from napari_medseg.commands.info import add_reading_options

if TYPE_CHECKING:
    from napari_medseg.measure.rows import Row


def add_parser(subparsers: Any) -> None:
    """Register the command."""
    parser = subparsers.add_parser("measure", help="labels to thickness, areas, volumes and diameters, as a table")
    parser.add_argument("labels", nargs="*", metavar="LABELS", help="label files, e.g. written by predict")
    parser.add_argument("--data", metavar="DIR", help="measure all finished cases of a data set instead")
    parser.add_argument("--out", metavar="CSV", help="where to write the table")
    parser.add_argument("--image", metavar="I", help="the image of a single label file: spacing, grey values, eye")
    parser.add_argument("--model", metavar="MODEL", help="the model that drew the labels: names the layers")
    parser.add_argument(
        "--classes", type=value_names, metavar="VALUE=NAME,...", help="names of the values, where the file has none"
    )
    parser.add_argument("--layers", metavar="A,B,...", help="classes that are layers, from top to bottom")
    parser.add_argument(
        "--span", action="append", default=[], metavar="UPPER:LOWER", help="also from one surface to another"
    )
    parser.add_argument("--spacing", metavar="Z,Y,X", help="millimetres per pixel, z,y,x or y,x")
    parser.add_argument("--fovea", metavar="Z,X", help="centre of the ETDRS grid: B-scan,column from 0")
    parser.add_argument("--laterality", choices=["R", "L"], help="which eye")
    add_reading_options(parser)
    parser.add_argument("--json", action="store_true", help="print the table as one JSON document")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> Result:
    """Measure, write the table where one is asked for, and print a line per structure."""
    from napari_medseg.api import measuring
    from napari_medseg.data.scan_columns import parse_spacing
    from napari_medseg.measure.rows import document_of

    options = measuring.MeasureOptions(
        kind=args.kind,
        spacing=parse_spacing(args.spacing or ""),
        fovea=_fovea(args.fovea),
        laterality=args.laterality or "",
        classes=args.classes,
        layers=tuple(name.strip() for name in (args.layers or "").split(",") if name.strip()),
        spans=tuple(_span(text) for text in args.span),
    )
    report = ConsoleReport()
    rows = measuring.measure(
        args.labels,
        data=args.data,
        image=args.image,
        series=args.series,
        model=args.model,
        options=options,
        progress=lambda done, total, text: report("progress", done=done, of=total, text=text),
        say=lambda text: report("warning", text=text),
    )
    lines = as_lines(rows)
    if args.out:
        lines.append(f"{len(rows)} rows in {measuring.write_table(args.out, rows)}")
    document = {"rows": [document_of(row) for row in rows], "out": args.out}
    return Result(document=document, text="\n".join(lines))


def as_lines(rows: list[Row]) -> list[str]:
    """A line per structure of each case, and the grid's total; single B-scans and fields are in the table."""
    lines, case = [], None
    width = max((len(row.structure) for row in rows), default=0)
    for row in rows:
        if row.bscan is not None or (row.field not in (None, "center", "total")):
            continue
        if row.case != case:
            lines.append(row.case)
            case = row.case
        name = row.structure if row.part is None else f"  part {row.part}"
        lines.append(f"  {name:<{max(width, 18)}}  {_figures(row)}")
    return lines


def _figures(row: Row) -> str:
    if row.measure == "size":
        return _size(row)
    if row.measure == "part":
        axes = f"  {row.long_mm:.1f} × {row.short_mm:.1f} mm" if row.long_mm is not None else ""
        return f"{_size(row)}{axes}"
    if row.measure == "line":
        return f"{row.long_mm:.1f} mm" if row.long_mm is not None else "no spacing"
    mean = f"{row.mean_um:.1f} µm" if row.mean_um is not None else "not known"
    if row.mean_um is None and row.mean_px is not None:
        mean = f"{row.mean_px:.1f} px"
    covered = f"coverage {100 * (row.coverage or 0):.0f} %"
    if row.measure == "thickness":
        return f"mean {mean}  {covered}"
    volume = f"  {row.volume_mm3:.3f} mm³" if row.volume_mm3 is not None else ""
    return f"ETDRS {row.field} {mean}{volume}  {covered}"


def _size(row: Row) -> str:
    size = f"{row.area_mm2:.4g} mm²" if row.area_mm2 is not None else ""
    if row.volume_mm3 is not None:
        size = f"{row.volume_mm3:.6g} mm³ ({row.volume_mm3 / 1000:.4g} ml)"
    grey = "" if row.grey_mean is None else f"  mean {row.grey_mean:.4g}, median {row.grey_median:.4g}"
    return f"{row.pixels:,} px  {size}{grey}".rstrip()


def _fovea(text: str | None) -> tuple[float, float] | None:
    from napari_medseg.errors import ConfigError

    if text is None:
        return None
    try:
        bscan, column = (float(part) for part in text.split(","))
    except ValueError:
        raise ConfigError(f"--fovea '{text}' is not understood: write B-scan,column, such as 24,256.") from None
    return bscan, column


def _span(text: str) -> tuple[str, str]:
    from napari_medseg.errors import ConfigError

    upper, colon, lower = text.partition(":")
    if not colon:
        raise ConfigError(f"--span '{text}' is not understood: write two surfaces, such as ILM:BM.")
    return upper.strip(), lower.strip()
