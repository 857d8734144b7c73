"""Prediction of files, as the command line and the Predict panel start it."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_medseg import api
from napari_medseg.api import prediction
from napari_medseg.io import read_labels

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model that was trained for a moment."""
    from napari_medseg.api.training import train_cases
    from napari_medseg.schemes import build_config, find_scheme
    from tests.factories import spot_set

    scheme = find_scheme("pathology")
    small = ["network.base_width=4", "input_size=32", "training.epochs=1", "training.steps_per_epoch=2"]
    run = tmp_path_factory.mktemp("run") / "quick"
    train_cases(scheme, build_config(scheme, assignments=small), spot_set(), run, device="cpu", precision="fp32")
    return api.load_model(run, device="cpu", precision="fp32")


@pytest.mark.parametrize("label_format", ["tif", "zarr"])
def test_labels_of_a_large_image_go_by_the_disk_and_are_the_same(model, tmp_path, monkeypatch, label_format):
    picture = np.random.default_rng(0).integers(0, 255, (150, 130, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "picture.tif", picture, photometric="rgb")
    expected = np.asarray(api.predict(model, picture).labels)
    monkeypatch.setattr(prediction, "_LABELS_IN_MEMORY", 1000)
    out = tmp_path / "out"
    (row,) = api.predict_files(
        model.path, [tmp_path / "picture.tif"], out, label_format=label_format, device="cpu", precision="fp32"
    )
    assert row["error"] == ""
    np.testing.assert_array_equal(np.asarray(read_labels(row["labels"]).labels), expected)
    assert sorted(path.name for path in out.iterdir()) == sorted(["predictions.csv", f"picture.{label_format}"])


def test_a_model_keeps_the_name_of_its_run(model):
    assert model.name == "quick"


def test_inputs_of_one_name_get_labels_of_their_own(model, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    rows = api.predict_files(model.path, [tmp_path / "one", tmp_path / "two"], tmp_path / "out", device="cpu")
    assert len({row["labels"] for row in rows}) == 2
