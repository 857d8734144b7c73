"""The experiment behind the claim of scheme `oct`, on pictures of two made-up devices."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from napari_medseg.api.reproduction import reproduce
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_oct import make_oct_dataset
from napari_medseg.data.training_set import training_set
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.oct_controls import ALL, OctExperiment

SMALL = [
    "window_width=32",
    "stride=16",
    'candidates=[{"base_width":4,"downsamplings":2},{"base_width":4,"downsamplings":3}]',
    "search=false",
    "training.epochs=1",
    "training.steps_per_epoch=2",
    "training.batch_size=2",
]
SPLITS = ("train", "train", "val", "val", "test", "test")  # subjects take the devices in turn


def split_evenly(folder, splits=SPLITS):
    """Give every device a subject in each split."""
    table = folder / "cases.csv"
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["split"] = splits[int(row["group"].split()[1]) - 1]
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("oct") / "data"
    make_oct_dataset(folder, n=6, subjects=6, size=(48, 64))
    split_evenly(folder)
    return folder


@pytest.fixture
def experiment(data):
    return OctExperiment(
        config=build_config(find_scheme("oct"), assignments=SMALL), data=training_set(Dataset.open(data))
    )


def test_every_arm_is_trained_once_with_equal_steps_and_judged_on_every_source(data, tmp_path):
    out = tmp_path / "out"
    options = {"seeds": 1, "assignments": SMALL, "device": "cpu", "precision": "fp32", "threads": 1}
    document = reproduce("oct", data, out, **options)
    assert {steps for row in document["rows"] for steps in row["steps"].values()} == {2}
    arms = {arm for row in document["rows"] for arm in row["figures"]}
    sampled = {f"{kind}, {on}" for kind in ("windows", "resized") for on in (ALL, "device A", "device B")}
    assert {arm for arm in arms if "," in arm} == sampled
    assert len([arm for arm in arms if arm.startswith("candidate ")]) == 2
    for row in document["rows"]:
        for figures in row["figures"].values():
            assert figures["dice"] == pytest.approx(np.mean([figures["dice, device A"], figures["dice, device B"]]))
    # A seed alone proves nothing better, but the winner may be no worse than what it was chosen from.
    assert not any(c["holds"] for c in document["comparisons"] if c["claim"] == "better")
    assert json.loads((out / "table.json").read_text("utf-8"))["table"] == document["table"]

    before = {path: path.stat().st_mtime_ns for path in out.rglob("best-*.pt")}
    assert reproduce("oct", data, out, **options)["rows"] == json.loads(json.dumps(document["rows"]))
    assert {path: path.stat().st_mtime_ns for path in out.rglob("best-*.pt")} == before
    with pytest.raises(ConfigError, match=r"other settings \(config.training.epochs\)"):
        reproduce("oct", data, out, **options | {"assignments": [*SMALL, "training.epochs=3"]})


def figures(dice, other=0.5):
    return {"dice": (dice + other) / 2, "dice, device A": dice, "dice, device B": other}


def test_a_claim_needs_more_than_one_seed_and_a_winner_need_only_be_no_worse(experiment):
    rows = []
    for seed, gain in enumerate((0.10, 0.12, 0.11)):
        arms = {"windows, all": figures(0.7 + gain), "candidate x": figures(0.7 + gain), "winner": figures(0.7 + gain)}
        rows.append({"seed": seed, "figures": arms})
        rows.append({"seed": seed, "figures": {"resized, all": figures(0.7)}})
    document = experiment.summarise(rows)
    found = {(c["arm"], c["control"], c["figure"]): c for c in document["comparisons"]}
    claim = found["windows, all", "resized, all", "dice, device A"]
    assert claim["difference"] == pytest.approx(0.11)
    assert claim["holds"]
    assert not found["windows, all", "resized, all", "dice, device B"]["holds"]
    assert found["winner", "candidate x", "dice"]["holds"]
    assert not found["windows, device A", "resized, device A", "dice"]["holds"]


def test_classes_that_one_source_never_shows_do_not_count(data, experiment):
    labels = {case.case: set(np.unique(case.load_labels())) for case in experiment.data.of_split("train")}
    common = set.intersection(*labels.values()) - {0, 255}
    assert {c.value for c in experiment.common_classes} == common


def test_a_source_that_lacks_a_split_is_named(tmp_path):
    folder = tmp_path / "data"
    make_oct_dataset(folder, n=4, subjects=4, size=(48, 64))
    split_evenly(folder, ("train", "train", "val", "test"))
    lacking = OctExperiment(config=build_config(find_scheme("oct")), data=training_set(Dataset.open(folder)))
    with pytest.raises(DatasetError, match=r"'device A' has no drawn case in split 'test'"):
        lacking.trials(1)


def test_options_of_another_scheme_are_refused(data, tmp_path):
    with pytest.raises(ConfigError, match="pathology"):
        reproduce("oct", data, tmp_path / "out", masks=[3])
