"""A model against what people said, with networks whose answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg import api
from napari_medseg.cli import main
from napari_medseg.data.contradictions import Contradiction, confirm
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.finishing import mark_done
from napari_medseg.structures import DatasetInfo

torch = pytest.importorskip("torch")

SHAPE = (64, 64)
INFO = DatasetInfo(
    name="test",
    classes=mask_classes(["tumour"]),
    tags=tag_classes(["benign", "malignant"]),
    implies={"tumour": "malignant", "<empty>": "benign"},
)


def bright(values):
    """Draws what is bright; calls an image malignant whose first pixel is bright."""
    grey = values.mean(dim=1, keepdim=True)
    mask = torch.cat([torch.zeros_like(grey), 40 * (grey - 0.5)], dim=1)
    malignant = 40 * (values[:, 0, 0, 0] - 0.5)
    return mask, torch.stack([torch.zeros_like(malignant), malignant], dim=1)


@pytest.fixture
def model(tmp_path):
    from napari_medseg.api.prediction import LoadedModel
    from napari_medseg.io.model_file import Expects, ModelCard
    from napari_medseg.models.compute import Compute
    from tests.inference.predictors import make_predictor

    compute = Compute(device="cpu", precision="fp32", channels_last=False, threads=1)
    predictor = make_predictor(bright, classes=INFO.classes, tags=("benign", "malignant"))
    card = ModelCard(scheme="pathology", config={}, expects=Expects(axes="yx", channels=1))
    return LoadedModel(name="bright", path=tmp_path / "m", card=card, predictor=predictor, compute=compute)


def add(dataset, name, *, tag, square, drawn, corner=None):
    """A dark image with a bright square, and what a person drew; `corner` is the brightness of its first pixels."""
    pixels = np.random.default_rng(len(name)).integers(20, 40, SHAPE).astype(np.uint8)
    pixels[square] = 230
    pixels[:4, :4] = 230 if corner else 20
    case = dataset.add_image(pixels, name, group=name)
    store = dataset.label_store(case, SHAPE)
    labels = np.zeros(SHAPE, np.uint8)
    labels[drawn] = 1
    store.write_box(((0, 64), (0, 64)), labels)
    case = dataset.update_case(case.case, revision=case.revision, label=store.name)
    mark_done(dataset, name, store, revision=case.revision, tag=tag)


@pytest.fixture
def dataset(tmp_path):
    made = Dataset.create(tmp_path / "data", INFO)
    left, right, nowhere = (np.s_[20:50, 5:25]), (np.s_[20:50, 35:60]), (np.s_[0:0, 0:0])
    add(made, "all agree", tag="malignant", square=left, drawn=left, corner=True)
    add(made, "labels elsewhere", tag="malignant", square=left, drawn=right, corner=True)
    add(made, "called benign", tag="malignant", square=right, drawn=right, corner=False)
    add(made, "nothing there at all", tag="benign", square=nowhere, drawn=nowhere, corner=False)
    return made


def test_a_sure_model_contradicts_tags_labels_and_itself(dataset, model):
    document = api.find_contradictions(dataset.path, model)
    found = {(each["case"], each["kind"]) for each in document["contradictions"] if each["kind"] != "duplicates"}
    assert found == {
        ("labels elsewhere", "model labels"),
        ("called benign", "model tag"),
        ("called benign", "two opinions"),
    }
    strengths = [each["strength"] for each in document["contradictions"]]
    assert strengths == sorted(strengths, reverse=True)
    assert document["n_cases"] == 4


def test_a_doubtful_model_contradicts_nobody(dataset, model):
    def doubtful(values):
        mask, tags = bright(values)
        return mask / 100, tags / 100

    unsure = replace(model, predictor=replace(model.predictor, forward=doubtful))
    document = api.find_contradictions(dataset.path, unsure)
    assert [each for each in document["contradictions"] if each["kind"] != "duplicates"] == []


def test_what_a_person_confirmed_is_not_said_again(dataset, model):
    before = api.find_contradictions(dataset.path, model)["contradictions"]
    entry = next(each for each in before if each["kind"] == "model labels")
    confirm(dataset, Contradiction(**entry))
    after = api.find_contradictions(dataset.path, model)["contradictions"]
    assert [each for each in before if each not in after] == [entry]


def test_the_command(dataset, capsys):
    assert main(["contradictions", str(dataset.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] is None
    case = dataset.case("all agree")
    dataset.update_case("all agree", revision=case.revision, tag="benign")
    assert main(["contradictions", str(dataset.path)]) == 0
    assert "all agree: The tag is 'benign', but tumour is drawn" in capsys.readouterr().out
