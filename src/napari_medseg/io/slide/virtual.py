"""Coarser levels that a file lacks, computed when they are looked at.

Without them a viewer would decode the whole slide for one overview, again and again. A virtual level is the finer one
halved along y and x, as in a converted pyramid (`napari_medseg.io.halving`). Its tiles go into the cache of all slides;
levels that are small enough are kept for good, so that the overview is computed once.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.io.halving import halved_by_mean
from napari_medseg.io.lazy import Block, LazyArray, wrapped
from napari_medseg.io.slide.cache import TILES, TileCache, assemble, new_owner
from napari_medseg.io.slide.threads import in_threads
from napari_medseg.structures import ArrayLike, Image, Progress

Pixels = npt.NDArray[Any]

#: Neighbouring levels lie at most this far apart; scanners write every second or every fourth.
_LARGEST_STEP = 4.5
#: Levels are added until the longer side is at most this long.
_COARSEST = 1024
#: Images whose longer side is at most this are drawn as a whole.
_NEEDS_LEVELS = 4096
_TILE = 512
#: A virtual level of at most this many bytes is kept as a whole.
_KEPT_BYTES = 96 * 2**20
_AXES = ("yx", "yxc", "cyx")


def with_virtual_levels(image: Image) -> Image:
    """An image with levels at most a factor of four apart, down to an overview; nothing is read yet.

    Volumes, time series and small images are returned as they are.

    Parameters
    ----------
    image
        Of axes ``"yx"``, ``"yxc"`` or ``"cyx"``.
    """
    sides = [max(n for n, axis in zip(level.shape, image.axes, strict=True) if axis != "c") for level in image.levels]
    if image.axes not in _AXES or sides[0] <= _NEEDS_LEVELS:
        return image
    levels: list[ArrayLike] = []
    for level, coarser in zip(image.levels, [*sides[1:], _COARSEST / _LARGEST_STEP], strict=True):
        levels.append(level)
        while max(levels[-1].shape) > _LARGEST_STEP * coarser:
            levels.append(_halved(levels[-1], image.axes))
    return replace(image, levels=tuple(levels))


class VirtualLevel(LazyArray):
    """A level that no file holds: the next finer one, halved.

    Parameters
    ----------
    planes
        One (y, x) or (y, x, c) array; or one (y, x) array per channel, which become the first axis.
    """

    def __init__(self, planes: tuple[_Halved, ...], *, stacked: bool) -> None:
        first = planes[0]
        shape, chunks = first.shape, (_TILE, _TILE, *first.shape[2:])
        if stacked:
            shape, chunks = (len(planes), *shape), (1, *chunks)
        load = partial(_load_stacked, planes) if stacked else first.load
        super().__init__(shape, first.finer.dtype, load, source=first.finer.source, chunks=chunks)
        self.planes = planes
        #: Whether its tiles stay once they are computed.
        self.is_kept = first.is_kept

    def blocks(self) -> Iterator[Block]:
        """Blocks of one tile each that cover the level, row by row."""
        starts = (range(0, n, step) for n, step in zip(self.shape, self.chunks, strict=True))
        for corner in itertools.product(*starts):
            yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, self.chunks, self.shape, strict=True))


def has_slow_overview(image: Image) -> bool:
    """Whether the coarsest level of an image from `with_virtual_levels` is computed from a whole slide's pixels."""
    stored = [level for level in image.levels if not isinstance(level, VirtualLevel)]
    return len(stored) == 1 and len(image.levels) > 1


def prepare_overview(image: Image, progress: Progress) -> None:
    """Compute all levels that are kept, so that nobody waits for the first picture in front of a window.

    Parameters
    ----------
    image
        From `with_virtual_levels`.
    progress
        Called with (tiles done, tiles, text); raises `Cancelled` to stop. What is computed so far stays.
    """
    kept = [level for level in image.levels if isinstance(level, VirtualLevel) and level.is_kept]
    blocks = [(level, block) for level in kept for block in level.blocks()]
    for done, (level, block) in enumerate(blocks):
        progress(done, len(blocks), "overview")
        level[block]
    progress(len(blocks), len(blocks), "overview")


class _Halved:
    """Tiles of a halved (y, x) or (y, x, c) array, each computed from four of the finer array's.

    Parameters
    ----------
    finer
        Array or, where that is virtual too, its tiles.
    """

    def __init__(self, finer: LazyArray | _Halved) -> None:
        is_above_kept = isinstance(finer, _Halved) and finer.is_kept
        self.finer: LazyArray = finer.as_array() if isinstance(finer, _Halved) else finer
        height, width, *rest = self.finer.shape
        self.shape: tuple[int, ...] = ((height + 1) // 2, (width + 1) // 2, *rest)
        size = int(np.prod(self.shape)) * self.finer.dtype.itemsize
        self.is_kept: bool = size <= _KEPT_BYTES
        self._is_first_kept = self.is_kept and not is_above_kept
        self._owner = new_owner()
        self._cache = TileCache(size) if self.is_kept else TILES

    def __del__(self) -> None:
        self._cache.forget(self._owner)

    def __reduce__(self) -> tuple[type[_Halved], tuple[LazyArray]]:
        # Another process computes its own tiles: locks cannot travel.
        return _Halved, (self.finer,)

    def as_array(self) -> LazyArray:
        """The same pixels as array."""
        return LazyArray(self.shape, self.finer.dtype, self.load, source=self.finer.source)

    def load(self, block: Block) -> Pixels:
        """Pixels of a block."""
        return assemble(block, (_TILE, _TILE), self.finer.dtype, self._tiles)

    def _tiles(self, wanted: list[tuple[int, int]]) -> list[Pixels]:
        if self._is_first_kept:
            # Everything above is computed from here: the one place where many tiles are wanted at once.
            return in_threads(self._tile, wanted, depth=1)
        return [self._tile(at) for at in wanted]

    def _tile(self, at: tuple[int, int]) -> Pixels:
        return self._cache.get((self._owner, *at), partial(self._computed, *at))

    def _computed(self, row: int, column: int) -> Pixels:
        side = 2 * _TILE
        pixels = self.finer[row * side : (row + 1) * side, column * side : (column + 1) * side]
        if pixels.ndim == 2:
            return halved_by_mean(pixels)
        return np.ascontiguousarray(np.moveaxis(halved_by_mean(np.moveaxis(pixels, -1, 0)), 0, -1))


def _halved(finer: ArrayLike, axes: str) -> VirtualLevel:
    if isinstance(finer, VirtualLevel):
        return VirtualLevel(tuple(_Halved(plane) for plane in finer.planes), stacked=axes == "cyx")
    array = finer if isinstance(finer, LazyArray) else wrapped(finer, "the image")
    if axes == "cyx":
        return VirtualLevel(tuple(_Halved(array.take(i, 0)) for i in range(array.shape[0])), stacked=True)
    return VirtualLevel((_Halved(array),), stacked=False)


def _load_stacked(planes: tuple[_Halved, ...], block: Block) -> Pixels:
    return np.stack([plane.load(block[1:]) for plane in planes[block[0]]])
