"""DICOM ultrasound: pixels of every colour space, time, distances and regions, and what stays in the file."""

from __future__ import annotations

import json
import pickle
import warnings

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.encaps import encapsulate
from pydicom.pixels import pixel_array
from pydicom.pixels.processing import apply_color_lut, convert_color_space
from pydicom.uid import JPEGLSLossless, RLELossless

from napari_medseg.cli import main
from napari_medseg.errors import ReadError
from napari_medseg.hooks import read_layers
from napari_medseg.io import read
from napari_medseg.io.reading import describe
from napari_medseg.structures import UltrasoundScan

from .writers import SECRETS, header, palette, region, write_ultrasound

SAMPLES = {
    "ExplVR_BigEnd": (60, 80, 3),
    "examples_jpeg2k": (480, 640, 3),
    "examples_palette": (350, 800, 3),
    "examples_rgb_color": (240, 320, 3),
    "examples_ybr_color": (30, 240, 320, 3),
}


def colors(*lead: int, seed: int = 0) -> np.ndarray:
    """Colours (..., 20, 30, 3) that differ everywhere."""
    return np.random.default_rng(seed).integers(0, 256, (*lead, 20, 30, 3), np.uint8)


@pytest.mark.parametrize("name", SAMPLES)
def test_real_files_open_with_the_pixels_that_pydicom_decodes(name):
    path = get_testdata_file(f"{name}.dcm")
    image = read(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(path)
        expected = pixel_array(dataset)
        if dataset.PhotometricInterpretation == "PALETTE COLOR":
            expected = (apply_color_lut(expected, dataset) >> 8).astype(np.uint8)
    assert image.kind == "ultrasound"
    assert image.shape == SAMPLES[name]
    assert image.rgb
    np.testing.assert_array_equal(image.data, expected)


def test_a_real_cine_has_time_and_its_header_is_not_believed():
    image = read(get_testdata_file("examples_ybr_color.dcm"))
    assert image.axes == "tyxc"
    assert image.spacing == (pytest.approx(33.333), 1.0, 1.0)
    assert image.units == ("millisecond", "pixel", "pixel")
    assert image.ultrasound == UltrasoundScan(device="SonoSite, Inc. Turbo", frame_ms=pytest.approx(33.333))
    assert any("do not lie in the picture" in warning for warning in image.warnings)


@pytest.mark.parametrize(("name", "flows"), [("examples_rgb_color", True), ("examples_palette", False)])
def test_flow_is_seen_in_real_files(name, flows):
    assert read(get_testdata_file(f"{name}.dcm")).ultrasound.color_doppler is flows


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("lead", [(), (4,)])
def test_rgb(tmp_path, lead, planar):
    stored = colors(*lead)
    path = write_ultrasound(tmp_path / "a.dcm", stored, photometric="RGB", cine=bool(lead), planar=planar)
    image = read(path)
    assert (image.axes, image.rgb) == ("tyxc"[1 - len(lead) :], True)
    np.testing.assert_array_equal(image.data, stored)


@pytest.mark.parametrize("lead", [(), (3,)])
def test_ybr_full_becomes_rgb(tmp_path, lead):
    wanted = colors(*lead)
    stored = convert_color_space(wanted, "RGB", "YBR_FULL")
    path = write_ultrasound(tmp_path / "a.dcm", stored, photometric="YBR_FULL", cine=bool(lead))
    found = np.asarray(read(path).data)
    np.testing.assert_array_equal(found, convert_color_space(stored, "YBR_FULL", "RGB"))
    assert np.abs(found.astype(int) - wanted).max() <= 2


@pytest.mark.parametrize("deep", [False, True])
def test_palette_indices_become_colours(tmp_path, deep):
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_ultrasound(tmp_path / "a.dcm", stored, photometric="PALETTE COLOR", **palette(deep=deep))
    found = np.asarray(read(path).data)
    np.testing.assert_array_equal(found, np.stack([stored, 255 - stored, stored // 3], axis=-1))


@pytest.mark.parametrize(
    ("photometric", "dtype", "bits"), [("MONOCHROME2", np.uint8, 8), ("MONOCHROME1", np.uint16, 12)]
)
def test_grey_is_bright_where_it_is_bright(tmp_path, photometric, dtype, bits):
    stored = np.random.default_rng(0).integers(0, 1 << bits, (5, 12, 18)).astype(dtype)
    path = write_ultrasound(tmp_path / "a.dcm", stored, photometric=photometric, cine=True, bits=bits)
    image = read(path)
    assert (image.axes, image.rgb, image.dtype) == ("tyx", False, dtype)
    expected = stored if photometric == "MONOCHROME2" else (1 << bits) - 1 - stored
    np.testing.assert_array_equal(image.data, expected)


def test_compressed_colours_that_need_another_codec(tmp_path):
    imagecodecs = pytest.importorskip("imagecodecs")
    wanted = colors(2)
    path = write_ultrasound(tmp_path / "a.dcm", wanted, photometric="RGB", cine=True)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
    dataset.PixelData = encapsulate([imagecodecs.jpegls_encode(frame) for frame in wanted])
    dataset["PixelData"].is_undefined_length = True
    dataset.save_as(path)
    np.testing.assert_array_equal(read(path).data, wanted)


def test_run_lengths(tmp_path):
    wanted = colors(3)
    dataset = pydicom.dcmread(write_ultrasound(tmp_path / "a.dcm", wanted, photometric="RGB", cine=True))
    dataset.compress(RLELossless)
    dataset.save_as(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read(tmp_path / "a.dcm").data, wanted)


def test_centimetres_per_pixel_become_millimetres(tmp_path):
    grey = np.zeros((200, 300), np.uint8)
    image = read(write_ultrasound(tmp_path / "a.dcm", grey, regions=[region((40, 10, 259, 179), delta=0.004)]))
    assert image.spacing == pytest.approx((0.08, 0.04))
    assert image.units == ("millimeter", "millimeter")
    assert image.ultrasound.regions == (((10, 180), (40, 260)),)
    assert image.ultrasound.device == "Acme Medical Echo 7"
    assert image.warnings == ()


@pytest.mark.parametrize(
    ("items", "boxes", "has_spacing", "warns"),
    [
        pytest.param([region((0, 0, 301, 200))], 0, True, False, id="all of the picture"),
        pytest.param([region((40, 10, 400, 179))], 0, False, True, id="beyond the picture"),
        pytest.param([region((40, 10, 30, 179))], 0, False, True, id="turned round"),
        pytest.param([region((40, 10, 60, 30))], 0, True, False, id="too small"),
        pytest.param([region((40, 10, 259, 179), kind=4)], 0, False, False, id="a curve"),
        pytest.param([region((40, 10, 259, 179), units=4)], 1, False, False, id="seconds"),
        pytest.param([region((40, 10, 259, 179))] * 2, 1, True, False, id="twice"),
        pytest.param(
            [region((0, 10, 140, 179)), region((150, 10, 299, 179), delta=0.01)], 2, False, True, id="two scales"
        ),
    ],
)
def test_regions_are_checked_before_they_are_believed(tmp_path, items, boxes, has_spacing, warns):
    image = read(write_ultrasound(tmp_path / "a.dcm", np.zeros((200, 300), np.uint8), regions=items))
    assert len(image.ultrasound.regions) == boxes
    assert (image.spacing is not None) == has_spacing
    assert bool(image.warnings) == warns
    for (y0, y1), (x0, x1) in image.ultrasound.regions:
        assert 0 <= y0 < y1 <= 200
        assert 0 <= x0 < x1 <= 300


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"FrameTime": "40"}, 40.0),
        ({"FrameTimeVector": [0, 30, 50, 40]}, 40.0),
        ({"CineRate": "20"}, 50.0),
        ({"RecommendedDisplayFrameRate": "25"}, 40.0),
        ({"FrameTime": "0"}, None),
        ({}, None),
    ],
)
def test_time_between_frames(tmp_path, elements, expected):
    grey = np.zeros((4, 20, 30), np.uint8)
    image = read(write_ultrasound(tmp_path / "a.dcm", grey, cine=True, **elements))
    assert image.ultrasound.frame_ms == expected
    assert image.spacing == (None if expected is None else (expected, 1.0, 1.0))


