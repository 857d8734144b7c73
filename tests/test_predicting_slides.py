"""Slides from the command's side: what is written, what a kill leaves, and how it goes on."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_medseg import api
from napari_medseg.data.synthetic import tissue
from napari_medseg.io import read_labels, write_labels
from napari_medseg.structures import NOT_LOOKED_AT

pytest.importorskip("torch")

MPP = 0.5


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two islands of tissue on glass, as a tiled pyramid."""
    pixels = np.full((1300, 900, 3), 243, np.uint8)
    pixels[100:612, 200:712], pixels[800:1056, 300:556] = tissue(size=512, seed=1)[0], tissue(size=256, seed=2)[0]
    path = tmp_path_factory.mktemp("slides") / "slide.tif"
    known = {"photometric": "rgb", "tile": (256, 256), "compression": "deflate", "resolutionunit": "CENTIMETER"}
    with tifffile.TiffWriter(path) as file:
        for level in range(2):
            step = 4**level
            resolution = (1e4 / MPP / step,) * 2
            file.write(pixels[::step, ::step], subfiletype=min(level, 1), resolution=resolution, metadata=None, **known)
    return path


def command(slide: Path, out: Path, *options: str) -> list[str]:
    start = [sys.executable, "-m", "napari_medseg", "predict", str(api.bundled_model("pathology")), str(slide)]
    return [*start, "--kind", "slide", "--out", str(out), "--device", "cpu", "--precision", "fp32", *options]


def predicted(slide: Path, out: Path, **options: object) -> dict[str, object]:
    (row,) = api.predict_files(
        api.bundled_model("pathology"), [slide], out, kind="slide", device="cpu", precision="fp32", **options
    )
    return row


def files_of(out: Path) -> dict[str, bytes]:
    """What a prediction wrote, apart from what tells of times."""
    timed = ("predictions.csv", "slide-trace.json")
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name not in timed)
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


def test_labels_tables_and_contours_agree(slide: Path, tmp_path: Path) -> None:
    row = predicted(slide, tmp_path, probabilities=True)
    assert row["error"] == ""
    assert row["class"] in ("benign", "malignant")
    stored = read_labels(row["labels"])
    labels = np.asarray(stored.labels)
    assert labels.shape == (1300, 900)
    assert stored.spacing == (MPP, MPP)
    assert stored.classes[0].name == "gland"
    assert (labels[:80] == NOT_LOOKED_AT).all(), "glass is not looked at"
    assert (labels[200:500, 300:600] != NOT_LOOKED_AT).mean() > 0.8
    whole = api.predict(api.load_model(api.bundled_model("pathology"), device="cpu", precision="fp32"), slide)
    seen = labels != NOT_LOOKED_AT
    np.testing.assert_array_equal(labels[seen], np.asarray(whole.labels)[seen])

    tiles = list(csv.DictReader((tmp_path / "slide-tiles.csv").open()))
    counted = np.zeros(labels.shape, int)
    for tile in tiles:
        box = tuple(slice(int(tile[f"{axis}0"]), int(tile[f"{axis}1"])) for axis in "yx")
        counted[box] += 1
        part = labels[box]
        assert float(tile["seen"]) == pytest.approx((part != NOT_LOOKED_AT).mean(), abs=1e-4)
        if (part != NOT_LOOKED_AT).any():
            share = (part == 1).sum() / (part != NOT_LOOKED_AT).sum()
            assert float(tile["share_gland"]) == pytest.approx(share, abs=1e-5)
    assert counted.max() == 1
    assert (counted[seen] == 1).all()

    drawn = sum(_area(feature) for feature in json.loads((tmp_path / "slide.geojson").read_text())["features"])
    assert drawn == pytest.approx((labels == 1).sum(), rel=0.01)
    shares = zarr.open_array(tmp_path / "slide-probabilities.zarr" / "0")[...]
    assert shares.shape == (2, 1300, 900)
    assert ((shares[1] > shares[0]) == (labels == 1))[seen & (shares[0] != shares[1])].all()
    tags = zarr.open_array(tmp_path / "slide-tags.zarr" / "0")[...]
    np.testing.assert_allclose(np.nansum(tags, axis=0)[~np.isnan(tags[0])], 1, atol=1e-5)
    assert not list(tmp_path.glob("*.partial"))


