"""NIfTI and NRRD: voxels and places against nibabel and pynrrd's own words, whatever the orientation."""

from __future__ import annotations

import gzip
import itertools
import pickle
from pathlib import Path

import nibabel as nib
import nrrd
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.io import read, read_labels
from napari_medseg.structures import Image

_SIZES = (4, 5, 6)
_VOXELS = np.arange(120, dtype=np.int16).reshape(_SIZES)  # (i, j, k), each number once
_AFFINE = np.array([[-0.8, 0, 0, 50.0], [0, -0.9, 0, 60.0], [0, 0, 2.5, -70.0], [0, 0, 0, 1]])
#: Every way to swap and flip the axes of a file.
_WAYS = [(order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1, -1), repeat=3)]


def _write(path: Path, voxels: np.ndarray = _VOXELS, affine: np.ndarray = _AFFINE, **header: float) -> Path:
    image = nib.Nifti1Image(voxels, affine)
    for name, value in header.items():
        image.header[name] = value
    nib.save(image, path)
    return path


def _world_of(image: Image, value: int) -> np.ndarray:
    """(x, y, z) in LPS of the voxel that holds a value."""
    index = np.argwhere(np.asarray(image.data) == value)[0]
    assert image.affine is not None
    return (image.affine @ [*index, 1])[2::-1]


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_axial_slices_in_millimetres(tmp_path: Path, name: str) -> None:
    image = read(_write(tmp_path / name))
    assert (image.axes, image.name, image.dtype) == ("zyx", "a", np.int16)
    assert image.spacing == pytest.approx((2.5, 0.9, 0.8))
    # The file counts towards left, posterior and superior as it is: only the order of axes changes.
    np.testing.assert_array_equal(np.asarray(image.data), _VOXELS.T)
    assert image.affine is not None
    np.testing.assert_allclose(image.affine[:3, 3], [-70, -60, -50])


@pytest.mark.parametrize(("order", "signs"), _WAYS)
def test_however_a_file_lies_the_same_body_gives_the_same_image(
    tmp_path: Path, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    ornt = np.array([[axis, sign] for axis, sign in zip(order, signs, strict=True)])
    turned = nib.Nifti1Image(_VOXELS, _AFFINE).as_reoriented(ornt)
    nib.save(turned, tmp_path / "a.nii")
    straight, image = read(_write(tmp_path / "b.nii")), read(tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(image.data), np.asarray(straight.data))
    assert straight.affine is not None
    np.testing.assert_allclose(image.affine, straight.affine, atol=1e-4)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(angle=st.floats(-3, 3), tilt=st.floats(-0.7, 0.7), way=st.sampled_from(_WAYS))
def test_every_voxel_lies_where_nibabel_says(tmp_path: Path, angle: float, tilt: float, way: tuple) -> None:
    turn, lean = np.eye(4), np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    lean[1:3, 1:3] = [[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]]
    affine = turn @ lean @ _AFFINE
    ornt = np.array([[axis, sign] for axis, sign in zip(*way, strict=True)])
    source = nib.Nifti1Image(_VOXELS, affine).as_reoriented(ornt)
    nib.save(source, tmp_path / "a.nii")
    image = read(tmp_path / "a.nii")
    for value in (0, 17, 119):
        index = np.argwhere(np.asarray(source.dataobj) == value)[0]
        expected = (source.affine @ [*index, 1])[:3] * [-1, -1, 1]
        np.testing.assert_allclose(_world_of(image, value), expected, atol=1e-3)
    assert np.prod(image.spacing or ()) == pytest.approx(2.5 * 0.9 * 0.8, rel=1e-4)


def test_scaled_numbers_become_float32_and_others_keep_their_type(tmp_path: Path) -> None:
    image = read(_write(tmp_path / "a.nii", np.linspace(0, 1, 120).reshape(_SIZES)))
    assert image.dtype == np.float32
    path = _write(tmp_path / "b.nii")
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0.5, 10], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(raw)
    image = read(path)
    assert image.dtype == np.float32
    np.testing.assert_allclose(np.asarray(image.data), nib.load(path).get_fdata().T)


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii.gz").rename(tmp_path / "a.nii")
    np.testing.assert_array_equal(np.asarray(read(path).data), _VOXELS.T)
    path = _write(tmp_path / "b.nii").rename(tmp_path / "b.gz")
    np.testing.assert_array_equal(np.asarray(read(path).data), _VOXELS.T)
    (tmp_path / "c.nii.gz").write_bytes(gzip.compress(b"no volume" * 100))
    with pytest.raises(ReadError, match="not an image that can be read"):
        read(tmp_path / "c.nii.gz")


