"""DICOM series: order, distances, values and oddities, against numbers worked out by hand and SimpleITK."""

from __future__ import annotations

import logging
import pickle
import shutil
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    MPEG2MPML,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    SegmentationStorage,
    generate_uid,
)

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.hooks import image_layers
from napari_medseg.io import describe, image_files, read
from napari_medseg.io.oct.dicom import quiet
from napari_medseg.io.volume.dicom import one_per_series
from napari_medseg.io.volume.dicom_pixels import SliceLoader
from napari_medseg.structures import Image

from .writers import SECRETS, voxels, write_enhanced, write_series


def _is(image: Image, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.asarray(image.data), expected)


def test_places_order_slices_not_names_or_numbers(tmp_path: Path) -> None:
    image = read(write_series(tmp_path / "ct", voxels()))
    _is(image, voxels())
    assert (image.kind, image.axes, image.warnings) == ("ct", "zyx", ())
    assert image.spacing == (1.25, 0.75, 0.5)
    assert image.units == ("millimeter",) * 3
    assert image.affine is not None
    assert image.affine.tolist() == [[1.25, 0, 0, 30], [0, 0.75, 0, -20], [0, 0, 0.5, -10], [0, 0, 0, 1]]


def test_one_file_stands_for_its_series(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(), prefix="a")
    write_series(tmp_path, voxels(3) + 500, prefix="b")
    _is(read(tmp_path / "a002"), voxels())
    _is(read(tmp_path / "b002"), voxels(3) + 500)
    assert len(read(tmp_path / "b002").series_names) == 1


def test_series_are_offered_with_description_size_and_spacing(tmp_path: Path) -> None:
    write_series(tmp_path / "x" / "y", voxels(3), SeriesDescription="Thorax lung")
    write_series(tmp_path / "x" / "z", voxels(6))
    write_series(tmp_path / "loc", voxels(9), ImageType="ORIGINAL\\PRIMARY\\LOCALIZER")
    names = describe(tmp_path)["series"]
    assert names == [
        "Abdomen portal venous, 4 × 5 × 6, 0.5 × 0.75 × 1.25 mm",
        "Thorax lung, 4 × 5 × 3, 0.5 × 0.75 × 1.25 mm",
    ]
    _is(read(tmp_path, series=1), voxels(3))
    with pytest.raises(ReadError, match="choose another series"):
        read(tmp_path, series=2)


def test_unsigned_pixels_with_negative_intercept_do_not_overflow(tmp_path: Path) -> None:
    values = voxels(2)
    values[0, 0, 0] = -1024
    values[1, 0, 0] = 3071
    image = read(write_series(tmp_path, values, bits=12))
    assert image.dtype == np.int16
    _is(image, values)
    assert read(write_series(tmp_path / "wide", values)).dtype == np.int32  # 65535 - 1024 does not fit int16


def test_every_slice_is_rescaled_by_its_own_slope(tmp_path: Path) -> None:
    values = np.stack([np.full((5, 4), 10.0), np.full((5, 4), 2.5)])
    image = read(write_series(tmp_path, values, slope=[2.0, 0.5], intercept=0.0, modality="MR"))
    assert (image.kind, image.dtype) == ("mr", np.float32)
    _is(image, values)


def test_padding_and_what_lies_below_air_is_air(tmp_path: Path) -> None:
    values = voxels(2)
    values[:, 0] = -3024
    values[:, 1] = -1500
    image = read(write_series(tmp_path, values, signed=True, PixelPaddingValue=-2000))
    assert np.asarray(image.data)[:, :2].max() == -1024
    np.testing.assert_array_equal(np.asarray(image.data)[:, 2:], values[:, 2:])


def test_dark_means_bright_in_pictures_but_not_in_hounsfield_units(tmp_path: Path) -> None:
    values = voxels(2)
    _is(read(write_series(tmp_path / "ct", values, PhotometricInterpretation="MONOCHROME1")), values)
    image = read(
        write_series(
            tmp_path / "mr",
            values + 1000,
            modality="MR",
            intercept=0.0,
            bits=12,
            PhotometricInterpretation="MONOCHROME1",
        )
    )
    _is(image, 4095 - (values + 1000))