def _area(feature: dict) -> float:
    """Area of a polygon less that of its holes, by the shoelace formula."""
    areas = []
    for ring in feature["geometry"]["coordinates"]:
        x, y = np.array(ring, float).T
        areas.append(abs(np.dot(x[:-1], y[1:]) - np.dot(x[1:], y[:-1])) / 2)
    return areas[0] - sum(areas[1:])


def test_killed_and_begun_again_the_files_are_the_same_to_the_byte(slide: Path, tmp_path: Path) -> None:
    predicted(slide, tmp_path / "once", probabilities=True, threads=1)
    out = tmp_path / "killed"
    started = command(slide, out, "--probabilities", "--threads", "1")
    child = subprocess.Popen(started, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = out / "slide.partial" / "journal.jsonl"
    limit = time.monotonic() + 300
    while not (journal.exists() and '"rows"' in journal.read_text()) and child.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.kill(child.pid, getattr(signal, "SIGKILL", signal.SIGTERM))
    child.wait()
    assert not (out / "slide.zarr").exists()
    finished = journal.read_text().count('"judged"')
    predicted(slide, out, probabilities=True, threads=1)
    assert finished > 0
    assert files_of(out) == files_of(tmp_path / "once")


def test_a_finished_slide_is_kept_and_another_model_or_option_begins_anew(slide: Path, tmp_path: Path) -> None:
    first = predicted(slide, tmp_path, region="200:500,250:560")
    before = (tmp_path / "slide.zarr").stat().st_ino
    again = predicted(slide, tmp_path, region="200:500,250:560")
    assert (tmp_path / "slide.zarr").stat().st_ino == before
    assert {**again, "seconds": 0} == {**first, "seconds": 0}
    predicted(slide, tmp_path, region="200:400,250:560")
    assert (np.asarray(read_labels(first["labels"]).labels)[400:] == NOT_LOOKED_AT).all()


def test_a_region_and_a_mask_of_ones_own(slide: Path, tmp_path: Path) -> None:
    mask = np.zeros((13, 9), np.uint8)
    mask[2:4, 3:5] = 1
    write_labels(tmp_path / "mask.tif", mask)
    row = predicted(slide, tmp_path / "mask", tissue=str(tmp_path / "mask.tif"))
    seen = np.asarray(read_labels(row["labels"]).labels) != NOT_LOOKED_AT
    np.testing.assert_array_equal(seen, mask.repeat(100, axis=0).repeat(100, axis=1) > 0)
    row = predicted(slide, tmp_path / "box", region="200:300,250:360", tissue="none")
    seen = np.asarray(read_labels(row["labels"]).labels) != NOT_LOOKED_AT
    assert seen.sum() == 100 * 110
    assert seen[200:300, 250:360].all()


def test_one_faulty_slide_is_a_row_and_an_empty_one_says_so(tmp_path: Path) -> None:
    glass = np.full((600, 500, 3), 243, np.uint8)
    for name in ("cut", "glass"):
        tifffile.imwrite(tmp_path / f"{name}.tif", glass, photometric="rgb", tile=(256, 256))
    whole = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    rows = api.predict_files(
        api.bundled_model("pathology"),
        [tmp_path / "cut.tif", tmp_path / "glass.tif"],
        tmp_path / "out",
        kind="slide",
        device="cpu",
        precision="fp32",
        report=lambda event, **values: said.append(str(values.get("text", ""))),
    )
    assert rows[0]["error"]
    assert (rows[1]["error"], rows[1]["class"]) == ("", "")
    assert any("No tissue" in text for text in said)
    assert (np.asarray(read_labels(rows[1]["labels"]).labels) == NOT_LOOKED_AT).all()


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_disk_that_is_full_is_a_sentence_and_room_lets_it_go_on(slide: Path, tmp_path: Path) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, before[1]))
    try:
        row = predicted(slide, tmp_path / "full", probabilities=True, threads=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert row["error"].startswith(str(tmp_path / "full" / "slide.partial"))
    assert row["error"].endswith("could not be written (File too large): free space, or check who holds it.")
    assert predicted(slide, tmp_path / "full", probabilities=True, threads=1)["error"] == ""
    predicted(slide, tmp_path / "once", probabilities=True, threads=1)
    assert files_of(tmp_path / "full") == files_of(tmp_path / "once")
