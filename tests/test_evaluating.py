"""What `evaluate` refuses to judge: everything of a group that the model has seen."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as Picture

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import DatasetError
from napari_medseg.io.model_file import hash_group, read_card

pytest.importorskip("torch")

SMALL = ["network.base_width=4", "input_size=32", "training.epochs=1", "training.steps_per_epoch=2"]
SEED = 20
TAGS = ("benign", "malignant")


def set_cells(data, changes):
    """Change rows as a spreadsheet would; `changes` takes and returns a row."""
    path = data / "cases.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = [changes(dict(row)) for row in csv.DictReader(file)]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set whose split is drawn by training, and a model of it that was trained for a moment."""
    folder = tmp_path_factory.mktemp("evaluate")
    make_dataset(folder / "data", n=20, size=64, seed=0)
    set_cells(folder / "data", lambda row: row | {"split": ""})
    api.train(
        "pathology", folder / "data", folder / "run", assignments=SMALL, seed=SEED, device="cpu", precision="fp32"
    )
    return folder


@pytest.fixture
def data(trained, tmp_path):
    return shutil.copytree(trained / "data", tmp_path / "data")


def evaluate(trained, data, **options):
    return api.evaluate(trained / "run", data, device="cpu", precision="fp32", **options)


def of_split(data, split):
    return [case for case in training_set(Dataset.open(data), seed=SEED).cases if case.split == split]


def test_the_drawn_split_is_judged_and_stays_when_cases_are_added(trained, data):
    expected = {case.case for case in of_split(data, "test")}
    assert {row["case"] for row in evaluate(trained, data)["per_case"]} == expected
    # With this seed no group's own place is the test split, so one was moved there; with more groups none has to be.
    dataset = Dataset.open(data)
    for index in range(12):
        path = data / "images" / f"new{index}.png"
        Picture.new("RGB", (64, 64), (index, 100, 100)).save(path)
        dataset.add_case(path, case=f"new{index}", group=f"new {index}", tag=TAGS[index // 2 % 2], status="done")
    assert not expected & {case.case for case in of_split(data, "test")}, "drawn anew they would be elsewhere"
    judged = {row["case"] for row in evaluate(trained, data)["per_case"]}
    assert expected == {case for case in judged if not case.startswith("new")}


@pytest.mark.parametrize("change", ["exported anew", "another region", "another image"])
def test_a_case_of_a_patient_that_was_trained_on_is_refused(trained, data, change):
    """Its pixels and hence its hash differ from all that was trained; its patient does not."""
    known, dataset = of_split(data, "train")[0], Dataset.open(data)
    judged, path = known.case, dataset.image_path(dataset.case(known.case))
    if change == "exported anew":
        Picture.open(path).rotate(90).save(path)
    elif change == "another image":
        judged = "later"
        Picture.open(path).rotate(180).save(path.with_name("later.png"))
        dataset.add_case(path.with_name("later.png"), case=judged, group=known.group, tag="benign", status="done")

    def only_judged(row):
        if row["group"] != known.group:
            return row
        if row["case"] != judged:
            return row | {"status": "todo"}
        return row | {"split": "test", "label": "", "region": "0:64,0:60" if change == "another region" else ""}

    set_cells(data, only_judged)
    hashes = read_card(trained / "run" / "model.safetensors").training.hashes
    (shown,) = [case for case in of_split(data, "test") if case.group == known.group]
    assert shown.image_hash not in {*hashes["train"], *hashes["val"]}, "the image is a new one"

    with pytest.raises(DatasetError, match=rf"trained on 1 of .* of group '{known.group}'"):
        evaluate(trained, data)
    assert evaluate(trained, data, allow_training_cases=True)["n_cases"] > 1


def test_the_model_file_names_no_group_and_two_models_cannot_be_compared(trained):
    card = read_card(trained / "run" / "model.safetensors")
    text = json.dumps(card.model_dump(mode="json"))
    groups = {case.group for case in Dataset.open(trained / "data").cases}
    assert not [group for group in groups if group in text]
    assert sum(len(hashes) for hashes in card.training.group_hashes.values()) == len(groups)
    assert all(hash_group(group, card.training.salt) != hash_group(group, "another salt") for group in groups)
    assert {card.training.split_of_group(group) for group in groups} == {"train", "val", "test"}
    assert card.training.split_of_group("nobody") is None


def test_classes_are_known_by_their_names(trained, data):
    document = json.loads((data / "dataset.json").read_text("utf-8"))
    (name,) = [c["name"] for c in document["classes"]]
    document["classes"][0]["name"] = "glomerulus"
    document["implies"] = {}
    (data / "dataset.json").write_text(json.dumps(document), "utf-8")
    with pytest.raises(DatasetError, match=f"draws {name}, but data set .* has glomerulus"):
        evaluate(trained, data)


def test_labels_are_judged_in_the_values_of_the_model():
    from napari_medseg.api.evaluation import in_values_of_model
    from napari_medseg.structures import DatasetInfo, MaskClass
    from tests.factories import layer_case

    def classes(**values):
        return tuple(MaskClass(value=value, name=name, color="#ff0000") for name, value in values.items())

    labels = np.array([[0, 1, 2, 3, 255]], np.uint8)
    case = replace(layer_case(0), load_labels=lambda: labels)
    told = []
    (judged,) = in_values_of_model(
        [case],
        DatasetInfo(name="d", classes=classes(INL=1, RNFL=2, fluid=3)),
        classes(RNFL=1, INL=2, drusen=254),
        "d",
        lambda event, **values: told.append(values["text"]),
    )
    assert judged.load_labels().tolist() == [[0, 2, 1, 253, 255]]
    assert told == [
        "The data set does not have drusen, which the model draws.",
        "The model does not know fluid, which the data set has.",
    ]
    same = DatasetInfo(name="d", classes=classes(RNFL=1, INL=2))
    assert in_values_of_model([case], same, same.classes, "d", lambda *_, **__: None) == (case,)