def test_gantry_tilt_is_kept_and_told(tmp_path: Path) -> None:
    tilt = np.radians(15)
    image = read(write_series(tmp_path, voxels(), step=(0.0, 1.25 * np.sin(tilt), 1.25 * np.cos(tilt))))
    _is(image, voxels())
    assert image.spacing == pytest.approx((1.25 * np.cos(tilt), 0.75, 0.5))
    assert image.affine is not None
    np.testing.assert_allclose(image.affine[:3, 0], [1.25 * np.cos(tilt), 1.25 * np.sin(tilt), 0])
    assert np.linalg.det(image.affine[:3, :3]) == pytest.approx(np.prod(image.spacing))
    assert "15.0°" in image.warnings[0]


def test_missing_slices_leave_gaps_and_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(12))
    for name in ("005", "006"):  # numbered from the top: the 8th and 7th from below, at 38.75 and 37.5 mm
        (tmp_path / name).unlink()
    image = read(tmp_path)
    expected = voxels(12)
    expected[6:8] = -1024
    _is(image, expected)
    assert image.spacing == (1.25, 0.75, 0.5)
    assert "2 slices are missing (at 37.50, 38.75 mm" in image.warnings[0]


def test_uneven_distances_are_not_called_a_spacing(tmp_path: Path) -> None:
    places = [(-10.0, -20.0, z) for z in (0.0, 1.0, 2.0, 3.0, 4.3, 9.3, 14.3, 19.3)]
    write_series(tmp_path, voxels(8), positions=places)
    image = read(tmp_path)
    _is(image, voxels(8))
    assert (image.spacing, image.units) == ((1.0, 0.75, 0.5), ("pixel", "millimeter", "millimeter"))
    assert "varies from 1 to 5 mm" in image.warnings[0]
    parts = [read(tmp_path, series=number) for number in range(len(image.series_names))]
    assert "resampled" in image.series_names[1]
    assert sorted(part.spacing[0] for part in parts[2:] if part.spacing) == [1.0, 5.0]
    assert [part.shape[0] for part in parts] == [8, 20, 4, 4]


def test_rounded_places_are_even(tmp_path: Path) -> None:
    places = [(-10.0, -20.0, round(0.625 * i, 1)) for i in range(40)]
    image = read(write_series(tmp_path, voxels(40), positions=places))
    assert image.spacing == pytest.approx((0.625, 0.75, 0.5), abs=2e-3)
    assert image.warnings == ()


def test_phases_of_one_place_become_images(tmp_path: Path) -> None:
    uid = generate_uid()
    write_series(tmp_path / "a", voxels(), series=uid, AcquisitionNumber=7)
    write_series(tmp_path / "b", voxels() + 500, series=uid, AcquisitionNumber=8)
    image = read(tmp_path)
    assert [name.split(", ")[-1] for name in image.series_names] == ["acquisition 1 of 2", "acquisition 2 of 2"]
    _is(image, voxels())
    _is(read(tmp_path, series=1), voxels() + 500)


def test_many_phases_keep_their_order(tmp_path: Path) -> None:
    uid = generate_uid()
    for phase in range(11):
        write_series(tmp_path / str(phase), voxels(2) + phase, series=uid, TemporalPositionIdentifier=phase + 1)
        for path in (tmp_path / str(phase)).iterdir():
            dataset = pydicom.dcmread(path)
            dataset.InstanceNumber += 10 * phase
            dataset.save_as(path)
    names = read(tmp_path).series_names
    assert [name.split(", ")[-1] for name in names] == [f"time {number} of 11" for number in range(1, 12)]
    _is(read(tmp_path, series=9), voxels(2) + 9)


def test_acquisitions_one_above_the_other_are_one_stack(tmp_path: Path) -> None:
    image = read(write_series(tmp_path, voxels(), AcquisitionNumber=[1, 1, 1, 2, 2, 2]))
    _is(image, voxels())
    assert len(image.series_names) == 1


def test_repeated_places_that_nothing_tells_apart_are_all_offered(tmp_path: Path) -> None:
    uid = generate_uid()
    write_series(tmp_path / "a", voxels(), series=uid)
    again = write_series(tmp_path / "b", voxels() + 500, series=uid, InstanceNumber=99)
    for name in ("001", "002"):
        (again / name).unlink()
    image = read(tmp_path)
    _is(image, voxels())
    assert "same place" in image.warnings[0]
    _is(read(tmp_path, series=1), voxels()[:4] + 500)


