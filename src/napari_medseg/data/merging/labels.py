"""Copy what was drawn on one case into another data set: labels by class name, boundaries by surface name."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data import naming
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.label_files import bands, label_facts, open_labels
from napari_medseg.data.label_store import LabelStore
from napari_medseg.data.rows import parse_region
from napari_medseg.data.table import read_table, render_table
from napari_medseg.errors import DatasetError
from napari_medseg.io import read_labels, write_labels
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Case, DatasetInfo, MaskClass

ValueTable = npt.NDArray[np.uint8]

#: Columns of a table of boundaries that are not surfaces, see ``boundaries.py``.
_ANCHORS = "anchors"


def value_table(part: DatasetInfo, merged: DatasetInfo) -> ValueTable:
    """Label value in the merged data set by value in one of its parts, uint8 (256,)."""
    values = {c.name: c.value for c in merged.classes}
    table = np.full(256, NOT_LOOKED_AT, np.uint8)
    table[BACKGROUND] = BACKGROUND
    for entry in part.classes:
        table[entry.value] = values[entry.name]
    return table


def check_labels(dataset: Dataset, case: Case) -> None:
    """Refuse a label image that is missing, damaged or holds values of no class; raises `MedsegError`."""
    path = dataset.current_label_path(case)
    if path is None:
        return
    known = {BACKGROUND, NOT_LOOKED_AT, *(c.value for c in dataset.info.classes)}
    unknown = sorted(label_facts(path).values - known)
    if unknown:
        raise DatasetError(f"{path} holds the value {unknown[0]}, which is no class of {dataset.path}: declare it")


def copy_labels(
    dataset: Dataset, case: Case, folder: Path, new_id: str, values: ValueTable, classes: tuple[MaskClass, ...]
) -> str:
    """Write a case's labels into another data set.

    Parameters
    ----------
    folder
        The other data set.
    new_id
        The case's id there.
    values, classes
        See `value_table`; the classes of the other data set.

    Returns
    -------
    What the column ``label`` says there; empty when the case has no labels.
    """
    path = dataset.current_label_path(case)
    if path is None:
        return ""
    drawn = path.suffix == ".zarr"
    out = naming.free_path(folder / "labels", new_id, ".zarr" if drawn else ".tif")
    found = read_labels(path)
    if not drawn:
        labels = np.concatenate([values[band] for band in bands(open_labels(path))])
        write_labels(out, labels, classes=classes, spacing=found.spacing, units=found.units)
        return out.name
    array = open_labels(path)
    region = parse_region(case.region)
    known = LabelStore(path, array.shape, case=case.case)
    store = LabelStore(
        out,
        array.shape,
        case=new_id,
        classes=classes,
        spacing=found.spacing,
        units=found.units,
        offset=None if region is None else [start for start, _ in region],
    )
    start = 0
    for band in bands(array):
        box = ((start, start + len(band)), *((0, n) for n in array.shape[1:]))
        store.write_box(box, values[band])
        start += len(band)
    for complete in known.complete_regions:
        store.add_complete_region(complete)
    store.flush()
    return out.name


def copy_boundaries(dataset: Dataset, case: Case, folder: Path, new_id: str, names: Mapping[str, str]) -> None:
    """Copy a case's rows per column, where there are any, with the surfaces' names in the other data set."""
    path = dataset.path / "boundaries" / f"{naming.file_name(case.case)}.csv"
    if not path.exists():
        return
    table = read_table(path)
    for row, text in enumerate(table.column(_ANCHORS)):
        renamed = ";".join(names.get(name, name) for name in text.split(";"))
        if renamed != text:
            table = table.with_cells(row, {_ANCHORS: renamed})
    table = replace(table, columns=tuple(names.get(name, name) for name in table.columns))
    out = folder / "boundaries" / f"{naming.file_name(new_id)}.csv"
    out.parent.mkdir(exist_ok=True)
    out.write_bytes(render_table(table))


def copy_form(dataset: Dataset, case: Case, folder: Path, new_id: str) -> None:
    """Copy what a form asked about a case, where there is an answer."""
    path = dataset.path / "forms" / f"{naming.file_name(case.case)}.json"
    if path.exists():
        out = folder / "forms" / f"{naming.file_name(new_id)}.json"
        out.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, out)
