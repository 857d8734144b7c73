"""Levels of slides that a library reads by regions: its tiles go through the cache of all slides."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.slide.cache import TILES, assemble, new_owner
from napari_medseg.io.slide.threads import in_threads

Pixels = npt.NDArray[Any]

#: Tiles of files are joined until their side is about this long: each region costs a call.
_USUAL_SIDE = 512


class RegionReader(Protocol):
    """An open slide, or one that opens when it is first read; can be pickled, and read from several threads."""

    def read(self, level: int, top: int, left: int, height: int, width: int) -> Pixels:
        """Colours of a region of a level, in pixels of that level: uint8 (height, width, 3)."""


class _Level:
    def __init__(self, reader: RegionReader, level: int, shape: tuple[int, int], side: int) -> None:
        self._reader, self._level, self._shape, self._side = reader, level, shape, side
        self._owner = new_owner()

    def __del__(self) -> None:
        TILES.forget(self._owner)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Level, (self._reader, self._level, self._shape, self._side)

    def load(self, block: Block) -> Pixels:
        """Pixels of a block (y, x, c)."""
        return assemble(block, (self._side, self._side), np.dtype(np.uint8), partial(in_threads, self._tile))

    def _tile(self, at: tuple[int, int]) -> Pixels:
        return TILES.get((self._owner, at), partial(self._read, *at))

    def _read(self, row: int, column: int) -> Pixels:
        top, left = row * self._side, column * self._side
        height, width = (min(self._side, n - start) for n, start in zip(self._shape, (top, left), strict=True))
        return self._reader.read(self._level, top, left, height, width)


def region_level(reader: RegionReader, level: int, shape: tuple[int, int], tile: int, *, source: str) -> LazyArray:
    """A level as lazy (y, x, 3) array.

    Parameters
    ----------
    reader
        Reads the slide.
    level
        The library's number of the level.
    shape
        Rows and columns.
    tile
        Side of the file's own tiles along x, or 0 where it is not known.
    source
        The file's name, for messages.
    """
    side = tile * max(1, round(_USUAL_SIDE / tile)) if 0 < tile <= 2 * _USUAL_SIDE else _USUAL_SIDE
    load = _Level(reader, level, shape, side).load
    return LazyArray((*shape, 3), np.uint8, load, source=source, chunks=(side, side, 3))
