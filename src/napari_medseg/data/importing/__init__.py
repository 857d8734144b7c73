"""Make a data set from folders that other programs or people made.

One file per source layout: a function that turns options into planned cases; everything else (values, sizes, writing)
is shared. A further layout is one file and one line in `FORMATS`.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import FILE_NAME
from napari_medseg.data.importing.annotations import plan_annotations
from napari_medseg.data.importing.coco import plan_coco
from napari_medseg.data.importing.folders import images_and_masks, plan_folders
from napari_medseg.data.importing.nnunet import is_nnunet, plan_nnunet
from napari_medseg.data.importing.per_class import plan_folders_per_class
from napari_medseg.data.importing.plan import Options, Planner, Say, with_known_grades
from napari_medseg.data.importing.values import values_in
from napari_medseg.data.importing.writing import write_dataset
from napari_medseg.data.label_files import bands
from napari_medseg.data.scan_columns import format_spacing, parse_spacing
from napari_medseg.errors import DatasetError, InputNotFoundError, MedsegError
from napari_medseg.io import read, read_labels
from napari_medseg.structures import KINDS, Kind, Progress

#: Source layouts by the name that ``--format`` takes.
FORMATS: Mapping[str, Planner] = {
    "folders": plan_folders,
    "folders-per-class": plan_folders_per_class,
    "nnunet": plan_nnunet,
    "coco": plan_coco,
    # One planner: what a file is, is told from what is in it.
    "geojson": plan_annotations,
    "asap": plan_annotations,
    "imagescope": plan_annotations,
}


def import_dataset(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    images: str | None = None,
    masks: str | None = None,
    table: str | None = None,
    id_column: str | None = None,
    tag_column: str | None = None,
    grade_column: str | None = None,
    group_column: str | None = None,
    source_column: str | None = None,
    laterality_column: str | None = None,
    classes: Mapping[int, str] | None = None,
    ignore: Sequence[int] = (),
    instances: str | None = None,
    implies: Mapping[str, str] | None = None,
    grades: Sequence[str] = (),
    layers: Sequence[str] = (),
    source_value: str = "",
    spacing: Sequence[float] | None = None,
    format: str | None = None,
    name: str | None = None,
    kind: Kind = "image",
    resample_masks: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Make a data set from images, masks and a table; nothing is written when anything is wrong.

    Images stay where they are and are named by path. Masks are converted into the folder ``labels``: they belong to
    the image whose name they share, endings such as ``_mask``, ``_seg`` or ``_label`` aside. A case with a mask, a tag
    or a grade counts as done, all others as to do.

    Parameters
    ----------
    source, out
        Folder to read; folder to make (new or empty).
    images, masks
        Folders inside `source`; found by their usual names when None (``images``, ``masks``, ...).
    table
        CSV with a row per image, inside `source` or a path of its own.
    id_column, tag_column, grade_column, group_column, source_column, laterality_column
        Its columns; the id matches image names and is the first column when None. Laterality is R or L (OCT).
    classes
        Which value in the masks is which class. Several values may share a name; the name ``background`` stands for 0,
        and listing 0 makes 0 a class too. When None, masks of 0 and one other value give the class ``foreground``.
    ignore
        Values that become "not looked at" (255).
    instances
        Masks hold object numbers: every value but 0 becomes this one class.
    implies
        `DatasetInfo.implies`.
    grades
        Grades in order, lowest first; cells of the grade column with other words stay empty, which `say` is told. When
        empty, what the column holds, by number or by name.
    layers
        Classes that lie one above the other, from top to bottom (OCT), ``"background"`` at an end being the
        background; they declare the data set's surfaces.
    source_value
        Source of all cases, e.g. the device; not together with `source_column`.
    spacing
        Millimetres per pixel along ``y, x`` or ``z, y, x``, for images whose files do not say; it becomes a column.
    format
        ``folders`` (default), ``folders-per-class`` (a sub-folder per tag), ``nnunet`` (raw data of nnU-Net, taken by
        default where `source` is one) or ``coco`` (`masks` may name the JSON). The last two name their classes.
    name, kind
        Of the data set; named after `source` when None.
    resample_masks
        Bring masks that lie on another grid onto their image's (nearest voxel); `say` is told what that changed. When
        not set they are refused, unless no voxel changes by it.
    say
        Called with remarks about what was left out or resampled.
    progress
        Called with (done, total, text).

    Raises
    ------
    InputNotFoundError
        `source` or something named in it does not exist.
    DatasetError
        Anything does not fit; the message names up to three faults and counts the others.
    WriteError
        `out` cannot be written.
    """
    folder = Path(source).absolute()
    if folder.is_file():
        raise InputNotFoundError(f"{folder} is a file: name the folder that it lies in.")
    if not folder.is_dir():
        raise InputNotFoundError(f"Folder {folder} does not exist: check the path.")
    layout = format or ("nnunet" if is_nnunet(folder) else "folders")
    if layout != "nnunet" and (folder / FILE_NAME).is_file():
        raise DatasetError(f"{folder} is a data set already: use it as it is, or bring sets together with 'merge'.")
    planner = FORMATS.get(layout)
    if planner is None:
        raise DatasetError(f"Format '{layout}' is not known: choose from {', '.join(FORMATS)}.")
    _refuse_contradictions(kind, classes, instances, source_column, source_value)
    options = Options(
        source=folder,
        images=images,
        masks=masks,
        table=table,
        id_column=id_column,
        columns={
            "tag": tag_column,
            "grade": grade_column,
            "group": group_column,
            "source": source_column,
            "laterality": laterality_column,
        },
        say=say or _say_nothing,
    )
    plan = planner(options)
    if classes is None and not instances:
        classes = plan.classes
    cases = plan.cases
    if grades:
        cases = with_known_grades(cases, grades, options.say)
    common = {"source": source_value} if source_value else {}
    if spacing is not None:
        common["spacing"] = format_spacing(spacing)
        parse_spacing(common["spacing"])
    cases = [replace(case, cells={**case.cells, **common}) for case in cases]
    return write_dataset(
        Path(out).absolute(),
        cases,
        name=name or folder.name,
        kind=kind,
        classes=classes,
        ignore=[*ignore, *plan.ignore],
        instances=instances,
        implies=implies or {},
        grades=grades,
        layers=layers,
        resample=resample_masks,
        say=options.say,
        progress=progress or _no_progress,
    )


