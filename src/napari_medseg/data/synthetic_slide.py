"""Slides of any size that never were: islands of tissue on glass, written in seconds as a scanner stores them.

For tests and benchmarks without any patient's data. A slide is a chequerboard of square cells, each empty or one of two
islands; so few tiles are distinct, each of them is compressed once, and what a network should find is known at every
place and resolution. Tissue is pink stroma with dark patches (tumour) and red, grainy ones (necrosis): a small network
learns to tell them. Nothing here is a measurement of real tissue.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import tifffile
from scipy import ndimage

from napari_medseg.structures import Box, MaskClass

CLASSES = (
    MaskClass(value=1, name="tumour", color="#d55e00"),
    MaskClass(value=2, name="necrosis", color="#0072b2"),
)
#: Rows and columns of a tile, and how far apart levels lie, as Aperio's scanners write them.
TILE, STEP = 256, 4
#: Sides of cells, in pixels; large slides have the largest.
_CELLS = (4096, 2048, 1024, 512)
#: The least number of cells along a side for which a size of cells is taken.
_FEWEST_CELLS = 4
#: Levels are added until the longer side is at most this.
_COARSEST = 2048
#: Radius of an island as a share of its cell, and how uneven its edge is.
_RADIUS, _RAGGED = 0.4, 0.03
#: The share of an island that each class takes.
_CLASS_SHARE = 0.25
#: Colours of stroma, tumour, necrosis and glass; the depth of their grain and its size in pixels.
_COLOURS = np.array([(224, 172, 205), (150, 104, 172), (212, 104, 118), (243, 243, 243)], np.float32)
_GRAIN = ((14.0, 3.0), (36.0, 2.5), (24.0, 1.2))
_TEXTURE = 512

Labels = npt.NDArray[np.uint8]
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Island:
    """One kind of cell: its classes (y, x), and where there is tissue at all."""

    labels: Labels
    tissue: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class SyntheticSlide:
    """What lies where on a made-up slide; equal arguments give equal slides.

    Parameters
    ----------
    shape
        Rows and columns of the finest level.
    mpp
        Micrometres per pixel.
    cell
        Side of a cell, in pixels of the finest level.
    kinds
        uint8 (cell row, cell column): 0 is glass, others count the islands from 1.
    islands
        What is in them.
    """

    shape: tuple[int, int]
    mpp: float
    cell: int
    kinds: npt.NDArray[np.uint8]
    islands: tuple[_Island, ...]

    @classmethod
    def make(cls, shape: tuple[int, int], *, seed: int = 0, share: float = 0.25, mpp: float = 0.25) -> SyntheticSlide:
        """Draw lots for the islands.

        Parameters
        ----------
        shape
            Rows and columns, at least 512 each.
        seed
            Equal seeds give equal slides.
        share
            About how much of the slide is tissue, 0 to 0.5; each kind of island is there at least once.
        mpp
            Micrometres per pixel.
        """
        if min(shape) < _CELLS[-1]:
            raise ValueError(f"A synthetic slide needs at least {_CELLS[-1]} rows and columns, got {shape}.")
        rng = np.random.default_rng(seed)
        cell = next((c for c in _CELLS if min(shape) >= _FEWEST_CELLS * c), _CELLS[-1])
        islands = tuple(_island(cell, rng) for _ in range(2))
        grid = tuple(-(-n // cell) for n in shape)
        count = min(max(round(share * grid[0] * grid[1] / (np.pi * _RADIUS**2)), len(islands)), grid[0] * grid[1])
        # Whole cells first: an island that the border cuts shows less.
        whole = np.zeros(grid, bool)
        whole[: shape[0] // cell, : shape[1] // cell] = True
        order = np.lexsort((rng.random(whole.size), ~whole.ravel()))
        kinds = np.zeros(whole.size, np.uint8)
        kinds[order[:count]] = 1 + np.arange(count) % len(islands)
        return cls(shape, mpp, cell, kinds.reshape(grid), islands)

    def truth(self, box: Box | None = None, downsample: int = 1) -> Labels:
        """The class of every pixel: that of the finest level's pixel in its middle.

        Parameters
        ----------
        box
            ``(start, stop)`` along y and x in pixels of the downsampled slide; None for all of it.
        downsample
            How many pixels of the finest level lie along the side of one.

        Returns
        -------
        uint8 (y, x): 0 is glass or stroma; others as in `CLASSES`.
        """
        whole = [(0, -(-n // downsample)) for n in self.shape]
        y, x = (
            np.minimum(np.arange(*span) * downsample + downsample // 2, n - 1)
            for span, n in zip(box or whole, self.shape, strict=True)
        )
        found = np.zeros((len(y), len(x)), np.uint8)
        for row in np.unique(y // self.cell):
            for column in np.unique(x // self.cell):
                if kind := self.kinds[row, column]:
                    rows, columns = y // self.cell == row, x // self.cell == column
                    inside = np.ix_(y[rows] % self.cell, x[columns] % self.cell)
                    found[np.ix_(rows, columns)] = self.islands[kind - 1].labels[inside]
        return found


def write_slide(
    path: str | os.PathLike[str],
    shape: tuple[int, int],
    *,
    seed: int = 0,
    share: float = 0.25,
    mpp: float = 0.25,
    levels: int | None = None,
    quality: int = 75,
) -> SyntheticSlide:
    """Write a slide as a TIFF of JPEG tiles of 256 pixels with levels a factor of four apart.

    A name that ends in ``.svs`` makes it a slide of Aperio's, with a thumbnail, magnification and micrometres per
    pixel; others tell the micrometres per pixel as TIFF files do. 100,000 by 80,000 pixels take some seconds.

    Parameters
    ----------
    path
        The file; replaced where it exists.
    shape, seed, share, mpp
        As `SyntheticSlide.make`.
    levels
        How many; None: down to a longer side of at most 2048 pixels.
    quality
        Of the JPEG tiles, 1 to 100.

    Returns
    -------
    what lies where on it
    """
    slide = SyntheticSlide.make(shape, seed=seed, share=share, mpp=mpp)
    height, width = shape
    if levels is None:
        levels = 1
        while max(shape) > _COARSEST * STEP ** (levels - 1):
            levels += 1
    power = round(10 / mpp)
    aperio = f"Aperio Image Library v11.2.1\r\n{width}x{height} ({TILE}x{TILE}) JPEG/RGB Q={quality}"
    aperio = f"{aperio}|AppMag = {power}|MPP = {mpp:.4f}" if Path(path).suffix.lower() == ".svs" else ""
    options: dict[str, Any] = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
    options |= {"description": aperio, "software": False} if aperio else {"resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        pictures = [_picture(island, seed) for island in slide.islands]
        for level in range(levels):
            step = STEP**level
            size = tuple(-(-n // step) for n in shape)
            known = options | ({} if aperio else {"resolution": (1e4 / mpp / step,) * 2, "subfiletype": min(level, 1)})
            tiles = _tiles(slide, pictures, level, quality)
            file.write(tiles, shape=(*size, 3), dtype=np.uint8, tile=(TILE, TILE), subsampling=(2, 2), **known)
            if aperio and level == 0:
                # Aperio's second picture is a thumbnail.
                file.write(_thumbnail(slide, pictures), rowsperstrip=16, **known)
            pictures = [_coarser(picture) for picture in pictures]
    return slide


def _island(cell: int, rng: np.random.Generator) -> _Island:
    """A ragged round island with patches of both classes."""
    coarse = 64
    enlarge = cell // coarse
    y, x = (np.indices((coarse, coarse)) + 0.5) / coarse - 0.5
    distance = np.hypot(y, x) + _RAGGED * _noise(coarse, 4.0, rng)
    kind = _noise(coarse, 5.0, rng)
    tissue = ndimage.zoom(distance, enlarge, order=1, grid_mode=True, mode="nearest") < _RADIUS
    field = ndimage.zoom(kind, enlarge, order=1, grid_mode=True, mode="nearest")
    low, high = np.quantile(field[tissue][::7], [_CLASS_SHARE, 1 - _CLASS_SHARE])
    labels = np.where(field > high, np.uint8(1), np.where(field < low, np.uint8(2), np.uint8(0)))
    return _Island(np.where(tissue, labels, np.uint8(0)), tissue)


def _noise(side: int, sigma: float, rng: np.random.Generator) -> npt.NDArray[np.float32]:
    """Periodic noise (side, side) of zero mean and unit deviation, with structures of about `sigma` pixels."""
    values: npt.NDArray[np.float32] = rng.standard_normal((side, side)).astype(np.float32)
    values = ndimage.gaussian_filter(values, sigma, mode="wrap")
    return np.asarray((values - values.mean()) / values.std(), np.float32)


def _picture(island: _Island, seed: int) -> Pixels:
    """An island in colours (y, x, 3)."""
    rng = np.random.default_rng([seed, 1])
    repeats = -(-len(island.labels) // _TEXTURE)
    cut = slice(len(island.labels))
    picture = np.empty((*island.labels.shape, 3), np.uint8)
    picture[:] = _COLOURS[-1].astype(np.uint8)
    for value, (depth, size) in enumerate(_GRAIN):
        texture = _COLOURS[value] + depth * _noise(_TEXTURE, size, rng)[..., np.newaxis]
        texture += rng.normal(0, 4, texture.shape)
        texture = np.clip(texture, 0, 255).astype(np.uint8)
        np.copyto(
            picture,
            np.tile(texture, (repeats, repeats, 1))[cut, cut],
            where=(island.tissue & (island.labels == value))[..., np.newaxis],
        )
    return picture


def _coarser(picture: Pixels) -> Pixels:
    """Means of `STEP` by `STEP` pixels."""
    side = len(picture) // STEP
    means = picture.reshape(side, STEP, side, STEP, 3).mean(axis=(1, 3), dtype=np.float32)
    return np.asarray(np.rint(means), np.uint8)


def _tiles(slide: SyntheticSlide, pictures: list[Pixels], level: int, quality: int) -> Iterator[bytes]:
    """The compressed tiles of a level, row by row; equal ones are compressed once."""
    cell = slide.cell // STEP**level
    span = max(TILE // cell, 1)
    kinds = np.pad(slide.kinds, (0, span))
    known: dict[tuple[int, int, bytes], bytes] = {}
    for top in range(0, -(-slide.shape[0] // STEP**level), TILE):
        for left in range(0, -(-slide.shape[1] // STEP**level), TILE):
            here = kinds[top // cell : top // cell + span, left // cell : left // cell + span]
            key = (top % cell, left % cell, here.tobytes()) if here.any() else (0, 0, b"")
            if key not in known:
                whole = pictures[here[0, 0] - 1] if here.any() and span == 1 else _mosaic(here, pictures, cell)
                known[key] = _jpeg(whole[top % cell :, left % cell :][:TILE, :TILE], quality)
            yield known[key]


def _mosaic(kinds: npt.NDArray[np.uint8], pictures: list[Pixels], cell: int) -> Pixels:
    """Cells (cell row, cell column) put together, (y, x, 3)."""
    glass = np.broadcast_to(_COLOURS[-1].astype(np.uint8), (cell, cell, 3))
    rows = [np.concatenate([pictures[k - 1] if k else glass for k in row], axis=1) for row in kinds]
    return np.concatenate(rows, axis=0)


def _thumbnail(slide: SyntheticSlide, pictures: list[Pixels]) -> Pixels:
    step = max(slide.cell // 64, 1)
    small = [picture[step // 2 :: step, step // 2 :: step] for picture in pictures]
    height, width = (n // step for n in slide.shape)
    return _mosaic(slide.kinds, small, slide.cell // step)[:height, :width]


def _jpeg(pixels: Pixels, quality: int) -> bytes:
    """A tile as tifffile would compress it."""
    encoded = imagecodecs.jpeg_encode(
        np.ascontiguousarray(pixels), level=quality, colorspace="RGB", outcolorspace="YCBCR", subsampling=(2, 2)
    )
    return bytes(encoded)
