"""A slide with contours, a complete region, paint and tile tags: trained, judged and predicted by the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_medseg.cli import main
from napari_medseg.data.label_files import open_labels
from napari_medseg.data.synthetic_slide import SyntheticSlide
from tests.data.slides import SHAPE, make_slides

pytest.importorskip("torch")

SMALL = {
    "network.base_width": 8,
    "input_size": 32,
    "slides.mpp": 0.5,
    "slides.validation_tiles": 6,
    "training.epochs": 2,
    "training.steps_per_epoch": 15,
    "training.learning_rate": 0.005,
    "training.warmup_steps": 4,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three slides of three patients, and a model of the first one."""
    folder = tmp_path_factory.mktemp("slides")
    dataset = make_slides(folder, 3)
    for case, split in zip(dataset.cases, ("train", "val", "test"), strict=True):
        dataset.update_case(case.case, revision=case.revision, split=split)
    settings = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    run = str(folder / "run")
    asked = ["train", "pathology", "--data", str(folder / "data"), "--out", run, "--device", "cpu", *settings]
    assert main(asked) == 0
    return folder


def test_all_stages_are_trained(trained):
    summary = json.loads((trained / "run" / "summary.json").read_text("utf-8"))
    assert [stage["name"] for stage in summary["stages"]] == ["a_classifier", "b_segmenter", "c_classifier"]
    assert summary["cases"]["train"]["masks"] == 1
    assert summary["cases"]["train"]["tiles"] > 20


def test_a_slide_of_another_patient_is_judged_better_than_by_chance(trained, capsys):
    capsys.readouterr()
    asked = ["evaluate", str(trained / "run"), "--data", str(trained / "data"), "--device", "cpu", "--json"]
    assert main(asked) == 0
    document = json.loads(capsys.readouterr().out)
    # Guessing in proportion gives each class about its share of the looked-at pixels, a seventh.
    assert document["segmentation"]["mean"]["dice"] > 0.4
    assert document["classification"]["accuracy"] > 0.6
    slide, *tiles = document["per_case"]
    assert slide["case"] == "slide2"
    assert tiles[0]["case"].startswith("slide2 ")
    assert document["n_groups"] == 1


def test_the_model_predicts_a_whole_slide(trained):
    out = trained / "out"
    asked = ["predict", str(trained / "run"), str(trained / "slide2.svs"), "--out", str(out), "--device", "cpu"]
    assert main(asked) == 0
    labels = np.asarray(open_labels(next(out.glob("slide2*.zarr")))[...])
    truth = SyntheticSlide.make(SHAPE, seed=2).truth()
    assert labels.shape == truth.shape
    seen = labels != 255
    assert seen.mean() < 0.7
    hits = [2 * ((labels == v) & (truth == v)).sum() / ((labels == v).sum() + (truth == v).sum()) for v in (1, 2)]
    assert np.mean(hits) > 0.4
