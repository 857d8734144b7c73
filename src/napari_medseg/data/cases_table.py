"""``cases.csv``: finding and reading the table of a data set."""

from __future__ import annotations

from pathlib import Path

from napari_medseg.data.dataset_file import FILE_NAME
from napari_medseg.data.table import Table, read_table, render_table
from napari_medseg.errors import DatasetError
from napari_medseg.io.atomic import replacing

TABLE_NAME = "cases.csv"


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
