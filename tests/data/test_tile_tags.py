"""Tags of tiles: there and back, and what is no table of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.tile_tags import TileTag, read_tile_tags, tags_path, write_tile_tags
from napari_medseg.errors import DatasetError

_side = st.tuples(st.integers(-9, 10**6), st.integers(1, 4096)).map(lambda s: (s[0], s[0] + s[1]))
_tag = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@given(st.lists(st.builds(TileTag, st.tuples(_side, _side), _tag), max_size=6))
def test_tags_come_back(tmp_path_factory, tags) -> None:
    path = tags_path(tmp_path_factory.mktemp("tags"), "a/b")
    write_tile_tags(path, tags)
    assert read_tile_tags(path) == tuple(tags)


def test_no_file_holds_no_tags(tmp_path: Path) -> None:
    assert read_tile_tags(tags_path(tmp_path, "slide")) == ()


def test_a_table_from_a_spreadsheet_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a-tiles.csv"
    path.write_bytes("\ufefftag;X0;x1;y0;y1;who\r\ntumour;0;512;1024;1536;M\r\n;;;;;\r\n".encode())
    assert read_tile_tags(path) == (TileTag(((1024, 1536), (0, 512)), "tumour"),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("y0,y1,x0,x1\n0,1,0,1\n", "no column 'tag'"),
        ("y0,y1,x0,x1,tag\n0,512,0,512,a\n0,0,0,512,a\n", "line 3"),
        ("y0,y1,x0,x1,tag\n0,512,0,5.5,a\n", "line 2"),
        ("y0,y1,x0,x1,tag\n0,512,0,512,\n", "line 2"),
        ("", "empty"),
    ],
)
def test_what_is_no_table_of_tags_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "a-tiles.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(DatasetError, match=said):
        read_tile_tags(path)