def test_volumes_of_a_time_series_are_offered(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii.gz", np.stack([_VOXELS, _VOXELS + 200], axis=-1))
    image = read(path, series=1)
    assert image.series_names == ("volume 1 of 2", "volume 2 of 2")
    np.testing.assert_array_equal(np.asarray(image.data), _VOXELS.T + 200)


def test_micrometres_become_millimetres(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii", affine=np.diag([-20.0, -30.0, 50.0, 1.0]), xyzt_units=3)
    assert read(path).spacing == pytest.approx((0.05, 0.03, 0.02))


def test_no_place_is_told_and_no_size_is_no_spacing(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.nii")
    raw = bytearray(path.read_bytes())
    raw[252:256] = bytes(4)  # qform_code, sform_code
    path.write_bytes(raw)
    assert "left and right may be exchanged" in read(path).warnings[0]
    raw[254:256] = b"\x01\0"
    raw[280:296] = np.full(4, np.nan, "<f4").tobytes()  # srow_x
    path.write_bytes(raw)
    image = read(path)
    assert (image.spacing, image.affine) == (None, None)
    assert image.shape == (6, 5, 4)


def test_labels_lie_as_their_image_does(tmp_path: Path) -> None:
    mask = (_VOXELS % 3).astype(np.float64)
    labels = read_labels(_write(tmp_path / "a.nii.gz", mask))
    np.testing.assert_array_equal(labels.labels, mask.T)
    assert np.dtype(labels.labels.dtype).kind in "iu"
    assert labels.spacing == pytest.approx((2.5, 0.9, 0.8))
    with pytest.raises(ReadError, match="fractions"):
        read_labels(_write(tmp_path / "b.nii.gz", mask / 2))


def test_large_volumes_are_read_when_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_medseg.io.reading.EAGER_BYTES", 10)
    image = read(_write(tmp_path / "a.nii.gz"))
    assert not isinstance(image.data, np.ndarray)
    again = pickle.loads(pickle.dumps(image.data))
    np.testing.assert_array_equal(again[1:3, ::2, 1], _VOXELS.T[1:3, ::2, 1])


def test_colours_are_refused(tmp_path: Path) -> None:
    rgb = np.zeros(_SIZES, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ReadError, match="colours"):
        read(_write(tmp_path / "a.nii", rgb))


_LPS_HEADER = {
    "space": "left-posterior-superior",
    "space directions": [[0.8, 0, 0], [0, 0.9, 0], [0, 0, 2.5]],
    "space origin": [-50.0, -60.0, -70.0],
}


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr"])
def test_nrrd_lies_as_nifti_does(tmp_path: Path, name: str, encoding: str) -> None:
    nrrd.write(str(tmp_path / name), _VOXELS, {**_LPS_HEADER, "encoding": encoding})
    image, other = read(tmp_path / name), read(_write(tmp_path / "a.nii"))
    np.testing.assert_array_equal(np.asarray(image.data), np.asarray(other.data))
    assert image.dtype == np.int16
    assert other.affine is not None
    np.testing.assert_allclose(image.affine, other.affine, atol=1e-4)


def test_nrrd_that_counts_to_the_right_and_front(tmp_path: Path) -> None:
    turned = {**_LPS_HEADER, "space": "right-anterior-superior"}
    nrrd.write(str(tmp_path / "a.nrrd"), _VOXELS, turned)
    image = read(tmp_path / "a.nrrd")
    np.testing.assert_array_equal(np.asarray(image.data), _VOXELS.T[:, ::-1, ::-1])
    np.testing.assert_allclose(_world_of(image, 0), [50, 60, -70])


def test_nrrd_with_spacings_alone_and_several_volumes(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "a.nrrd"), _VOXELS, {"spacings": [0.8, 0.9, 2.5]})
    image = read(tmp_path / "a.nrrd")
    assert image.spacing == (2.5, 0.9, 0.8)
    assert "does not say how the body lies" in image.warnings[0]
    header = {
        **_LPS_HEADER,
        "space directions": [None, *_LPS_HEADER["space directions"]],
        "kinds": ["list"] + ["domain"] * 3,
    }
    header["space directions"] = np.array([[np.nan] * 3, *_LPS_HEADER["space directions"]])
    nrrd.write(str(tmp_path / "b.nrrd"), np.stack([_VOXELS, _VOXELS + 200]), header)
    image = read(tmp_path / "b.nrrd", series=1)
    np.testing.assert_array_equal(np.asarray(image.data), _VOXELS.T + 200)


def test_nrrd_without_its_data_is_a_sentence(tmp_path: Path) -> None:
    nrrd.write(str(tmp_path / "a.nhdr"), _VOXELS, _LPS_HEADER)
    next(path for path in tmp_path.iterdir() if path.suffix != ".nhdr").unlink()
    with pytest.raises(ReadError, match=r"a\.nhdr"):
        read(tmp_path / "a.nhdr")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd"])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damage_is_a_sentence_or_an_image(tmp_path: Path, name: str, data: st.DataObject) -> None:
    if name.endswith(".nrrd"):
        nrrd.write(str(tmp_path / name), _VOXELS, _LPS_HEADER)
    else:
        _write(tmp_path / name)
    whole = bytearray((tmp_path / name).read_bytes())
    reach = data.draw(st.sampled_from([0.2, 1.0]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = int(data.draw(st.floats(0, 1, exclude_max=True)) * reach * len(whole))
        whole[at] = data.draw(st.integers(0, 255))
    (tmp_path / name).write_bytes(whole[: data.draw(st.sampled_from([None, -1, 400, 100]))])
    try:
        np.asarray(read(tmp_path / name).data)
    except MedsegError:
        pass


def test_real_volumes(shared_data: Path) -> None:
    folder = shared_data / "mr_msd_hippocampus"
    path = sorted((folder / "image").iterdir())[0]
    image, labels = read(path, kind="mr"), read_labels(folder / "mask" / path.name)
    assert labels.labels.shape == image.spatial_shape
    theirs = nib.as_closest_canonical(nib.load(path))
    np.testing.assert_allclose(np.asarray(image.data), theirs.get_fdata()[::-1, ::-1].T, rtol=1e-6)
    assert image.spacing == pytest.approx(theirs.header.get_zooms()[::-1])
    for name in ("breast1", "prostate_phantom_subvolume"):
        pair = sorted((shared_data / "formats_dicom_seg").glob(f"{name}*.nrrd"))
        assert len({read(one).spatial_shape for one in pair}) == 1