def test_copies_count_once_and_one_uid_for_all_slices_is_no_copy(tmp_path: Path) -> None:
    write_series(tmp_path / "a", voxels())
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    image = read(tmp_path)
    _is(image, voxels())
    assert "6 of its files are copies" in image.warnings[0]
    _is(read(write_series(tmp_path / "anonymised", voxels(), SOPInstanceUID="1.2.3")), voxels())


def test_enhanced_frames(tmp_path: Path) -> None:
    image = read(write_enhanced(tmp_path / "x", voxels()))
    _is(image, voxels())
    assert (image.kind, image.spacing) == ("ct", (1.25, 0.75, 0.5))


def test_one_slice_is_a_picture(tmp_path: Path) -> None:
    image = read(write_series(tmp_path, voxels(1)))
    assert (image.axes, image.shape, image.spacing) == ("yx", (5, 4), (0.75, 0.5))


def test_without_places_slices_follow_their_numbers(tmp_path: Path) -> None:
    write_series(tmp_path, voxels())
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.ImagePositionPatient
        dataset.save_as(path)
    image = read(tmp_path)
    _is(image, voxels()[::-1])
    assert image.affine is None
    assert image.units == ("pixel", "millimeter", "millimeter")
    assert "order of their numbers" in image.warnings[0]


def test_a_slice_without_direction_stays_by_itself(tmp_path: Path) -> None:
    write_series(tmp_path, voxels())
    dataset = pydicom.dcmread(tmp_path / "001")
    dataset.ImageOrientationPatient = [0.0] * 6
    dataset.save_as(tmp_path / "001")
    _is(read(tmp_path), voxels()[:5])
    image = read(tmp_path, series=1)
    assert (image.shape, image.spacing) == ((5, 4), None)
    assert "no size or no place" in image.warnings[0]


