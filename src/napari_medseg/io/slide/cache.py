"""One bounded store for decoded tiles, shared by all slides and threads of a process."""

from __future__ import annotations

import itertools
import os
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil  # type: ignore[import-untyped]  # it ships no types

Pixels = npt.NDArray[Any]

#: At most this much, and at most this share of the machine's memory.
_LARGEST_BYTES = 256 * 2**20
_SHARE_OF_MEMORY = 16


class TileCache:
    """Keeps the tiles that were used last, up to a number of bytes.

    Safe to use from several threads: a tile that two ask for at once is decoded once.

    Parameters
    ----------
    limit
        Bytes of pixels that are kept. A tile larger than this is handed out but not kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._reset()
        # A lock that another thread held when the process was copied would stay locked forever in the copy.
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._reset)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._pending: dict[Hashable, Future[Pixels]] = {}
        self._gone: deque[Hashable] = deque()
        self._bytes = 0

    @property
    def nbytes(self) -> int:
        """Bytes of pixels that are kept at the moment."""
        return self._bytes

    def get(self, key: Hashable, load: Callable[[], Pixels]) -> Pixels:
        """The tile of a key, loaded where it is not kept; never to be written to.

        Parameters
        ----------
        key
            Names the tile among all tiles of all slides.
        load
            Decodes it. What it raises is raised to all who wait for the tile, and nothing is kept.
        """
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            pending = self._pending.get(key)
            if pending is None:
                mine = self._pending[key] = Future()
        if pending is not None:
            return pending.result()
        try:
            tile = load()
        except BaseException as error:
            with self._lock:
                self._pending.pop(key, None)
            mine.set_exception(error)
            raise
        tile.flags.writeable = False
        with self._lock:
            self._pending.pop(key, None)
            self._keep(key, tile)
        mine.set_result(tile)
        return tile

    def _keep(self, key: Hashable, tile: Pixels) -> None:
        self._drop_gone()
        if tile.nbytes > self.limit:
            return
        self._kept[key] = tile
        self._bytes += tile.nbytes
        while self._bytes > self.limit:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= dropped.nbytes

    def forget(self, owner: Hashable) -> None:
        """Drop the tiles whose keys are tuples that begin with `owner`; for ``__del__``, so it never waits.

        Python may collect an owner at any moment, also while this very thread holds the lock: then the tiles are
        dropped with the next one that is kept.
        """
        self._gone.append(owner)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_gone()
            finally:
                self._lock.release()

    def _drop_gone(self) -> None:
        while self._gone:
            owner = self._gone.popleft()
            for key in [key for key in self._kept if isinstance(key, tuple) and key[:1] == (owner,)]:
                self._bytes -= self._kept.pop(key).nbytes


def _usual_limit() -> int:
    return int(min(_LARGEST_BYTES, psutil.virtual_memory().total // _SHARE_OF_MEMORY))


#: What all slides of this process share.
TILES = TileCache(_usual_limit())

_OWNERS = itertools.count()


def new_owner() -> int:
    """A number that no other owner of tiles in this process has; first part of its keys."""
    return next(_OWNERS)


def assemble(
    block: tuple[slice, ...],
    chunks: tuple[int, int],
    dtype: np.dtype[Any],
    tiles: Callable[[list[tuple[int, int]]], list[Pixels]],
) -> Pixels:
    """Put a block together from the tiles that it touches.

    Parameters
    ----------
    block
        ``slice(start, stop)`` per axis (y, x), or (y, x, c).
    chunks
        Rows and columns of a tile; tiles at the lower and right border may be smaller.
    dtype
        Of the result.
    tiles
        Returns the tiles at (row, column) of the grid of tiles, in the order asked for, as (y, x) or (y, x, c) arrays.

    Returns
    -------
    array of the block's shape.
    """
    rows, columns = block[:2]
    (height, width), rest = chunks, block[2:]
    wanted = [
        (i, j)
        for i in range(rows.start // height, (rows.stop - 1) // height + 1)
        for j in range(columns.start // width, (columns.stop - 1) // width + 1)
    ]
    out = np.empty(tuple(part.stop - part.start for part in block), dtype)
    for (i, j), tile in zip(wanted, tiles(wanted), strict=True):
        top, left = i * height, j * width
        y0, y1 = max(rows.start, top), min(rows.stop, top + tile.shape[0])
        x0, x1 = max(columns.start, left), min(columns.stop, left + tile.shape[1])
        part = tile[(slice(y0 - top, y1 - top), slice(x0 - left, x1 - left), *rest)]
        out[y0 - rows.start : y1 - rows.start, x0 - columns.start : x1 - columns.start] = part
    return out
