"""Data sets of volumes: NIfTI and DICOM images with NIfTI masks."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.data.checking import check
from napari_medseg.data.cropping import crop
from napari_medseg.data.importing import find_values, import_dataset
from napari_medseg.errors import DatasetError
from napari_medseg.io import read
from tests.io.volume.writers import voxels, write_series

_LABELS = (voxels() % 3).astype(np.uint8)  # (z, y, x)
#: Of the series that `write_series` writes, as NIfTI counts: towards right, anterior and superior.
_AFFINE = np.array([[-0.5, 0, 0, 10.0], [0, -0.75, 0, 20.0], [0, 0, 1.25, 30.0], [0, 0, 0, 1]])


def _mask(path: Path, affine: np.ndarray = _AFFINE) -> Path:
    path.parent.mkdir(exist_ok=True)
    nib.save(nib.Nifti1Image(_LABELS.T, affine), path)
    return path


def test_series_with_nifti_masks(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "images" / "p1", voxels())
    _mask(tmp_path / "in" / "masks" / "p1.nii.gz")
    assert find_values(tmp_path / "in") == {0: 1, 1: 1, 2: 1}
    dataset = import_dataset(tmp_path / "in", tmp_path / "out", classes={1: "liver", 2: "tumour"}, kind="ct")
    (case,) = dataset.cases
    image = dataset.read_image(case)
    assert (case.case, image.kind, image.spacing) == ("p1", "ct", (1.25, 0.75, 0.5))
    np.testing.assert_array_equal(np.asarray(image.data), voxels())
    np.testing.assert_array_equal(dataset.read_labels(case), _LABELS)
    assert [fault for fault in check(dataset) if fault.severity == "error"] == []


def test_a_mask_that_lies_elsewhere_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "in" / "images" / "p1", voxels())
    moved = _AFFINE.copy()
    moved[2, 3] += 5
    _mask(tmp_path / "in" / "masks" / "p1.nii.gz", moved)
    with pytest.raises(DatasetError, match="lies elsewhere"):
        import_dataset(tmp_path / "in", tmp_path / "out", classes={1: "liver", 2: "tumour"})


def test_a_part_of_a_volume_knows_where_it_lies(tmp_path: Path) -> None:
    image = read(write_series(tmp_path, voxels()))
    for part in (crop(image, ((2, 5), (1, 4), (3, 4))), crop(image, ((1, 4), (3, 4)))):
        assert part.affine is not None
        assert image.affine is not None
        first = np.argwhere(np.asarray(image.data) == np.asarray(part.data[...]).flat[0])[0]
        np.testing.assert_allclose(part.affine[:3, 3], (image.affine @ [*first, 1])[:3])


@pytest.mark.parametrize(
    ("folder", "options"),
    [
        ("mr_msd_hippocampus", {"kind": "mr", "classes": {1: "anterior", 2: "posterior"}}),
        ("ct_lidc_nodules", {"kind": "ct", "classes": {1: "nodule"}}),
    ],
)
def test_real_sets(shared_data: Path, tmp_path: Path, folder: str, options: dict) -> None:
    for sub in ("image", "mask"):
        (tmp_path / "in" / sub).mkdir(parents=True)
        for path in sorted((shared_data / folder / sub).iterdir())[:5]:
            (tmp_path / "in" / sub / path.name).symlink_to(path)
    dataset = import_dataset(tmp_path / "in", tmp_path / "out", **options)
    assert len(dataset.cases) == 5
    for case in dataset.cases:
        image, labels = dataset.read_image(case), dataset.read_labels(case)
        assert labels is not None
        assert labels.shape == image.shape
        assert image.units == ("millimeter",) * 3
        assert 0 < np.count_nonzero(labels) < labels.size