def _refuse_contradictions(
    kind: str, classes: Mapping[int, str] | None, instances: str | None, source_column: str | None, source_value: str
) -> None:
    if kind not in KINDS:
        raise DatasetError(f"The kind '{kind}' is unknown: choose from {', '.join(KINDS)}.")
    if classes and instances:
        raise DatasetError("Masks hold either class values or object numbers: give --classes or --instances, not both.")
    if source_column and source_value:
        raise DatasetError("The source is either a column or one name for all cases: give one of the two.")


def find_values(
    source: str | os.PathLike[str],
    *,
    images: str | None = None,
    masks: str | None = None,
    progress: Progress | None = None,
) -> dict[int, int]:
    """Which values the masks of a folder hold, for a person to name.

    Parameters
    ----------
    source, images, masks
        As in `import_dataset`.
    progress
        Called with (done, total, text).

    Returns
    -------
    number of masks that hold a value, by value.

    Raises
    ------
    InputNotFoundError, ReadError
        A folder is missing, or a mask cannot be read.
    """
    none = Options(
        source=Path(source), images=images, masks=masks, table=None, id_column=None, columns={}, say=_say_nothing
    )
    _, files = images_and_masks(Path(source).absolute(), none)
    counts: Counter[int] = Counter()
    for number, mask in enumerate(files):
        (progress or _no_progress)(number, len(files), f"Looking at {mask.name}")
        labels = read_labels(mask).labels
        counts.update({value for band in bands(labels) for value in values_in(band)})
    return dict(sorted(counts.items()))


def guess_kind(source: str | os.PathLike[str]) -> Kind | None:
    """What sort of images a folder holds: what its first file says, else a word in the folder's name.

    Returns
    -------
    None where neither tells, or the folder holds no image that can be read.
    """
    folder = Path(source).absolute()
    none = Options(source=folder, images=None, masks=None, table=None, id_column=None, columns={}, say=_say_nothing)
    try:
        files, _ = images_and_masks(folder, none)
        kind = read(files[0]).kind if files else "image"
    except MedsegError:
        # Said in full when it is imported; this is a proposal alone.
        kind = "image"
    if kind != "image":
        return kind
    named = re.split(r"[^a-z]+", folder.name.lower())
    return next((kind for kind in KINDS if kind != "image" and kind in named), None)


def _say_nothing(text: str) -> None:
    del text


def _no_progress(done: int, total: int, text: str) -> None:
    del done, total, text
