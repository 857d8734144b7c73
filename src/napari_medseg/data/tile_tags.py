"""Tags of tiles of a slide: a table of boxes with one tag each, ``labels/<case>-tiles.csv``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from napari_medseg.data.naming import file_name
from napari_medseg.data.table import Table, read_table, render_table
from napari_medseg.errors import DatasetError
from napari_medseg.io.atomic import replacing
from napari_medseg.structures import Box

_ENDING = "-tiles.csv"
COLUMNS = ("y0", "y1", "x0", "x1", "tag")


@dataclass(frozen=True, slots=True)
class TileTag:
    """A part of a slide, ``((y0, y1), (x0, x1))`` in pixels of the finest level, and its tag."""

    box: Box
    tag: str


def tags_path(labels_folder: Path, case_id: str) -> Path:
    """Where the tile tags of a case lie; the file need not exist."""
    return labels_folder / f"{file_name(case_id)}{_ENDING}"


def read_tile_tags(path: Path) -> tuple[TileTag, ...]:
    """The tags of a file, in its order; a file that does not exist holds none.

    Raises
    ------
    DatasetError
        A column is missing, or a row is no box with a tag.
    """
    if not path.exists():
        return ()
    table = read_table(path)
    missing = [name for name in COLUMNS if not table.has(name)]
    if missing:
        raise DatasetError(f"{path} has no column '{missing[0]}': it needs {', '.join(COLUMNS)}.")
    found = []
    for row in range(len(table.rows)):
        cells = [table.cell(row, name) for name in COLUMNS]
        if not any(cell.strip() for cell in cells):
            continue
        try:
            y0, y1, x0, x1 = map(int, cells[:4])
        except ValueError:
            y0 = y1 = x0 = x1 = 0
        if y0 >= y1 or x0 >= x1 or not cells[4].strip():
            raise DatasetError(
                f"{path}, line {row + 2}: {','.join(cells)} is no tile with a tag: write whole pixels "
                "with y0 < y1 and x0 < x1, and a tag."
            )
        found.append(TileTag(((y0, y1), (x0, x1)), cells[4]))
    return tuple(found)


def write_tile_tags(path: Path, tags: Iterable[TileTag]) -> None:
    """Write the table in one step; raises `WriteError`."""
    rows = [(*(str(edge) for side in tile.box for edge in side), tile.tag) for tile in tags]
    with replacing(path) as temporary:
        temporary.write_bytes(render_table(Table(columns=COLUMNS, rows=tuple(rows))))


def rename_tag_of_tiles(labels_folder: Path, old: str, new: str) -> None:
    """Give the tiles of all cases that have a tag another one; raises `DatasetError` or `WriteError`."""
    for path in sorted(labels_folder.glob(f"*{_ENDING}")):
        tags = read_tile_tags(path)
        if any(tile.tag == old for tile in tags):
            write_tile_tags(path, [TileTag(tile.box, new if tile.tag == old else tile.tag) for tile in tags])
