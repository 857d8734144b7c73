"""A comma-separated table as spreadsheets leave it, read and written without touching what was not understood."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from napari_medseg.errors import DatasetError, InputNotFoundError

_DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Cells as text, with the dialect of the file they came from.

    Parameters
    ----------
    columns
        Names in the first line, as written there.
    rows
        Cells of the further lines; a row may be shorter or longer than `columns`.
    delimiter, newline, bom
        How the file separates cells and lines, and whether it starts with a byte order mark; kept on writing, so that
        the program that saved the file last opens it again as it likes it.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...] = ()
    delimiter: str = ","
    newline: str = "\n"
    bom: bool = False
    _index: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = [_key(name) for name in self.columns]
        # Of two columns with one name the first counts; reversed, because later entries overwrite earlier ones.
        object.__setattr__(self, "_index", {name: i for i, name in reversed(list(enumerate(names)))})

    def has(self, column: str) -> bool:
        """Whether there is such a column (capitals and spaces around the name do not matter)."""
        return _key(column) in self._index

    def cell(self, row: int, column: str) -> str:
        """One cell; empty where the row is too short or the column is missing."""
        index = self._index.get(_key(column))
        cells = self.rows[row]
        return cells[index] if index is not None and index < len(cells) else ""

    def column(self, column: str) -> tuple[str, ...]:
        """All cells of a column."""
        return tuple(self.cell(row, column) for row in range(len(self.rows)))

    def with_columns(self, names: Sequence[str]) -> Table:
        """The table with missing columns added at the right."""
        missing = tuple(name for name in names if not self.has(name))
        return self._replace(columns=self.columns + missing) if missing else self

    def with_cells(self, row: int, cells: Mapping[str, str]) -> Table:
        """The table with some cells of one row changed and all others as they were."""
        table = self.with_columns([*cells])
        changed = list(table.rows[row])
        for name, text in cells.items():
            index = table._index[_key(name)]
            changed += [""] * (index + 1 - len(changed))
            changed[index] = text
        return table._replace(rows=(*table.rows[:row], tuple(changed), *table.rows[row + 1 :]))

    def with_row(self, cells: Mapping[str, str]) -> Table:
        """The table with a row added below."""
        table = self.with_columns([*cells])
        empty = ("",) * len(table.columns)
        return table._replace(rows=(*table.rows, empty)).with_cells(len(table.rows), cells)

    def with_rows(self, rows: Sequence[tuple[str, ...]]) -> Table:
        """The table with rows added below, whose cells stand in the order of the columns."""
        return self._replace(rows=(*self.rows, *rows)) if rows else self

    def without_row(self, row: int) -> Table:
        """The table without one row."""
        return self._replace(rows=self.rows[:row] + self.rows[row + 1 :])

    def _replace(
        self, *, columns: tuple[str, ...] | None = None, rows: tuple[tuple[str, ...], ...] | None = None
    ) -> Table:
        return Table(
            columns=self.columns if columns is None else columns,
            rows=self.rows if rows is None else rows,
            delimiter=self.delimiter,
            newline=self.newline,
            bom=self.bom,
        )


def parse_table(content: bytes, *, where: str = "the table") -> Table:
    """A table from a file's bytes: UTF-8 with or without mark, UTF-16 with mark, else Windows' Western code page.

    Raises
    ------
    DatasetError
        The bytes are not a table, e.g. a spreadsheet's own format.
    """
    if content.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise DatasetError(f"{where} is a spreadsheet, not text: save it as CSV (UTF-8) and use that file.")
    text, bom = _decode(content)
    first_line = text.splitlines()[0] if text.strip() else ""
    delimiter = max(_DELIMITERS, key=lambda d: len(next(csv.reader([first_line], delimiter=d), [])))
    try:
        lines = [tuple(cells) for cells in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if cells]
    except csv.Error as error:
        raise DatasetError(f"{where} cannot be read as a table ({error}): look for an unclosed quote.") from None
    if not lines:
        raise DatasetError(f"{where} is empty: its first line must name the columns.")
    newline = "\r\n" if "\r\n" in text else "\n"
    return Table(columns=lines[0], rows=tuple(lines[1:]), delimiter=delimiter, newline=newline, bom=bom)


def read_table(path: Path) -> Table:
    """`parse_table` of a file.

    Raises
    ------
    InputNotFoundError, DatasetError
        The file is missing, held by another program, or not a table.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise InputNotFoundError(f"Table {path} does not exist: check the path.") from None
    except OSError as error:
        if path.is_dir():
            raise DatasetError(f"{path} is a folder: name the table's file in it.") from None
        raise DatasetError(
            f"Table {path} cannot be read ({error.strerror}): close it in other programs and try again."
        ) from error
    return parse_table(content, where=str(path))


def render_table(table: Table) -> bytes:
    """The bytes of a table; `parse_table` gives an equal one."""
    lines = (table.delimiter.join(quoted(cell) for cell in cells) for cells in (table.columns, *table.rows))
    # A row of one empty cell would be a blank line, which means no row.
    text = "".join((line or '""') + table.newline for line in lines)
    return text.encode("utf-8-sig" if table.bom else "utf-8", "surrogatepass")


def quoted(cell: str) -> str:
    """A cell as it stands in a table, in quotes where it has to be."""
    # Python 3.11's csv.writer leaves a lone carriage return unquoted, which its reader then takes for a line's end.
    if any(mark in cell for mark in '",;\t\r\n') or cell != cell.strip() or cell.startswith("\ufeff"):
        return '"' + cell.replace('"', '""') + '"'
    return cell


def _decode(content: bytes) -> tuple[str, bool]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace"), True
    bom = content.startswith(b"\xef\xbb\xbf")
    try:
        return content.decode("utf-8-sig"), bom
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace"), False


def _key(name: str) -> str:
    return name.strip().lower()
