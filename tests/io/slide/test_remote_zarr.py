"""OME-Zarr over HTTP, from a server of this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_medseg.data.checking import check
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import ReadError
from napari_medseg.io import describe, read, read_labels, write_image
from napari_medseg.io.address import address_of
from napari_medseg.structures import Image
from tests.factories import INFO

from .writers import tissue

pytest.importorskip("aiohttp")


class _Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []  # noqa: RUF012 - one server per test

    def log_message(self, *_: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    _Quiet.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def stored(tmp_path: Path) -> np.ndarray:
    pixels = tissue(1400, 1100)
    image = Image(
        levels=(pixels,),
        axes="yxc",
        rgb=True,
        channels=("red", "green", "blue"),
        kind="slide",
        spacing=(0.5, 0.5),
        units=("micrometer", "micrometer"),
    )
    write_image(tmp_path / "a.zarr", image)
    return pixels


def test_an_address_is_read_like_a_folder_piece_by_piece(served: str, tmp_path: Path) -> None:
    pixels = stored(tmp_path)
    image = read(f"{served}/a.zarr")
    assert (image.name, image.kind, image.spacing, image.path) == ("a", "slide", (0.5, 0.5), None)
    assert image.metadata["address"] == f"{served}/a.zarr"
    _Quiet.asked.clear()
    np.testing.assert_array_equal(image.data[600:700, 600:1100], pixels[600:700, 600:1100])
    chunks = [path for path in _Quiet.asked if "/0/c/" in path]
    assert 0 < len(chunks) <= 6
    _Quiet.asked.clear()
    np.testing.assert_array_equal(image.data[650:690, 650:1050], pixels[650:690, 650:1050])
    assert not _Quiet.asked
    np.testing.assert_array_equal(np.asarray(image.levels[0][...]), pixels)


def test_a_path_that_lost_a_slash_is_still_an_address(served: str, tmp_path: Path) -> None:
    stored(tmp_path)
    assert describe(Path(f"{served}/a.zarr"))["levels"][0] == [1400, 1100, 3]


@pytest.mark.parametrize("text", ["C:/slides/a.zarr", "a.zarr", "file:a.zarr", "https:", "ftp://host/a.zarr"])
def test_file_names_are_no_addresses(text: str) -> None:
    assert address_of(text) is None


def test_nothing_there_and_nobody_there_are_sentences(served: str) -> None:
    with pytest.raises(ReadError, match="check the address"):
        read(f"{served}/missing.zarr")
    with pytest.raises(ReadError, match="check the address"):
        read("http://127.0.0.1:1/a.zarr")


def test_an_address_is_a_case_of_a_data_set(served: str, tmp_path: Path) -> None:
    pixels = stored(tmp_path)
    data = Dataset.create(tmp_path / "data", INFO)
    added = data.add_case(f"{served}/a.zarr", status="done", tag="plain", origin="person")
    again = Dataset.open(tmp_path / "data")
    case = again.case(added.case)
    assert (case.case, case.image) == ("a", f"{served}/a.zarr")
    assert [fault for fault in check(again) if fault.severity == "error"] == []
    np.testing.assert_array_equal(again.read_image(case).region()[:, 5], np.moveaxis(pixels, -1, 0)[:, 5])
    (trained,) = training_set(again).cases
    assert trained.load_image().spatial_shape == pixels.shape[:2]
    before = trained.image_hash
    image = zarr.open_group(tmp_path / "a.zarr", mode="r+")
    image.attrs["changed"] = True
    assert training_set(Dataset.open(tmp_path / "data")).cases[0].image_hash != before


def test_a_case_whose_address_does_not_answer_is_a_fault_in_a_sentence(tmp_path: Path) -> None:
    data = Dataset.create(tmp_path / "data", INFO)
    case = data.add_case("http://127.0.0.1:1/a.zarr")
    with pytest.raises(ReadError, match=r"http://127\.0\.0\.1:1/a\.zarr cannot be opened"):
        data.read_image(case)
    (fault,) = (fault for fault in check(data) if fault.severity == "error")
    assert "check the address, the network" in fault.text


def test_an_address_is_predicted(served: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from napari_medseg import api

    write_image(tmp_path / "b.zarr", Image(levels=(tissue(300, 280),), axes="yxc", rgb=True, name="b"))
    (row,) = api.predict_files(
        api.bundled_model("pathology"), [f"{served}/b.zarr"], tmp_path / "out", device="cpu", precision="fp32"
    )
    assert row["error"] == ""
    assert read_labels(row["labels"]).labels.shape == (300, 280)
