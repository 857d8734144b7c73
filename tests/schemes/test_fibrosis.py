"""Scheme `fibrosis`: what it learns, what it refuses, and what it is asked about."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg.api import evaluate, load_model
from napari_medseg.api.evaluation import figures_of
from napari_medseg.api.prediction import predict
from napari_medseg.api.training import train_cases
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import mark_done, record_labels
from napari_medseg.data.regions import mask_box
from napari_medseg.errors import ConfigError, DatasetError, ModelError
from napari_medseg.models.compute import choose_compute
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.fibrosis_parts import FibrosisParts
from napari_medseg.structures import Image
from tests.factories import LESION_INFO, lesion_case, lesion_pixels, lesion_set

CPU = {"device": "cpu", "precision": "fp32", "threads": 1}
SMALL = ["network.base_width=4", "network.dims=2", "input_size=16", "lesion=tumour"]
SHAPE = (24, 28)
SCHEME = find_scheme("fibrosis")


def config(*assignments):
    return build_config(SCHEME, assignments=[*SMALL, *assignments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model that had time to learn an easy task."""
    folder = tmp_path_factory.mktemp("fibrosis") / "run"
    settings = ["training.epochs=12", "training.steps_per_epoch=10", "training.learning_rate=0.01"]
    settings += ["training.validate_every=4", "window_low=-50", "window_high=250"]
    train_cases(SCHEME, config(*settings), lesion_set(train=16, val=12, test=0, shape=SHAPE), folder, **CPU)
    return folder


@pytest.fixture(scope="module")
def model(run):
    return load_model(run, **CPU)


def test_region_and_grade_are_learned_together(model):
    test = lesion_set(train=0, val=0, test=10, shape=SHAPE).cases
    document = figures_of(model.predictor, test, model.compute)
    # Two figures of the truth on whole images: 255 outside of the region is no lesion.
    assert document["segmentation"]["tumour"]["dice"] > 0.8
    graded = document["classification"]
    assert graded["auc"] > 0.95
    assert {"kappa", "kappa_ci", "auc_ci", "accuracy"} <= graded.keys()
    assert model.card.tags == ("low", "high")
    assert [c.name for c in model.card.classes] == ["tumour"]


def test_the_region_of_a_prediction_is_the_box_with_its_margin(model):
    case = lesion_case(201, shape=SHAPE)
    image, tight = case.load_image(), mask_box(case.load_labels(), [1])
    found = predict(model, image, region=tight, attention=True)
    assert found.region == model.predictor.focus(image, tight)
    assert all(a <= c and d <= b for (a, b), (c, d) in zip(found.region, tight, strict=True))
    sides = tuple(stop - start for start, stop in found.region)
    assert np.asarray(found.labels).shape == sides == found.attention.shape
    assert found.tag.graded
    assert found.tag.calibrated
    assert sum(found.tag.probabilities.values()) == pytest.approx(1)
    whole = predict(model, image)
    assert whole.region == tuple((0, n) for n in image.spatial_shape)


def test_a_drawn_box_counts_more_than_the_mask(model):
    drawn = ((2, 9), (3, 12))
    case = lesion_case(0, shape=SHAPE, box=drawn)
    assert model.predictor.region_of(case) == drawn
    assert model.predictor.region_of(replace(case, box=None)) == mask_box(case.load_labels(), [1])
    assert model.predictor.region_of(lesion_case(0, shape=SHAPE, masked=False)) is None


def test_the_head_alone_learns_on_a_frozen_encoder(tmp_path):
    data = lesion_set(train=6, val=2, test=0, shape=SHAPE)
    short = ["mode=frozen_encoder", "training.epochs=2", "training.steps_per_epoch=2", "training.batch_size=4"]
    states = []

    def spy(event, **values):
        if event == "stage_ended":
            states.append(values["stage"])

    train_cases(SCHEME, config(*short), data, tmp_path / "run", report=spy, **CPU)
    assert states == ["region", "grade_head"]
    stages = tmp_path / "run" / "stages"
    region, head = (
        torch.load(next((stages / name).glob("best-*.pt")), weights_only=True)["weights"]
        for name in ("region", "grade_head")
    )
    encoder = {name for name in head if name.startswith("encoder.")}
    assert encoder
    assert all(torch.equal(region[name], head[name]) for name in encoder)
    assert head.keys() - encoder == {"head.linear.weight", "head.linear.bias"}


