"""Rows of a case's surfaces, column by column, as a table beside the label image that people and programs can read.

``boundaries/<case>.csv`` has the columns ``bscan``, ``x``, one per surface, and ``anchors``. There is one line per
column of a B-scan in which a surface is known; an empty cell is a missing surface; ``anchors`` names the surfaces, with
``;`` between them, that a person pinned there. Rows are those of `napari_medseg.annotation.surfaces`, with two
decimals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data.table import Table, quoted, read_table, render_table
from napari_medseg.errors import DatasetError
from napari_medseg.io.atomic import replacing

BSCAN, COLUMN, ANCHORS = "bscan", "x", "anchors"
#: How far a lower surface may lie above an upper one and still count as touching it: two decimals, rounded.
_ROUNDING = 0.011


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundaries:
    """Surfaces of a case.

    Parameters
    ----------
    rows
        float32 (bscan, surface, x), NaN where a surface is missing.
    pinned
        bool (bscan, surface, x): where a person set an anchor.
    crossings
        Columns in which surfaces crossed in the file; there the upper one counts and the lower ones were moved down.
    """

    rows: npt.NDArray[np.float32]
    pinned: npt.NDArray[np.bool_]
    crossings: int = 0


class BoundaryStore:
    """The file with the surfaces of one case.

    Parameters
    ----------
    path
        ``<dataset>/boundaries/<case>.csv``; it need not exist.
    surfaces
        Names from top to bottom, as the data set declares them.
    """

    def __init__(self, path: Path, surfaces: Sequence[str]) -> None:
        self.path = path
        self.surfaces = tuple(surfaces)

    @property
    def exists(self) -> bool:
        """Whether there is a file."""
        return self.path.is_file()

    def read(self, shape: Sequence[int]) -> Boundaries | None:
        """The surfaces of the case; None without a file.

        A surface of the data set that the file lacks is missing everywhere.

        Parameters
        ----------
        shape
            Of the case's image, ``(y, x)`` or ``(bscan, y, x)``.

        Raises
        ------
        DatasetError
            The file cannot be understood, names another surface, or has columns or rows outside the image; the message
            names line and column.
        """
        if not self.exists:
            return None
        table = read_table(self.path)
        bscans, height, width = (1, *shape) if len(shape) == 2 else shape
        names = self._columns(table)
        rows = np.full((bscans, len(self.surfaces), width), np.nan, np.float32)
        pinned = np.zeros(rows.shape, bool)
        seen: dict[tuple[int, int], int] = {}
        for number, cells in enumerate(_cells(table)):
            where = f"{self.path} line {number + 2}"
            place = tuple(_index(cells, *axis, where) for axis in ((BSCAN, bscans), (COLUMN, width)))
            first = seen.setdefault((place[0], place[1]), number)
            if first != number:
                raise DatasetError(f"{where} repeats the column of line {first + 2}: remove one of them.")
            for index, name in names.items():
                rows[place[0], index, place[1]] = _row(cells.get(name, ""), name, height, where)
            for index in self._anchors(cells.get(ANCHORS, ""), where):
                pinned[place[0], index, place[1]] = True
        ordered = np.where(np.isnan(rows), np.float32(np.nan), np.fmax.accumulate(rows, axis=1))
        crossed = (ordered - rows > _ROUNDING).any(axis=1)
        return Boundaries(rows=ordered, pinned=pinned & np.isfinite(ordered), crossings=int(crossed.sum()))

    def write(self, rows: npt.NDArray[np.float32], pinned: npt.NDArray[np.bool_] | None = None) -> None:
        """Write the surfaces of the case, all of them, in one step.

        Parameters
        ----------
        rows
            (bscan, surface, x), NaN where a surface is missing; in every column not decreasing.
        pinned
            bool, shaped as `rows`.

        Raises
        ------
        DatasetError
            Surfaces cross, or their number is another one than the data set's.
        WriteError
            The file cannot be written; it is as it was.
        """
        if rows.ndim != 3 or rows.shape[1] != len(self.surfaces):
            raise DatasetError(
                f"{self.path} was not written: {len(self.surfaces)} surfaces are declared, but the rows have the shape "
                f"{rows.shape}; reopen the case."
            )
        crossed = np.argwhere((np.fmax.accumulate(rows, axis=1) - rows > _ROUNDING).any(axis=1))
        if len(crossed):
            bscan, x = crossed[0]
            raise DatasetError(
                f"{self.path} was not written: surfaces cross in B-scan {bscan + 1}, column {x}; draw them apart."
            )
        header = render_table(Table(columns=(BSCAN, COLUMN, *self.surfaces, ANCHORS)))
        lines = self._lines(rows, np.zeros(rows.shape, bool) if pinned is None else pinned)
        with replacing(self.path) as temporary:
            temporary.write_bytes(header + "".join(lines).encode())

    def _lines(self, rows: npt.NDArray[np.float32], pinned: npt.NDArray[np.bool_]) -> Iterator[str]:
        """Lines of the table; numbers need no quotes, and a volume has half a million of them."""
        whole = np.floor(rows, dtype=np.float64)
        # Rounded up to a whole row, a surface would pass to the other side of that pixel.
        values = (whole + np.minimum(np.round((rows - whole) * 100), 99) / 100).swapaxes(1, 2)
        has_anchors = np.asarray(pinned.any(axis=1))
        for bscan, x in np.argwhere(np.isfinite(values).any(axis=2)).tolist():
            cells = ("" if math.isnan(row) else f"{row:.2f}" for row in values[bscan, x].tolist())
            anchors = ""
            if has_anchors[bscan, x]:
                names = (name for name, there in zip(self.surfaces, pinned[bscan, :, x], strict=True) if there)
                anchors = quoted(";".join(names))
            yield f"{bscan},{x},{','.join(cells)},{anchors}\n"

    def _columns(self, table: Table) -> Mapping[int, str]:
        """Name of each surface's column as the file writes it, by index of the surface."""
        for name in (BSCAN, COLUMN):
            if not table.has(name):
                raise DatasetError(f"{self.path} has no column '{name}': its first line must name '{BSCAN}' and 'x'.")
        columns: dict[int, str] = {}
        for name in table.columns:
            if name.strip().lower() in ("", BSCAN, COLUMN, ANCHORS):
                continue
            if name.strip() not in self.surfaces:
                raise DatasetError(
                    f"{self.path} has the column '{name}', which is no surface of the data set: rename the column, or "
                    "declare the surface in dataset.json."
                )
            index = self.surfaces.index(name.strip())
            if index in columns:
                raise DatasetError(f"{self.path} has the column '{name}' twice: remove one.")
            columns[index] = name.strip()
        return columns

    def _anchors(self, text: str, where: str) -> Iterator[int]:
        names = [name.strip() for name in text.split(";") if name.strip()]
        for name in names:
            if name not in self.surfaces:
                raise DatasetError(f"{where}: '{name}' in the column '{ANCHORS}' is no surface: correct its name.")
            yield self.surfaces.index(name)


