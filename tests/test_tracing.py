"""Traces of predictions, and what `verify` says when something was changed."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_medseg.api import bundled_model, predict_files, tracing
from napari_medseg.api.tracing import content_hash, trace_path, verify
from napari_medseg.cli import main
from napari_medseg.data.synthetic import tissue
from napari_medseg.errors import InputNotFoundError, ReadError

MODEL = bundled_model("pathology")


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images, and their predictions in ``out``."""
    folder = tmp_path_factory.mktemp("predicted")
    for number in range(2):
        pixels, _ = tissue(size=160, seed=number, malignant=bool(number))
        tifffile.imwrite(folder / f"Smith {number}.tif", pixels, photometric="rgb")
    predict_files(MODEL, sorted(folder.glob("*.tif")), folder / "out", device="cpu", precision="fp32", threads=1)
    return folder


@pytest.fixture
def copied(predicted: Path, tmp_path: Path) -> Path:
    """A copy of the predictions that may be changed."""
    shutil.copytree(predicted / "out", tmp_path / "out")
    return tmp_path / "out" / "Smith 0.tif"


def states(labels: Path, **more: object) -> dict[str, bool | None]:
    return {finding.what: finding.holds for finding in verify(labels, **more)}


def test_what_was_predicted_holds_and_comes_out_again(predicted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = predicted / "out" / "Smith 1.tif"
    assert main(["verify", str(labels), "--model", str(MODEL), "--again", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["holds"]
    assert {one["what"]: one["holds"] for one in document["findings"]} == dict.fromkeys(
        ("labels", "input", "model", "versions", "again"), True
    )


def test_a_trace_names_no_folder(predicted: Path) -> None:
    text = trace_path(predicted / "out" / "Smith 0.tif").read_text("utf-8")
    assert str(predicted) not in text
    assert json.loads(text)["input"]["name"] == "Smith 0.tif"


def test_changed_labels_another_image_and_another_model_are_told(
    predicted: Path, copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = bundled_model("oct")
    assert states(copied, model=MODEL)["labels"] is True
    found = states(copied, source=predicted / "Smith 1.tif", model=other)
    assert (found["labels"], found["input"], found["model"]) == (True, False, False)
    pixels = tifffile.imread(copied)
    pixels[0, 0] ^= 1
    tifffile.imwrite(copied, pixels)
    assert main(["verify", str(copied), "--model", str(MODEL), "--again"]) == 1
    assert f"1 of {pixels.size} pixels differ" in capsys.readouterr().out


def test_what_cannot_be_checked_is_said_and_not_held_against_it(copied: Path) -> None:
    copied.with_name("predictions.csv").unlink()
    trace = json.loads(trace_path(copied).read_text())
    trace["versions"]["torch"] = "1.0"
    trace_path(copied).write_text(json.dumps(trace))
    assert states(copied, again=True) == {"labels": True, "input": None, "model": None, "versions": None, "again": None}


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format": 1}', '{"format": 1, "labels": 3}', '"x"'])
def test_damaged_traces_are_a_sentence(copied: Path, damage: str) -> None:
    trace_path(copied).write_text(damage)
    with pytest.raises(ReadError, match="predict again"):
        verify(copied)


def test_labels_of_others_and_missing_ones_are_a_sentence(copied: Path) -> None:
    trace_path(copied).unlink()
    with pytest.raises(InputNotFoundError, match="only label files"):
        verify(copied)
    with pytest.raises(InputNotFoundError, match="check the path"):
        verify(copied.with_name("nothing.tif"))


def test_a_trace_of_a_newer_version_is_refused(copied: Path) -> None:
    trace = json.loads(trace_path(copied).read_text()) | {"format": 99}
    trace_path(copied).write_text(json.dumps(trace))
    with pytest.raises(ReadError, match="newer version"):
        verify(copied)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=3), st.integers(0, 399))
def test_a_change_within_the_pieces_of_a_large_file_is_seen(size: int, change: bytes, place: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tracing, "_MOST_BYTES", 0)
        patch.setattr(tracing, "_PIECE_BYTES", 16)  # 256 pieces of 16 bytes cover all of so small a file
        path = Path(folder) / "slide.svs"
        content = bytearray(np.random.default_rng(size).integers(0, 256, size, np.uint8).tobytes())
        path.write_bytes(content)
        before = content_hash(path)
        place = min(place, size)
        changed = content[:place] + change + content[place + len(change) :]
        path.write_bytes(changed)
        assert before.startswith("pieces-") or size == 0
        assert (content_hash(path) == before) == (changed == content)
