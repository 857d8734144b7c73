"""Labels to NIfTI and DICOM SEG and back, judged by nibabel, SimpleITK and highdicom."""

from __future__ import annotations

import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_medseg.errors import ConfigError, ReadError
from napari_medseg.io import read, read_labels, write_labels
from napari_medseg.io.volume.dicom_seg_writer import write_seg
from napari_medseg.io.volume.regrid import onto_grid
from napari_medseg.structures import MaskClass

from .writers import SECRETS, voxels, write_enhanced, write_series

_CLASSES = (
    MaskClass(value=2, name="liver", color="#0072b2"),
    MaskClass(value=7, name="tumour", color="#d55e00"),
)
_TILTED = (0.0, 0.4, 1.2)
_TURNED = (0.8, 0.6, 0.0, -0.6, 0.8, 0.0)


def _labels(count: int = 6) -> np.ndarray:
    """Two classes of odd shapes, none in the first and last slice, (z, 5, 4)."""
    labels = np.zeros((count, 5, 4), np.uint8)
    labels[1, 1:3, 1] = 2
    labels[2, 2, :] = 2
    labels[count - 2, 4, 3] = 7
    return labels


def _places(labels: np.ndarray, affine: np.ndarray, value: int) -> np.ndarray:
    """(x, y, z) in LPS millimetres of every voxel of a value, sorted."""
    index = np.argwhere(labels == value)
    points = (affine @ np.c_[index, np.ones(len(index))].T).T[:, 2::-1]
    return points[np.lexsort(np.round(points, 3).T)]


@pytest.mark.parametrize("step", [(0.0, 0.0, 1.25), _TILTED])
@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), _TURNED])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_nifti_lies_where_the_series_lies_for_nibabel(
    tmp_path: Path, step: tuple[float, ...], orientation: tuple[float, ...], name: str
) -> None:
    image = read(write_series(tmp_path / "ct", voxels(), step=step, orientation=orientation))
    assert image.affine is not None
    write_labels(tmp_path / name, _labels(), classes=_CLASSES, affine=image.affine)
    found = nib.load(tmp_path / name)
    for value in (2, 7):
        index = np.argwhere(np.asarray(found.dataobj) == value)
        points = nib.affines.apply_affine(found.affine, index) * [-1, -1, 1]
        points = points[np.lexsort(np.round(points, 3).T)]
        np.testing.assert_allclose(points, _places(_labels(), image.affine, value), atol=1e-3)
    back = read_labels(tmp_path / name)
    assert back.classes == _CLASSES
    np.testing.assert_array_equal(
        _places(np.asarray(back.labels), back.affine, 7).round(3),  # type: ignore[arg-type]  # it has a place
        _places(_labels(), image.affine, 7).round(3),
    )


def test_nifti_lies_where_simpleitk_reads_the_series(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", voxels(), orientation=_TURNED)
    image = read(folder)
    write_labels(tmp_path / "a.nii.gz", _labels(), affine=image.affine)
    mask = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    series = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    for name in ("GetOrigin", "GetSpacing", "GetDirection"):
        np.testing.assert_allclose(getattr(mask, name)(), getattr(series, name)(), atol=1e-5)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(mask), _labels())


def test_labels_without_a_place_come_back_as_they_were(tmp_path: Path) -> None:
    write_labels(
        tmp_path / "a.nii.gz", _labels(), spacing=(3.0, 500.0, 0.25), units=("millimeter", "micrometer", "millimeter")
    )
    back = read_labels(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(back.labels), _labels())
    assert back.spacing == pytest.approx((3.0, 0.5, 0.25))
    write_labels(tmp_path / "b.nii", _labels()[1], spacing=(2.0, 0.5), units=("millimeter",) * 2)
    flat = read_labels(tmp_path / "b.nii")
    np.testing.assert_array_equal(np.asarray(flat.labels), _labels()[1])
    assert flat.spacing == pytest.approx((2.0, 0.5))


def test_no_file_stays_open(tmp_path: Path) -> None:
    write_labels(tmp_path / "a.nii.gz", _labels(), classes=_CLASSES)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        np.asarray(read(tmp_path / "a.nii.gz").data)


