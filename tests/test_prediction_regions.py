"""Regions for predictions of files: a box, a mask, what another model finds; and what is said when there is none."""

from __future__ import annotations

import csv
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest

from napari_medseg.api import load_model, predict, predict_files
from napari_medseg.api.regions import parse_region, region_of_mask
from napari_medseg.api.training import train_cases
from napari_medseg.cli import main
from napari_medseg.data.regions import mask_box
from napari_medseg.errors import ConfigError
from napari_medseg.io import read, read_labels
from napari_medseg.schemes import build_config, find_scheme
from tests.factories import lesion_pixels, lesion_set

CPU = {"device": "cpu", "precision": "fp32", "threads": 1}
SHORT = ["training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two scans with masks of the same names, and a model of each kind."""
    folder = tmp_path_factory.mktemp("regions")
    affine = np.diag([-1.0, -1.0, 2.0, 1.0])
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for index in range(2):
        pixels, labels = lesion_pixels(index, grade=1)
        nib.save(nib.Nifti1Image(pixels.T, affine), folder / "images" / f"p{index}.nii.gz")
        nib.save(nib.Nifti1Image((labels == 1).astype(np.uint8).T, affine), folder / "masks" / f"p{index}.nii.gz")
    scheme = find_scheme("fibrosis")
    settings = [*SHORT, "network.base_width=4", "input_size=16", "input_slices=8", "lesion=tumour"]
    data = lesion_set(train=4, val=2, test=0)
    train_cases(scheme, build_config(scheme, assignments=settings), data, folder / "grader", **CPU)
    return folder


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_of_masks_gives_every_scan_its_region(folder, tmp_path):
    images = [folder / "images" / f"p{index}.nii.gz" for index in range(2)]
    rows = predict_files(folder / "grader", images, tmp_path, region=str(folder / "masks"), **CPU)
    model = load_model(folder / "grader", **CPU)
    for path, row in zip(images, rows, strict=True):
        image = read(path)
        tight = mask_box(read_labels(folder / "masks" / path.name).labels)
        assert row["box"] == ",".join(f"{start}:{stop}" for start, stop in tight)
        assert row["error"] == ""
        assert float(row["p_low"]) + float(row["p_high"]) == pytest.approx(1, abs=1e-5)
        assert row["calibrated"] == "no"  # two validation cases tell nothing
        written = read_labels(row["labels"]).labels
        assert written.shape == image.spatial_shape
        alone = predict(model, image, region=tight)
        inside = tuple(slice(*side) for side in alone.region)
        np.testing.assert_array_equal(written[inside], np.asarray(alone.labels))
        assert (written == 255).sum() == written.size - np.asarray(alone.labels).size
        if (np.asarray(alone.labels) == 1).any():
            assert row["volume_mm3"] == pytest.approx(2.0 * (np.asarray(alone.labels) == 1).sum())
    assert [row["box"] for row in table(tmp_path / "predictions.csv")] == [row["box"] for row in rows]


def test_nifti_labels_lie_where_the_scan_lies_for_nibabel(folder, tmp_path):
    turn = np.deg2rad(20)
    affine = np.diag([0.8, 0.8, 2.0, 1.0])
    affine[:2, :2] @= [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, 3] = (-31.0, 12.0, 250.0)
    pixels, _ = lesion_pixels(0, grade=1)
    nib.save(nib.Nifti1Image(pixels.T, affine), tmp_path / "ct.nii.gz")
    options = {"region": "4:8,8:16,8:16", "label_format": "nii.gz", **CPU}
    (row,) = predict_files(folder / "grader", [tmp_path / "ct.nii.gz"], tmp_path / "out", **options)
    assert row["error"] == ""
    assert row["labels"] == str(tmp_path / "out" / "ct.nii.gz")
    written = nib.load(row["labels"])
    # Every voxel that the model judged (others are stored as 255) lies where the scan's lies: head, back, left.
    image = read(tmp_path / "ct.nii.gz")
    asked = predict(load_model(folder / "grader", **CPU), image, region=parse_region("4:8,8:16,8:16"))
    voxels = np.argwhere(np.ones([stop - start for start, stop in asked.region]))
    expected = nib.affines.apply_affine(image.affine, voxels + [start for start, _ in asked.region])
    right, front, head = nib.affines.apply_affine(written.affine, np.argwhere(np.asarray(written.dataobj) != 255)).T
    found = np.stack([head, -front, -right], axis=1)
    np.testing.assert_allclose(sorted(map(tuple, found.round(3))), sorted(map(tuple, expected.round(3))), atol=2e-3)
    # In the order of the scan's own file, so that programs which compare voxel by voxel may.
    assert written.shape == pixels.T.shape
    np.testing.assert_allclose(written.affine, affine, atol=1e-4)
    with pytest.raises(ConfigError, match=r"choose one of tif, zarr, nii\.gz"):
        predict_files(folder / "grader", [tmp_path / "ct.nii.gz"], tmp_path / "out", label_format="png", **CPU)


def test_a_box_on_the_command_line_is_what_is_asked_about(folder, tmp_path, capsys):
    image = str(folder / "images" / "p0.nii.gz")
    command = ["predict", str(folder / "grader"), image, "--out", str(tmp_path), "--device", "cpu"]
    assert main([*command, "--region", "4:8,8:16,8:16"]) == 0
    assert table(tmp_path / "predictions.csv")[0]["box"] == "4:8,8:16,8:16"
    assert main([*command, "--region", str(tmp_path / "nothing")]) == 1
    assert "neither a box nor a file" in capsys.readouterr().err
    both = ["--region", "4:8,8:16,8:16", "--region-model", str(folder / "grader")]
    assert main([*command, *both]) == 1
    assert "not both" in capsys.readouterr().err


def test_the_region_lies_around_what_another_model_finds(folder):
    grader = load_model(folder / "grader", **CPU)
    _, labels = lesion_pixels(0, grade=1)
    image = read(folder / "images" / "p0.nii.gz")

    def draws(values, windows):
        """Logits of the lesion's own mask, for a finder that is always right."""
        import torch

        mask = torch.from_numpy((labels == 1).astype(np.float32))[None, None]
        assert windows.shape[2:] == mask.shape[2:]
        return torch.cat([1 - mask, mask], dim=1) * values, None

    whole = replace(
        grader.predictor,
        window=labels.shape,
        scale_of=lambda image: (1.0,) * 3,
        forward=lambda windows: draws(9.0, windows),
        focus=None,
        tags=(),
    )
    finder = replace(grader, predictor=whole)
    found = predict(grader, image, region_model=finder)
    assert found.region == predict(grader, image, region=mask_box((labels == 1).astype(np.uint8))).region
    blind = replace(finder, predictor=replace(whole, forward=lambda windows: draws(0.0, windows)), name="blind")
    with pytest.raises(ConfigError, match=r"'blind' finds no tumour in image 'p0.*draw a box"):
        predict(grader, image, region_model=blind)
    with pytest.raises(ConfigError, match="one of the two"):
        predict(grader, image, region_model=finder, region=((0, 1),) * 3)


def test_masks_that_do_not_fit_are_refused_in_a_sentence(folder, tmp_path):
    image = read(folder / "images" / "p0.nii.gz")
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.uint8), np.eye(4)), tmp_path / "small.nii.gz")
    with pytest.raises(ConfigError, match="holds no labels named like image 'p0'"):
        region_of_mask(tmp_path, image)
    nib.save(nib.Nifti1Image(np.zeros((24, 24, 12), np.uint8), np.eye(4)), tmp_path / "p0.nii.gz")
    with pytest.raises(ConfigError, match="mark nothing"):
        region_of_mask(tmp_path, image)
    with pytest.raises(ConfigError, match="labels that were drawn on this image"):
        region_of_mask(tmp_path / "small.nii.gz", image)
    assert parse_region("0:4,1:5") == ((0, 4), (1, 5))
    with pytest.raises(ConfigError, match="not a box"):
        parse_region("0:4,5:1")
