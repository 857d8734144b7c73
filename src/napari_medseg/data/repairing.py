"""Mend what a crash, or a spreadsheet with an old copy of the table, left in a data set.

Nothing is deleted but temporary files. What is mended: left-over temporary files and locks of dead programs; a missing
table; changes that are in the history but not in the table; label images that no row names; rows whose label image is
missing while another copy exists.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_medseg.data.cases_table import LOCK_NAME, TABLE_NAME, read_cases, write_cases
from napari_medseg.data.dataset_file import read_info
from napari_medseg.data.history import Change, History, author_name, now
from napari_medseg.data.label_layout import lock_path, own_attributes
from napari_medseg.data.locking import FileLock
from napari_medseg.data.lost_changes import lost_changes, restored
from napari_medseg.data.rows import COLUMNS, case_of_row
from napari_medseg.data.table import Table
from napari_medseg.structures import Case


def repair(folder: Path) -> list[str]:
    """Mend a data set folder.

    Returns
    -------
    what was mended, a sentence each.

    Raises
    ------
    InputNotFoundError, DatasetError, WriteError, LockedError
        The folder is no data set, or cannot be written.
    """
    read_info(folder)
    done = _remove_leftovers(folder)
    with FileLock(folder / LOCK_NAME) as lock:
        changes = History(folder / "history", author_name()).read()
        table, mended = _restore_table(folder, changes)
        for step in (_redo_lost_changes, _readopt_labels, _find_labels):
            table, said = step(folder, table, changes)
            mended += said
        if mended:
            lock.beat()
            write_cases(folder, table)
    return done + mended


def unnamed_labels(folder: Path, table: Table) -> dict[str, str]:
    """Working label images that no row names: case id noted inside, by file name."""
    named = {text.strip() for text in table.column("label")}
    found = {}
    for path in sorted((folder / "labels").glob("*.zarr")):
        if path.name not in named and (path / "zarr.json").exists():
            found[path.name] = str(own_attributes(path).get("case", ""))
    return found


def _remove_leftovers(folder: Path) -> list[str]:
    """Temporary files; each kind under the lock that its writer holds, so that no living writer loses one."""
    removed = 0
    with FileLock(folder / LOCK_NAME):
        patterns = (f".{TABLE_NAME}.*.tmp", ".dataset.json.*.tmp", f"{LOCK_NAME}.*")
        removed += sum(_remove(path) for pattern in patterns for path in folder.glob(pattern))
    labels = folder / "labels"
    stores = {p.name for p in labels.glob("*.zarr")} | {
        p.name.removesuffix(".partial") for p in labels.glob("*.partial")
    }
    for name in sorted(stores):
        with FileLock(lock_path(labels / name)):
            removed += _remove(labels / f"{name}.partial")
            removed += sum(_remove(path) for path in (labels / name).rglob("*.partial"))
    return [f"Removed {removed} temporary files of programs that were interrupted."] if removed else []


def _remove(path: Path) -> int:
    if path.is_dir():
        shutil.rmtree(path)
    elif path.exists():
        path.unlink()
    else:
        return 0
    return 1


def _restore_table(folder: Path, changes: Sequence[Change]) -> tuple[Table, list[str]]:
    if (folder / TABLE_NAME).exists():
        return read_cases(folder), []
    table = Table(columns=COLUMNS)
    for row in _rows_of_history(changes).values():
        table = table.with_row(row)
    return table, [f"Made {TABLE_NAME} again from the history: {len(table.rows)} cases."]


def _rows_of_history(changes: Sequence[Change]) -> dict[str, dict[str, str]]:
    """Every case that was added and not removed, with the cells that it had last."""
    rows: dict[str, dict[str, str]] = {}
    for change in changes:
        if change.what == "add":
            rows[change.case] = dict(change.after)
        elif change.what == "update" and change.case in rows:
            rows[change.case] |= {**change.after, "revision": str(change.revision), "updated": change.time}
        elif change.what == "remove":
            rows.pop(change.case, None)
    return rows


def _redo_lost_changes(folder: Path, table: Table, changes: Sequence[Change]) -> tuple[Table, list[str]]:
    lost = lost_changes(table, changes)
    mended = [
        f"Case '{case_id}': restored {', '.join(sorted(each.after))} from the history."
        for case_id, each in lost.items()
    ]
    return restored(table, lost), mended


def _readopt_labels(folder: Path, table: Table, changes: Sequence[Change]) -> tuple[Table, list[str]]:
    """Name label images in their rows again; bring rows back whose labels are still there."""
    mended = []
    known = _rows_of_history(changes)
    removed = {c.case for c in changes if c.what == "remove"}
    for name, case_id in unnamed_labels(folder, table).items():
        row = _first_row(table, case_id)
        if row < 0 and case_id in known:
            table = table.with_row({**known[case_id], "label": name})
            mended.append(f"Case '{case_id}': its row was missing while its labels are there; brought back.")
        elif row < 0 and case_id in removed:
            trash = folder / "history" / "trash"
            trash.mkdir(parents=True, exist_ok=True)
            os.replace(folder / "labels" / name, trash / f"{_stamp()}-{name}")
            mended.append(f"Case '{case_id}' was removed: moved its labels to history/trash.")
        elif row >= 0:
            case = case_of_row(table, row)
            if case.label in ("", own_attributes(folder / "labels" / name).get("from")):
                table = table.with_cells(row, _adopting(case, name))
                mended.append(f"Case '{case_id}': its row did not name its labels {name}; named again.")
    return table, mended


def _adopting(case: Case, name: str) -> Mapping[str, str]:
    status = "draft" if case.status == "todo" else case.status
    cells = {"label": name, "status": status, "revision": str(case.revision + 1), "updated": now()}
    return cells if case.origin else {**cells, "origin": "person"}


def _find_labels(folder: Path, table: Table, changes: Sequence[Change]) -> tuple[Table, list[str]]:
    """Bring label images back that a row names but that are not there: from the trash, or in their imported form."""
    mended = []
    for row in range(len(table.rows)):
        case = case_of_row(table, row)
        path = folder / "labels" / case.label
        # A name that leaves the folder is a fault of the row, not of a crash.
        if not case.label or ".." in path.parts or path.exists():
            continue
        trashed = sorted((folder / "history" / "trash").glob(f"*-{path.name}"))
        imported = [p for p in sorted(path.parent.glob(f"{path.stem}.*")) if not p.name.endswith((".partial", ".lock"))]
        if trashed:
            os.replace(trashed[-1], path)
            mended.append(f"Case '{case.case}': took its labels {path.name} out of history/trash.")
        elif len(imported) == 1:
            cells = {"label": imported[0].name, "revision": str(case.revision + 1), "updated": now()}
            table = table.with_cells(row, cells)
            mended.append(f"Case '{case.case}': its labels {path.name} are gone; went back to {imported[0].name}.")
    return table, mended


def _first_row(table: Table, case_id: str) -> int:
    ids = [name.strip() for name in table.column("case")]
    return ids.index(case_id) if case_id in ids else -1


def _stamp() -> str:
    return now(microseconds=True).replace(":", "")
