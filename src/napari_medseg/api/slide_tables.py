"""What is told of a predicted slide beside its labels: a table of tiles, a map of its tags, contours of its classes."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.outlines import outlines
from napari_medseg.inference.journal import Journal
from napari_medseg.io import write_image
from napari_medseg.io.atomic import replacing
from napari_medseg.io.contour_file import Contour, class_contour, write_contours
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Image, MaskClass

#: Contours follow the finest level of the labels with at most so many pixels in the region.
_CONTOUR_PIXELS = 2**24
#: Pieces and holes of fewer pixels of that level are not drawn.
_LEAST_PIXELS = 4
#: Longest side of the map of tags.
_MAP_SIDE = 2048


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of a slide that no other tile has.

    Parameters
    ----------
    box
        In pixels of the slide's finest level.
    seen
        Share of it that was looked at.
    shares
        Of the background and the classes in what was looked at; empty for a network that draws nothing.
    tags
        Probabilities; empty for a network that does not classify.
    """

    box: Box
    seen: float
    shares: tuple[float, ...]
    tags: tuple[float, ...]


def tiles_of(
    places: Sequence[tuple[int, int]],
    edges: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    region: Box,
    labels: Any,
    values: Sequence[int],
    journal: Journal,
) -> Iterator[Tile]:
    """The tiles of a slide, row by row.

    Parameters
    ----------
    places
        Row and column of every window that was run, in order.
    edges
        Rows and columns at which tiles begin, one more than tiles.
    labels
        (y, x) of the slide; None for a network that draws nothing.
    values
        Of the mask classes.
    """
    judged = {(row, column): told.logits for (_, row, column), told in sorted(journal.judgements.items(), reverse=True)}
    band, at = np.empty((0, 0), np.uint8), -1
    left, right = region[1]
    for row, column in places:
        spans = [(int(e[i]), int(e[i + 1])) for e, i in zip(edges, (row, column), strict=True)]
        box = tuple((max(a, low), min(b, high)) for (a, b), (low, high) in zip(spans, region, strict=True))
        if any(stop <= start for start, stop in box):
            continue  # the window reaches into the region, its middle does not
        if labels is not None and row != at:
            band, at = np.asarray(labels[box[0][0] : box[0][1], left:right]), row
        seen, shares = _shares(band[:, box[1][0] - left : box[1][1] - left], values)
        yield Tile(box, seen, shares, _probabilities(judged.get((row, column))))


def _shares(labels: npt.NDArray[np.uint8], values: Sequence[int]) -> tuple[float, tuple[float, ...]]:
    if labels.size == 0:
        return 1.0, ()
    counts = np.bincount(labels.ravel(), minlength=256)
    seen = labels.size - int(counts[NOT_LOOKED_AT])
    return seen / labels.size, tuple(float(counts[v]) / max(seen, 1) for v in (BACKGROUND, *values))


def _probabilities(logits: npt.NDArray[np.float32] | None) -> tuple[float, ...]:
    if logits is None:
        return ()
    powers = np.exp(logits.astype(np.float64) - float(logits.max()))
    return tuple((powers / powers.sum()).tolist())


def write_tiles(path: Path, tiles: Sequence[Tile], classes: Sequence[str], tags: Sequence[str]) -> None:
    """``<name>-tiles.csv``: box, share that was looked at, tag with probabilities, shares of the classes."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        tagged = ["class", *(f"p_{tag}" for tag in tags)] if tags else []
        shared = [f"share_{name}" for name in ("background", *classes)] if classes else []
        writer.writerow(["y0", "y1", "x0", "x1", "seen", *tagged, *shared])
        for tile in tiles:
            cells: list[Any] = [*tile.box[0], *tile.box[1], round(tile.seen, 4)]
            if tags:
                best = tags[int(np.argmax(tile.tags))] if tile.tags else ""
                cells += [best, *(round(p, 6) for p in tile.tags)]
            writer.writerow([*cells, *(round(share, 6) for share in tile.shares)])


def write_tag_map(path: Path, tiles: Sequence[Tile], tags: Sequence[str], image: Image) -> None:
    """``<name>-tags.zarr``: probability of every tag, drawn over the tiles at a low resolution; NaN elsewhere."""
    sizes = image.spatial_shape
    factor = min(1.0, _MAP_SIDE / max(sizes))
    shape = tuple(max(1, round(n * factor)) for n in sizes)
    drawn = np.full((len(tags), *shape), np.nan, np.float32)
    for tile in tiles:
        key = tuple(
            slice(round(a * m / n), max(round(a * m / n) + 1, round(b * m / n)))
            for (a, b), m, n in zip(tile.box, shape, sizes, strict=True)
        )
        if tile.tags:
            drawn[(slice(None), *key)] = np.array(tile.tags, np.float32)[:, np.newaxis, np.newaxis]
    spacing = image.spacing or (1.0, 1.0)
    scaled = tuple(s * n / m for s, n, m in zip(spacing, sizes, shape, strict=True))
    picture = Image(levels=(drawn,), axes="cyx", spacing=scaled, units=image.units, channels=tuple(tags), name="tags")
    write_image(path, picture)


def write_class_contours(path: Path, levels: Sequence[Any], region: Box, classes: Sequence[MaskClass]) -> int:
    """``<name>.geojson``: contours of the classes at a resolution that bounds memory; returns their number.

    Parameters
    ----------
    levels
        Levels of the labels, each every second pixel of the one before.
    """
    pixels = (region[0][1] - region[0][0]) * (region[1][1] - region[1][0])
    level = next(k for k in range(len(levels)) if pixels / 4**k <= _CONTOUR_PIXELS or k == len(levels) - 1)
    step = 2**level
    (top, bottom), (left, right) = (tuple(-(-edge // step) for edge in span) for span in region)
    labels = np.asarray(levels[level][top:bottom, left:right])

    def contours() -> Iterator[Contour]:
        for mask_class in classes:
            for found in outlines(labels == mask_class.value, least=_LEAST_PIXELS):
                outer, *holes = (_placed(ring, (top, left), step, region) for ring in (found.outer, *found.holes))
                yield class_contour(mask_class, outer, holes)

    return write_contours(path, contours())


def _placed(ring: npt.NDArray[np.int64], corner: tuple[int, int], step: int, region: Box) -> npt.NDArray[np.int64]:
    """A ring in pixels of the finest level; a coarse pixel at the border ends with the region."""
    placed: npt.NDArray[np.int64] = (ring + np.array(corner)) * step
    return placed.clip([start for start, _ in region], [stop for _, stop in region])
