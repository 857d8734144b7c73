"""``dataset``: make, import, merge, check, split and export data sets."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.commands import Result, _asking

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset


def add_parser(subparsers: Any) -> None:
    """Register the command and its own sub-commands."""
    parser = subparsers.add_parser("dataset", help="make, import, merge, check and split data sets")
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    _add_new(actions)
    _add_import(actions)
    _add_merge(actions)
    _add_action(actions, "info", _info, "what a data set holds")
    check = _add_action(actions, "check", _check, "list every fault with its row and its mend")
    check.add_argument("--repair", action="store_true", help="first mend what a crash or an old table left")
    check.add_argument("--duplicates", action="store_true", help="also name nearly equal images of different groups")
    split = _add_action(actions, "split", _split, "draw train, val and test by group into the table")
    ask = _add_action(actions, "ask", _asking.run, "ask a person to read cases, beside who annotated them first")
    _asking.add_options(ask)
    export = _add_action(actions, "export", _export, "labels of all finished cases for other programs")
    export.add_argument("--out", required=True, metavar="DIR")
    export.add_argument(
        "--format",
        choices=("nifti", "seg", "tiff", "zarr", "nnunet", "coco"),
        default="nifti",
        help="seg: DICOM SEG of DICOM series; nnunet, coco: a folder of their own with the images",
    )
    split.add_argument("--fractions", type=_numbers, default=None, metavar="A,B,C", help="default: 0.6,0.2,0.2")
    split.add_argument(
        "--group-duplicates", action="store_true", help="first give cases with nearly equal images one group"
    )
    split.add_argument("--seed", type=int, default=0)
    split.add_argument("--redraw", action="store_true", help="draw cases that have a split anew as well")


def _add_action(actions: Any, name: str, run: Any, text: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.add_argument("path", metavar="DATASET")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=run)
    return parser


def _add_new(actions: Any) -> None:
    parser = _add_action(actions, "new", _new, "make an empty data set")
    parser.add_argument("--name", help="default: the folder's name")
    parser.add_argument("--kind", default="image", help="image, slide, oct, ct, mr or ultrasound")
    parser.add_argument("--classes", type=_names, default=[], metavar="NAME,...", help="what can be drawn")
    parser.add_argument("--tags", type=_names, default=[], metavar="NAME,...", help="classes of whole images")
    parser.add_argument("--grades", type=_names, default=[], metavar="NAME,...", help="ordered, lowest first")
    _add_layers(parser)
    _add_implies(parser)


def _add_import(actions: Any) -> None:
    text = "make a data set from folders of images and masks"
    parser = actions.add_parser("import", help=text, description=text)
    parser.add_argument("source", metavar="SOURCE")
    parser.add_argument("--out", required=True, metavar="DATASET")
    parser.add_argument(
        "--format",
        metavar="F",
        help="folders (default), folders-per-class (a sub-folder per tag), nnunet, coco; "
        "geojson (QuPath), asap, imagescope: a file of contours per image, of the same name",
    )
    parser.add_argument("--images", metavar="SUB", help="folder of the images inside SOURCE")
    parser.add_argument("--masks", metavar="SUB", help="folder of the masks inside SOURCE; of coco: its JSON")
    parser.add_argument("--table", metavar="CSV", help="a row per image")
    parser.add_argument("--id", metavar="COL", help="column that matches image names (default: the first)")
    for name in ("tag", "grade", "group", "source", "laterality"):
        parser.add_argument(f"--{name}", dest=f"{name}_column", metavar="COL", help=f"column that holds the {name}")
    parser.add_argument(
        "--classes", type=value_names, metavar="VALUE=NAME,...", help="what the values in masks mean; 'background' is 0"
    )
    parser.add_argument("--ignore", type=whole_numbers, default=[], metavar="VALUE,...", help="values: not looked at")
    parser.add_argument("--instances", metavar="NAME", help="masks hold object numbers of this one class")
    parser.add_argument(
        "--grades",
        type=_names,
        default=[],
        metavar="NAME,...",
        help="grades in order, lowest first; other words in the column are no grade (default: by number or by name)",
    )
    parser.add_argument(
        "--spacing",
        type=_numbers,
        metavar="[Z,]Y,X",
        help="millimetres per pixel, where files do not say: depth,width of a B-scan, before them between B-scans",
    )
    parser.add_argument(
        "--device-layers",
        action="store_true",
        help="OCT: take the scanner's own layers as drafts",
    )
    parser.add_argument(
        "--resample-masks",
        action="store_true",
        help="bring masks on another grid onto their image, and say what changed",
    )
    parser.add_argument("--source-value", default="", metavar="NAME", help="source of all cases, e.g. the device")
    parser.add_argument("--name", help="default: the folder's name")
    parser.add_argument("--kind", default="image", help="image, slide, oct, ct, mr or ultrasound")
    _add_layers(parser)
    _add_implies(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_import)


def _add_merge(actions: Any) -> None:
    text = "bring data sets together into a new one, by the names of their classes"
    parser = actions.add_parser("merge", help=text, description=text)
    parser.add_argument("sources", nargs="+", metavar="DATASET")
    parser.add_argument("--out", required=True, metavar="DATASET")
    parser.add_argument("--name", help="default: the folder's name")
    parser.add_argument("--same-groups", action="store_true", help="groups of one name are the same patients")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.set_defaults(run=_merge)


def _add_layers(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--layers",
        type=_layers,
        default=[],
        metavar="NAME,...",
        help="OCT: classes that lie one above the other, from top to bottom; 'background' at an end is none of them",
    )


def _add_implies(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--implies",
        type=_implication,
        action="append",
        default=[],
        metavar="CLASS=TAG",
        help="a drawn class means this tag; '<empty>=TAG' for masks with nothing in them; may be given several times",
    )


def _new(args: argparse.Namespace) -> Result:
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.dataset_file import mask_classes, tag_classes
    from napari_medseg.data.layers import surfaces_of_layers, with_structure_colors
    from napari_medseg.structures import DatasetInfo

    classes = mask_classes(args.classes)
    info = DatasetInfo(
        name=args.name or Path(args.path).absolute().name,
        kind=args.kind,
        classes=with_structure_colors(classes) if args.kind == "oct" else classes,
        tags=tag_classes(args.tags),
        grades=tuple(args.grades),
        implies=dict(args.implies),
        surfaces=surfaces_of_layers(args.layers, classes),
    )
    return _described(Dataset.create(args.path, info), "Made")


def _import(args: argparse.Namespace) -> Result:
    from napari_medseg.data.importing import import_dataset

    remarks: list[str] = []
    dataset = import_dataset(
        args.source,
        args.out,
        images=args.images,
        masks=args.masks,
        table=args.table,
        id_column=args.id,
        tag_column=args.tag_column,
        grade_column=args.grade_column,
        group_column=args.group_column,
        source_column=args.source_column,
        laterality_column=args.laterality_column,
        spacing=args.spacing,
        classes=args.classes,
        ignore=args.ignore,
        instances=args.instances,
        implies=dict(args.implies),
        grades=args.grades,
        layers=args.layers,
        source_value=args.source_value,
        format=args.format,
        name=args.name,
        kind=args.kind,
        resample_masks=args.resample_masks,
        say=remarks.append,
    )
    if args.device_layers:
        from napari_medseg.api.device_layers import take_device_layers

        taken = len(take_device_layers(dataset, say=remarks.append))
        remarks.append(f"{taken} case{'s have' if taken != 1 else ' has'} the scanner's own layers as drafts.")
    return _with_remarks(_described(dataset, "Made"), remarks)


def _merge(args: argparse.Namespace) -> Result:
    from napari_medseg.data.merging import merge_datasets

    remarks: list[str] = []
    dataset = merge_datasets(args.sources, args.out, name=args.name, same_groups=args.same_groups, say=remarks.append)
    return _with_remarks(_described(dataset, "Made"), remarks)


def _with_remarks(result: Result, remarks: list[str]) -> Result:
    return Result(document={**result.document, "remarks": remarks}, text="\n".join([result.text, *remarks]))


def _info(args: argparse.Namespace) -> Result:
    from napari_medseg.data.dataset import Dataset

    return _described(Dataset.open(args.path), "Data set")


def _check(args: argparse.Namespace) -> Result:
    from napari_medseg.data.checking import check
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.repairing import repair

    mended = repair(Path(args.path).absolute()) if args.repair else []
    dataset = Dataset.open(args.path)
    faults = check(dataset)
    if args.duplicates:
        from napari_medseg.data.similar_cases import duplicate_faults, similar_cases

        faults += duplicate_faults(dataset, similar_cases(dataset))
    errors = sum(fault.severity == "error" for fault in faults)
    document = {
        "path": str(args.path),
        "ok": errors == 0,
        "mended": mended,
        "faults": [{"severity": f.severity, "where": f.where, "text": f.text, "mend": f.mend} for f in faults],
    }
    lines = [*mended, *(f"{fault.severity}: {fault}" for fault in faults)]
    lines.append(f"{errors} errors, {len(faults) - errors} warnings." if faults else "No faults.")
    return Result(document=document, text="\n".join(lines), exit_code=1 if errors else 0)


def _split(args: argparse.Namespace) -> Result:
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.splitting import FRACTIONS

    dataset = Dataset.open(args.path)
    remarks = []
    if args.group_duplicates:
        from napari_medseg.data.similar_cases import group_duplicates

        changed = group_duplicates(dataset)
        remarks = [f"{name}: group is now '{group}'" for name, group in changed.items()]
    dataset.split(args.fractions or FRACTIONS, args.seed, redraw=args.redraw)
    return _with_remarks(_described(dataset, "Split"), remarks)


def _export(args: argparse.Namespace) -> Result:
    from napari_medseg.api.exporting import export_dataset
    from napari_medseg.data.dataset import Dataset

    written = export_dataset(Dataset.open(args.path), args.out, format=args.format)
    notes = [f"{one.path.name}: {note}" for one in written for note in one.notes]
    document = {"files": [str(one.path) for one in written], "notes": notes}
    return Result(document=document, text="\n".join([*notes, f"{len(written)} files in {args.out}"]))


def _described(dataset: Dataset, verb: str) -> Result:
    """Counts of a data set; reads the table alone."""
    cases = dataset.cases
    info = dataset.info
    document: dict[str, Any] = {
        "path": str(dataset.path),
        "name": info.name,
        "kind": info.kind,
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in info.classes],
        "tags": [tag.name for tag in info.tags],
        "grades": list(info.grades),
        "implies": dict(info.implies),
        "surfaces": [surface.name for surface in info.surfaces],
        "cases": len(cases),
        "groups": len({case.group or case.case for case in cases}),
        "labels": sum(bool(case.label) for case in cases),
        "status": _counts(case.status for case in cases),
        "sources": _counts(case.source for case in cases),
        "tag_counts": _counts(case.tag for case in cases),
        "grade_counts": {grade: sum(case.grade == grade for case in cases) for grade in info.grades},
        "split": _counts(case.split for case in cases),
    }
    lines = [f"{verb} {dataset.path}"]
    counts = f"{_number(len(cases), 'case')} of {_number(document['groups'], 'group')}"
    lines.append(f"  {counts}, {document['labels']} with labels")
    counted = (("status", "status"), ("tags", "tag_counts"), ("grades", "grade_counts"), ("sources", "sources"))
    for title, key in (*counted, ("split", "split")):
        if document[key]:
            lines.append(f"  {title}: " + ", ".join(f"{name} {n}" for name, n in document[key].items()))
    if info.classes:
        lines.append("  classes: " + ", ".join(f"{c.value} {c.name}" for c in info.classes))
    if info.surfaces:
        lines.append("  surfaces: " + ", ".join(surface.name for surface in info.surfaces))
    return Result(document=document, text="\n".join(lines))


def _number(n: int, word: str) -> str:
    """``"1 case"``, ``"2 cases"``."""
    return f"{n} {word}{'' if n == 1 else 's'}"


def _counts(values: Any) -> Mapping[str, int]:
    counts: dict[str, int] = {}
    for value in values:
        if value:
            counts[value] = counts.get(value, 0) + 1
    return dict(sorted(counts.items()))


def _names(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _layers(text: str) -> list[str]:
    # Empty names stay, so that a comma too many is reported and not passed over.
    return [part.strip() for part in text.split(",")]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' are no numbers: put commas between them") from None


def whole_numbers(text: str) -> list[int]:
    """``1,2,3`` as numbers, for arguments."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' are no whole numbers: put commas between them") from None


def value_names(text: str) -> dict[int, str]:
    """``1=gland,2=stroma`` as names by value, for arguments."""
    classes: dict[int, str] = {}
    for part in text.split(","):
        value, sep, name = part.partition("=")
        if not sep or not name.strip() or not value.strip().isdecimal():
            raise argparse.ArgumentTypeError(f"'{part}' is no value with a name: write VALUE=NAME, e.g. 1=gland")
        if int(value) in classes:
            raise argparse.ArgumentTypeError(f"the value {value.strip()} is named twice: keep one name")
        classes[int(value)] = name.strip()
    return classes


def _implication(text: str) -> tuple[str, str]:
    source, sep, tag = text.partition("=")
    if not sep or not tag:
        raise argparse.ArgumentTypeError(f"'{text}' has no tag: write CLASS=TAG")
    return source, tag
