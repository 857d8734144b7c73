"""DICOM ophthalmic tomography, the Duke sets' MATLAB files, folders and stacks as OCT, and what needs an extra."""

from __future__ import annotations

import importlib.util
import io
import struct
from pathlib import Path

import numpy as np
import pydicom
import pytest
import scipy.io
import tifffile
from PIL import Image as Picture

from napari_medseg.errors import ReadError
from napari_medseg.io import describe, read
from napari_medseg.io.oct.scan import in_order

from .writers import write_opt

_FRAMES = np.random.default_rng(1).integers(0, 255, (4, 20, 16), dtype=np.uint8)


def test_dicom_tells_spacing_and_side(tmp_path: Path) -> None:
    image = read(write_opt(tmp_path / "whatever", _FRAMES))
    np.testing.assert_array_equal(image.data, _FRAMES)
    assert (image.kind, image.axes, image.spacing) == ("oct", "zyx", (0.1, 0.004, 0.012))
    assert image.oct is not None
    assert (image.oct.laterality, image.oct.device) == ("L", "Maker Model 1")


def test_one_dicom_frame_is_a_b_scan_and_missing_spacing_stays_missing(tmp_path: Path) -> None:
    assert read(write_opt(tmp_path / "a.dcm", _FRAMES[:1])).spacing == (0.004, 0.012)
    path = write_opt(tmp_path / "b.dcm", _FRAMES, step=(None, None, None))
    assert (read(path).spacing, read(path).units) == (None, None)
    path = write_opt(tmp_path / "c.dcm", _FRAMES, step=(None, 0.004, 0.012))
    assert read(path).units == ("pixel", "millimeter", "millimeter")


def test_frames_are_decoded_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 10)
    image = read(write_opt(tmp_path / "a.dcm", _FRAMES))
    assert not isinstance(image.data, np.ndarray)
    np.testing.assert_array_equal(image.data[1:3, 4:9, ::3], _FRAMES[1:3, 4:9, ::3])


def test_dicom_whose_pixels_are_hidden_is_refused(tmp_path: Path) -> None:
    path = write_opt(tmp_path / "a.dcm", _FRAMES)
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEG2000Lossless
    dataset.PixelData = pydicom.encaps.encapsulate([bytes(range(200))] * 4)
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    with pytest.raises(ReadError, match="Zeiss"):
        read(path)


def test_other_dicom_objects_are_no_oct(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_opt(tmp_path / "a.dcm", _FRAMES))
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
    dataset.Modality = "CT"
    dataset.save_as(tmp_path / "a.dcm")
    assert read(tmp_path / "a.dcm").kind == "ct"


def test_dicom_that_begins_like_a_tiff_is_dicom(tmp_path: Path) -> None:
    path = write_opt(tmp_path / "a.dcm", _FRAMES)
    path.write_bytes(b"II*\0" + path.read_bytes()[4:])
    assert read(path).kind == "oct"


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_half_a_dicom_is_refused(tmp_path: Path, share: float) -> None:
    path = write_opt(tmp_path / "a.dcm", _FRAMES)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ReadError, match=r"a\.dcm"):
        read(path)


def test_duke_amd(tmp_path: Path) -> None:
    rows = np.stack([np.full((4, 16), row) for row in (3.0, 15.0, 11.0)], axis=-1)
    rows[2, 5] = np.nan
    scipy.io.savemat(tmp_path / "a.mat", {"images": np.moveaxis(_FRAMES, 0, -1), "layerMaps": rows, "Age": 64})
    image = read(tmp_path / "a.mat")
    np.testing.assert_array_equal(image.data, _FRAMES)
    assert image.spacing is None
    assert image.oct is not None
    assert list(image.oct.surfaces) == ["ILM", "BM", "IBRPE"]
    assert image.oct.surfaces["ILM"][0, 0] == 2.0  # MATLAB counts from 1
    assert np.isnan(image.oct.surfaces["BM"][2, 5])


def test_duke_dme_offers_every_grader(tmp_path: Path) -> None:
    rows = np.broadcast_to(np.arange(2.0, 18.0, 2.0)[:, None, None], (8, 16, 4))
    contents = {"images": np.moveaxis(_FRAMES, 0, -1).astype(float), "manualLayers1": rows, "manualLayers2": rows + 1}
    scipy.io.savemat(tmp_path / "a.mat", contents)
    assert describe(tmp_path / "a.mat")["series"] == ["manualLayers1", "manualLayers2"]
    image = read(tmp_path / "a.mat", series=1)
    assert image.dtype == np.uint8
    assert image.oct is not None
    assert list(image.oct.surfaces)[:2] == ["ILM", "NFL/GCL"]
    assert image.oct.surfaces["BM"].shape == (4, 16)
    assert image.oct.surfaces["BM"][3, 3] == 16.0


def test_other_matlab_files_are_refused(tmp_path: Path) -> None:
    scipy.io.savemat(tmp_path / "a.mat", {"x": np.zeros(3)})
    with pytest.raises(ReadError, match="without a stack 'images'"):
        read(tmp_path / "a.mat")
    (tmp_path / "b.mat").write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + b"\x89HDF")
    with pytest.raises(ReadError, match="-v7"):
        read(tmp_path / "b.mat")