@pytest.mark.parametrize("step", [(0.0, 0.0, 1.25), (0.0, 0.0, -1.25), _TILTED])
@pytest.mark.parametrize("orientation", [(1.0, 0.0, 0.0, 0.0, 1.0, 0.0), _TURNED])
def test_seg_keeps_every_voxel_and_its_place(
    tmp_path: Path, step: tuple[float, ...], orientation: tuple[float, ...]
) -> None:
    pytest.importorskip("highdicom")
    folder = write_series(tmp_path / "ct", voxels(), step=step, orientation=orientation, FrameOfReferenceUID="1.2.3")
    image = read(folder)
    assert image.affine is not None
    write_seg(tmp_path / "a.dcm", _labels(), classes=_CLASSES, source=folder)
    found = read_labels(tmp_path / "a.dcm")
    assert found.affine is not None
    assert [(c.value, c.name) for c in found.classes] == [(2, "liver"), (7, "tumour")]
    for value in (2, 7):
        np.testing.assert_allclose(
            _places(np.asarray(found.labels), found.affine, value), _places(_labels(), image.affine, value), atol=1e-3
        )
    moved = onto_grid(found.labels, found.affine, image.affine, image.shape)
    assert (moved.is_exact, moved.outside, moved.changed) == (True, 0.0, 0.0)
    np.testing.assert_array_equal(moved.labels, _labels())


def test_highdicom_finds_the_segments_on_their_slices(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom")
    folder = write_series(tmp_path / "ct", voxels(), FrameOfReferenceUID="1.2.3")
    write_seg(tmp_path / "a.dcm", _labels(), classes=_CLASSES, source=folder)
    seg = highdicom.seg.segread(tmp_path / "a.dcm")
    slices = sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda s: s.ImagePositionPatient[2])
    pixels = seg.get_pixels_by_source_instance([s.SOPInstanceUID for s in slices], assert_missing_frames_are_empty=True)
    np.testing.assert_array_equal(pixels[..., 0], _labels() == 2)
    np.testing.assert_array_equal(pixels[..., 1], _labels() == 7)
    assert seg.SeriesInstanceUID != slices[0].SeriesInstanceUID
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["liver", "tumour"]


