"""The grid of tiles over a slide that people tag, as a small picture with one pixel per tile."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.data.tile_tags import TileTag
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Box

#: What scheme pathology looks at at once on slides unless it is told otherwise: 448 pixels of 1 µm.
USUAL_SIDE = "448 µm"
#: The same for slides that do not know the size of their pixels.
_USUAL_PIXELS = 512
_LEAST_PIXELS = 16
#: Sides that are tried to find the grid of tags.
_FEW_SIDES = 4
#: More tiles along a side than that are finer than anybody tags.
_MOST_TILES = 4096


@dataclass(frozen=True, slots=True)
class TileGrid:
    """Square tiles from the upper left corner of a slide; the last of a row and a column end with the slide.

    Parameters
    ----------
    shape
        Rows and columns of the slide's finest level.
    side
        Of a tile, in its pixels.
    """

    shape: tuple[int, int]
    side: int

    @property
    def size(self) -> tuple[int, int]:
        """Tiles in a column and in a row."""
        return -(-self.shape[0] // self.side), -(-self.shape[1] // self.side)

    def box(self, row: int, column: int) -> Box:
        """A tile, in pixels of the finest level."""
        (height, width), side = self.shape, self.side
        return (
            (row * side, min((row + 1) * side, height)),
            (column * side, min((column + 1) * side, width)),
        )

    def place(self, box: Box) -> tuple[int, int] | None:
        """Row and column of a box that is a tile; None for any other box."""
        row, column = (start // self.side for start, _ in box)
        inside = 0 <= row < self.size[0] and 0 <= column < self.size[1]
        return (row, column) if inside and self.box(row, column) == box else None

    def picture(
        self, tags: Sequence[TileTag], values: Mapping[str, int]
    ) -> tuple[npt.NDArray[np.uint8], tuple[TileTag, ...]]:
        """Tags as a picture.

        Parameters
        ----------
        tags
            Later ones count where a tile has several.
        values
            Value of each tag; a tag without one is left over.

        Returns
        -------
        uint8 (rows, columns) of tiles, 0 for no tag; tags that are on no tile of the grid.
        """
        picture = np.zeros(self.size, np.uint8)
        left = []
        for tile in tags:
            place = self.place(tile.box)
            if place is None or tile.tag not in values:
                left.append(tile)
            else:
                picture[place] = values[tile.tag]
        return picture, tuple(left)

    def tags(self, picture: npt.NDArray[np.uint8], values: Mapping[str, int]) -> tuple[TileTag, ...]:
        """Tags of a picture, row by row."""
        names = {value: name for name, value in values.items()}
        return tuple(
            TileTag(self.box(row, column), names[int(picture[row, column])])
            for row, column in np.argwhere(picture).tolist()
        )


def side_in_pixels(text: str, micrometers: float | None) -> int:
    """Pixels along the side of a tile that is told as ``"256 µm"`` or ``"512 px"``.

    Parameters
    ----------
    text
        The side; empty: the usual one.
    micrometers
        Along a pixel of the slide; None where it does not say, so that the usual number of pixels stands in for µm.

    Raises
    ------
    DatasetError
        It is no such length, or tiles would be too small to be seen.

    Examples
    --------
    >>> side_in_pixels("256 µm", 0.25), side_in_pixels("512 px", 0.25), side_in_pixels("", None)
    (1024, 512, 512)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(µm|μm|um|px)\s*", text or USUAL_SIDE)
    if found is None:
        raise DatasetError(f"'{text}' is no side of a tile: write e.g. '256 µm' or '512 px'.")
    length, unit = float(found[1]), found[2]
    if unit != "px":
        length = _USUAL_PIXELS if micrometers is None else length / micrometers
    if round(length) < _LEAST_PIXELS:
        raise DatasetError(f"Tiles of {text} are {length:.3g} pixels wide here: give at least {_LEAST_PIXELS}.")
    return round(length)


def grid_for(tags: Sequence[TileTag], shape: tuple[int, int], side: int) -> TileGrid:
    """The grid that tags were given on, where they tell of one, else one with tiles of this side.

    Parameters
    ----------
    tags
        Of the slide.
    shape
        Its rows and columns.
    side
        In pixels of its finest level; made larger where there would be too many tiles.
    """
    usual = TileGrid(shape, max(side, -(-max(shape) // _MOST_TILES)))
    # A grid has one side, and at the slide's ends one shorter height and width; whoever mixed grids gets the commonest.
    sides = Counter(stop - start for tile in tags for start, stop in tile.box)
    told = [TileGrid(shape, common) for common, _ in sides.most_common(_FEW_SIDES)]
    usable = [usual, *(grid for grid in told if max(grid.size) <= _MOST_TILES)]
    return max(usable, key=lambda grid: (sum(grid.place(tile.box) is not None for tile in tags), grid is usual))
