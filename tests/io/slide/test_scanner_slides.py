"""Slides that libraries read: which files go to them, their pixels, and what is said where a library is missing."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_medseg.errors import ReadError
from napari_medseg.io import describe, read, read_apart
from napari_medseg.io.reading import recognise
from napari_medseg.io.slide.damage import DamagedTileWarning, placeholder
from napari_medseg.io.slide.openslide import _on_background, read_openslide

from .writers import tissue, write_svs

_DICOM = ("boxes_0.dcm", "boxes_1.dcm")


def _write_like(path: Path, scanner: str) -> None:
    """A file with the marks by which a scanner's files are known."""
    if scanner == "czi":
        path.write_bytes(b"ZISRAWFILE" + bytes(600))
    elif scanner == "vms":
        path.write_text("[Virtual Microscope Specimen]\nNoLayers=1\n" * 20)
    elif scanner == "mrxs":
        path.write_bytes(b"\xff\xd8\xff" + bytes(600))
        path.with_suffix("").mkdir()
        (path.with_suffix("") / "Slidedat.ini").write_text("[GENERAL]\n")
    else:
        marks = {
            "scn": {"description": '<?xml version="1.0"?><scn></scn>'},
            "bif": {"software": "ScanOutputManager 1.1", "extratags": [(700, 1, 20, b"<iScan></iScan>     ", True)]},
            "trestle": {"software": "MedScan 1.0"},
        }
        tifffile.imwrite(path, tissue(64, 64), photometric="rgb", tile=(16, 16), metadata=None, **marks[scanner])


@pytest.mark.parametrize("scanner", ["czi", "vms", "mrxs", "scn", "bif", "trestle"])
def test_without_openslide_the_message_names_the_extra(tmp_path: Path, monkeypatch, scanner: str) -> None:
    path = tmp_path / f"a.{scanner}"
    _write_like(path, scanner)
    assert recognise(path).name == "a scanner's slide"
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(ReadError, match=r"napari-medseg\[slides\]"):
        read(path)


@pytest.mark.parametrize("scanner", ["czi", "vms", "mrxs"])
def test_a_damaged_scanner_file_is_a_sentence(tmp_path: Path, scanner: str) -> None:
    pytest.importorskip("openslide")
    path = tmp_path / f"a.{scanner}"
    _write_like(path, scanner)
    with pytest.raises(ReadError, match="copy it again"):
        read(path)


def test_pixels_levels_and_facts_through_openslide(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    write_svs(tmp_path / "a.svs", tissue(1024, 2048))
    image = read_openslide(tmp_path / "a.svs", None)
    assert (image.kind, image.spacing, image.units) == ("slide", (0.25, 0.25), ("micrometer", "micrometer"))
    assert image.metadata["objective_power"] == 40
    assert set(image.metadata["apart"]) == {"label", "macro", "thumbnail"}
    with tifffile.TiffFile(tmp_path / "a.svs") as tif:
        for level, stored in zip(image.levels, tif.series[0].levels, strict=True):
            np.testing.assert_array_equal(level[...], stored.asarray())
        again = pickle.loads(pickle.dumps(image.levels[0]))
        np.testing.assert_array_equal(again[500:530, 1000:1100], tif.pages[0].asarray()[500:530, 1000:1100])


def test_a_damaged_region_is_a_chequerboard_and_the_others_are_read(tmp_path: Path) -> None:
    pytest.importorskip("openslide")
    path = tmp_path / "a.svs"
    write_svs(path, tissue(1024, 2048))
    before = read_openslide(path, None).levels[0][...]
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[0], tif.pages[0].databytecounts[0]
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(count))
    with pytest.warns(DamagedTileWarning):
        shown = read_openslide(path, None).levels[0][...]
    np.testing.assert_array_equal(shown[:512, :512], placeholder(512, 512))
    np.testing.assert_array_equal(shown[512:], before[512:])
    np.testing.assert_array_equal(shown[:, 512:], before[:, 512:])


def test_what_was_not_scanned_has_the_background_colour() -> None:
    pixels = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 100, 100, 51]]], np.uint8)
    assert _on_background(pixels, (200, 210, 220)).tolist() == [[[10, 20, 30], [200, 210, 220], [180, 188, 196]]]


def test_a_dicom_slide_is_one_image_from_any_of_its_files(shared_data: Path) -> None:
    pytest.importorskip("wsidicom")
    openslide = pytest.importorskip("openslide")
    for name in _DICOM:
        path = shared_data / "path_slides" / name
        found = describe(path)
        assert (found["kind"], found["spacing"], found["magnification"]) == ("slide", [0.499, 0.499], 20)
        with openslide.OpenSlide(path) as other:
            whole = np.asarray(other.read_region((0, 0), 0, other.dimensions).convert("RGB"))
        np.testing.assert_array_equal(np.asarray(read(path).data[...]), whole)
        with pytest.raises(ReadError, match="it has none"):
            read_apart(path, "label")


def test_without_wsidicom_the_message_names_the_extra(shared_data: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "wsidicom", None)
    with pytest.raises(ReadError, match=r"napari-medseg\[dicom-slides\]"):
        read(shared_data / "path_slides" / _DICOM[0])


def test_a_file_that_keeps_nothing_apart_says_so(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ReadError, match="keeps no pictures apart"):
        read_apart(tmp_path / "a.png", "label")