def test_frames_of_a_large_cine_are_decoded_when_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 100)
    stored = colors(5)
    image = read(write_ultrasound(tmp_path / "a.dcm", stored, photometric="RGB", cine=True))
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.data[3], stored[3])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[1:4, 5:7], stored[1:4, 5:7])


def test_a_folder_offers_its_files_as_series(tmp_path):
    for number in (2, 1):
        write_ultrasound(tmp_path / f"{number}.dcm", np.full((20, 30), number, np.uint8))
    image = read(tmp_path, series=1)
    assert image.series_names == ("1.dcm", "2.dcm")
    assert image.data[0, 0] == 2
    assert read(tmp_path / "1.dcm").series_names == ("",)


def test_nothing_of_the_patient_leaves_the_file(tmp_path, capsys, caplog):
    path = write_ultrasound(
        tmp_path / "a.dcm", np.zeros((200, 300), np.uint8), regions=[region((40, 10, 259, 179))], AcquisitionTime="bad"
    )
    assert all(secret.encode() in path.read_bytes() for secret in SECRETS)
    shown = [repr(read(path)), json.dumps(describe(path)), repr(read_layers(str(path))(str(path)))]
    assert main(["info", str(path)]) == 0
    captured = capsys.readouterr()
    for secret in SECRETS:
        assert not any(secret in text for text in (*shown, captured.out, captured.err, caplog.text))


@pytest.mark.parametrize("lost", [1, 5000])
def test_a_cut_file_is_refused_without_words_of_its_header(tmp_path, lost):
    path = write_ultrasound(tmp_path / "a.dcm", colors(6), photometric="RGB", cine=True)
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(ReadError, match="damaged") as caught:
        read(path)
    assert not any(secret in str(caught.value) for secret in SECRETS)


def test_a_report_without_frames_is_refused_in_a_sentence(tmp_path):
    dataset = header()
    pydicom.dcmwrite(tmp_path / "a.dcm", dataset, enforce_file_format=True)
    with pytest.raises(ReadError, match="without frames"):
        read(tmp_path / "a.dcm")


def test_more_pixels_than_any_file_holds_are_refused(tmp_path):
    path = write_ultrasound(tmp_path / "a.dcm", np.zeros((20, 30), np.uint8), NumberOfFrames=2_000_000_000)
    with pytest.raises(ReadError):
        read(path)


def test_layers_have_time_first_and_colours_last():
    path = get_testdata_file("examples_ybr_color.dcm")
    (layer,) = read_layers(path)(path)
    _, keywords, kind = layer
    assert kind == "image"
    assert keywords["rgb"]
    assert keywords["axis_labels"] == ("t", "y", "x")
    assert keywords["metadata"]["medseg"]["kind"] == "ultrasound"
