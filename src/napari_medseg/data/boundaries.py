"""Rows of a case's surfaces, column by column, as a table beside the label image that people and programs can read.

``boundaries/<case>.csv`` has the columns ``bscan``, ``x``, one per surface, and ``anchors``. There is one line per
column of a B-scan in which a surface is known; an empty cell is a missing surface; ``anchors`` names the surfaces, with
``;`` between them, that a person pinned there. Rows are those of `napari_medseg.annotation.surfaces`, with two
decimals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data.boundary_lines import ANCHORS, BSCAN, COLUMN, LineFault, SurfaceLines, read_lines
from napari_medseg.data.table import Table, quoted, read_table, render_table
from napari_medseg.errors import DatasetError
from napari_medseg.io.atomic import replacing

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
            names line and column of the first fault, `faults` lists all.
        """
        if not self.exists:
            return None
        found = self._lines_of(shape)
        if found.faults:
            more = f" (and {len(found.faults) - 1} more faults)" if len(found.faults) > 1 else ""
            raise DatasetError(f"{self.path}: {found.faults[0]}{more}.")
        ordered = np.where(np.isnan(found.rows), np.float32(np.nan), np.fmax.accumulate(found.rows, axis=1))
        crossed = (ordered - found.rows > _ROUNDING).any(axis=1)
        return Boundaries(rows=ordered, pinned=found.pinned & np.isfinite(ordered), crossings=int(crossed.sum()))

    def faults(self, shape: Sequence[int]) -> list[LineFault]:
        """Everything that keeps the file from being read, with line and column; empty without a file.

        Raises
        ------
        DatasetError
            It is no table at all.
        """
        return self._lines_of(shape).faults if self.exists else []

    def _lines_of(self, shape: Sequence[int]) -> SurfaceLines:
        bscans = shape if len(shape) == 3 else (1, *shape)
        return read_lines(read_table(self.path), self.surfaces, bscans)

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
