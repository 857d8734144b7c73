"""Masks that lie on another grid than their image: refused, moved or resampled, and always said."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.data.importing import import_dataset
from napari_medseg.errors import DatasetError
from napari_medseg.io import read_labels

_IMAGE = np.diag([-1.0, -1.0, 2.0, 1.0])


def _source(folder: Path, mask: np.ndarray, affine: np.ndarray, *, origin: float = 0.0) -> Path:
    placed = _IMAGE.copy()
    placed[2, 3] = origin
    for name, voxels, where in (("images", np.zeros((20, 20, 10), np.int16), placed), ("masks", mask, affine)):
        (folder / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(voxels, where), folder / name / "a.nii.gz")
    return folder


def _ball(shape: tuple[int, ...], center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    grid = np.indices(shape).reshape(3, -1).T
    inside = (((grid - center) / radii) ** 2).sum(axis=1) < 1
    return inside.reshape(shape).astype(np.uint8)


def test_a_cut_out_mask_on_the_same_voxels_is_taken_as_it_is(tmp_path: Path) -> None:
    mask = _ball((8, 9, 5), (4, 4, 2), (3, 3, 2))
    affine = _IMAGE.copy()
    affine[:3, 3] = [-5.0, -6.0, 4.0]  # begins at voxel (5, 6, 2)
    told: list[str] = []
    dataset = import_dataset(_source(tmp_path / "s", mask, affine), tmp_path / "d", kind="ct", say=told.append)
    path = dataset.current_label_path(dataset.cases[0])
    assert path is not None
    labels = np.asarray(read_labels(path).labels)
    expected = np.zeros((20, 20, 10), np.uint8)
    expected[5:13, 6:15, 2:7] = mask
    np.testing.assert_array_equal(labels, expected.T)
    assert not told


def test_a_coarser_mask_is_refused_until_resampling_is_asked_for_and_then_said(tmp_path: Path) -> None:
    mask = _ball((7, 7, 10), (3, 3, 5), (2.6, 2.6, 4))
    source = _source(tmp_path / "s", mask, np.diag([-3.0, -3.0, 2.0, 1.0]))
    with pytest.raises(DatasetError, match=r"--resample-masks; .* would change"):
        import_dataset(source, tmp_path / "d", kind="ct")
    told: list[str] = []
    dataset = import_dataset(source, tmp_path / "d", kind="ct", resample_masks=True, say=told.append)
    path = dataset.current_label_path(dataset.cases[0])
    assert path is not None
    labels = np.asarray(read_labels(path).labels)
    assert labels.shape == (10, 20, 20)
    assert labels.sum() * 2 == pytest.approx(mask.sum() * 18, rel=0.05)
    assert "Resampled" in told[0]
    assert f"from {mask.sum() * 18 / 1000:.4g} to {labels.sum() * 2 / 1000:.4g} ml" in told[0]


def test_a_mask_of_another_place_is_refused_even_then(tmp_path: Path) -> None:
    mask = _ball((20, 20, 10), (9, 9, 5), (4, 4, 3))
    source = _source(tmp_path / "s", mask, _IMAGE, origin=500.0)
    with pytest.raises(DatasetError, match="nothing of it would be left"):
        import_dataset(source, tmp_path / "d", kind="ct", resample_masks=True)


def test_part_of_a_mask_outside_of_the_image_is_said(tmp_path: Path) -> None:
    mask = _ball((20, 20, 10), (9, 9, 5), (4, 4, 3))
    source = _source(tmp_path / "s", mask, _IMAGE, origin=10.0)
    with pytest.raises(DatasetError, match=r"and [1-9][0-9.]* % fall outside"):
        import_dataset(source, tmp_path / "d", kind="ct")
    told: list[str] = []
    import_dataset(source, tmp_path / "d", kind="ct", resample_masks=True, say=told.append)
    assert "outside the image" in told[0]
