"""``cases.csv``: the table of a data set, read and written under its lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from napari_medseg.data.dataset_file import FILE_NAME
from napari_medseg.data.history import Change, History, now
from napari_medseg.data.locking import FileLock
from napari_medseg.data.lost_changes import lost_changes, restored, went_back
from napari_medseg.data.rows import case_of_row
from napari_medseg.data.table import Table, read_table, render_table
from napari_medseg.data.table_merging import merged
from napari_medseg.errors import DatasetError, LockedError, MedsegError, WriteError
from napari_medseg.io.atomic import replacing
from napari_medseg.structures import Case

TABLE_NAME = "cases.csv"
LOCK_NAME = "cases.lock"
#: How often a write begins anew because a program without the lock saved the table meanwhile.
_ATTEMPTS = 20


class CaseTable:
    """The table as last read or written, and the one way to change it.

    Parameters
    ----------
    folder
        The data set.
    history
        Where changes are noted before they are made.
    table
        What was read just now.
    """

    def __init__(self, folder: Path, history: History, table: Table) -> None:
        self.folder = folder
        self.history = history
        self.table = Table(columns=())
        self.cases: tuple[Case, ...] = ()
        self._by_id: dict[str, Case] = {}
        self._parsed: dict[tuple[str, ...], Case] = {}
        #: What the file was when it was last read or written, and its content then.
        self._signature = _signature_of(folder)
        self._base = table
        self._adopt(table)

    def case(self, case_id: str) -> Case:
        """A case by its id; raises `DatasetError` when there is none."""
        try:
            return self._by_id[case_id]
        except KeyError:
            raise DatasetError(f"{self.folder} has no case '{case_id}': check the id in {TABLE_NAME}.") from None

    def find(self, case_id: str) -> Case | None:
        """A case by its id; None when there is none."""
        return self._by_id.get(case_id)

    def is_stale(self) -> bool:
        """Whether another program saved the table since it was last read or written here."""
        return _signature_of(self.folder) != self._signature

    def lock(self) -> FileLock:
        """The lock under which the table is read and written again."""
        return FileLock(self.folder / LOCK_NAME)

    def read(self, lock: FileLock | None = None) -> Table:
        """Read the table again.

        Where rows went back, because a spreadsheet saved a copy that it had opened earlier, what they lost is taken
        from the history and written.

        Parameters
        ----------
        lock
            The table's lock where it is held; otherwise it is taken when something must be written.

        Raises
        ------
        DatasetError, WriteError, LockedError
            The table cannot be read, or not be mended.
        """
        known = self._by_id
        self._read_file()
        if went_back(known, self._by_id):
            if lock is not None:
                self._restore(lock)
            else:
                with self.lock() as own:
                    self._read_file()
                    self._restore(own)
        return self.table

    def _read_file(self) -> None:
        self._signature = _signature_of(self.folder)
        self._base = read_cases(self.folder)
        self._adopt(self._base)

    def _restore(self, lock: FileLock) -> None:
        lost = lost_changes(self.table, self.history.read())
        table = restored(self.table, lost)
        changes = [
            self.history.change(
                case_id,
                "update",
                before=each.before,
                after=each.after,
                revision=case_of_row(table, each.row).revision,
            )
            for case_id, each in lost.items()
        ]
        if lost:
            self.write(lock, table, changes)

    def write(self, lock: FileLock, table: Table, changes: Sequence[Change]) -> None:
        """History first, then the table; changes that fail are withdrawn.

        Raises
        ------
        WriteError, LockedError
            The folder cannot be written, or another program took the lock over; the table is as it was.
        """
        self.history.write(*changes)
        try:
            lock.beat()
            table = self._write_merged(table)
        except MedsegError as error:
            time = now(microseconds=True)
            try:
                self.history.write(*(replace(change, time=time, what="withdrawn") for change in changes))
            except WriteError as second:
                # Without these lines a check may offer the changes again, which loses nothing.
                error.add_note(str(second))
            raise
        self._adopt(table)

    def _write_merged(self, table: Table) -> Table:
        """Replace the table; what a program without the lock saved since it was read is kept, and returned too."""
        for _ in range(_ATTEMPTS):
            try:
                write_cases(self.folder, table, unless=lambda: _signature_of(self.folder) != self._signature)
            except _SavedMeanwhileError:
                self._signature = _signature_of(self.folder)
                theirs = read_cases(self.folder)
                table, replaced = merged(self._base, table, theirs)
                self._base = theirs
                for case_id, cells in replaced.items():
                    self.history.write(self.history.change(case_id, "conflict", after=cells))
            else:
                self._signature, self._base = _signature_of(self.folder), table
                return table
        raise LockedError(f"{self.folder / TABLE_NAME} is saved by another program again and again: close it there.")

    def _adopt(self, table: Table) -> None:
        # Rows that stayed the same are not parsed again: saving one of ten thousand cases must stay quick.
        known = self._parsed if table.columns == self.table.columns else {}
        self._parsed = {cells: known.get(cells) or case_of_row(table, row) for row, cells in enumerate(table.rows)}
        cases: dict[str, Case] = {}
        for case in (self._parsed[cells] for cells in table.rows):
            if case.case:
                cases.setdefault(case.case, case)
        self.table, self._by_id, self.cases = table, cases, tuple(cases.values())


def read_cases(folder: Path) -> Table:
    """The table of a data set.

    Raises
    ------
    DatasetError
        It is missing, cannot be read, or lacks the columns ``case`` and ``image``.
    """
    path = folder / TABLE_NAME
    if not path.exists():
        raise DatasetError(
            f"{folder} has {FILE_NAME} but no {TABLE_NAME}: restore it, or run 'dataset check --repair' on it."
        )
    table = read_table(path)
    missing = [name for name in ("case", "image") if not table.has(name)]
    if missing:
        raise DatasetError(f"{path} has no column '{missing[0]}': its first line must name the columns, 'case' first.")
    return table


def write_cases(folder: Path, table: Table, *, unless: Callable[[], bool] = bool) -> None:
    """Replace the table in one step, unless something is so right before; raises `WriteError`."""
    content = render_table(table)
    with replacing(folder / TABLE_NAME) as temporary:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            # The slow part is done before the last look.
            os.fsync(file.fileno())
        if unless():
            raise _SavedMeanwhileError


class _SavedMeanwhileError(Exception):
    """Another program saved the table between reading and writing."""


def _signature_of(folder: Path) -> tuple[int, int, int]:
    """What changes when somebody saves the table."""
    try:
        found = (folder / TABLE_NAME).stat()
    except OSError:
        return (0, 0, 0)
    return found.st_mtime_ns, found.st_size, found.st_ino


def row_of(table: Table, case_id: str) -> int:
    """Index of a case's row; raises `DatasetError` where there is none, or more than one."""
    rows = [row for row, name in enumerate(table.column("case")) if name.strip() == case_id]
    if not rows:
        raise DatasetError(f"Case '{case_id}' is no longer in the table: reload the data set.")
    if len(rows) > 1:
        raise DatasetError(
            f"Case '{case_id}' stands in rows {line_of(rows[0])} and {line_of(rows[1])} of {TABLE_NAME}: "
            "rename one of them first."
        )
    return rows[0]


def line_of(row: int) -> int:
    """A row's number as a spreadsheet shows it, under the line of column names."""
    return row + 2
