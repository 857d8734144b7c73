"""Expected quality from a data set folder: calibrated into the model file, and listed worst first."""

from __future__ import annotations

import json

import pytest

from napari_medseg import api
from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.errors import DatasetError
from napari_medseg.io.model_file import identity, read_card, read_model

pytest.importorskip("torch")

SMALL = ["network.base_width=4", "input_size=32", "training.steps_per_epoch=3", "training.epochs=1"]
PLAIN = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quality") / "data"
    dataset = make_dataset(folder, n=40, size=64, seed=0)
    api.train("pathology", folder, folder / "runs" / "first", assignments=SMALL, seed=1, **PLAIN)
    for case in dataset.cases[-4:]:
        dataset.update_case(case.case, revision=case.revision, status="todo")
    return folder


def test_calibration_goes_into_the_file_and_changes_nothing_that_the_model_computes(trained):
    path = trained / "runs" / "first" / "model.safetensors"
    before = identity(*read_model(path))
    card = api.calibrate_quality(path, trained, **PLAIN)
    assert read_card(path).quality == card
    assert identity(*read_model(path)) == before
    assert card.line.cases == 8
    assert card.space.cases >= 6


def test_cases_to_do_are_listed_worst_first(trained, capsys):
    model = str(trained / "runs" / "first")
    assert main(["quality", str(trained), "--model", model, "--device", "cpu", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    todo = {case.case for case in Dataset.open(trained).cases if case.status == "todo"}
    assert {row["case"] for row in document["cases"]} == todo
    like = [row["dice"] for row in document["cases"] if not row["unlike"]]
    assert all(0 <= dice <= 1 for dice in like)
    assert main(["quality", str(trained), "--model", model, "--device", "cpu"]) == 0
    assert "Dice about" in capsys.readouterr().out


def test_without_validation_cases_the_mend_is_named(trained, tmp_path):
    import shutil

    data = shutil.copytree(trained, tmp_path / "data")
    table = (data / "cases.csv").read_text("utf-8")
    (data / "cases.csv").write_text(table.replace(",val,", ",test,"), "utf-8")
    with pytest.raises(DatasetError, match="too few"):
        api.expected_quality(data, data / "runs" / "first", calibrate=True, **PLAIN)
    with pytest.raises(DatasetError, match="no model in use"):
        api.expected_quality(data)
