"""What the table tells of an image that its file does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.checking import check
from napari_medseg.data.cropping import crop
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.importing import import_dataset
from napari_medseg.data.scan_columns import format_spacing, parse_series, parse_spacing, with_spacing
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, Image, OctScan
from tests.io.oct.writers import write_e2e, write_vol

_PIXELS = np.random.default_rng(0).integers(0, 255, (3, 20, 16), dtype=np.uint8)


def _dataset(folder: Path, image: Path, **extra: str) -> Dataset:
    dataset = Dataset.create(folder / "data", DatasetInfo(name="test", kind="oct"))
    dataset.add_case(image, extra=extra)
    return dataset


def _stack(folder: Path, pixels: np.ndarray = _PIXELS) -> Path:
    tifffile.imwrite(folder / "a.tif", pixels, photometric="minisblack")
    return folder / "a.tif"


@given(st.lists(st.floats(1e-5, 10), min_size=2, max_size=3))
def test_spacing_is_read_as_it_is_written(steps: list[float]) -> None:
    assert parse_spacing(format_spacing(steps)) == pytest.approx(tuple(steps), rel=1e-5)


@pytest.mark.parametrize("text", ["0.0039", "a,b", "0,1", "-1,2", "nan,1", "1,2,3,4", "inf,1", "0,0039,0,0115"])
def test_spacing_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DatasetError, match="millimetres per pixel"):
        parse_spacing(text)


def test_the_table_tells_what_the_file_does_not(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, _stack(tmp_path), spacing="0.12,0.0039,0.0115", laterality="l")
    image = dataset.read_image(dataset.cases[0])
    assert (image.spacing, image.units) == ((0.12, 0.0039, 0.0115), ("millimeter",) * 3)
    assert image.oct is not None
    assert image.oct.laterality == "L"


def test_two_numbers_leave_the_distance_of_b_scans_open(tmp_path: Path) -> None:
    dataset = _dataset(tmp_path, _stack(tmp_path), spacing="0.0039 0.0115")
    image = dataset.read_image(dataset.cases[0])
    assert (image.spacing, image.units) == ((1.0, 0.0039, 0.0115), ("pixel", "millimeter", "millimeter"))


def test_what_the_file_says_stays(tmp_path: Path) -> None:
    rows = np.full((3, 1, 16), 4, np.float32)
    path = write_vol(tmp_path / "a.vol", _PIXELS / np.float32(255), rows, pattern=5, step=(0.0, 0.004, 0.012))
    dataset = _dataset(tmp_path, path, spacing="0.5,9,9", laterality="R")
    image = dataset.read_image(dataset.cases[0])
    assert image.spacing == (0.5, 0.004, 0.012)
    assert image.oct is not None
    assert image.oct.laterality == "L"


def test_each_series_of_a_file_can_be_a_case(tmp_path: Path) -> None:
    path = write_e2e(
        tmp_path / "a.e2e", [{"bscans": _PIXELS * np.uint16(200)}, {"bscans": _PIXELS[:1] * np.uint16(200)}]
    )
    dataset = _dataset(tmp_path, path)
    dataset.add_case(path, extra={"series": "1"})
    first, second = dataset.cases
    assert dataset.read_image(first).shape == (3, 20, 16)
    assert dataset.read_image(second).shape == (20, 16)
    assert not [fault for fault in check(dataset) if "Image and region" in fault.text]


def test_series_tell_cases_apart_in_training(tmp_path: Path) -> None:
    path = write_e2e(tmp_path / "a.e2e", [{"bscans": _PIXELS * np.uint16(200)}] * 2)
    dataset = Dataset.create(tmp_path / "data", DatasetInfo(name="test", kind="oct", tags=tag_classes(["well"])))
    for number in range(2):
        dataset.add_case(path, group=f"{number}", tag="well", status="done", extra={"series": str(number)})
    before = training_set(dataset).cases
    case = dataset.cases[0]
    dataset.update_case(case.case, revision=case.revision, extra={"spacing": "1,1"})
    after = training_set(dataset).cases
    assert len({case.image_hash for case in before}) == 2
    assert [a.image_hash == b.image_hash for a, b in zip(before, after, strict=True)] == [True, True]
    assert [a.content_hash == b.content_hash for a, b in zip(before, after, strict=True)] == [False, True]


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"spacing": "3.9"}, "millimetres per pixel"),
        ({"series": "x"}, "whole number"),
        ({"laterality": "both"}, "R or L"),
    ],
)
def test_cells_that_cannot_be_understood_are_faults(tmp_path: Path, cells: dict[str, str], words: str) -> None:
    dataset = _dataset(tmp_path, _stack(tmp_path), **dict.fromkeys(cells, ""))
    with pytest.raises(DatasetError, match=words):
        dataset.update_case("a", revision=1, extra=cells)
    table = dataset.path / "cases.csv"
    row = table.read_text("utf-8").splitlines()
    table.write_text(f"{row[0]}\n{row[1]}{next(iter(cells.values()))}\n", "utf-8")
    assert any(words.lower() in str(fault).lower() for fault in check(dataset))


def test_series_are_counted_from_0() -> None:
    assert (parse_series(""), parse_series(" 2 ")) == (None, 2)


def test_import_writes_the_columns(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "images" / f"{name}.tif", _PIXELS[0])
    (tmp_path / "cases.csv").write_text("id,eye\na,R\nb,L\n", "utf-8")
    keywords = {"table": "cases.csv", "laterality_column": "eye", "spacing": (0.0039, 0.0115)}
    dataset = import_dataset(tmp_path, tmp_path / "out", kind="oct", **keywords)
    assert [dict(case.extra) for case in dataset.cases] == [
        {"spacing": "0.0039,0.0115", "laterality": side} for side in "RL"
    ]
    assert dataset.read_image(dataset.cases[1]).spacing == (0.0039, 0.0115)
    (tmp_path / "cases.csv").write_text("id,eye\na,R\nb,OU\n", "utf-8")
    with pytest.raises(DatasetError, match=r"b\.tif: laterality 'OU'"):
        import_dataset(tmp_path, tmp_path / "bad", kind="oct", **keywords)


def test_a_cut_takes_the_scan_along() -> None:
    rows = np.arange(3 * 16, dtype=np.float32).reshape(3, 16) % 20
    positions = np.array([[[5.0 * i, 0.0], [5.0 * i, 16.0]] for i in range(3)])
    scan = OctScan(surfaces={"ILM": rows}, positions=positions)
    part = crop(Image(levels=(_PIXELS,), axes="zyx", oct=scan), ((1, 3), (4, 12), (8, 16))).oct
    assert part is not None
    assert part.positions is not None
    expected = rows[1:3, 8:16] - 4
    expected[(expected <= -1) | (expected >= 9)] = np.nan
    np.testing.assert_array_equal(part.surfaces["ILM"], expected)
    np.testing.assert_array_equal(part.positions, [[[5, 8], [5, 16]], [[10, 8], [10, 16]]])


def test_spacing_fills_only_what_is_open() -> None:
    image = Image(levels=(_PIXELS,), axes="zyx", spacing=(1.0, 2.0, 3.0), units=("pixel", "millimeter", "millimeter"))
    assert with_spacing(image, (7.0, 8.0, 9.0)).spacing == (7.0, 2.0, 3.0)
    assert with_spacing(image, (8.0, 9.0)).spacing == (1.0, 2.0, 3.0)
    assert with_spacing(image, None) is image
