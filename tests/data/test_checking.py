from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.cli import main
from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.table import render_table
from tests.data.folders import INFO, make_cases, write_mask


def edit(dataset: Dataset, row: int, **cells: str) -> None:
    """Change cells as a spreadsheet would, without any check."""
    (dataset.path / "cases.csv").write_bytes(render_table(dataset.table.with_cells(row, cells)))
    dataset.reload()


def finished(folder: Path, n: int = 6) -> Dataset:
    dataset = make_cases(folder, n)
    for i in range(n):
        pixels = np.zeros((40, 30), np.uint8)
        pixels[0, 0] = 2 * (i % 2)
        write_mask(dataset.labels_folder / f"c{i}.tif", pixels)
        dataset.update_case(
            f"c{i}", revision=1, tag=("benign", "malignant")[i % 2], label=f"c{i}.tif", origin="person", status="done"
        )
    return dataset


def test_a_sound_data_set_has_no_faults(tmp_path: Path) -> None:
    assert check(finished(tmp_path)) == []


def test_every_fault_is_listed_in_one_go_with_its_row(tmp_path: Path) -> None:
    dataset = finished(tmp_path, 10)
    edit(dataset, 0, image="gone.tif")
    edit(dataset, 1, label="gone.tif")
    write_mask(dataset.labels_folder / "c2.tif", np.zeros((9, 9), np.uint8))
    write_mask(dataset.labels_folder / "c3.tif", np.full((40, 30), 7, np.uint8))
    edit(dataset, 4, status="finished", tag="odd", region="x")
    edit(dataset, 5, case="c6")
    (tmp_path / "pictures" / "c7.tif").write_bytes(b"no picture")
    edit(dataset, 8, group="p", split="train")
    edit(dataset, 9, group="p", split="test")
    faults = {(fault.where, fault.text) for fault in check(dataset) if fault.severity == "error"}
    for row, word in [
        (2, "gone.tif does not exist"),
        (3, "gone.tif does not exist"),
        (4, "9 x 9 pixels but the image 40 x 30"),
        (5, "hold 7"),
        (6, "'finished'"),
        (6, "'odd'"),
        (6, "'x'"),
        (8, "id is that of row 7"),
        (9, "c7.tif"),
    ]:
        assert any(f"row {row} " in where and word in text for where, text in faults), (row, word, faults)
    assert any("'p' is in train" in text for _, text in faults)
    assert sum("'x'" in text for where, text in faults if "row 6 " in where) == 1, "the region is named once"


def test_what_is_odd_but_usable_is_a_warning(tmp_path: Path) -> None:
    dataset = finished(tmp_path, 6)
    edit(dataset, 0, tag="malignant")
    edit(dataset, 1, case="1.00E+05")
    edit(dataset, 2, image="../pictures/c3.tif")
    edit(dataset, 4, tag="", label="")
    faults = check(dataset)
    assert {fault.severity for fault in faults} == {"warning"}
    texts = " ".join(str(fault) for fault in faults)
    for words in ("mask implies 'benign'", "'1.00E+05' looks as if", "those of row 4", "no tag, no grade"):
        assert words in texts
    assert all(fault.mend for fault in faults)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"status": "todo"}, "No case is done yet"),
        ({"label": ""}, "No finished case has a mask"),
        ({"tag": "benign", "label": ""}, "have the tag 'benign'"),
        ({"group": "p1"}, "come from 1 group:"),
    ],
)
def test_what_keeps_schemes_from_learning_is_said(tmp_path: Path, change: dict[str, str], words: str) -> None:
    dataset = finished(tmp_path)
    for row in range(6):
        edit(dataset, row, **change)
    assert any(words in fault.text for fault in check(dataset))


def test_a_check_changes_nothing(tmp_path: Path) -> None:
    dataset = finished(tmp_path)
    edit(dataset, 0, status="finished?")
    before = {path: path.read_bytes() for path in dataset.path.rglob("*") if path.is_file()}
    check(dataset)
    assert {path: path.read_bytes() for path in dataset.path.rglob("*") if path.is_file()} == before


def test_the_commands_make_check_split_and_describe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "new")
    assert main(["dataset", "new", path, "--classes", "gland,tumour", "--tags", "b,m", "--implies", "<empty>=b"]) == 0
    info = Dataset.open(path).info
    assert [c.value for c in info.classes] == [1, 2]
    assert dict(info.implies) == {"<empty>": "b"}
    dataset = finished(tmp_path)
    capsys.readouterr()
    assert main(["dataset", "split", str(dataset.path), "--seed", "3", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["cases"], sum(document["split"].values()), document["tag_counts"]["benign"]) == (6, 6, 3)
    assert main(["dataset", "check", str(dataset.path)]) == 0
    dataset.reload()
    edit(dataset, 0, image="gone.tif")
    capsys.readouterr()
    assert main(["dataset", "check", str(dataset.path), "--repair", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert "row 2 (case 'c0')" in document["faults"][0]["where"]
    assert main(["dataset", "info", str(tmp_path)]) == 1
    assert "is not a data set" in capsys.readouterr().err


def test_the_import_command_reads_its_options(tmp_path: Path) -> None:
    dataset = finished(tmp_path)
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "pictures").rename(source / "images")
    (dataset.labels_folder).rename(source / "masks")
    command = ["dataset", "import", str(source), "--out", str(tmp_path / "out"), "--classes", "2=tumour"]
    assert main([*command, "--name", INFO.name]) == 0
    assert [case.label for case in Dataset.open(tmp_path / "out").cases] == [f"c{i}.tif" for i in range(6)]
