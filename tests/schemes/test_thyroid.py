"""Scheme `thyroid`: what it learns, what it is shown, what it refuses, and what it says of frames and cines."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_medseg.api import load_model
from napari_medseg.api.evaluation import figures_of
from napari_medseg.api.prediction import predict
from napari_medseg.api.training import train_cases, with_pretraining
from napari_medseg.data.synthetic_ultrasound import LESIONS, make_dataset
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import ConfigError, DatasetError, ModelError
from napari_medseg.models.compute import choose_compute
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.thyroid_network import ScanFocus
from napari_medseg.schemes.thyroid_parts import ThyroidParts
from napari_medseg.structures import Image, TrainingSet, UltrasoundScan
from tests.factories import frame_case, frame_set, spot_set

CPU = {"device": "cpu", "precision": "fp32", "threads": 1}
SMALL = ["network.base_width=4", "network.middle_modules=1", "input_size=64"]
SHORT = ["training.epochs=1", "training.steps_per_epoch=1", "training.batch_size=2"]
SHORT += [setting.replace("training", "pretraining") for setting in SHORT]
SCHEME = find_scheme("thyroid")


def config(*assignments):
    return build_config(SCHEME, assignments=[*SMALL, *assignments])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model that had time to learn two kinds that differ much."""
    kinds = ("follicular tumour", "medullary carcinoma")
    cases = [frame_case(i, lesion=kinds[i % 2]) for i in range(16)]
    cases += [frame_case(100 + i, lesion=kinds[i % 2], split="val") for i in range(12)]
    data = TrainingSet(info=frame_set(1, 0, 0).info, cases=tuple(cases))
    folder = tmp_path_factory.mktemp("thyroid") / "run"
    settings = ["training.epochs=6", "training.steps_per_epoch=8", "training.validate_every=2"]
    train_cases(SCHEME, config(*settings), data, folder, **CPU)
    return folder


@pytest.fixture(scope="module")
def model(run):
    return load_model(run, **CPU)


def test_classes_are_learned_calibrated_and_said_to_be_sure(model):
    assert model.card.tags == ("follicular tumour", "medullary carcinoma")
    assert not model.card.classes
    test = [frame_case(200 + i, lesion=model.card.tags[i % 2], split="test") for i in range(12)]
    document = figures_of(model.predictor, test, model.compute)
    assert document["classification"]["auc"] > 0.9
    assert document["segmentation"] is None
    assert {"macro_f1", "balanced_accuracy", "calibration_error", "sure", "per_class"} <= document[
        "classification"
    ].keys()
    found = predict(model, test[0].load_image())
    assert found.tag.calibrated
    assert found.tag.sure is not None
    assert sum(found.tag.probabilities.values()) == pytest.approx(1)


def test_labels_are_the_judged_region_with_the_value_of_its_class(model):
    image = frame_case(300, lesion="medullary carcinoma").load_image()
    found = predict(model, image, attention=True)
    sides = tuple(stop - start for start, stop in found.region)
    assert np.asarray(found.labels).shape == found.attention.shape == sides
    # The text above and below the fan is not seen.
    assert all(0 < start < stop < n for (start, stop), n in zip(found.region[:1], image.spatial_shape, strict=False))
    by_value = {c.value: c for c in found.classes}
    assert np.unique(found.labels).tolist() == [v for v, c in by_value.items() if c.name == found.tag.tag]
    colors = {tag.name: tag.color for tag in frame_set(4, 0, 0).info.tags}
    assert {c.name: c.color for c in found.classes} == {name: colors[name] for name in model.card.tags}


def test_burned_in_text_outside_of_the_scan_changes_nothing(model):
    image = frame_case(301, lesion="follicular tumour").load_image()
    (top, bottom), (left, right) = model.predictor.focus(image, None)
    wiped = image.data.copy()
    outside = np.ones(wiped.shape, bool)
    outside[top:bottom, left:right] = False
    assert wiped[outside].max() > 100  # there was text
    wiped[outside] = 0
    clean = predict(model, replace(image, levels=(wiped,)), region=((top, bottom), (left, right)))
    assert clean.tag == predict(model, image).tag