def _cells(table: Table) -> Iterator[Mapping[str, str]]:
    """The lines of a table by column."""
    names = [name.strip() for name in table.columns]
    names = [name.lower() if name.lower() in (BSCAN, COLUMN, ANCHORS) else name for name in names]
    return (dict(zip(names, (cell.strip() for cell in line), strict=False)) for line in table.rows)


def _index(cells: Mapping[str, str], name: str, size: int, where: str) -> int:
    text = cells.get(name, "")
    if not (text.isascii() and text.isdigit()):
        raise DatasetError(f"{where}: {name} '{text}' is no whole number: correct it.")
    if int(text) >= size:
        raise DatasetError(f"{where}: {name} {text} lies outside the image, which has {size}: correct or remove it.")
    return int(text)


def _row(text: str, name: str, height: int, where: str) -> float:
    if not text:
        return math.nan
    try:
        # A spreadsheet that separates cells by ';' writes decimals with a comma.
        row = float(text.replace(",", "."))
    except ValueError:
        raise DatasetError(f"{where}: {name} '{text}' is no number: correct it, or leave it empty.") from None
    if not -0.5 <= row <= height - 0.5:
        raise DatasetError(
            f"{where}: {name} {text} lies outside the image, whose rows go from -0.5 to {height - 0.5}: correct it."
        )
    return row
