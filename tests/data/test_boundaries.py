"""Rows of surfaces on disk: round trips, files as spreadsheets leave them, and what is wrong with others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.annotation.surfaces import labels_of_surfaces
from napari_medseg.data.boundaries import BoundaryStore
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, Surface

NAMES = ("ILM", "RNFL/GCL", "BM")
SHAPE = (2, 10, 4)


@pytest.fixture
def store(tmp_path: Path) -> BoundaryStore:
    return BoundaryStore(tmp_path / "boundaries" / "a.csv", NAMES)


def _write(store: BoundaryStore, text: str, encoding: str = "utf-8") -> None:
    store.path.parent.mkdir(exist_ok=True)
    store.path.write_bytes(text.encode(encoding))


@settings(max_examples=40)
@given(
    rows=hnp.arrays(np.float32, (2, 3, 4), elements=st.floats(-0.5, 9.5, width=32)),
    missing=hnp.arrays(bool, (2, 3, 4)),
    pinned=hnp.arrays(bool, (2, 3, 4)),
)
def test_rows_and_anchors_come_back_and_give_the_same_labels(
    tmp_path_factory: pytest.TempPathFactory, rows: np.ndarray, missing: np.ndarray, pinned: np.ndarray
) -> None:
    store = BoundaryStore(tmp_path_factory.mktemp("b") / "boundaries" / "a.csv", NAMES)
    rows = np.where(missing, np.float32(np.nan), np.sort(rows, axis=1))
    store.write(rows, pinned)
    found = store.read(SHAPE)
    assert found is not None
    np.testing.assert_allclose(found.rows, rows, atol=0.011)
    np.testing.assert_array_equal(found.pinned, pinned & ~missing)
    assert found.crossings == 0
    for before, after in zip(rows, found.rows, strict=True):
        same = labels_of_surfaces(before, 10, (0, 1, 2, 3)) == labels_of_surfaces(after, 10, (0, 1, 2, 3))
        assert same.all()


def test_there_is_nothing_to_read_before_something_was_written(store: BoundaryStore) -> None:
    assert not store.exists
    assert store.read(SHAPE) is None


def test_a_single_bscan_and_a_missing_column_of_a_surface(store: BoundaryStore) -> None:
    _write(store, "bscan,x,ILM\n0,2,4.5\n")
    found = store.read((10, 4))
    assert found is not None
    assert found.rows.shape == (1, 3, 4)
    assert np.argwhere(np.isfinite(found.rows)).tolist() == [[0, 0, 2]]


def test_a_file_that_a_spreadsheet_saved(store: BoundaryStore) -> None:
    _write(store, 'BSCAN;X;ILM;BM;Anchors\r\n1;3;2,25;;"ILM;BM"\r\n', "utf-8-sig")
    found = store.read(SHAPE)
    assert found is not None
    assert found.rows[1, 0, 3] == 2.25
    assert np.argwhere(found.pinned).tolist() == [[1, 0, 3]]  # BM is not there, so it is not pinned


def test_surfaces_that_cross_are_put_in_order_and_counted(store: BoundaryStore) -> None:
    _write(store, "bscan,x,ILM,RNFL/GCL,BM\n0,0,5,3,8\n0,1,1,2,3\n")
    found = store.read(SHAPE)
    assert found is not None
    assert found.rows[0, :, 0].tolist() == [5, 5, 8]
    assert found.crossings == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("x,ILM\n0,1\n", "no column 'bscan'"),
        ("bscan,x,ILM,XYZ\n0,0,1,2\n", "column 'XYZ', which is no surface"),
        ("bscan,x,ILM,ILM\n0,0,1,2\n", "column 'ILM' twice"),
        ("bscan,x,ILM\n0,4,1\n", "line 2: x 4 lies outside the image, which has 4"),
        ("bscan,x,ILM\n0,0,1\n2,0,1\n", "line 3: bscan 2 lies outside"),
        ("bscan,x,ILM\n0,-1,1\n", "line 2: x '-1' is no whole number"),
        ("bscan,x,ILM\n0,0,deep\n", "line 2: ILM 'deep' is no number"),
        ("bscan,x,ILM\n0,0,nan\n", "line 2: ILM nan lies outside the image, whose rows go from -0.5 to 9.5"),
        ("bscan,x,ILM\n0,0,9.6\n", "ILM 9.6 lies outside"),
        ("bscan,x,ILM\n0,0,1\n0,0,2\n", "line 3: it repeats the column of line 2"),
        ("bscan,x,ILM,anchors\n0,0,1,RPE\n", "'RPE' in the column 'anchors' is no surface"),
        ("", "is empty"),
    ],
)
def test_a_broken_file_is_refused_with_its_line(store: BoundaryStore, text: str, sentence: str) -> None:
    _write(store, text)
    with pytest.raises(DatasetError, match=sentence):
        store.read(SHAPE)


def test_every_fault_of_a_file_is_listed_with_its_line(store: BoundaryStore) -> None:
    _write(store, "bscan,x,ILM,XYZ,anchors\n0,0,deep,1,RPE\n0,1,5,,\n9,2,5,,\n0,1,99,,\n0,3,4,,ILM\n")
    faults = store.faults(SHAPE)
    assert [(fault.line, fault.text.split(",")[0]) for fault in faults] == [
        (None, "it has the column 'XYZ'"),
        (2, "ILM 'deep' is no number"),
        (2, "'RPE' in the column 'anchors' is no surface"),
        (4, "bscan 9 lies outside the image"),
        (5, "ILM 99 lies outside the image"),
        (5, "it repeats the column of line 3"),
    ]
    with pytest.raises(DatasetError, match=r"column 'XYZ'.*\(and 5 more faults\)\.$"):
        store.read(SHAPE)


def test_crossing_surfaces_are_not_written_and_the_file_stays(store: BoundaryStore) -> None:
    rows = np.full((1, 3, 4), np.nan, np.float32)
    rows[0, 0] = 3
    store.write(rows)
    before = store.path.read_bytes()
    rows[0, 2, 1] = 2
    with pytest.raises(DatasetError, match="cross in B-scan 1, column 1"):
        store.write(rows)
    with pytest.raises(DatasetError, match="3 surfaces are declared"):
        store.write(rows[:, :2])
    assert store.path.read_bytes() == before


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    surfaces = tuple(
        Surface(name=name, above=above, below=below)
        for name, above, below in zip(NAMES, ("", "RNFL", "GCL"), ("RNFL", "GCL", ""), strict=True)
    )
    info = DatasetInfo(name="d", kind="oct", classes=mask_classes(["RNFL", "GCL"]), surfaces=surfaces)
    dataset = Dataset.create(tmp_path / "d", info)
    dataset.add_image(np.zeros((10, 4), np.uint8), "eye")
    return dataset


def test_boundaries_go_to_the_trash_with_their_case(dataset: Dataset) -> None:
    case = dataset.cases[0]
    store = dataset.boundary_store(case)
    store.write(np.full((1, 3, 4), 2, np.float32))
    dataset.remove_case(case.case, revision=case.revision)
    assert not store.exists
    assert [path.name.endswith("-eye.csv") for path in (dataset.path / "history" / "trash").iterdir()] == [True]


def test_the_check_names_boundaries_that_cross_lie_outside_or_belong_to_nobody(dataset: Dataset) -> None:
    case = dataset.cases[0]
    store = dataset.boundary_store(case)
    assert not [fault for fault in check(dataset) if "boundar" in str(fault)]
    _write(store, "bscan,x,ILM,BM\n0,0,4,2\n")
    store.path.with_name("gone.csv").write_bytes(store.path.read_bytes())
    texts = [str(fault) for fault in check(dataset)]
    assert any("cross in 1 column;" in text for text in texts)
    assert any("boundaries/gone.csv: No case" in text for text in texts)
    _write(store, "bscan,x,ILM\n0,9,4\n")
    assert any("x 9 lies outside the image" in str(fault) for fault in check(dataset) if fault.severity == "error")