def test_grey_pictures_saved_as_colours_become_grey(tmp_path: Path) -> None:
    for number, frame in enumerate(_FRAMES):
        Picture.fromarray(np.stack([frame] * 3, axis=-1)).save(tmp_path / f"B{number + 8}.png")
    image = read(tmp_path, kind="oct")
    assert (image.axes, image.rgb, image.spacing) == ("zyx", False, None)
    np.testing.assert_array_equal(image.data, _FRAMES)
    assert read(tmp_path).axes == "zyxc"


def test_coloured_pictures_stay_coloured(tmp_path: Path) -> None:
    colored = np.stack([_FRAMES[0]] * 3, axis=-1)
    colored[3, 3] = (200, 0, 0)
    Picture.fromarray(colored).save(tmp_path / "a.png")
    assert read(tmp_path / "a.png", kind="oct").axes == "yxc"


def test_stacks_and_their_spacing_become_b_scans_in_millimetres(tmp_path: Path) -> None:
    metadata = {"axes": "TYX", "PhysicalSizeX": 11.5, "PhysicalSizeY": 3.9}
    tifffile.imwrite(tmp_path / "a.tif", _FRAMES, ome=True, metadata=metadata)
    image = read(tmp_path / "a.tif", kind="oct")
    assert (image.axes, image.units) == ("zyx", ("pixel", "millimeter", "millimeter"))
    assert image.spacing == pytest.approx((1.0, 0.0039, 0.0115))


def test_b_scans_of_mixed_sizes_are_refused(tmp_path: Path) -> None:
    Picture.fromarray(_FRAMES[0]).save(tmp_path / "a.png")
    Picture.fromarray(_FRAMES[0, 2:]).save(tmp_path / "b.png")
    with pytest.raises(ReadError, match=r"a\.png is 20 × 16 uint8, b\.png is 18 × 16 uint8"):
        read(tmp_path, kind="oct")


def test_surfaces_are_ordered_by_where_they_are() -> None:
    slope = np.arange(100, dtype=np.float32)[None]
    # The lower one exists only where the whole retina lies high, so that its mean row is the smaller one.
    lower = np.where(slope < 20, slope + 30, np.nan)
    assert list(in_order({"lower": lower, "upper": slope, "gone": slope * np.nan}, 200)) == ["upper", "lower"]
    assert in_order({}, 10) == {}


_HAS_CONVERTER = importlib.util.find_spec("oct_converter") is not None


def _chunk(name: bytes, content: bytes) -> bytes:
    return bytes([len(name)]) + name + struct.pack("<I", len(content)) + content


def _topcon() -> bytes:
    slices = b""
    for frame in _FRAMES:
        stream = io.BytesIO()
        Picture.fromarray(frame).save(stream, "JPEG2000", irreversible=False)
        slices += struct.pack("<i", len(stream.getvalue())) + stream.getvalue()
    chunks = [
        _chunk(b"@IMG_JPEG", struct.pack("<B6I", 2, 0, 0, 16, 20, 4, 0) + slices),
        _chunk(b"@PARAM_SCAN_04", struct.pack("<3I5d2B", 0, 0, 0, 6.4, 6.0, 2.6, 0, 0, 0, 0)),
        _chunk(b"@CAPTURE_INFO_02", struct.pack("<BBI100s6H", 1, 0, 0, b"Mustermann", 2020, 1, 1, 1, 1, 1)),
    ]
    for name, row in ((b"MULTILAYERS_7", 5), (b"MULTILAYERS_1", 15)):
        header = struct.pack("<20s2B3I", name, 0, 0, 16, 4, 128)
        chunks.append(_chunk(b"@CONTOUR_INFO", header + np.full((4, 16), row, "<u2").tobytes()))
    return b"FOCTFDA" + struct.pack("<2I", 1, 1) + b"".join(chunks) + b"\0"


@pytest.mark.skipif(_HAS_CONVERTER, reason="the extra is installed here")
def test_what_needs_the_extra_names_it(tmp_path: Path) -> None:
    files = {
        "a": _topcon(),
        "b.OCT": bytes(6) + struct.pack("<I", 11) + b"FRAMEHEADER" + bytes(99),
        "c.oct": bytes(64),
    }
    (tmp_path / "c.txt").write_text("Window Height=640")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ReadError, match=r"pip install \"napari-medseg\[oct-vendors\]\""):
            read(tmp_path / name)


@pytest.mark.skipif(not _HAS_CONVERTER, reason="oct-converter is not installed")
def test_topcon(tmp_path: Path) -> None:
    (tmp_path / "a.fda").write_bytes(_topcon())
    image = read(tmp_path / "a.fda")
    np.testing.assert_array_equal(image.data, _FRAMES)
    assert image.spacing == pytest.approx((1.5, 0.0026, 0.4))
    assert image.oct is not None
    assert image.oct.laterality == "L"
    assert {name: rows[0, 0] for name, rows in image.oct.surfaces.items()} == {"ILM": 5, "BM": 15}
