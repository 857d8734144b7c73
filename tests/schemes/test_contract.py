"""What every scheme promises, whichever it is; a further scheme needs one line in `EXAMPLES`."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from napari_medseg.errors import ConfigError
from napari_medseg.io.model_file import read_model
from napari_medseg.schemes import SCHEMES, build_config
from napari_medseg.structures import Image
from tests.factories import layer_set, lesion_set, spot_set

CPU = {"device": "cpu", "precision": "fp32", "threads": 1}
#: The smallest training of every scheme: cases, settings, an image to predict.
EXAMPLES = {
    "pathology": (
        spot_set(train=4, val=2, test=0, size=32),
        ["network.base_width=4", "input_size=32"],
        np.zeros((40, 50, 3), np.uint8),
    ),
    "oct": (
        layer_set(train=2, val=1, test=0),
        ["window_width=32", "stride=16", "search=false", 'candidates=[{"base_width":4,"downsamplings":1}]'],
        np.zeros((40, 50), np.uint8),
    ),
    "boosting": (
        lesion_set(train=3, val=1, test=0, shape=(12, 20, 16)),
        ["variants=2+1", "base_width=4"],
        np.zeros((9, 30, 14), np.uint8),
    ),
    "fibrosis": (
        lesion_set(train=4, val=2, test=0, shape=(24, 24)),
        ["network.base_width=4", "network.dims=2", "input_size=16"],
        np.zeros((40, 50), np.uint8),
    ),
    "thyroid": (
        spot_set(train=6, val=3, test=0, size=64),
        ["network.base_width=4", "network.middle_modules=1", "input_size=64"],
        np.zeros((40, 50), np.uint8),
    ),
}
SHORT = ["training.epochs=1", "training.steps_per_epoch=2", "training.batch_size=2"]

every_scheme = pytest.mark.parametrize("key", list(SCHEMES))


def short_config(key):
    return build_config(SCHEMES[key], assignments=[*SHORT, *EXAMPLES[key][1]])


def train(key, run, **options):
    from napari_medseg.api.training import train_cases

    return train_cases(SCHEMES[key], short_config(key), EXAMPLES[key][0], run, **CPU, **options)


@pytest.fixture(scope="module", params=list(SCHEMES))
def trained(request, tmp_path_factory):
    run = tmp_path_factory.mktemp(request.param) / "run"
    events = []
    summary = train(request.param, run, report=lambda event, **values: events.append((event, values)))
    return request.param, run, summary, events


@every_scheme
def test_settings_survive_json_and_refuse_what_they_do_not_know(key):
    scheme = SCHEMES[key]
    assert scheme.key == key
    assert scheme.title
    assert scheme.summary.endswith(".")
    for profile in (None, *scheme.profiles):
        config = build_config(scheme, profile=profile)
        assert scheme.config_type.model_validate(json.loads(config.model_dump_json())) == config
    with pytest.raises(ConfigError, match="surprise"):
        build_config(scheme, assignments=["surprise=1"])


@every_scheme
def test_every_setting_is_described_to_people(key):
    schema = SCHEMES[key].config_type.model_json_schema()
    kinds = [schema, *schema.get("$defs", {}).values()]
    # A group of settings whose field says the same as its class is described there alone.
    described = {f"#/$defs/{name}" for name, kind in schema.get("$defs", {}).items() if kind.get("description")}
    for name, field in (item for kind in kinds for item in kind.get("properties", {}).items()):
        assert field.get("description") or field.get("$ref") in described or name == "scheme", name


@every_scheme
def test_cases_without_labels_are_refused_in_sentences(key):
    data = EXAMPLES[key][0]
    unlabelled = [replace(case, tag=None, grade=None, has_mask=False, load_labels=lambda: None) for case in data.cases]
    for cases in ((), tuple(unlabelled)):
        faults = SCHEMES[key].check(short_config(key), replace(data, cases=cases))
        assert any(fault.severity == "error" for fault in faults)
        assert all(str(fault).endswith(".") for fault in faults)
    assert not [fault for fault in SCHEMES[key].check(short_config(key), data) if fault.severity == "error"]


def test_what_is_told_beforehand_is_what_is_trained(trained):
    key, _, summary, events = trained
    told = [stage["name"] for event, values in events if event == "started" for stage in values["stages"]]
    names = [stage["name"] for stage in summary["stages"]]
    assert told == list(SCHEMES[key].known_stages(short_config(key))) == names
    assert [values["stage"] for event, values in events if event == "stage_started"] == names
    assert {values["candidate"] for event, values in events if event == "stage_started"} == {SCHEMES[key].competes}
    candidates = summary.get("candidates", ())
    assert len([entry for entry in candidates if entry["chosen"]]) == (1 if candidates else 0)
    assert candidates or not SCHEMES[key].competes


def test_the_model_file_predicts_images_of_another_size(trained):
    from napari_medseg.api import load_model, predict

    key, run, summary, _ = trained
    model = load_model(run, **CPU)
    assert model.card.scheme == key
    assert model.card.config == short_config(key).model_dump(mode="json")
    pixels = EXAMPLES[key][2]
    result = predict(model, pixels)
    assert np.asarray(result.labels).shape == pixels.shape[: len(model.card.expects.axes.replace("c", ""))]
    assert set(np.unique(result.labels)) <= {0, *(c.value for c in model.predictor.classes)}
    if "z" not in model.card.expects.axes:
        stack = Image(levels=(np.stack([pixels] * 2),), axes="zyxc"[: pixels.ndim + 1], rgb=pixels.ndim == 3, name="s")
        np.testing.assert_array_equal(np.asarray(predict(model, stack).labels)[1], np.asarray(result.labels))
    assert json.loads((run / "summary.json").read_text("utf-8")) == json.loads(json.dumps(summary))


def test_the_same_seed_gives_the_same_weights(trained, tmp_path):
    key, run, _, _ = trained
    train(key, tmp_path / "again")
    one, other = (read_model(folder / "model.safetensors")[1] for folder in (run, tmp_path / "again"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_a_finished_run_is_taken_up_without_training(trained):
    key, run, _, _ = trained
    assert all(stage["reused"] for stage in train(key, run, resume=True)["stages"])


@every_scheme
def test_the_cost_of_every_stage_is_estimated(key):
    from napari_medseg.models.compute import choose_compute
    from napari_medseg.training.estimate import estimate_stages

    compute = choose_compute("cpu", "fp32", 1, training=True)
    costs, _ = estimate_stages(
        SCHEMES[key].stages(short_config(key), EXAMPLES[key][0], 0, compute), seed=0, compute=compute
    )
    assert [cost.name for cost in costs] == list(SCHEMES[key].known_stages(short_config(key)))
    assert all(cost.steps == 2 and cost.seconds > 0 for cost in costs)


def test_schemes_are_listed_without_torch():
    code = "import sys, napari_medseg.schemes, napari_medseg.api.reproduction; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"