def test_a_cine_is_judged_by_frame_and_as_a_clip(model):
    case = frame_case(302, lesion="follicular tumour", frames=3)
    cine = case.load_image()
    found = predict(model, cine, attention=True)
    assert np.asarray(found.labels).shape[0] == len(found.frames) == 3
    assert found.attention.shape == np.asarray(found.labels).shape
    (_, *box) = found.region
    for number, of_frame in enumerate(found.frames):
        frame = Image(levels=(cine.data[number],), axes="yx", name="f")
        alone = predict(model, frame, region=tuple(box), attention=True)
        np.testing.assert_allclose(found.attention[number], alone.attention, atol=1e-5)
        assert alone.tag.probabilities == pytest.approx(of_frame.probabilities, abs=1e-5)
        assert not alone.frames
        assert set(np.unique(np.asarray(found.labels)[number])) == set(np.unique(alone.labels))
    logits = np.log([[frame.probabilities[t] for t in model.card.tags] for frame in found.frames]).mean(axis=0)
    clip = np.exp(logits) / np.exp(logits).sum()
    assert [found.tag.probabilities[t] for t in model.card.tags] == pytest.approx(clip.tolist(), abs=1e-5)


def test_a_drawn_box_counts_more_than_a_machines_and_that_more_than_the_found_one():
    drawn, machine = ((5, 60), (20, 90)), ((8, 80), (10, 100))
    focus = ScanFocus(method="robust", devices={"Acme 144x192": machine})
    unknown, known = (frame_case(1, device=name).load_image() for name in ("", "Acme"))
    assert focus(known, drawn) == drawn
    assert focus(known, None) == machine
    assert focus(unknown, None) not in (machine, ((0, 144), (0, 192)))
    assert replace(focus, method="whole")(known, drawn) == ((0, 144), (0, 192))
    cine = frame_case(1, device="Acme", frames=2).load_image()
    assert focus(cine, None) == ((0, 2), *machine)
    assert focus(cine, drawn) == ((0, 2), *drawn)
    assert focus(cine, ((1, 2), *drawn)) == ((1, 2), *drawn)


def test_boxes_that_people_drew_are_seen_and_go_into_the_model_by_machine(tmp_path):
    drawn = ((12, 70), (30, 100))
    data = frame_set(4, 0, 0)
    boxed = frame_case(50, box=drawn, device="Acme One")
    data = replace(data, cases=(*data.cases, boxed))
    parts = ThyroidParts.fit(config(), data, 0, choose_compute(**CPU), method="robust")
    assert parts.boxes["frame050"] == drawn
    assert parts.picture(boxed).spatial_shape == (58, 70)
    train_cases(SCHEME, config(*SHORT), data, tmp_path / "run", **CPU)
    predictor = load_model(tmp_path / "run", **CPU).predictor
    pixels = np.random.default_rng(0).integers(60, 90, (144, 192), dtype=np.uint8)
    same = Image(levels=(pixels,), axes="yx", ultrasound=UltrasoundScan(device="Acme One"))
    assert predictor.focus(same, None) == drawn
    assert predictor.focus(replace(same, ultrasound=None), None) != drawn


def test_pretraining_hands_the_encoder_on_and_the_classifier_is_made_anew(tmp_path):
    data = replace(frame_set(4, 4, 0), pretraining=spot_set(4, 2, 0, size=64))
    events = []
    summary = train_cases(
        SCHEME,
        config(*SHORT),
        data,
        tmp_path / "run",
        report=lambda event, **values: events.append((event, values)),
        **CPU,
    )
    assert [stage["name"] for stage in summary["stages"]] == ["pretrain", "finetune"]
    assert summary["pretraining"]["train"]["tags"] == 4
    started = next(values for event, values in events if event == "started")
    assert [stage["name"] for stage in started["stages"]] == ["pretrain", "finetune"]
    model = load_model(tmp_path / "run", **CPU)
    assert model.card.tags == LESIONS
    # Images of the pretraining set count as seen.
    assert {case.image_hash for case in data.pretraining.cases} <= set(model.card.training.hashes["train"])

    # A step with a learning rate of nothing keeps the encoder that pretraining ended with.
    still = config(*SHORT, "training.learning_rate=1e-30", "training.weight_decay=0")
    train_cases(SCHEME, still, data, tmp_path / "still", **CPU)
    stages = tmp_path / "still" / "stages"
    before, after = (
        torch.load(next((stages / name).glob("best-*.pt")), weights_only=True)["weights"]
        for name in ("pretrain", "finetune")
    )
    weights = [name for name in after if name.startswith("encoder.") and name.endswith("0.weight")]
    assert weights
    assert all(torch.equal(before[name], after[name]) for name in weights)
    assert before["linear.weight"].shape[0] == 2
    assert after["linear.weight"].shape[0] == 4