def test_zero_spacing_is_no_spacing(tmp_path: Path) -> None:
    image = read(write_series(tmp_path, voxels(), spacing=(0.0, 0.0)))
    assert (image.spacing, image.affine) == (None, None)
    assert "no size" in image.warnings[0]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    lean=st.tuples(st.floats(-0.4, 0.4), st.floats(-0.4, 0.4)),
    step=st.floats(0.3, 6),
)
def test_every_voxel_lies_where_dicom_says(tmp_path: Path, angles: tuple, lean: tuple, step: float) -> None:
    # Rotation by Euler angles: columns are row, column and normal directions.
    turned = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [(1, 2), (0, 2), (0, 1)][axis]
        once = np.eye(3)
        once[[i, i, j, j], [i, j, i, j]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
        turned = once @ turned
    folder = tmp_path / generate_uid()
    along, down, normal = turned.T
    to_next = step * (normal + lean[0] * along + lean[1] * down)
    places = [np.array([-10.0, -20.0, 30.0]) + i * to_next for i in range(4)]
    write_series(folder, voxels(4), positions=[tuple(p) for p in places], orientation=[*along, *down])
    image = read(folder)
    _is(image, voxels(4))
    assert image.affine is not None
    for z, y, x in [(0, 0, 0), (3, 0, 0), (0, 4, 0), (2, 1, 3)]:
        expected = places[z] + along * 0.5 * x + down * 0.75 * y
        np.testing.assert_allclose((image.affine @ [z, y, x, 1])[2::-1], expected, atol=1e-6)
    assert image.spacing == pytest.approx((step, 0.75, 0.5), rel=1e-6)


def test_it_agrees_with_simpleitk_where_that_is_right(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    folder = write_series(tmp_path, voxels())
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    theirs = reader.Execute()
    image = read(folder)
    _is(image, sitk.GetArrayFromImage(theirs))
    assert image.affine is not None
    assert image.spacing == pytest.approx(theirs.GetSpacing()[::-1])
    assert image.affine[:3, 3] == pytest.approx(theirs.GetOrigin()[::-1])


def test_slices_are_decoded_when_asked_for_and_workers_can_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path, voxels())
    image = read(folder)
    for path in folder.iterdir():
        if path.name != "006":  # the lowest slice
            path.unlink()
    np.testing.assert_array_equal(image.data[0], voxels()[0])
    with pytest.raises(ReadError, match="cannot be decoded"):
        image.data[3]
    again = pickle.loads(pickle.dumps(image.data))
    np.testing.assert_array_equal(again[0, 1:3, ::2], voxels()[0, 1:3, ::2])


def test_what_a_caller_does_to_pixels_stays_with_the_caller(tmp_path: Path) -> None:
    image = read(write_series(tmp_path, voxels()))
    image.data[0][:] = 0
    _is(image, voxels())


@pytest.mark.parametrize(
    ("codec", "syntax", "signed"),
    [
        ("jpegls", JPEGLSLossless, False),
        ("jpegls", JPEGLSLossless, True),
        ("ljpeg", JPEGLosslessSV1, False),
        ("jpeg2k", JPEG2000Lossless, False),
        ("htj2k", HTJ2KLossless, False),
    ],
)
def test_lossless_codecs_need_no_extra(tmp_path: Path, codec: str, syntax: str, signed: bool) -> None:
    values = voxels(3, 16, 16) + 300
    write_series(tmp_path, values, signed=signed, intercept=0.0 if signed else -1024.0)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        options = {
            "jpeg2k": {"level": 0, "reversible": True, "codecformat": "j2k"},
            "htj2k": {"reversible": True},
        }.get(codec, {})
        stored = np.frombuffer(dataset.PixelData, np.uint16).reshape(16, 16)
        packed = getattr(imagecodecs, f"{codec}_encode")(stored, **options)
        dataset.PixelData = pydicom.encaps.encapsulate([packed])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(path)
    _is(read(tmp_path), values)


def test_lossy_jpeg_of_twelve_bits_needs_no_extra(tmp_path: Path) -> None:
    values = voxels(3, 16, 16) + 300
    write_series(tmp_path, values)
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        stored = np.frombuffer(dataset.PixelData, np.uint16).reshape(16, 16)
        packed = imagecodecs.jpeg8_encode(stored, level=100, bitspersample=12)
        dataset.PixelData = pydicom.encaps.encapsulate([packed])
        dataset["PixelData"].VR = "OB"
        dataset.BitsStored, dataset.HighBit = 12, 11
        dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
        dataset.save_as(path)
    np.testing.assert_allclose(np.asarray(read(tmp_path).data), values, atol=4)


def test_unknown_compression_is_a_sentence(tmp_path: Path) -> None:
    write_series(tmp_path, voxels())
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(range(200))])
        dataset["PixelData"].VR = "OB"
        dataset.file_meta.TransferSyntaxUID = MPEG2MPML
        dataset.save_as(path)
    with pytest.raises(ReadError, match="export the series uncompressed"):
        read(tmp_path).data[0]


def test_nobodys_data_reaches_images_layers_names_or_logs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_series(tmp_path, voxels(), SeriesDescription="MUSTERMANN abdomen", OperatorsName="Erika^Hausarzt")
    assert all(secret.encode() in (tmp_path / "001").read_bytes() for secret in SECRETS)
    with warnings.catch_warnings(record=True) as told, caplog.at_level(logging.DEBUG):
        warnings.simplefilter("always")
        image = read(tmp_path)
        text = repr((image, describe(tmp_path), image_layers(image), [str(one.message) for one in told], caplog.text))
    assert image.series_names == ("CT 3, 4 × 5 × 6, 0.5 × 0.75 × 1.25 mm",)
    assert [secret for secret in SECRETS if secret.casefold() in text.casefold()] == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_a_sentence_or_an_image(tmp_path: Path, data: st.DataObject) -> None:
    folder = write_series(tmp_path / generate_uid(), voxels(2))
    path = folder / "001"
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # A share, not a number: UIDs and with them files differ in length.
        at = int(data.draw(st.floats(0, 1, exclude_max=True)) * len(whole))
        whole[at] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.sampled_from([None, -5, 700, 140]))])
    for place in (path, folder):
        sentence = _sentence(place)
        assert not any(secret in sentence for secret in SECRETS)


def _sentence(place: Path) -> str:
    """What goes wrong when everything is read; any other exception than ours gets out."""
    try:
        np.asarray(read(place).data)
    except MedsegError as error:
        return str(error)
    return ""


