"""What was painted on a whole slide, at whatever resolution it is stored: its master, or an imported label image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.data.label_files import Signature, file_signature, open_labels, shape_text
from napari_medseg.data.slide_master import SlideMaster, is_slide_master
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NOT_LOOKED_AT, ArrayLike, Box

Labels = npt.NDArray[np.uint8]

#: Rows and columns that are read at a time of an image that does not say where it is empty.
_PIECE = 2048
#: How far the sides of an imported image, times a whole number, may be from the slide's: half a pixel is rounded off.
_ROUNDING = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Painting:
    """Painted labels of a whole slide.

    Parameters
    ----------
    path
        Where they lie.
    slide_shape
        Rows and columns of the slide's level 0.
    levels
        uint8 (y, x), finest first; pixel k of a level is pixel 2 k of the finer one.
    step
        Level-0 pixels of the slide per pixel of the finest level, along y and x.
    chunks
        Boxes, in pixels of the finest level, outside of which nothing is painted.
    """

    path: Path
    slide_shape: tuple[int, int]
    levels: tuple[ArrayLike, ...]
    step: tuple[float, float]
    chunks: tuple[Box, ...]

    def read(self, box: Box, shape: tuple[int, ...]) -> Labels:
        """The labels of a box of level-0 pixels, brought to a shape; each pixel is that of its centre.

        Where the result is much coarser than the painting, a coarser level is read, at most a quarter of a pixel off.
        """
        steps = [(stop - start) / n for (start, stop), n in zip(box, shape, strict=True)]
        wanted = min(have / own for have, own in zip(steps, self.step, strict=True))
        level = min(max(math.floor(math.log2(max(wanted, 1.0))) - 1, 0), len(self.levels) - 1)
        array, places = self.levels[level], []
        for (start, _), n, step, own, size in zip(box, shape, steps, self.step, array.shape, strict=True):
            finest = np.floor((start + (np.arange(n) + 0.5) * step) / own)
            places.append(np.clip(np.rint(finest / 2**level).astype(np.int64), 0, size - 1))
        spans = tuple(slice(int(place[0]), int(place[-1]) + 1) for place in places)
        part = np.asarray(array[spans])
        return part[np.ix_(*(place - place[0] for place in places))]

    def boxes(self) -> npt.NDArray[np.float64]:
        """Where there may be paint: float64 (n, 4) of y0, y1, x0, x1 in level-0 pixels of the slide."""
        ends = np.array([[*rows, *columns] for rows, columns in self.chunks], np.float64).reshape(-1, 4)
        return np.asarray(ends * np.repeat(self.step, 2))

    def values(self) -> frozenset[int]:
        """Values that occur, without 255; remembered until the painting changes."""
        return _values(self.path, file_signature(self.path), self.slide_shape)


def open_painting(path: Path, case: str, slide_shape: tuple[int, int]) -> Painting:
    """The painting of a slide: its master, or a label image of a whole fraction of its size.

    Raises
    ------
    InputNotFoundError, ReadError
        The file is missing or damaged.
    DatasetError
        It was made for a slide of another size.
    """
    if is_slide_master(path):
        master = SlideMaster.open(path)
        _refuse_other_slide(master.slide_shape == slide_shape, case, master.slide_shape, slide_shape)
        step = (float(master.downsample), float(master.downsample))
        return Painting(
            path=path, slide_shape=slide_shape, levels=master.levels, step=step, chunks=tuple(master.painted())
        )
    array = open_labels(path)
    shape = tuple(array.shape)
    factor = max(1, round(slide_shape[0] / shape[0]))
    fits = len(shape) == 2 and all(
        abs(n * factor - whole) < factor * _ROUNDING for n, whole in zip(shape, slide_shape, strict=True)
    )
    _refuse_other_slide(fits, case, shape, slide_shape)
    step = (slide_shape[0] / shape[0], slide_shape[1] / shape[1])
    return Painting(path=path, slide_shape=slide_shape, levels=(array,), step=step, chunks=tuple(_pieces(shape)))


def _refuse_other_slide(fits: bool, case: str, shape: tuple[int, ...], slide_shape: tuple[int, ...]) -> None:
    if not fits:
        raise DatasetError(
            f"Case '{case}': its labels have {shape_text(shape)} pixels, which is no whole fraction of its slide of "
            f"{shape_text(slide_shape)} pixels: replace one of them."
        )


def _pieces(shape: tuple[int, ...]) -> Iterator[Box]:
    for top in range(0, shape[0], _PIECE):
        for left in range(0, shape[1], _PIECE):
            yield (top, min(top + _PIECE, shape[0])), (left, min(left + _PIECE, shape[1]))


@lru_cache(maxsize=4096)
def _values(path: Path, signature: Signature, slide_shape: tuple[int, int]) -> frozenset[int]:
    painting = open_painting(path, path.stem, slide_shape)
    counts = np.zeros(256, np.int64)
    for box in painting.chunks:
        part = np.asarray(painting.levels[0][tuple(slice(*side) for side in box)])
        counts += np.bincount(part.ravel(), minlength=256)
    return frozenset(int(value) for value in np.flatnonzero(counts)) - {NOT_LOOKED_AT}
