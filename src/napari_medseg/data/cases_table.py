"""``cases.csv``: the table of a data set, read and written under its lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from napari_medseg.data.dataset_file import FILE_NAME
from napari_medseg.data.history import Change, History, now
from napari_medseg.data.locking import FileLock
from napari_medseg.data.rows import case_of_row
from napari_medseg.data.table import Table, read_table, render_table
from napari_medseg.errors import DatasetError, MedsegError, WriteError
from napari_medseg.io.atomic import replacing
from napari_medseg.structures import Case

TABLE_NAME = "cases.csv"
LOCK_NAME = "cases.lock"


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
        self._adopt(table)

    def case(self, case_id: str) -> Case:
        """A case by its id; raises `DatasetError` when there is none."""
        try:
            return self._by_id[case_id]
        except KeyError:
            raise DatasetError(f"{self.folder} has no case '{case_id}': check the id in {TABLE_NAME}.") from None

    def lock(self) -> FileLock:
        """The lock under which the table is read and written again."""
        return FileLock(self.folder / LOCK_NAME)

    def read(self) -> Table:
        """Read the table again; raises `DatasetError`."""
        self._adopt(read_cases(self.folder))
        return self.table

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
            write_cases(self.folder, table)
        except MedsegError as error:
            time = now(microseconds=True)
            try:
                self.history.write(*(replace(change, time=time, what="withdrawn") for change in changes))
            except WriteError as second:
                # Without these lines a check may offer the changes again, which loses nothing.
                error.add_note(str(second))
            raise
        self._adopt(table)

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


def write_cases(folder: Path, table: Table) -> None:
    """Replace the table in one step; raises `WriteError`."""
    content = render_table(table)
    with replacing(folder / TABLE_NAME) as temporary:
        temporary.write_bytes(content)


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
