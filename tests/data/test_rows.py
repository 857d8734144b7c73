from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.rows import (
    case_of_row,
    check_label_name,
    checked_cells,
    format_region,
    looks_mangled,
    parse_region,
    row_problems,
)
from napari_medseg.data.table import Table
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Box
from tests.data.folders import INFO

sides = st.tuples(st.integers(0, 10**6), st.integers(1, 10**6)).map(lambda s: (s[0], s[0] + s[1]))


@given(st.lists(sides, min_size=2, max_size=3).map(tuple))
def test_a_region_is_read_as_it_was_written(box: Box) -> None:
    assert parse_region(format_region(box)) == box


@pytest.mark.parametrize("text", ["1:2", "5:3,0:9", "a:b,1:2", "1:2,3:4,5:6,7:8", "0:0,1:2", "-1:4,0:3", "1:2;3:4"])
def test_a_region_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="region"):
        parse_region(text)


@given(st.dictionaries(st.sampled_from(["case", "image", "status", "split", "revision", "region", "tag"]), st.text()))
def test_any_row_becomes_a_case_and_no_fault_stops_the_others(cells: dict[str, str]) -> None:
    table = Table(columns=("case", "image")).with_row(cells)
    case = case_of_row(table, 0)
    assert case.status in ("todo", "draft", "done", "reviewed")
    assert case.split in ("", "train", "val", "test")
    assert case.revision >= 0
    assert all(problem.rstrip().endswith(".") and ": " in problem for problem in row_problems(table, 0, INFO))


def test_every_problem_of_a_row_is_named() -> None:
    cells = {"status": "finished", "split": "dev", "tag": "odd", "grade": "9", "revision": "two", "region": "here"}
    table = Table(columns=("case", "image")).with_row({**cells, "origin": "me", "label": "../x.tif"})
    problems = " ".join(row_problems(table, 0, INFO))
    for word in ("case id", "image", "'finished'", "'dev'", "'odd'", "'9'", "'two'", "'here'", "'me'", "'../x.tif'"):
        assert word in problems


@pytest.mark.parametrize("name", ["../a.tif", "/etc/passwd", "c:/a.tif", "a/../../b.tif", "..\\a.tif", "."])
def test_labels_stay_in_their_folder(name: str) -> None:
    with pytest.raises(DatasetError):
        check_label_name(name)


@pytest.mark.parametrize(
    ("case", "image", "mangled"),
    [
        ("1.00E+05", "100000.png", True),
        ("3-Mar", "x.png", True),
        ("Mar-05", "x.png", True),
        ("7", "images/007.png", True),
        ("#NAME?", "x.png", True),
        ("007", "images/007.png", False),
        ("march-5-left", "x.png", False),
        ("e10", "x.png", False),
    ],
)
def test_ids_that_a_spreadsheet_changed_are_noticed(case: str, image: str, mangled: bool) -> None:
    assert looks_mangled(case, image) is mangled


@pytest.mark.parametrize("change", [{"status": "finished"}, {"revision": 3}, {"colour": "red"}, {"tag": "odd"}])
def test_a_change_that_would_be_a_fault_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(DatasetError):
        checked_cells(change, INFO)