def test_pretraining_shapes_the_result_and_its_change_trains_anew(tmp_path):
    data = replace(frame_set(4, 0, 0), pretraining=spot_set(4, 0, 0, size=64))
    train_cases(SCHEME, config(*SHORT), data, tmp_path / "run", **CPU)
    again = train_cases(SCHEME, config(*SHORT), data, tmp_path / "run", resume=True, **CPU)
    assert [stage["reused"] for stage in again["stages"]] == [True, True]
    other = replace(data, pretraining=spot_set(6, 0, 0, size=64))
    changed = train_cases(SCHEME, config(*SHORT), other, tmp_path / "run", resume=True, **CPU)
    assert [stage["reused"] for stage in changed["stages"]] == [False, False]


def test_a_model_of_other_classes_gives_its_encoder_alone(model, run, tmp_path):
    from napari_medseg.io.model_file import read_model

    tensors = read_model(run / "model.safetensors")[1]
    parts = ThyroidParts.fit(config(), frame_set(4, 0, 0), 0, choose_compute(**CPU), method="whole")
    torch.manual_seed(0)
    network = parts.network(tensors)
    state = network.state_dict()
    assert np.array_equal(state["encoder.stem.0.weight"], tensors["network.encoder.stem.0.weight"])
    assert state["linear.weight"].shape == (4, tensors["network.linear.weight"].shape[1])
    with pytest.raises(ModelError, match="another network"):
        ThyroidParts.fit(
            config("network.base_width=8"), frame_set(4, 0, 0), 0, choose_compute(**CPU), method="whole"
        ).network(tensors)


def test_sets_that_cannot_be_learned_from_are_refused_and_rare_classes_reported():
    one = replace(frame_set(8, 4, 0), cases=tuple(frame_case(i, lesion=LESIONS[0]) for i in range(8)))
    assert "only 'nodular goitre' was found" in str(SCHEME.check(config(), one)[0])
    rare = SCHEME.check(config(), frame_set(8, 4, 0))
    assert [fault.severity for fault in rare] == ["warning"]
    assert "'papillary carcinoma' (2)" in str(rare[0])
    bare = spot_set(4, 0, 0, tags=0)
    faults = SCHEME.check(config(), replace(frame_set(8, 4, 0), pretraining=bare))
    assert any("pretraining cases" in str(fault) and fault.severity == "error" for fault in faults)
    lonely = [frame_case(i, lesion=LESIONS[i % 2]) for i in range(12)] + [frame_case(99, split="val")]
    faults = SCHEME.check(config(), replace(one, cases=tuple(lonely)))
    assert "medullary carcinoma" in str(faults[-1])
    assert faults[-1].severity == "error"


def test_pretraining_on_what_the_model_is_judged_by_is_refused(tmp_path):
    made = make_dataset(tmp_path / "data", 40, rows=96, columns=128)
    cases = training_set(made)
    with pytest.raises(DatasetError, match="take them out"):
        with_pretraining(SCHEME, cases, tmp_path / "data", include_drafts=False, seed=0)
    with pytest.raises(ConfigError, match="takes no set for pretraining"):
        with_pretraining(find_scheme("pathology"), cases, tmp_path / "data", include_drafts=False, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"colors": ["#000000"]},
        {"temperature": "warm"},
        {"devices": {"Acme": "everywhere"}},
        {"devices": None},
        {"intensity": {}},
    ],
)
def test_a_model_file_that_says_odd_things_is_refused_in_a_sentence(run, tmp_path, change):
    from napari_medseg.io.model_file import read_model, write_model

    card, tensors = read_model(run / "model.safetensors")
    odd = card.model_copy(update={"preprocessing": {**card.preprocessing, **json.loads(json.dumps(change))}})
    write_model(tmp_path / "odd.safetensors", tensors, odd)
    with pytest.raises(ModelError, match=r"\.$"):
        load_model(tmp_path / "odd.safetensors", **CPU)


def test_input_sizes_that_cannot_be_halved_five_times_are_refused():
    with pytest.raises(ConfigError, match="multiple of 32"):
        config("input_size=299")