def test_seg_of_an_enhanced_file(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    path = write_enhanced(tmp_path / "ct", voxels())
    image = read(path)
    assert image.affine is not None
    write_seg(tmp_path / "a.dcm", _labels(), classes=_CLASSES, source=path)
    found = read_labels(tmp_path / "a.dcm")
    assert found.affine is not None
    np.testing.assert_array_equal(onto_grid(found.labels, found.affine, image.affine, image.shape).labels, _labels())


def test_nothing_of_a_person_leaves_a_seg(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = write_series(tmp_path / "ct", voxels(), FrameOfReferenceUID="1.2.3")
    write_seg(tmp_path / "a.dcm", _labels(), classes=_CLASSES, source=folder)
    image = read(tmp_path / "a.dcm")
    told = repr((image.name, image.metadata, image.warnings, image.series_names))
    assert not [word for word in SECRETS if word in told]


def test_seg_refuses_what_it_cannot_hold(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = write_series(tmp_path / "ct", voxels(), FrameOfReferenceUID="1.2.3")
    out = tmp_path / "a.dcm"
    with pytest.raises(ConfigError, match=r"5 × 4 × 5|voxels, but the series"):
        write_seg(out, _labels(5), classes=_CLASSES, source=folder)
    with pytest.raises(ConfigError, match=r"without a class \(7\)"):
        write_seg(out, _labels(), classes=_CLASSES[:1], source=folder)
    with pytest.raises(ConfigError, match="nothing is drawn"):
        write_seg(out, np.zeros((6, 5, 4), np.uint8), classes=_CLASSES, source=folder)
    write_labels(tmp_path / "m.nii.gz", _labels())
    with pytest.raises(ReadError, match="no DICOM series"):
        write_seg(out, _labels(), classes=_CLASSES, source=tmp_path / "m.nii.gz")
    eight = write_series(tmp_path / "eight", voxels(8), FrameOfReferenceUID="1.2.3")
    (eight / "004").unlink()  # the fifth from below, where nothing is drawn
    write_seg(out, _labels(8), classes=_CLASSES, source=eight)
    (eight / "006").unlink()
    with pytest.raises(ConfigError, match="slice that is missing"):
        write_seg(out, _labels(8), classes=_CLASSES, source=eight)


def test_a_damaged_seg_is_a_sentence_without_names(tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = write_series(tmp_path / "ct", voxels(), FrameOfReferenceUID="1.2.3")
    path = write_seg(tmp_path / "a.dcm", _labels(), classes=_CLASSES, source=folder)
    dataset = pydicom.dcmread(path)
    del dataset.SegmentSequence
    dataset.save_as(path)
    with pytest.raises(ReadError, match="damaged") as caught:
        read_labels(path)
    assert not [word for word in SECRETS if word in str(caught.value)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10_000),
    flips=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    order=st.permutations(range(3)),
    shift=st.tuples(st.integers(-2, 2), st.integers(-2, 2), st.integers(-2, 2)),
)
def test_whole_voxels_are_moved_without_a_loss(
    seed: int, flips: tuple[bool, ...], order: list[int], shift: tuple[int, ...]
) -> None:
    labels = np.random.default_rng(seed).integers(0, 4, (4, 5, 6)).astype(np.uint8)
    affine = np.diag([2.5, 0.7, 0.9, 1.0])
    affine[:3, 3] = [-30, 12, 7]
    # The same voxels in a larger grid whose axes are swapped, flipped and shifted.
    grid = np.zeros((4, 4))
    grid[3, 3] = 1
    shape = [0, 0, 0]
    for new, old in enumerate(order):
        size = labels.shape[old] + 6
        shape[new] = size
        sign = -1 if flips[new] else 1
        grid[old, new] = sign
        grid[old, 3] = shift[old] + (labels.shape[old] + 2 if sign < 0 else -3)
    moved = onto_grid(labels, affine, affine @ grid, shape)
    assert (moved.is_exact, moved.outside, moved.changed) == (True, 0.0, 0.0)
    assert moved.before == pytest.approx(moved.after)
    for index in np.argwhere(labels):
        there = np.linalg.solve(grid, [*index, 1])[:3].round().astype(int)
        assert moved.labels[tuple(there)] == labels[tuple(index)]


def test_resampling_agrees_with_simpleitk_and_counts_what_it_did() -> None:
    z, y, x = np.mgrid[:20, :30, :30]
    labels = (((z - 10) * 2.0) ** 2 + (y - 15) ** 2 + (x - 14) ** 2 < 100).astype(np.uint8)
    source, target = np.diag([2.0, 1.0, 1.0, 1.0]), np.diag([1.7, 0.83, 1.3, 1.0])
    target[:3, 3] = [0.31, -1.2, 0.77]
    moved = onto_grid(labels, source, target, (24, 38, 22))
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((1.0, 1.0, 2.0))
    frame = sitk.Image(22, 38, 24, sitk.sitkUInt8)
    frame.SetSpacing((1.3, 0.83, 1.7))
    frame.SetOrigin((0.77, -1.2, 0.31))
    expected = sitk.GetArrayFromImage(sitk.Resample(image, frame, sitk.Transform(), sitk.sitkNearestNeighbor, 0))
    assert np.mean(expected != moved.labels) < 1e-3  # ties
    assert not moved.is_exact
    assert moved.before == {1: float(labels.sum() * 2)}
    assert moved.after[1] == pytest.approx(float(moved.labels.sum()) * 1.7 * 0.83 * 1.3)
    assert moved.after[1] == pytest.approx(moved.before[1], rel=0.05)
    assert "Resampled" in moved.summary
    half = onto_grid(
        labels, source, source @ np.array([[1, 0, 0, 10], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), (10, 30, 30)
    )
    assert half.is_exact
    assert half.outside == pytest.approx(labels[:10].sum() / labels.sum())


def test_the_public_ct_goes_to_seg_and_nifti_and_back(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom")
    folder = shared_data / "ct_totalseg_example"
    series, mask = folder / "example_ct_dicom", folder / "example_seg_dicom.nii.gz"
    image, labels = read(series), read_labels(mask)
    assert image.affine is not None
    assert labels.affine is not None
    # Its DICOM series and its NIfTI open with the same geometry.
    assert image.shape == tuple(labels.labels.shape)
    np.testing.assert_allclose(image.affine, labels.affine, atol=1e-4)
    values = [int(value) for value in np.unique(np.asarray(labels.labels)) if value]
    classes = [MaskClass(value=value, name=f"organ {value}", color="#0072b2") for value in values]
    write_seg(tmp_path / "a.dcm", labels.labels, classes=classes, source=series)
    seg = read_labels(tmp_path / "a.dcm")
    assert seg.affine is not None
    back = onto_grid(seg.labels, seg.affine, image.affine, image.shape)
    np.testing.assert_array_equal(back.labels, np.asarray(labels.labels))
    write_labels(tmp_path / "a.nii.gz", back.labels, classes=classes, affine=image.affine)
    ours, theirs = (nib.as_closest_canonical(nib.load(path)) for path in (tmp_path / "a.nii.gz", mask))
    np.testing.assert_array_equal(np.asarray(ours.dataobj), np.asarray(theirs.dataobj))
    np.testing.assert_allclose(ours.affine, theirs.affine, atol=1e-4)


def test_segs_of_other_programs_open_with_their_segments(shared_data: Path) -> None:
    path = shared_data / "formats_dicom_seg" / "liver.dcm"
    found, stored = read_labels(path), pydicom.dcmread(path)
    assert [c.name for c in found.classes] == ["Liver"]
    assert int(np.asarray(found.labels).sum()) == int(stored.pixel_array.sum())
    overlapping = read(path.with_name("partial_overlaps.dcm"))
    assert any("overlap" in warning for warning in overlapping.warnings)
