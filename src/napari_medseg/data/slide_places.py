"""What of a slide was looked at, and where its classes lie, found once so that patches can be drawn from all over it.

The slide is divided into square cells of a network's input. Only those that a contour or paint touches are looked into,
several at a time, so that memory does not grow with the slide.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.resampling import WindowReader, choose_level, working_shape
from napari_medseg.data.slide_labels import SlideLabels, working_box
from napari_medseg.io.units import micrometres
from napari_medseg.structures import NOT_LOOKED_AT, Box, Image

Labels = npt.NDArray[np.uint8]
#: Positions (n, 2) of rows and columns in pixels of the working grid.
Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

#: About how many rows and columns are looked at together.
_BLOCK = 2048
#: Places remembered per class, of the whole slide and of one block.
_REMEMBERED, _PER_BLOCK = 4096, 64
#: Pixels that are looked at; of larger areas every second, fourth, ... row and column.
_MOST_PIXELS = 1 << 28
#: Share of a cell that must be tissue for it to count as a tile of tissue.
_TISSUE_SHARE = 0.5
#: Windows that the colours of a slide are taken from, and their side in pixels.
_SAMPLES, _SAMPLE_SIDE = 64, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPlaces:
    """Where a slide was looked at.

    Parameters
    ----------
    classes
        Some places of every class that occurs, by its value.
    looked_at
        Some places anywhere that somebody looked at, more where more of the slide was.
    cells
        Upper left corners of the cells that hold anything looked at.
    values
        Label values in each of them, 255 among them where it was not looked at altogether.
    """

    classes: dict[int, Places]
    looked_at: Places
    cells: Places
    values: tuple[frozenset[int], ...]


def find_drawn(labels: SlideLabels, slide_shape: tuple[int, ...], working: tuple[int, ...], cell: int) -> DrawnPlaces:
    """Look through all that was drawn on a slide.

    Parameters
    ----------
    labels
        What was drawn.
    slide_shape, working
        Rows and columns of level 0 and of the working grid.
    cell
        Side of a network's input in working pixels; a multiple of 32.
    """
    cells_per_block = max(1, _BLOCK // cell)
    blocks = touched_blocks(labels, slide_shape, working, cell * cells_per_block)
    # Few pixels are looked at of each block where there are many.
    stride = 1
    while len(blocks) * (cell * cells_per_block / stride) ** 2 > _MOST_PIXELS and stride < 32:
        stride *= 2
    found: defaultdict[int, list[Places]] = defaultdict(list)
    corners: list[Places] = []
    values: list[frozenset[int]] = []
    for box in blocks:
        asked, step = working_box(box, slide_shape, working)
        part = labels.read(asked, step * stride)
        corner = np.array([start for start, _ in box])
        counts = np.bincount(part.ravel(), minlength=256)
        for value in np.flatnonzero(counts[1:NOT_LOOKED_AT]) + 1:
            found[int(value)].append(corner + _some_places(part == value, _PER_BLOCK) * stride + stride // 2)
        seen = 1 - counts[NOT_LOOKED_AT] / part.size
        if seen:
            anywhere = _some_places(part != NOT_LOOKED_AT, round(seen * _PER_BLOCK) or 1)
            found[NOT_LOOKED_AT].append(corner + anywhere * stride + stride // 2)
        for offset, cell_values in _cells_of(part, cell // stride):
            corners.append(corner + np.array(offset) * cell)
            values.append(cell_values)
    last = np.array(working) - 1
    places = {value: np.minimum(_thinned(np.concatenate(parts), _REMEMBERED), last) for value, parts in found.items()}
    return DrawnPlaces(
        looked_at=places.pop(NOT_LOOKED_AT, np.empty((0, 2), np.int64)),
        classes=places,
        cells=np.array(corners, np.int64).reshape(-1, 2),
        values=tuple(values),
    )


def on_tissue(places: Places, tissue: Mask, working: tuple[int, ...]) -> Places:
    """Those of some places that lie on tissue; all of them where none does."""
    rows, columns = (
        np.minimum(place * size // n, size - 1) for place, size, n in zip(places.T, tissue.shape, working, strict=True)
    )
    chosen = places[tissue[rows, columns]]
    return chosen if len(chosen) else places


def tissue_cells(tissue: Mask, working: tuple[int, ...], cell: int) -> Places:
    """Upper left corners (n, 2) of the cells that are mostly tissue; of those with most of it where none is."""
    counts = [max(1, n // cell) for n in working]
    edges = [np.arange(count + 1) * min(cell, n) / n for count, n in zip(counts, working, strict=True)]
    rows, columns = (np.rint(edge * size).astype(int) for edge, size in zip(edges, tissue.shape, strict=True))
    # Sums over all rectangles from the corner give those over the cells.
    sums = np.pad(tissue.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    corners = sums[np.ix_(rows, columns)]
    areas = np.maximum(np.diff(rows)[:, np.newaxis] * np.diff(columns), 1)
    shares = np.diff(np.diff(corners, axis=0), axis=1) / areas
    least = min(_TISSUE_SHARE, float(shares.max()))
    return np.argwhere((shares >= least) & (shares > 0)) * cell


def touched_blocks(labels: SlideLabels, slide_shape: tuple[int, ...], working: tuple[int, ...], side: int) -> list[Box]:
    """Blocks of the working grid that a contour or paint touches, in order."""
    counts = [-(-n // side) for n in working]
    touched = np.zeros(counts, bool)
    steps = np.array([n / w for n, w in zip(slide_shape, working, strict=True)]) * side
    ends = np.clip(labels.drawn_boxes(), 0, np.repeat(np.array(slide_shape, float), 2))
    first = np.floor(ends[:, [0, 2]] / steps).astype(int)
    last = np.minimum(np.floor(ends[:, [1, 3]] / steps).astype(int), np.array(counts) - 1)
    for (top, left), (bottom, right) in zip(first, last, strict=True):
        touched[top : bottom + 1, left : right + 1] = True
    return [
        tuple((int(i) * side, min((int(i) + 1) * side, n)) for i, n in zip(index, working, strict=True))
        for index in np.argwhere(touched)
    ]


def _cells_of(part: Labels, cell: int) -> Iterator[tuple[tuple[int, int], frozenset[int]]]:
    """Rows and columns of the cells of a block in which anything was looked at, and their values.

    Cells that the slide's end cuts off are left out, unless they are all there is along an axis.
    """
    for i in range(max(1, part.shape[0] // cell)):
        for j in range(max(1, part.shape[1] // cell)):
            inside = part[i * cell : (i + 1) * cell, j * cell : (j + 1) * cell]
            values = np.flatnonzero(np.bincount(inside.ravel(), minlength=256))
            if (values != NOT_LOOKED_AT).any():
                yield (i, j), frozenset(int(value) for value in values)


def _some_places(mask: Mask, most: int) -> Places:
    """Up to `most` true pixels, evenly over the mask."""
    chosen = _thinned(np.flatnonzero(mask), most)
    return np.stack(np.unravel_index(chosen, mask.shape), axis=1)


def _thinned(items: Places, most: int) -> Places:
    """Up to `most` of some items, evenly over them."""
    return items[np.linspace(0, len(items) - 1, min(len(items), most)).astype(np.int64)]


def tissue_pixels(image: Image, tissue: Mask) -> npt.NDArray[Any]:
    """Pixels (c, n) of small windows that lie evenly over the tissue, about a micrometre each where that is known.

    All of the slide's glass is left out; a slide without tissue is looked at all over.
    """
    places = np.flatnonzero(tissue) if tissue.any() else np.arange(tissue.size)
    chosen = places[np.linspace(0, len(places) - 1, min(len(places), _SAMPLES)).astype(np.int64)]
    step = micrometres(image.spacing, image.units)
    wanted = working_shape(image, (1.0,) * 2 if step is None else tuple(min(1.0, s) for s in step))
    reader = WindowReader(image, wanted, choose_level(image, wanted))
    parts = []
    for row, column in zip(*np.unravel_index(chosen, tissue.shape), strict=True):
        box = []
        for place, cells, n in zip((row, column), tissue.shape, wanted, strict=True):
            low = min(max(0, int((place + 0.5) * n / cells) - _SAMPLE_SIDE // 2), max(0, n - _SAMPLE_SIDE))
            box.append((low, min(n, low + _SAMPLE_SIDE)))
        parts.append(reader.read(tuple(box)).reshape(image.num_channels, -1))
    return np.concatenate(parts, axis=1)
