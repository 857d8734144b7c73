"""Bad input of every sort is one sentence; folders become stacks; `describe` is the document of `info`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from napari_medseg.errors import InputNotFoundError, MedsegError, ReadError
from napari_medseg.io import describe, image_files, read, read_labels

_PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50, 3)).astype(np.uint8)


def _pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(np.tile(_PIXELS, (4, 4, 1)), tile=(32, 32), subifds=1, compression="zlib")
        writer.write(np.tile(_PIXELS, (2, 2, 1)), tile=(32, 32), subfiletype=1, compression="zlib")


_WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.png": lambda path: Picture.fromarray(_PIXELS).save(path),
    "palette.png": lambda path: Picture.fromarray(_PIXELS).convert("P").save(path),
    "a.jpg": lambda path: Picture.fromarray(_PIXELS).save(path, exif=Picture.Exif()),
    "a.bmp": lambda path: Picture.fromarray(_PIXELS).save(path),
    "plain.tif": lambda path: tifffile.imwrite(path, _PIXELS),
    "zlib.tif": lambda path: tifffile.imwrite(path, _PIXELS, compression="zlib", predictor=True),
    "ome.tif": lambda path: tifffile.imwrite(path, _PIXELS, ome=True, metadata={"axes": "YXS", "PhysicalSizeX": 1.0}),
    "imagej.tif": lambda path: tifffile.imwrite(path, _PIXELS[..., 0], imagej=True, metadata={"unit": "um"}),
    "pyramid.tif": _pyramid,
}


def _damaged(whole: bytes, seed: int) -> bytes:
    """Cut short, or with a few bytes of the header or of anything overwritten."""
    rng = np.random.default_rng(seed)
    if seed % 3 == 0:
        return whole[: rng.integers(0, len(whole))]
    spoiled = bytearray(whole)
    reach = min(len(whole), 400) if seed % 3 == 1 else len(whole)
    for _ in range(rng.integers(1, 8)):
        spoiled[rng.integers(0, reach)] = rng.integers(0, 256)
    return bytes(spoiled)


@pytest.mark.parametrize("name", _WRITERS)
@pytest.mark.parametrize("reader", [read, read_labels])
def test_damaged_files_raise_nothing_but_sentences(tmp_path: Path, name: str, reader: Callable[[Path], Any]) -> None:
    _WRITERS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    sentences = []
    for seed in range(45):
        (tmp_path / name).write_bytes(_damaged(whole, seed))
        try:
            found = reader(tmp_path / name)
            pixels = found.data if reader is read else found.labels
            np.asarray(pixels[tuple(slice(0, 64) for _ in pixels.shape)])
        except MedsegError as error:
            sentences.append(str(error))
    assert len(sentences) >= 3
    assert all(name in sentence and "\n" not in sentence for sentence in sentences)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "zlib.tif"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_truncated_files_are_refused_when_opened(tmp_path: Path, name: str, share: float) -> None:
    _WRITERS[name](tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ReadError, match=name):
        read(tmp_path / name)


def test_missing_empty_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match="does not exist"):
        read(tmp_path / "none.png")
    (tmp_path / "empty.png").touch()
    with pytest.raises(ReadError, match="empty"):
        read(tmp_path / "empty.png")
    (tmp_path / "text.tif").write_text("BMP and other words")
    with pytest.raises(ReadError, match="not an image"):
        read(tmp_path / "text.tif")
    with pytest.raises(ReadError, match="cannot be opened"):
        read("a\0b.png")
    with pytest.raises(ReadError, match="kind"):
        read(tmp_path / "text.tif", kind="xray")  # type: ignore[arg-type]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_files_without_permission(tmp_path: Path) -> None:
    _WRITERS["a.png"](tmp_path / "a.png")
    (tmp_path / "a.png").chmod(0)
    with pytest.raises(ReadError, match="permission"):
        read(tmp_path / "a.png")


def test_folders_become_stacks_in_natural_order(tmp_path: Path) -> None:
    for i in range(12):
        Picture.fromarray(np.full((6, 7), i, np.uint8)).save(tmp_path / f"slice{i}.png")
    (tmp_path / "notes.txt").write_text("not a slice")
    (tmp_path / ".hidden.png").write_text("")
    image = read(tmp_path)
    assert (image.axes, image.shape, image.spacing) == ("zyx", (12, 6, 7), None)
    assert np.asarray(image.data)[:, 0, 0].tolist() == list(range(12))
    assert [file.name for file in image_files(tmp_path)] == [f"slice{i}.png" for i in range(12)]


def test_large_stacks_are_read_slice_by_slice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 1000)
    for i in range(5):
        tifffile.imwrite(tmp_path / f"{i}.tif", np.full((30, 40, 3), i, np.uint8), compression="zlib")
    image = read(tmp_path)
    for i in range(5):
        (tmp_path / f"{i}.tif").unlink() if i != 3 else None
    assert image.axes == "zyxc"
    assert (image.data[3, 5:9] == 3).all()
    with pytest.raises(ReadError):
        image.data[0]


def test_folders_that_are_no_stack(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match="no image"):
        read(tmp_path)
    with pytest.raises(InputNotFoundError):
        image_files(tmp_path / "none")
    Picture.fromarray(_PIXELS).save(tmp_path / "a.png")
    assert read(tmp_path).axes == "yxc"
    Picture.fromarray(_PIXELS[1:]).save(tmp_path / "b.png")
    with pytest.raises(ReadError, match=r"a\.png is 40 × 50 × 3 uint8, b\.png is 39 × 50 × 3 uint8"):
        read(tmp_path)
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes()[:20])
    with pytest.raises(ReadError, match=r"b\.png"):
        read(tmp_path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_kept_and_told(tmp_path: Path, value: float) -> None:
    pixels = np.zeros((9, 8), np.float32)
    pixels[2, 3] = value
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert any("1 of its values" in warning for warning in image.warnings)


def test_describe_is_plain_json(tmp_path: Path) -> None:
    metadata = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.25, "Channel": {"Name": ["a", "b"]}}
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 9, 8), np.uint16), ome=True, metadata=metadata)
    document = describe(tmp_path / "a.tif", kind="slide")
    assert json.loads(json.dumps(document)) == {
        "path": str(tmp_path / "a.tif"),
        "kind": "slide",
        "axes": "cyx",
        "shape": [2, 9, 8],
        "dtype": "uint16",
        "channels": ["a", "b"],
        "spacing": [0.25, 0.5],
        "units": ["micrometer", "micrometer"],
        "levels": [[2, 9, 8]],
        "series": ["Image0"],
        "warnings": [],
        "magnification": None,
        "apart": [],
    }


def test_importing_the_package_loads_no_parser_and_reading_no_torch(tmp_path: Path) -> None:
    _WRITERS["a.png"](tmp_path / "a.png")
    script = (
        "import sys, napari_medseg.io as io\n"
        "assert not {'tifffile', 'zarr', 'PIL'} & set(sys.modules)\n"
        f"io.read({str(tmp_path / 'a.png')!r})\n"
        "assert not {'torch', 'napari'} & set(sys.modules)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_files_beside_slides_are_refused_by_their_content(shared_data: Path) -> None:
    paths = sorted((shared_data / "path_slides").iterdir())
    others = [path for path in paths if path.suffix not in (".svs", ".tiff", ".dcm")]
    assert len(others) >= 2
    for path in others:
        with pytest.raises(ReadError, match="not an image"):
            read(path)
    for path in set(paths) - set(others):
        assert read(path).levels[-1][:8, :8].shape == (8, 8, 3)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_a_file_that_only_has_an_images_name_is_reported_and_not_left_out(tmp_path: Path, content: bytes) -> None:
    for name in ("1.png", "3.png"):
        Picture.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / name)
    (tmp_path / "2.png").write_bytes(content)
    (tmp_path / "notes.txt").write_text("left out")
    assert [file.name for file in image_files(tmp_path)] == ["1.png", "2.png", "3.png"]
    with pytest.raises(ReadError, match=r"2\.png"):
        read(tmp_path)
