"""Which case is next, from a data set folder; and what the advice on the kind of label is made of."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from scipy import stats

from napari_medseg import api
from napari_medseg.api.label_value import fit_curve, label_advice
from napari_medseg.cli import main
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.data.work_log import Outcome, log_work
from napari_medseg.errors import ConfigError, DatasetError

pytest.importorskip("torch")

SMALL = ["network.base_width=4", "input_size=32", "training.steps_per_epoch=2", "training.epochs=1"]
PLAIN = {"device": "cpu", "precision": "fp32"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A data set of 20 cases, six of which are still to do, and a model in use."""
    folder = tmp_path_factory.mktemp("next") / "data"
    dataset = make_dataset(folder, n=20, size=64, seed=0)
    api.train("pathology", folder, folder / "runs" / "first", assignments=SMALL, seed=1, **PLAIN)
    for case in dataset.cases[-6:]:
        dataset.update_case(
            case.case, revision=case.revision, status="todo", tag="", split="", group=f"new {case.case}"
        )
    api.promote_model(folder, folder / "runs" / "first")
    return folder


@pytest.fixture
def data(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "data")


@pytest.mark.parametrize("strategy", ["random", "foreground-random", "entropy", "disagreement", "clasp"])
def test_every_strategy_ranks_the_cases_that_lack_a_contour(trained, strategy):
    dataset = Dataset.open(trained)
    lacking = {c.case for c in dataset.cases if c.status == "todo"}
    lacking |= {c.case for c in dataset.cases if c.status == "done" and not c.label and c.split == "train"}
    document = api.next_cases(trained, strategy=strategy, **PLAIN)
    assert {entry["case"] for entry in document["ranking"]} == lacking
    assert [entry["rank"] for entry in document["ranking"]] == [*range(1, len(lacking) + 1)]
    assert (document["model"] is None) == (strategy == "random")
    scores = [entry["score"] for entry in document["ranking"]]
    if strategy in ("entropy", "disagreement"):
        assert scores == sorted(scores, reverse=True)
        assert 0 <= min(scores) <= max(scores) <= 1


def test_a_case_that_is_held_out_is_not_chosen_by_a_models_doubts(data):
    dataset = Dataset.open(data)
    case = next(c for c in dataset.cases if c.status == "todo")
    dataset.update_case(case.case, revision=case.revision, split="test")
    document = api.next_cases(data, strategy="random", kind="tag")
    assert case.case not in {entry["case"] for entry in document["ranking"]}
    assert document["held_out"] == 1
    assert len(document["ranking"]) == 5


def test_an_image_that_cannot_be_read_is_told_and_the_others_are_ranked(data):
    dataset = Dataset.open(data)
    case = next(c for c in dataset.cases if c.status == "todo")
    dataset.image_path(case).write_bytes(b"no picture")
    document = api.next_cases(data, strategy="entropy", kind="tag", **PLAIN)
    assert list(document["unreadable"]) == [case.case]
    assert len(document["ranking"]) == 5


def test_a_stack_names_slices_and_a_slide_names_regions_of_its_tissue(tmp_path):
    from napari_medseg.api.next_label import tissue_regions
    from napari_medseg.structures import Image

    pixels = np.full((4000, 6000, 3), 242, np.uint8)
    pixels[1000:3000, 2000:5000] = (180, 110, 160)
    regions = tissue_regions(Image(levels=(pixels,), axes="yxc", rgb=True), seed=1, most=4, side=500)
    assert len(regions) == 4
    for (top, bottom), (left, right) in regions:
        assert 900 <= top
        assert bottom <= 3100
        assert 1900 <= left
        assert right <= 5100


def test_without_a_model_the_mend_is_named(tmp_path, capsys):
    make_dataset(tmp_path / "data", n=4, size=64)
    with pytest.raises(DatasetError, match="strategy random"):
        api.next_cases(tmp_path / "data", strategy="entropy")
    with pytest.raises(ConfigError, match="foreground-random"):
        api.next_cases(tmp_path / "data", strategy="best")
    assert main(["next", str(tmp_path / "data"), "--strategy", "random", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ranking"] == []


def test_the_command_prints_cases_and_advice(trained, capsys):
    assert main(["next", str(trained), "--n", "2", "--device", "cpu"]) == 0
    printed = capsys.readouterr().out
    assert "cases lack a contour" in printed
    assert "Not enough data to say what a contour costs" in printed


def test_the_curve_is_scipys_line_and_needs_enough_trainings():
    labels, scores = [4, 8, 16, 32, 64], [0.50, 0.58, 0.69, 0.74, 0.81]
    curve = fit_curve(labels, scores)
    line = stats.linregress(np.log2(labels), scores)
    assert curve.slope == pytest.approx(line.slope)
    assert curve.high - curve.slope == pytest.approx(stats.t.ppf(0.975, 3) * line.stderr)
    assert fit_curve([4, 8], [0.5, 0.6]) is None
    assert fit_curve([8, 8, 8, 8, 8], scores) is None


def test_times_are_the_sum_of_all_visits_to_a_case(data):
    dataset = Dataset.open(data)
    for number in range(6):
        log_work(dataset, f"case{number}", 100.0)
        log_work(dataset, f"case{number}", 80.0 + number, finished=Outcome(kind="labels", objects=1))
    log_work(dataset, "open", 5000.0)
    for number in range(4):
        log_work(dataset, f"tagged{number}", 3.0, finished=Outcome(kind="tag"))
    kinds = label_advice(dataset)["kinds"]
    assert kinds["contour"]["seconds"] == pytest.approx(182.5)
    assert "3.0 min" in kinds["contour"]["sentence"]
    assert "not enough data to say what it brings" in kinds["contour"]["sentence"]
    assert kinds["tag"]["seconds"] is None, "four are too few"
