"""The doors to other programs' files: a label file, a data set, the command line."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.api import export_dataset, export_labels, labels_onto
from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.importing import import_dataset
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io import read, read_labels, write_labels
from napari_medseg.structures import DatasetInfo
from tests.io.volume.writers import voxels, write_series


@pytest.fixture
def drawn(tmp_path: Path) -> np.ndarray:
    """Labels of a series in ``ct``, in ``labels.tif``, which keeps no place."""
    write_series(tmp_path / "ct", voxels(6), FrameOfReferenceUID="1.2.3")
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2:4, 1:3, 1:4] = 1
    write_labels(tmp_path / "labels.tif", labels)
    return labels


def test_the_command_writes_a_seg_and_brings_it_back(tmp_path: Path, drawn: np.ndarray, capsys) -> None:
    pytest.importorskip("highdicom")
    ct, tif, seg, back = (str(tmp_path / name) for name in ("ct", "labels.tif", "a.dcm", "back.nii.gz"))
    assert main(["export", tif, seg, "--image", ct, "--classes", "1=liver"]) == 0
    assert [c.name for c in read_labels(seg).classes] == ["liver"]
    assert main(["export", seg, back, "--image", ct]) == 0
    assert "voxel by voxel" in capsys.readouterr().out
    image = read(ct)
    found = read_labels(back)
    np.testing.assert_array_equal(np.asarray(found.labels), drawn)
    assert found.affine is not None
    np.testing.assert_allclose(found.affine, image.affine, atol=1e-4)


def test_a_seg_without_a_series_is_refused(tmp_path: Path, drawn: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="--image"):
        export_labels(tmp_path / "labels.tif", tmp_path / "a.dcm")


def test_labels_that_fit_nowhere_are_refused(tmp_path: Path, drawn: np.ndarray) -> None:
    write_labels(tmp_path / "small.tif", drawn[:4])
    with pytest.raises(ConfigError, match="4 x 5 x 4 pixels"):
        labels_onto(tmp_path / "small.tif", read(tmp_path / "ct"))


def test_finished_cases_go_out_where_their_images_lie(tmp_path: Path) -> None:
    affine = np.diag([-2.0, -2.0, 3.0, 1.0])
    mask = np.zeros((8, 9, 5), np.uint8)
    mask[2:4, 3:6, 1:3] = 1
    for name, values in (("images", np.zeros((8, 9, 5), np.int16)), ("masks", mask)):
        (tmp_path / "s" / name).mkdir(parents=True)
        nib.save(nib.Nifti1Image(values, affine), tmp_path / "s" / name / "a.nii.gz")
    dataset = import_dataset(tmp_path / "s", tmp_path / "d", kind="ct")
    written = export_dataset(dataset, tmp_path / "out")
    found = nib.load(written[0].path)
    np.testing.assert_array_equal(np.asarray(found.dataobj), mask)
    np.testing.assert_allclose(found.affine, affine)
    with pytest.raises(ConfigError, match="no format"):
        export_dataset(dataset, tmp_path / "out", format="bmp")
    with pytest.raises(DatasetError, match="mark some as done"):
        export_dataset(Dataset.create(tmp_path / "e", DatasetInfo(name="e")), tmp_path / "out")
