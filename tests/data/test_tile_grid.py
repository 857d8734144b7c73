"""The grid of tiles: every pixel of a slide in one tile, tags as a picture and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.tile_grid import TileGrid, grid_for, side_in_pixels
from napari_medseg.data.tile_tags import TileTag
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo

VALUES = {"benign": 1, "malignant": 2}
_grids = st.builds(TileGrid, st.tuples(st.integers(1, 90), st.integers(1, 90)), st.integers(4, 40))


@given(_grids)
def test_every_pixel_lies_in_one_tile(grid: TileGrid) -> None:
    covered = np.zeros(grid.shape, int)
    for row, column in np.ndindex(grid.size):
        (y0, y1), (x0, x1) = grid.box(row, column)
        covered[y0:y1, x0:x1] += 1
        assert grid.place(((y0, y1), (x0, x1))) == (row, column)
    assert (covered == 1).all()


@given(_grids, st.randoms())
def test_a_picture_of_tags_comes_back_and_tells_its_grid(grid: TileGrid, random) -> None:
    picture = np.array([[random.randint(0, 2) for _ in range(grid.size[1])] for _ in range(grid.size[0])], np.uint8)
    tags = grid.tags(picture, VALUES)
    assert len(tags) == (picture > 0).sum()
    found, left = grid.picture(tags, VALUES)
    np.testing.assert_array_equal(found, picture)
    assert left == ()
    if min(grid.shape) >= grid.side:
        # Whatever the data set says by now, tags that are there are on their own grid, once one is on a whole tile.
        whole = TileTag(grid.box(0, 0), "benign")
        again = grid_for((whole, *tags), grid.shape, 50)
        assert all(again.place(tile.box) is not None for tile in tags)


def test_boxes_that_are_no_tiles_are_left_over() -> None:
    grid = TileGrid((100, 100), 32)
    off = TileTag(((1, 33), (0, 32)), "benign")
    beyond = TileTag(((128, 160), (0, 32)), "benign")
    foreign = TileTag(((0, 32), (0, 32)), "necrosis")
    last = TileTag(((96, 100), (96, 100)), "malignant")
    picture, left = grid.picture([off, beyond, foreign, last], VALUES)
    assert left == (off, beyond, foreign)
    assert np.argwhere(picture).tolist() == [[3, 3]]


def test_so_many_tiles_that_nobody_tags_them_become_larger() -> None:
    assert max(grid_for((), (100_000, 80_000), 4).size) <= 4096


@pytest.mark.parametrize(
    ("text", "micrometers", "pixels"), [("100µm", 0.5, 200), ("100 um", None, 512), ("64 px", 2.0, 64), ("", 0.5, 896)]
)
def test_a_side_is_told_in_micrometres_or_pixels(text: str, micrometers: float | None, pixels: int) -> None:
    assert side_in_pixels(text, micrometers) == pixels


@pytest.mark.parametrize("text", ["512", "wide", "-3 px", "2 px"])
def test_what_is_no_side_is_a_sentence(text: str) -> None:
    with pytest.raises(DatasetError, match="px"):
        side_in_pixels(text, 1.0)


def test_the_data_set_keeps_the_side(tmp_path: Path) -> None:
    Dataset.create(tmp_path / "set", DatasetInfo(name="a", tags=tag_classes(["x"]), tile="256 µm"))
    assert Dataset.open(tmp_path / "set").info.tile == "256 µm"