def test_a_slice_that_is_cut_short_counts_as_missing(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(12))
    (tmp_path / "005").write_bytes((tmp_path / "005").read_bytes()[:-21])
    (tmp_path / "006").write_bytes((tmp_path / "006").read_bytes()[:700])
    image = read(tmp_path)
    assert image.shape[0] == 12
    assert "2 DICOM files are damaged and left out: 005, 006" in image.warnings[0]
    assert "2 slices are missing" in image.warnings[1]


def test_folders_of_pictures_stay_stacks_of_pictures(tmp_path: Path) -> None:
    from PIL import Image as Picture

    write_series(tmp_path / "below", voxels())
    for name in ("a", "b"):
        Picture.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{name}.png")
    assert read(tmp_path).shape == (2, 4, 4)
    assert [path.name for path in image_files(tmp_path)] == ["a.png", "b.png", "below"]


def test_real_series(shared_data: Path) -> None:
    folder = shared_data / "ct_totalseg_example" / "example_ct_dicom"
    image = read(folder)
    assert image.shape == (20, 512, 512)
    labels = read(shared_data / "ct_totalseg_example" / "example_seg_dicom.nii.gz")
    assert labels.spatial_shape == image.spatial_shape
    assert image.affine is not None
    assert labels.affine is not None
    np.testing.assert_allclose(image.affine, labels.affine, atol=1e-3)
    # Bone is bright and lies where the labels say; the spine is TotalSegmentator's 25 to 50.
    spine = np.asarray(labels.data)[10] > 25
    spine &= np.asarray(labels.data)[10] < 51
    assert image.data[10][spine].mean() > image.data[10].mean() + 300


def test_bits_that_do_not_count_are_ignored_and_signs_are_found(tmp_path: Path) -> None:
    values = np.array([[[-1, -2000, 5, 0]] * 5] * 2)
    write_series(tmp_path, values, signed=True, bits=12, intercept=0.0, modality="MR")
    for path in tmp_path.iterdir():
        dataset = pydicom.dcmread(path)
        dataset.PixelData = (np.frombuffer(dataset.PixelData, np.uint16) & 0x0FFF).tobytes()
        dataset.save_as(path)
    _is(read(tmp_path), values)


def test_a_file_that_changes_is_read_anew(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", voxels(3))
    np.testing.assert_array_equal(np.asarray(read(folder).data), voxels(3))
    write_series(folder, voxels(3) + 7, intercept=-1000.0)
    np.testing.assert_array_equal(np.asarray(read(folder).data), voxels(3) + 7)


def test_a_slice_to_be_shown_does_not_wait_for_a_whole_stack(tmp_path: Path, monkeypatch) -> None:
    image = read(write_series(tmp_path / "ct", voxels(6)))
    decode, held, go_on = SliceLoader._decode, threading.Event(), threading.Event()

    def slow(self: SliceLoader, index: int) -> np.ndarray:
        if index == 0:
            held.set()
            assert go_on.wait(60)
        return decode(self, index)

    monkeypatch.setattr(SliceLoader, "_decode", slow)
    with ThreadPoolExecutor(1) as pool:
        whole = pool.submit(np.asarray, image.data)
        assert held.wait(60)
        np.testing.assert_array_equal(image.data[4], voxels(6)[4])
        go_on.set()
        np.testing.assert_array_equal(whole.result(60), voxels(6))


def test_settings_of_warnings_come_back_however_threads_overlap() -> None:
    before, inside = list(warnings.filters), threading.Barrier(2)

    def first_in_last_out(is_first: bool) -> None:
        with quiet():
            inside.wait(60)
            if is_first:
                left.wait(60)
        left.set()

    left = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(first_in_last_out, [True, False]))
    assert list(warnings.filters) == before


@pytest.mark.parametrize("series", [None, ""])
def test_the_folder_of_a_series_is_one_image_with_or_without_its_uid(tmp_path: Path, series: str | None) -> None:
    folder = write_series(tmp_path / "ct", voxels(5), **({} if series is None else {"SeriesInstanceUID": series}))
    assert image_files(folder) == [folder]
    _is(read(folder), voxels(5))
    assert one_per_series(sorted(folder.iterdir())) == [folder / "001"]


def test_segmentations_of_one_series_are_images_of_their_own(tmp_path: Path) -> None:
    write_series(tmp_path, voxels(2), series="1.2.3", SOPClassUID=SegmentationStorage)
    assert len(one_per_series(sorted(tmp_path.iterdir()))) == 2
