"""Prediction of files, as the command line and the Predict panel start it."""

from __future__ import annotations

import csv
import subprocess
import sys

import numpy as np
import pytest
import tifffile
import zarr

from napari_medseg import api
from napari_medseg.api import prediction_item, prediction_table
from napari_medseg.errors import ConfigError, InputNotFoundError, WriteError
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


@pytest.mark.parametrize("label_format", ["tif", "zarr", "nii.gz"])
def test_results_of_a_large_image_go_by_the_disk_and_are_the_same(model, tmp_path, monkeypatch, label_format):
    picture = np.random.default_rng(0).integers(0, 255, (150, 130, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "picture.tif", picture, photometric="rgb")
    expected = api.predict(model, picture, probabilities=True)
    given = []

    def watched(*args, **options):
        given.extend([options["out"], options["probabilities_out"]])
        return api.predict(*args, **options)

    monkeypatch.setattr(prediction_item, "_VALUES_IN_MEMORY", 1000)
    monkeypatch.setattr(prediction_item, "predict", watched)
    out = tmp_path / "out"
    (row,) = api.predict_files(
        model.path,
        [tmp_path / "picture.tif"],
        out,
        probabilities=True,
        label_format=label_format,
        device="cpu",
        precision="fp32",
    )
    assert row["error"] == ""
    np.testing.assert_array_equal(np.asarray(read_labels(row["labels"]).labels), np.asarray(expected.labels))
    assert [c.name for c in read_labels(row["labels"]).classes] == ["spot"]
    shares = api.read(out / "picture-probabilities.zarr")
    assert shares.channels == ("background", "spot")
    np.testing.assert_array_equal(shares.region(), expected.probabilities)
    names = ["predictions.csv", f"picture.{label_format}", "picture-probabilities.zarr", "picture-trace.json"]
    assert sorted(path.name for path in out.iterdir()) == sorted(names)
    assert all(isinstance(array, zarr.Array) for array in given), "neither result was held in memory"


def test_a_model_keeps_the_name_of_its_run(model):
    assert model.name == "quick"


def test_a_folder_without_a_model_is_a_training_or_is_not(tmp_path):
    with pytest.raises(InputNotFoundError, match="choose a model file, or the folder of a training"):
        api.load_model(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputNotFoundError, match="its training is not finished"):
        api.load_model(tmp_path)


def test_inputs_of_one_name_get_labels_of_their_own(model, tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / "a.tif", np.zeros((40, 40, 3), np.uint8), photometric="rgb")
    rows = api.predict_files(model.path, [tmp_path / "one", tmp_path / "two"], tmp_path / "out", device="cpu")
    assert len({row["labels"] for row in rows}) == 2


def test_what_would_fail_for_every_input_is_said_before_the_first_prediction(model, tmp_path, monkeypatch):
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((3, 40, 40), np.uint8), metadata={"axes": "ZYX"}, ome=True)
    inputs = [tmp_path / "a.tif", tmp_path / "b.tif"]
    monkeypatch.setattr(prediction_item, "predict", lambda *args, **options: pytest.fail("predicted"))
    with pytest.raises(ConfigError, match=r"region has 2 axes but .*a\.tif has 3 \(z, y, x\)"):
        api.predict_files(model.path, inputs, tmp_path / "out", region="0:20,0:20", device="cpu")
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(WriteError, match="could not be written"):
        api.predict_files(model.path, inputs, tmp_path / "file", device="cpu")


def test_the_table_grows_by_whole_rows_and_starts_anew(tmp_path):
    path = tmp_path / "predictions.csv"
    path.write_text("what an earlier run left")
    table = prediction_table.Table(path, ["input", "error"])
    table.add({"input": "ä.tif", "error": 'says "no",\nand why'})
    table.add({"input": "b.tif", "error": ""})
    with path.open(encoding="utf-8", newline="") as file:
        rows = [tuple(row.values()) for row in csv.DictReader(file)]
    assert rows == [("ä.tif", 'says "no",\nand why'), ("b.tif", "")]


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
def test_a_full_disk_leaves_no_half_row(tmp_path):
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from napari_medseg.api.prediction_table import Table\nfrom napari_medseg.errors import WriteError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "table = Table(Path(sys.argv[1]), ['input'])\ntable.add({'input': 'first'})\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))\n"
        "try:\n    table.add({'input': 'x' * 100})\nexcept WriteError as error:\n    print(error)\n"
    )
    path = tmp_path / "predictions.csv"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert "free space there" in done.stdout
    assert path.read_text("utf-8") == "input\nfirst\n"
