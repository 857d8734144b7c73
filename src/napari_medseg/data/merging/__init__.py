"""Bring several data sets together into a new one, by the names of their classes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_medseg.data import naming
from napari_medseg.data.cases_table import write_cases
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import check_info, write_info
from napari_medseg.data.history import History, author_name, now
from napari_medseg.data.making import made_at_once, refuse_full_folder
from napari_medseg.data.merging.info import NamedInfo, Say, merged_info, surface_names
from napari_medseg.data.merging.labels import check_labels, copy_boundaries, copy_form, copy_labels, value_table
from napari_medseg.data.rows import COLUMNS, case_of_row
from napari_medseg.data.slide_drawings import copy_slide_drawings
from napari_medseg.data.splitting import given_splits
from napari_medseg.data.table import Table
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.structures import Case, DatasetInfo, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A case of one data set and its row in the merged one, whose label is not known yet."""

    dataset: Dataset
    case: Case
    row: dict[str, str]


def merge_datasets(
    sources: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    name: str | None = None,
    same_groups: bool = False,
    say: Say | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Make a data set of the cases of several others; nothing is written when anything is wrong.

    Classes, tags and surfaces of one name are the same; values in label images are changed accordingly. Labels,
    boundaries and forms are copied, images stay where they are. Where two sets share a case's id, every id gets its
    set's name in front. Cases without a source get their set's name as source.

    Parameters
    ----------
    sources
        Two data sets or more; they stay as they are.
    out
        Folder to make (new or empty).
    name
        Of the new data set; the folder's name when None.
    same_groups
        Groups of one name are one group (the same patients). Otherwise a group belongs to its set, and its name gets
        the set's in front.
    say
        Called with remarks on what the sets do not share.
    progress
        Called with (done, total, text).

    Raises
    ------
    InputNotFoundError
        A source does not exist.
    DatasetError
        A source is damaged, or they contradict each other; the sentence names which and where.
    WriteError
        `out` cannot be written.
    """
    folder = Path(out).absolute()
    refuse_full_folder(folder)
    if len(sources) < 2 or len({Path(source).resolve() for source in sources}) < len(sources):
        raise DatasetError("Merging takes two data sets or more, each named once.")
    sets: dict[str, Dataset] = {}
    for dataset in (Dataset.open(source) for source in sources):
        sets[_free_name(dataset, sets)] = dataset
    said = say or _say_nothing
    info = merged_info([NamedInfo(name=n, info=d.info) for n, d in sets.items()], name or folder.name, said)
    check_info(info)
    planned = _plan(sets, folder, same_groups)
    _check_sources(planned)
    for set_name, dataset in sets.items():
        if (dataset.path / "raters").is_dir():
            said(f"What further raters drew in '{set_name}' (folder 'raters') stays there alone.")
    _write(planned, folder, info, progress or _no_progress)
    return Dataset.open(folder)


def _free_name(dataset: Dataset, taken: dict[str, Dataset]) -> str:
    """A short name for a data set that no other one has; without "/", which stands between it and a group."""
    return _numbered(dataset.info.name.replace("/", "-").strip() or dataset.path.name, {name.lower() for name in taken})


def _plan(sets: dict[str, Dataset], out: Path, same_groups: bool) -> list[_Planned]:
    ids = [case.case.lower() for dataset in sets.values() for case in dataset.cases]
    prefixed = len(set(ids)) < len(ids)
    planned: list[_Planned] = []
    taken: set[str] = set()
    for set_name, dataset in sets.items():
        _refuse_lost_rows(dataset)
        for number, case in enumerate(dataset.cases):
            new_id = _numbered(f"{set_name}_{case.case}" if prefixed else case.case, taken)
            taken.add(new_id.lower())
            row = {**_cells(dataset.table, number), "case": new_id}
            row["image"] = naming.image_cell(dataset.image_path(case), out)
            row["group"] = case.group if same_groups or not case.group else f"{set_name}/{case.group}"
            row["source"] = case.source or set_name
            row |= {"revision": "1", "updated": now()}
            planned.append(_Planned(dataset=dataset, case=case, row=row))
    return planned


def _numbered(wanted: str, taken: set[str]) -> str:
    """A name, with a number where it is taken already, capitals aside."""
    name, number = wanted, 1
    while name.lower() in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name


def _refuse_lost_rows(dataset: Dataset) -> None:
    """Rows without an id, further rows of one id, and cells beyond the last column would be lost."""
    table = dataset.table
    if len(dataset.cases) < len(table.rows) or any(len(row) > len(table.columns) for row in table.rows):
        raise DatasetError(
            f"{dataset.path} has rows that are not understood: run 'napari-medseg dataset check' on it first."
        )


def _cells(table: Table, row: int) -> dict[str, str]:
    """All cells of a row; known columns under their own names, however the table writes them."""
    known = {name.lower(): name for name in COLUMNS}
    return {known.get(name.strip().lower(), name.strip()): table.cell(row, name) for name in reversed(table.columns)}


def _check_sources(planned: Sequence[_Planned]) -> None:
    problems = []
    for entry in planned:
        try:
            check_labels(entry.dataset, entry.case)
        except MedsegError as error:
            problems.append(str(error).rstrip("."))
    table = _table_of([entry.row for entry in planned])
    try:
        given_splits(case_of_row(table, row) for row in range(len(table.rows)))
    except MedsegError as error:
        problems.append(str(error).rstrip("."))
    if problems:
        more = f"; and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise DatasetError(f"Nothing was merged: {'; '.join(problems[:3])}{more}.")


def _write(planned: Sequence[_Planned], out: Path, info: DatasetInfo, progress: Progress) -> None:
    values = {id(entry.dataset): value_table(entry.dataset.info, info) for entry in planned}
    surfaces = {id(entry.dataset): surface_names(entry.dataset.info, info) for entry in planned}
    rows = []
    with made_at_once(out) as folder:
        (folder / "labels").mkdir()
        for number, entry in enumerate(planned):
            dataset, case, new_id = entry.dataset, entry.case, entry.row["case"]
            progress(number, len(planned), f"Copying {new_id}")
            label = copy_labels(dataset, case, folder, new_id, values[id(dataset)], info.classes)
            copy_boundaries(dataset, case, folder, new_id, surfaces[id(dataset)])
            copy_form(dataset, case, folder, new_id)
            copy_slide_drawings(dataset.labels_folder, case.case, folder / "labels", new_id)
            rows.append({**entry.row, "label": label})
        history = History(folder / "history", author_name())
        history.write(*(history.change(row["case"], "add", after=row, revision=1) for row in rows))
        write_cases(folder, _table_of(rows))
        write_info(folder, info)


def _table_of(rows: Sequence[dict[str, str]]) -> Table:
    columns = tuple(dict.fromkeys([*COLUMNS, *(name for row in rows for name in row)]))
    return Table(columns=columns, rows=tuple(tuple(row.get(name, "") for name in columns) for row in rows))


def _say_nothing(text: str) -> None:
    del text


def _no_progress(done: int, total: int, text: str) -> None:
    del done, total, text
