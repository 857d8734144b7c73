"""What people hand in by mistake: each ends in one sentence that names the file, or in an image with a warning."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.io import read, read_labels
from napari_medseg.io.volume.regrid import onto_grid

from .writers import SECRETS, voxels, write_series


def _is_one_sentence(error: MedsegError, path: Path) -> None:
    text = str(error)
    assert path.name in text
    assert text.endswith(".")
    assert "\n" not in text
    assert not [word for word in SECRETS if word in text]


def test_a_series_without_pixels(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", voxels(2))
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.PixelData
        dataset.save_as(path)
    with pytest.raises(ReadError) as caught:
        read(folder)
    _is_one_sentence(caught.value, folder)


def test_two_series_under_one_uid_are_told_apart_by_their_geometry(tmp_path: Path) -> None:
    write_series(tmp_path / "a", voxels(6), series="1.2.3")
    write_series(tmp_path / "b", voxels(4, 7, 9), series="1.2.3", spacing=(0.3, 0.3))
    first, second = read(tmp_path), read(tmp_path, series=1)
    np.testing.assert_array_equal(np.asarray(first.data), voxels(6))
    np.testing.assert_array_equal(np.asarray(second.data), voxels(4, 7, 9))
    assert second.spacing == (1.25, 0.3, 0.3)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_an_affine_without_numbers_or_size_gives_no_spacing_but_a_warning(tmp_path: Path, value: float) -> None:
    image = nib.Nifti1Image(np.zeros((3, 4, 5), np.int16), np.eye(4))
    image.header["srow_x"] = [value, 0, 0, 0]
    image.header["sform_code"], image.header["qform_code"] = 1, 0
    path = tmp_path / "a.nii"
    path.write_bytes(image.header.binaryblock + b"\0" * 4 + np.zeros(60, np.int16).tobytes())
    raw = bytearray(path.read_bytes())
    raw[108:112] = np.float32(352).tobytes()  # where voxels begin
    path.write_bytes(raw)
    found = read(path)
    assert (found.spacing, found.affine) == (None, None)
    assert any("no size or no place" in warning for warning in found.warnings)
    labels = read_labels(path)
    assert labels.affine is None


def test_labels_without_a_place_are_not_resampled() -> None:
    with pytest.raises(ReadError, match="without a place"):
        onto_grid(np.ones((2, 2, 2), np.uint8), np.full((4, 4), np.nan), np.eye(4), (2, 2, 2))


def test_a_picture_is_no_label_file(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "ct", voxels(2))
    with pytest.raises(ReadError, match="not labels") as caught:
        read_labels(folder / "001")
    _is_one_sentence(caught.value, folder / "001")


@pytest.mark.parametrize("unsized", [slice(80, 84), slice(84, 92)])
def test_a_nifti_file_without_voxel_size_is_counted_in_pixels(tmp_path: Path, unsized: slice) -> None:
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(voxels(4).astype(np.int16).T, np.diag([0.8, 0.8, 2.0, 1.0])), path)
    raw = bytearray(path.read_bytes())
    raw[unsized] = bytes(unsized.stop - unsized.start)
    raw[252:256] = bytes(4)  # neither qform nor sform
    path.write_bytes(raw)
    image = read(path)
    assert image.spacing is None
    assert "no size" in " ".join(image.warnings)
    # As in any file that does not say otherwise, x runs to the right and y to the front.
    np.testing.assert_array_equal(np.asarray(image.data), voxels(4)[:, ::-1, ::-1])
