"""A pyramid that is written from top to bottom, in bands, with all its levels at once.

So a slide's labels can be looked at while they are made, and nothing has to be read again to make the coarser levels.
A band may be written again, with the same result: what a killed program left unfinished is simply redone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_medseg.io.atomic import not_written
from napari_medseg.io.pyramid import blocks_of
from napari_medseg.structures import Box

Pixels = npt.NDArray[Any]


class GrowingPyramid:
    """The levels of an OME-Zarr from `napari_medseg.io.pyramid.create_pyramid`.

    Parameters
    ----------
    path
        Its folder.
    halve
        How a level is made from the one before.
    finest_only
        Write the finest level alone, because several programs write different rows of it at a time, which share the
        files of coarser levels; those are left to `complete`.
    """

    def __init__(self, path: Path, halve: Callable[[Pixels], Pixels], *, finest_only: bool = False) -> None:
        group = zarr.open_group(path, mode="r+", use_consolidated=False)
        names = sorted((name for name, _ in group.arrays()), key=int)
        self.levels: list[Any] = [group[name] for name in names]
        self._path, self._halve = path, halve
        self._written = self.levels[:1] if finest_only else self.levels

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the finest level."""
        return tuple(self.levels[0].shape)

    def write(self, pixels: Pixels, top: int, left: int) -> None:
        """Write a block and what it becomes in all coarser levels.

        Columns on either side that hold nothing but the fill value are left out: most of a slide is glass.

        Parameters
        ----------
        pixels
            (y, x) or (c, y, x), all channels.
        top, left
            Its first row and column. Blocks that share a pixel of a coarser level overwrite each other there: their
            borders have to lie on multiples of 2 ** (levels - 1), or nothing but the fill value next to them.

        Raises
        ------
        WriteError
            The disk is full, or the folder cannot be written any more.
        """
        step = 2 ** (len(self.levels) - 1)
        height, width = self.shape[-2:]
        before = (top % step, left % step)
        ends = [start + n for start, n in zip((top, left), pixels.shape[-2:], strict=True)]
        after = [min(-end % step, n - end) for end, n in zip(ends, (height, width), strict=True)]
        block = pixels
        if any(before) or any(after):
            rest = [(0, 0)] * (pixels.ndim - 2)
            padding = [*rest, (before[0], after[0]), (before[1], after[1])]
            block = np.pad(pixels, padding, constant_values=self.levels[0].fill_value)
        top, left = top - before[0], left - before[1]
        kept = self._filled(block, left)
        block, left = block[..., kept], left + kept.start
        with self._telling():
            for level in self._written if block.size else ():
                rows, columns = (slice(at, at + n) for at, n in zip((top, left), block.shape[-2:], strict=True))
                level[..., rows, columns] = block
                block, top, left = self._halve(block), top // 2, left // 2

    def _filled(self, block: Pixels, left: int) -> slice:
        """Columns of a block between whose ends lies all that differs from the fill value; whole stored pieces."""
        level = self.levels[0]
        columns = np.flatnonzero((block != level.fill_value).any(axis=tuple(range(block.ndim - 1))))
        if not columns.size:
            return slice(0, 0)
        step, stored = 2 ** (len(self.levels) - 1), (level.shards or level.chunks)[-1]
        unit = stored if stored % step == 0 else step
        first = (left + int(columns[0])) // unit * unit - left
        last = -(-(left + int(columns[-1]) + 1) // unit) * unit - left
        return slice(max(first, 0), min(last, block.shape[-1]))

    def complete(self) -> None:
        """Make all coarser levels from the finest, file by file: the same as if each block had made them at once."""
        with self._telling():
            for finer, level in itertools.pairwise(self.levels):
                for block in blocks_of(level):
                    plane = tuple(slice(2 * p.start, 2 * p.stop) for p in block[-2:])
                    level[block] = self._halve(np.asarray(finer[(*block[:-2], *plane)]))

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Say of a full disk what it means."""
        try:
            yield
        except OSError as error:
            raise not_written(self._path, error) from error

    def part(self, region: Box, convert: Callable[[Pixels], Pixels] | None = None) -> PyramidPart:
        """A region to which whole rows are assigned."""
        return PyramidPart(self, region, convert)


class PyramidPart:
    """A region of a pyramid, as an array to which blocks of whole rows are assigned from top to bottom.

    Parameters
    ----------
    convert
        Applied to what is assigned (other numbers are stored than are computed).
    """

    def __init__(self, whole: GrowingPyramid, region: Box, convert: Callable[[Pixels], Pixels] | None) -> None:
        self._whole, self._convert = whole, convert
        (self.origin, _), (self._left, _) = region
        self.shape = (*whole.shape[:-2], *(stop - start for start, stop in region))
        self.chunks = tuple(whole.levels[0].shards or whole.levels[0].chunks)

    def __setitem__(self, key: tuple[slice, ...], pixels: Pixels) -> None:
        """Write rows; `key` ends with their slice, counted from the region's first row."""
        block = pixels if self._convert is None else self._convert(pixels)
        self._whole.write(block, self.origin + key[-1].start, self._left)
