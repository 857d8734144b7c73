"""Converting slides: the pixels, the levels, going on after a kill, stopping."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from napari_medseg.errors import Cancelled
from napari_medseg.io import read, write_image
from napari_medseg.structures import Image

from .writers import tissue, write_svs


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    write_svs(tmp_path / "a.svs", tissue(2700, 5300))
    return tmp_path / "a.svs"


def digest(folder: Path) -> str:
    """Of every file's name and bytes."""
    found = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file()):
        found.update(str(file.relative_to(folder)).encode() + b"\0" + file.read_bytes())
    return found.hexdigest()


def test_a_converted_slide_has_the_pixels_and_facts_of_the_original(slide: Path, tmp_path: Path) -> None:
    image = read(write_image(tmp_path / "a.zarr", read(slide), resumable=True))
    with tifffile.TiffFile(slide) as tif:
        whole = tif.pages[0].asarray()
    np.testing.assert_array_equal(image.data[...], whole)
    assert (image.spacing, image.units, image.kind) == ((0.25, 0.25), ("micrometer",) * 2, "slide")
    assert image.metadata["objective_power"] == 40
    half = whole.reshape(1350, 2, 2650, 2, 3).mean((1, 3))
    assert np.abs(image.levels[1][...] - half).max() <= 0.5
    stored = zarr.open_group(tmp_path / "a.zarr", mode="r")
    assert stored.attrs["ome"]["version"] == "0.5"
    assert stored["0"].shards == (3, 2048, 2048)
    assert not list(tmp_path.glob(".*"))


def test_a_killed_conversion_goes_on_and_ends_bit_for_bit_the_same(slide: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "whole.zarr", read(slide))
    out, begun = tmp_path / "a.zarr", tmp_path / ".a.zarr.unfinished"
    command = [sys.executable, "-m", "napari_medseg", "convert", str(slide), str(out), "--events", "json"]
    # The command ends with its standard input, so that a closed window leaves nothing running.
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if '"done": 4' in line:
            break
    process.kill()
    process.wait()
    files = {file: file.stat().st_mtime_ns for file in begun.rglob("c/*/*/*") if file.is_file()}
    assert len(files) >= 4
    assert not out.exists()
    time.sleep(0.01)
    write_image(out, read(slide), resumable=True)
    again = {file: (out / file.relative_to(begun)).stat().st_mtime_ns for file in files if file.suffix != ".partial"}
    assert again == {file: when for file, when in files.items() if file.suffix != ".partial"}
    assert digest(out) == digest(tmp_path / "whole.zarr")
    assert not begun.exists()


def test_stopping_keeps_the_work_and_another_slide_begins_anew(slide: Path, tmp_path: Path) -> None:
    out, begun = tmp_path / "a.zarr", tmp_path / ".a.zarr.unfinished"

    def stop(done: int, total: int, text: str) -> None:
        if done == 3:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        write_image(out, read(slide), progress=stop, resumable=True)
    assert len([file for file in (begun / "0").rglob("*") if file.is_file()]) >= 3
    assert not out.exists()
    other = tissue(2700, 5300, seed=1)
    write_svs(slide, other)
    write_image(out, read(slide), resumable=True)
    with tifffile.TiffFile(slide) as tif:
        np.testing.assert_array_equal(read(out).data[...], tif.pages[0].asarray())


def test_what_was_there_before_stays_until_the_new_one_is_whole(slide: Path, tmp_path: Path) -> None:
    out = write_image(tmp_path / "a.zarr", read(slide))
    before = digest(out)

    def stop(done: int, total: int, text: str) -> None:
        if done == 2:
            raise Cancelled("stopped")

    with pytest.raises(Cancelled):
        write_image(out, read(slide), progress=stop, resumable=True)
    assert digest(out) == before


@pytest.mark.parametrize("name", ["a.zarr", "a.tif"])
def test_progress_counts_up_to_the_end(tmp_path: Path, name: str) -> None:
    pixels = np.broadcast_to(tissue(64, 64)[:1, :1], (4200, 5400, 3))
    image = Image(levels=(pixels,), axes="yxc", rgb=True, channels=("red", "green", "blue"))
    seen: list[tuple[int, int]] = []
    write_image(tmp_path / name, image, progress=lambda done, total, text: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(seen[0][1]))
    np.testing.assert_array_equal(read(tmp_path / name).data[...], pixels)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_memory_stays_far_below_the_slide(tmp_path: Path) -> None:
    side = 20_000
    blank = np.broadcast_to(np.uint8(0), (side, side, 3))
    options = {"photometric": "rgb", "tile": (512, 512), "compression": "jpeg", "bigtiff": True}
    tifffile.imwrite(tmp_path / "a.tif", blank, metadata=None, **options)
    script = (
        "import sys, resource\n"
        "from napari_medseg.io import read, write_image\n"
        "image = read(sys.argv[1]); image.data[:600, :600]\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "write_image(sys.argv[2], image)\n"
        "print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "a.tif"), str(tmp_path / "a.zarr")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert int(done.stdout) < side * side * 3 / 2
