"""What people type wrongly is answered by one sentence that helps, and by the right exit code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg.cli import main
from tests.data.folders import make_cases


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two pictures with masks in ``src``, a data set in ``data``, a text file, an empty folder; the working folder."""
    for folder, pixels in (("images", np.zeros((20, 30, 3), np.uint8)), ("masks", np.eye(20, 30, dtype=np.uint8))):
        (tmp_path / "src" / folder).mkdir(parents=True)
        for name in "ab":
            Picture.fromarray(pixels).save(tmp_path / "src" / folder / f"{name}.png")
    (tmp_path / "src" / "cases.csv").write_text("name,dx\na,benign\n", "utf-8")
    (tmp_path / "text.txt").write_text("no image", "utf-8")
    (tmp_path / "empty").mkdir()
    make_cases(tmp_path, 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(capsys: pytest.CaptureFixture[str], line: str) -> tuple[int, str]:
    """Exit code and what stands on standard error."""
    try:
        code = main(line.split())
    except SystemExit as stop:
        code = int(str(stop.code))
    return code, capsys.readouterr().err.strip()


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("info data", "it is a data set, which 'napari-medseg dataset info' describes"),
        ("info src", "open one of the folders in it"),
        ("dataset info text.txt", "text.txt is a file: name the data set's folder"),
        ("dataset check data/dataset.json", "is a file: name the data set's folder"),
        ("dataset import data --out o", "is a data set already"),
        ("dataset import src --out o --table empty --tag dx", "is a folder: name the table's file"),
        ("dataset import src --out text.txt/o", "choose a folder that exists or can be made"),
        ("dataset import src --out o --spacing -1,2", "spacing '-1,2' is not understood"),
        ("reproduce pathology --data data --out o --seeds 0", "ask for one or more seeds"),
        ("measure src/masks/a.png --span ILM:BM", "has no layers to measure from one surface to another"),
        ("export src/masks/a.png o.png", "let the name end in .nii.gz, .zarr or .tif"),
        ("dataset export data --out data", "is the data set's own folder"),
        (f"dataset new {300 * 'n'}", "File name too long"),
        ("convert src/images/a.png text.txt/b.tif", "choose a folder that exists or can be made"),
    ],
)
def test_a_fault_of_the_input_is_one_sentence_and_1(
    place: Path, capsys: pytest.CaptureFixture[str], line: str, sentence: str
) -> None:
    code, said = answer(capsys, line)
    assert code == 1
    assert sentence in said
    assert "\n" not in said


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("dataset import src --out o --classes 1=a,1=b", "the value 1 is named twice"),
        ("dataset import src --out o --spacing a,b", "'a,b' are no numbers"),
        ("dataset import src --out o --ignore x", "'x' are no whole numbers"),
        ("reproduce pathology --data data --out o --masks a,b", "'a,b' are no whole numbers"),
        ("train pathology --data data --out o --devices 0", "'0' is no number of devices"),
        ("dataset split data --fractions many", "'many' are no numbers"),
    ],
)
def test_wrong_usage_says_what_to_write_and_2(
    place: Path, capsys: pytest.CaptureFixture[str], line: str, sentence: str
) -> None:
    code, said = answer(capsys, line)
    assert code == 2
    assert sentence in said.splitlines()[-1]


def test_masks_that_are_not_where_they_were_said_to_be_are_told(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dataset", "import", "src", "--out", "o", "--masks", "images"]) == 0
    assert "No mask was found in images: name the folder of the masks with --masks." in capsys.readouterr().out