def test_a_sample_that_lacks_a_label_teaches_the_other(tmp_path):
    parts = FibrosisParts.fit(config(), lesion_set(4, 2, 0, shape=SHAPE), 0, choose_compute(**CPU))
    network = parts.network()
    stage = parts.joint_stage("joint", "", network)
    images, labels, grades = (torch.from_numpy(a) for a in stage.source.draw(range(4), 0))
    from napari_medseg.training.stage import Batch

    def gradients(labels, grades):
        network.zero_grad()
        stage.loss(network.eval()(images), Batch(images=images, labels=labels.long(), tags=grades)).backward()
        return {
            part: sum(float(p.grad.abs().sum()) for p in module.parameters() if p.grad is not None)
            for part, module in (("head", network.head), ("decoder", network.decoder), ("encoder", network.encoder))
        }

    no_mask = gradients(torch.full_like(labels, 255), grades)
    no_grade = gradients(labels, torch.full_like(grades, -1))
    assert no_mask["decoder"] == 0 < no_mask["head"]
    assert no_grade["head"] == 0 < no_grade["decoder"]
    assert min(no_mask["encoder"], no_grade["encoder"]) > 0


def graded_folder(path, grades=("low", "high"), cases=4):
    """A data set on disk: drawn and graded pictures of a test split."""
    dataset = Dataset.create(path, replace(LESION_INFO, grades=grades))
    for index in range(cases):
        pixels, labels = lesion_pixels(300 + index, index % 2, SHAPE)
        image = Image(levels=(pixels,), axes="yx", spacing=(1.0, 1.0), units=("millimeter",) * 2, name="picture")
        case = dataset.add_image(image, f"p{index}", group=f"patient{index}")
        store = dataset.label_store(case, SHAPE)
        store.write_box(tuple((0, n) for n in SHAPE), labels)
        case = record_labels(dataset, case.case, store, revision=case.revision)
        case = mark_done(dataset, case.case, store, revision=case.revision, grade=grades[index % 2])
        dataset.update_case(case.case, revision=case.revision, split="test")
    return path


def test_a_data_set_is_judged_by_its_grades(model, tmp_path):
    document = evaluate(model, graded_folder(tmp_path / "data"))
    graded = document["classification"]
    assert graded["n_cases"] == document["n_groups"] == 4
    assert set(graded["per_class"]) == {"low", "high"}
    assert graded["auc"] == 1
    low, high = graded["kappa_ci"]
    assert low <= graded["kappa"] <= high
    assert {row["tag"] for row in document["per_case"]} == {"low", "high"}
    other = graded_folder(tmp_path / "other", grades=("mild", "severe"), cases=2)
    with pytest.raises(DatasetError, match=r"knows the grades low, high.*has mild, severe"):
        evaluate(model, other)


def test_more_than_two_grades(tmp_path):
    cases = lesion_set(train=6, val=12, test=0, shape=SHAPE)
    cases = replace(
        cases,
        info=replace(LESION_INFO, grades=("a", "b", "c")),
        cases=tuple(replace(case, grade=index % 3) for index, case in enumerate(cases.cases)),
    )
    short = ["training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=4"]
    train_cases(SCHEME, config(*short), cases, tmp_path / "run", **CPU)
    found = predict(load_model(tmp_path / "run", **CPU), cases.cases[0].load_image())
    assert list(found.tag.probabilities) == ["a", "b", "c"]
    assert sum(found.tag.probabilities.values()) == pytest.approx(1)


def test_volumes_are_cut_out_and_drawn(tmp_path):
    data = lesion_set(train=4, val=2, test=0)
    settings = ["network.dims=3", "input_slices=8", "training.epochs=1", "training.steps_per_epoch=1"]
    train_cases(SCHEME, config(*settings, "training.batch_size=2"), data, tmp_path / "run", **CPU)
    model = load_model(tmp_path / "run", **CPU)
    found = predict(model, data.cases[0].load_image(), region=((4, 8), (8, 16), (8, 16)), attention=True)
    assert np.asarray(found.labels).ndim == found.attention.ndim == 3
    with pytest.raises(ModelError, match="3 spatial axes"):
        predict(model, np.zeros((30, 30), np.int16))


def test_what_cannot_be_trained_is_said_before_the_first_step():
    data = lesion_set(4, 2, 0, shape=SHAPE)

    def errors(data, *assignments):
        return " ".join(str(f) for f in SCHEME.check(config(*assignments), data) if f.severity == "error")

    assert errors(data) == ""
    assert "no class 'cyst'" in errors(data, "lesion=cyst")
    assert "axes 'yx', but the network takes 3. Set network.dims to 2" in errors(data, "network.dims=3")
    one = replace(data, cases=tuple(replace(case, grade=1) for case in data.cases))
    assert "only 'high' was found" in errors(one)
    bare = lesion_set(4, 2, 0, shape=SHAPE, masked=False)
    assert "No training case has a mask" in errors(bare)
    lonely = replace(data, cases=data.of_split("train"))
    assert [fault.severity for fault in SCHEME.check(config(), lonely)] == ["warning"]
    with pytest.raises(ConfigError, match="both window_low and window_high"):
        config("window_low=-100")
    with pytest.raises(ConfigError, match="must lie below"):
        config("window_low=5", "window_high=-5")
