from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.table import Table, parse_table, render_table
from napari_medseg.errors import DatasetError

cells = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    [
        'a"b',
        "a,b;c\td",
        "line\nbreak",
        "line\rbreak",
        "\r\n",
        " padded ",
        "",
        "ünïcode",
        "1.00E+05",
        "\ufeffx",
        "'",
        '""',
    ]
)
names = st.lists(st.text("abcdefghij ", min_size=1, max_size=6), min_size=2, max_size=5)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    columns = tuple(draw(names))
    rows = draw(st.lists(st.lists(cells, min_size=1, max_size=7).map(tuple), max_size=6))
    return Table(
        columns=columns,
        rows=tuple(rows),
        delimiter=draw(st.sampled_from(",;\t")),
        newline=draw(st.sampled_from(["\n", "\r\n"])),
        bom=draw(st.booleans()),
    )


@given(tables())
def test_what_is_written_is_read_again(table: Table) -> None:
    read = parse_table(render_table(table))
    assert (read.columns, read.rows) == (table.columns, table.rows)
    assert (read.delimiter, read.bom) == (table.delimiter, table.bom)


@given(tables())
def test_other_programs_read_the_same_cells(table: Table) -> None:
    text = render_table(table).decode("utf-8-sig")
    read = [tuple(row) for row in csv.reader(io.StringIO(text, newline=""), delimiter=table.delimiter)]
    assert read == [table.columns, *table.rows]


@given(tables(), st.data())
def test_changing_a_cell_changes_no_other(table: Table, data: st.DataObject) -> None:
    if not table.rows:
        return
    row = data.draw(st.integers(0, len(table.rows) - 1))
    changed = table.with_cells(row, {"brand new": "x"})
    assert changed.cell(row, "brand new") == "x"
    for other in range(len(table.rows)):
        width = len(table.rows[other])
        kept = changed.rows[other][: len(table.columns)][:width]
        assert kept == table.rows[other][: len(table.columns)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xef\xbb\xbfcase;image\r\na;b,c\r\n", ("a", "b,c")),
        (b"case,image\na,b\n\n\n", ("a", "b")),
        (b"case\timage\na\tb", ("a", "b")),
        ("case;image\nM\u00fcller;b\n".encode("cp1252"), ("M\u00fcller", "b")),
        ("case,image\nM\u00fcller,b\n".encode("utf-16"), ("M\u00fcller", "b")),
        (b'case,image\n"two\nlines","say ""hi"""\n', ("two\nlines", 'say "hi"')),
    ],
)
def test_reads_what_spreadsheets_save(content: bytes, expected: tuple[str, str]) -> None:
    table = parse_table(content)
    assert (table.cell(0, "Case "), table.cell(0, "image")) == expected


@pytest.mark.parametrize("content", [b"PK\x03\x04 an xlsx file", b"", b"\n\n"])
def test_refuses_what_is_no_table(content: bytes) -> None:
    with pytest.raises(DatasetError):
        parse_table(content)


def test_a_short_row_has_empty_cells_and_a_long_one_keeps_its_own() -> None:
    table = parse_table(b"case,image,tag\na\nb,i,t,stray\n")
    assert table.cell(0, "tag") == ""
    assert table.with_cells(0, {"tag": "x"}).rows == (("a", "", "x"), ("b", "i", "t", "stray"))
