"""Tiles of a TIFF page, decoded one by one and kept in the cache that all slides share.

tifffile's zarr store does the same without a cache; on JPEG tiles of 256 pixels this takes two thirds of its time.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_medseg.errors import ReadError
from napari_medseg.io.lazy import Block
from napari_medseg.io.slide.cache import TILES, assemble, new_owner
from napari_medseg.io.slide.damage import note_damage, placeholder
from napari_medseg.io.slide.threads import in_threads

Pixels = npt.NDArray[Any]

#: Compressions whose tiles share their tables: old and new JPEG, and two of Hamamatsu's and Aperio's numbers for it.
_JPEG = (6, 7, 34892, 33007)
#: JPEG 2000, as Aperio and others number it.
_JPEG_2000 = (33003, 33004, 33005, 34712)


def has_readable_tiles(level: tifffile.TiffPageSeries) -> bool:
    """Whether a level is one page of tiles in which the samples of a pixel lie side by side."""
    page = level.keyframe
    return bool(
        len(level.pages) == 1
        and page.is_tiled
        and page.planarconfig == 1
        and page.tiledepth in (0, 1)
        and level.axes in ("YX", "YXS")
        and (not page.is_subsampled or page.compression in _JPEG)
    )


class TiffTiles:
    """Pixels of one level; indexed with a `Block`.

    Safe to use from several threads. Tiles that the file leaves out are white in colour slides, as on the glass, and
    zero elsewhere. Tiles in lossy colours that cannot be decoded are replaced (`napari_medseg.io.slide.damage`); others
    may hold labels, where nothing may be made up.

    Parameters
    ----------
    path
        The file, which is opened again: whoever follows the pages of an open one moves its position, unlocked.
    level
        One with `has_readable_tiles`, of a file that is open now.
    """

    def __init__(self, path: Path, level: tifffile.TiffPageSeries) -> None:
        self._path = path
        self._page = level.keyframe
        # Made here, as it reads tags from the file that tifffile has open.
        self._decode: Callable[..., Any] = level.keyframe.decode
        self._file = path.open("rb")
        self._lock = threading.Lock()
        first = level.pages[0]
        assert first is not None
        self._places = tuple(first.dataoffsets), tuple(first.databytecounts)
        self._shape = level.shape
        self._dtype = np.dtype(level.dtype)
        self._empty = 255 if level.axes == "YXS" and self._dtype == np.uint8 else self._page.nodata
        is_picture = level.axes == "YXS" and self._dtype == np.uint8 and level.shape[2] == 3
        self._may_be_replaced = is_picture and self._page.compression in (*_JPEG, *_JPEG_2000)
        self._tables: dict[str, Any] = {}
        if self._page.compression in _JPEG:
            self._tables = {"jpegtables": self._page.jpegtables, "jpegheader": self._page.jpegheader}
        self._columns = -(-self._page.imagewidth // self._page.tilewidth)
        self._owner = new_owner()
        weakref.finalize(self, _release, self._owner, self._file)

    def __getitem__(self, block: Block) -> Pixels:
        chunks = (self._page.tilelength, self._page.tilewidth)
        return assemble(block, chunks, self._dtype, self._tiles)

    def _tiles(self, wanted: list[tuple[int, int]]) -> list[Pixels]:
        return in_threads(self._tile, [i * self._columns + j for i, j in wanted])

    def _tile(self, index: int) -> Pixels:
        return TILES.get((self._owner, index), lambda: self._decoded(index))

    def _decoded(self, index: int) -> Pixels:
        offset, count = (part[index] for part in self._places)
        stored = self._stored(offset, count, index) if count else None
        try:
            decoded, _, shape = self._decode(stored, index, **self._tables)
        except Exception:
            # Decoders raise whatever they like.
            if not self._may_be_replaced:
                raise
            note_damage(self._path, (self._page.index, index))
            return placeholder(self._page.tilelength, self._page.tilewidth)
        _, height, width, samples = shape
        tail = (samples,) if len(self._shape) == 3 else ()
        if decoded is None:
            return np.full((height, width, *tail), self._empty, self._dtype)
        inside: Pixels = decoded[0, :height, :width]
        # At the border a copy lets go of what lies outside the image.
        return (inside if inside.size == decoded.size else inside.copy()).reshape(height, width, *tail)

    def _stored(self, offset: int, count: int, index: int) -> bytes:
        with self._lock:
            self._file.seek(offset)
            stored = self._file.read(count)
        if len(stored) < count:
            raise ReadError(f"{self._path} is cut short: tile {index} is missing, copy it again from its source.")
        return stored


def _release(owner: int, file: IO[bytes]) -> None:
    TILES.forget(owner)
    file.close()
