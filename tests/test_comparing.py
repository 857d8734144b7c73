"""Two trained models on one data set, and the model in use."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from napari_medseg import api
from napari_medseg.cli import main
from napari_medseg.data import models_in_use
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.errors import DatasetError
from napari_medseg.io.model_file import read_model, write_model

pytest.importorskip("torch")

SMALL = ["network.base_width=4", "input_size=32", "training.steps_per_epoch=2", "training.epochs=1"]
PLAIN = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set with two runs: one trained for a moment, and the same with a segmenter that draws nothing."""
    folder = tmp_path_factory.mktemp("compare") / "data"
    make_dataset(folder, n=20, size=64, seed=0)
    api.train("pathology", folder, folder / "runs" / "first", assignments=SMALL, seed=1, **PLAIN)
    card, tensors = read_model(folder / "runs" / "first" / "model.safetensors")
    blind = dict(tensors)
    name = next(key for key in tensors if key.startswith("segmenter") and "head" in key and key.endswith("bias"))
    blind[name] = np.array([1e4, -1e4], np.float32)
    write_model(folder / "runs" / "blind" / "model.safetensors", blind, card)
    return folder


def test_a_model_against_itself_differs_in_nothing(trained):
    model = trained / "runs" / "first"
    document = api.compare(model, model, trained, **PLAIN)
    assert document["n_cases"] == 4
    assert document["segmentation"]["gland"]["difference"] == 0
    assert document["verdict"] == "unclear"
    evaluated = api.evaluate(model, trained, split="val", allow_training_cases=True, **PLAIN)
    assert document["segmentation"]["mean"]["dice_b"] == pytest.approx(evaluated["segmentation"]["mean"]["dice"])
    assert document["classification"]["auc"]["auc_b"] == pytest.approx(evaluated["classification"]["auc"])


def test_a_segmenter_that_draws_nothing_is_worse_and_raises_an_alarm(trained):
    document = api.compare(trained / "runs" / "first", trained / "runs" / "blind", trained, **PLAIN)
    assert document["verdict"] == "worse"
    assert document["sentence"].startswith("Worse by")
    assert any("never draws gland" in alarm for alarm in document["alarms"])
    assert document["classification"]["auc"]["difference"] == 0


def test_cases_that_a_model_learned_from_are_left_out_or_the_comparison_is_refused(trained, tmp_path):
    """The other model had another split: its training groups must not count."""
    data = shutil.copytree(trained, tmp_path / "data")
    table = (data / "cases.csv").read_text("utf-8")
    swapped = table.replace(",val,", ",swap,").replace(",test,", ",val,").replace(",swap,", ",train,")
    (data / "cases.csv").write_text(swapped, "utf-8")
    api.train("pathology", data, data / "runs" / "second", assignments=SMALL, **PLAIN)
    (data / "cases.csv").write_text(table, "utf-8")
    with pytest.raises(DatasetError, match="learned from all of its groups"):
        api.compare(data / "runs" / "first", data / "runs" / "second", data, **PLAIN)
    # What was the test split is no model's training data, but it chose the second one's epoch.
    with pytest.raises(DatasetError, match="Split 'test'"):
        api.compare(data / "runs" / "first", data / "runs" / "second", data, split="test", **PLAIN)


def test_the_command_prints_a_sentence_and_json(trained, capsys):
    arguments = ["compare", *(str(trained / "runs" / name) for name in ("first", "blind")), str(trained)]
    assert main([*arguments, "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Worse by")
    assert "ALARM" in text
    assert main([*arguments, "--device", "cpu", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "worse"


def test_a_model_in_use_survives_its_run_and_can_be_gone_back_from(trained, tmp_path, capsys):
    data = shutil.copytree(trained, tmp_path / "data")
    assert models_in_use.model_in_use(data) is None
    api.promote_model(data, data / "runs" / "first", reason="the first one")
    api.promote_model(data, data / "runs" / "blind")
    api.promote_model(data, data / "runs" / "blind")  # once more changes nothing
    assert [made.name for made in models_in_use.promotions(data)] == ["first", "blind"]
    shutil.rmtree(data / "runs")
    assert main(["models", str(data), "--roll-back", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {model["name"]: model["in_use"] for model in listed["models"]} == {"first": True, "blind": False}
    assert [made["action"] for made in listed["promotions"]] == ["promote", "promote", "roll back"]
    assert read_model(models_in_use.model_in_use(data))[0].scheme == "pathology"
    assert main(["models", str(data), "--roll-back"]) == 1
    assert "no model before" in capsys.readouterr().err


def test_a_damaged_list_of_promotions_is_said_not_guessed(trained, tmp_path):
    data = shutil.copytree(trained, tmp_path / "data")
    api.promote_model(data, data / "runs" / "first")
    (data / "models" / "in_use.json").write_text("{", "utf-8")
    with pytest.raises(DatasetError, match="damaged"):
        models_in_use.model_in_use(data)
