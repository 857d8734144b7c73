"""Ultrasound that leaves the house: cut to the scan, with listed elements only."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from napari_medseg.cli import main
from napari_medseg.data.cropping import crop
from napari_medseg.errors import WriteError
from napari_medseg.io import read, write_image
from napari_medseg.structures import Image

from .writers import SECRETS, region, write_ultrasound

#: All that may be in a file that was written.
ALLOWED = {
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "StudyTime", "AccessionNumber",
    "Modality", "Manufacturer", "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "FrameTime", "StudyInstanceUID", "SeriesInstanceUID", "StudyID",
    "SeriesNumber", "InstanceNumber", "PatientOrientation", "SamplesPerPixel", "PhotometricInterpretation",
    "PlanarConfiguration", "NumberOfFrames", "FrameIncrementPointer", "Rows", "Columns", "PixelSpacing",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
}  # fmt: skip


@pytest.fixture
def source(tmp_path):
    """A cine with a header region, a person's data and private elements."""
    folder = tmp_path / "Mustermann"
    folder.mkdir()
    frames = np.random.default_rng(0).integers(0, 256, (3, 200, 300, 3), np.uint8)
    path = write_ultrasound(
        folder / "Mustermann.dcm",
        frames,
        photometric="RGB",
        cine=True,
        regions=[region((40, 10, 259, 179))],
        FrameTime="40",
    )
    dataset = pydicom.dcmread(path)
    dataset.private_block(0x0011, "Acme", create=True).add_new(1, "LO", "Mustermann")
    dataset.save_as(path)
    return path, frames


def test_a_converted_cine_holds_the_scan_and_listed_elements_only(tmp_path, source, capsys):
    path, frames = source
    out = tmp_path / "out.dcm"
    assert main(["convert", str(path), str(out)]) == 0
    assert "10:180,40:260 (header)" in capsys.readouterr().out
    written = pydicom.dcmread(out)
    assert {element.keyword for element in written} <= ALLOWED
    assert not any(written.get(name) for name in ("PatientName", "PatientID", "PatientBirthDate", "StudyDate"))
    assert written.SeriesInstanceUID != "1.2.3"
    assert not any(secret.encode() in out.read_bytes() for secret in SECRETS)
    image = read(out)
    np.testing.assert_array_equal(image.data, frames[:, 10:180, 40:260])
    assert image.spacing == pytest.approx((40.0, 0.1, 0.05))
    assert image.ultrasound is not None
    assert image.ultrasound.device == "Acme Medical Echo 7"


@pytest.mark.parametrize("name", ["out.tif", "out.zarr"])
def test_other_formats_are_cut_and_nameless_too(tmp_path, source, name):
    path, frames = source
    out = tmp_path / name
    assert main(["convert", str(path), str(out), "--scan", "10:180,40:260"]) == 0
    files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
    assert not any(secret.encode() in file.read_bytes() for file in files for secret in SECRETS)
    np.testing.assert_array_equal(read(out).data, frames[:, 10:180, 40:260])


@pytest.mark.parametrize("scan", ["0:900,0:5", "5", "somehow"])
def test_a_box_that_is_none_is_named(tmp_path, source, scan, capsys):
    path, _ = source
    assert main(["convert", str(path), str(tmp_path / "out.dcm"), "--scan", scan]) == 1
    assert scan in capsys.readouterr().err
    assert not (tmp_path / "out.dcm").exists()


def test_a_picture_that_is_used_whole_is_said_to_keep_what_is_in_it(tmp_path, source, capsys):
    path, _ = source
    assert main(["convert", str(path), str(tmp_path / "out.dcm"), "--scan", "whole"]) == 0
    assert "Nothing was cut off" in capsys.readouterr().out


def test_every_real_file_survives_writing(tmp_path):
    for name in ("examples_rgb_color", "examples_ybr_color", "examples_palette"):
        image = read(get_testdata_file(f"{name}.dcm"))
        again = read(write_image(tmp_path / f"{name}.dcm", image))
        assert again.spacing == image.spacing
        np.testing.assert_array_equal(again.data, image.data)


def test_deep_grey_survives_writing(tmp_path):
    grey = np.random.default_rng(0).integers(0, 2**16, (21, 33), np.uint16)
    image = Image(levels=(grey,), axes="yx", kind="ultrasound", spacing=(0.1, 0.2), units=("millimeter", "millimeter"))
    again = read(write_image(tmp_path / "a.dcm", image))
    np.testing.assert_array_equal(again.data, grey)
    assert again.spacing == (0.1, 0.2)


@pytest.mark.parametrize(
    "image",
    [
        Image(levels=(np.zeros((4, 4), np.float32),), axes="yx", kind="ultrasound"),
        Image(levels=(np.zeros((4, 4), np.uint8),), axes="yx", kind="ct"),
        Image(levels=(np.zeros((2, 4, 4), np.uint8),), axes="zyx", kind="ultrasound"),
    ],
)
def test_what_dicom_ultrasound_cannot_hold_is_refused(tmp_path, image):
    with pytest.raises(WriteError, match=r"\.zarr"):
        write_image(tmp_path / "a.dcm", image)
    assert list(tmp_path.iterdir()) == []


def test_regions_move_with_a_cut(source):
    path, _ = source
    cut = crop(read(path), ((50, 200), (0, 100)))
    assert cut.ultrasound is not None
    assert cut.ultrasound.regions == (((0, 130), (40, 100)),)
    outside = crop(read(path), ((185, 200), (0, 100)))
    assert outside.ultrasound is not None
    assert outside.ultrasound.regions == ()
