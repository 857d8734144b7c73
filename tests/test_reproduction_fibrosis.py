"""The experiment behind the claim of scheme `fibrosis`, on made-up lesions."""

from __future__ import annotations

import json

import numpy as np
import pytest

from napari_medseg.data.regions import mask_box
from napari_medseg.models.compute import choose_compute
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.schemes.experiment import Trial
from napari_medseg.schemes.fibrosis_controls import (
    fill_the_box_dice,
    grades_from_volume,
    jittered_boxes,
    log_volume,
)
from napari_medseg.schemes.fibrosis_experiment import ARMS, FibrosisExperiment
from napari_medseg.training.events import plain
from napari_medseg.training.run import run_stages
from tests.factories import LESION_INFO, lesion_case, lesion_set

SMALL = ["network.base_width=4", "network.dims=2", "input_size=16", "lesion=tumour"]
SMALL += ["training.epochs=2", "training.steps_per_epoch=2", "training.batch_size=4"]
SHAPE = (24, 28)
TUMOUR = LESION_INFO.classes[:1]


def test_every_arm_is_judged_and_compared(tmp_path):
    data = lesion_set(train=6, val=4, test=8, shape=SHAPE)
    experiment = FibrosisExperiment(config=build_config(find_scheme("fibrosis"), assignments=SMALL), data=data)
    compute = choose_compute("cpu", "fp32", 1)
    from napari_medseg.api.evaluation import figures_of

    rows = []
    for trial in experiment.trials(2):
        assert isinstance(trial, Trial)
        arms, results = run_stages(
            experiment.stages(trial, compute), run=tmp_path / trial.name, seed=trial.seed, compute=compute
        )
        figures = experiment.figures(arms, lambda p, cases: figures_of(p, cases, compute))
        steps = {result.name: result.steps for result in results}
        assert steps["joint"] == steps["grade_alone"] == steps["region_alone"] + steps["frozen_encoder"]
        rows.append(json.loads(json.dumps(plain({"seed": trial.seed, "figures": figures}))))
    document = experiment.summarise(rows)
    assert set(rows[0]["figures"]) == set(ARMS)
    assert {c["control"] for c in document["comparisons"]} == {"grade_alone", "frozen_encoder", "volume"}
    for comparison in document["comparisons"]:
        low, high = comparison["ci"]
        assert low <= high
        assert comparison["holds"] == (low > 0)
        assert comparison["difference"] == pytest.approx(np.mean(comparison["by_seed"]))
    assert 0 < document["fill_the_box_dice"] < 1
    assert "joint against volume" in document["table"]


def test_filling_the_box_scores_what_counting_says():
    cases = lesion_set(train=0, val=0, test=3, shape=SHAPE).cases
    hit = sum(int((case.load_labels() == 1).sum()) for case in cases)
    boxed = sum(np.prod([stop - start for start, stop in mask_box(case.load_labels(), [1])]) for case in cases)
    assert fill_the_box_dice(cases, TUMOUR) == pytest.approx(2 * hit / (hit + boxed))


def test_jitter_is_the_same_for_a_case_whatever_stands_around_it():
    find = jittered_boxes(lambda case: mask_box(case.load_labels(), [1]), seed=3)
    cases = [lesion_case(index, shape=SHAPE) for index in range(4)]
    assert [find(case) for case in cases] == [find(case) for case in reversed(cases)][::-1]
    assert any(find(case) != mask_box(case.load_labels(), [1]) for case in cases)
    assert jittered_boxes(lambda case: None, seed=3)(cases[0]) is None


def test_grades_follow_the_volume_where_they_do():
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    volumes = rng.normal(3, 1, 300)
    grades = np.digitize(volumes + rng.normal(0, 0.7, 300), [2.5, 3.5])
    asked = np.linspace(0, 6, 20)
    shares = grades_from_volume(volumes, grades, asked, 3)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    for step in (1, 2):
        reference = LogisticRegression(C=1e6).fit(volumes[:, None], grades >= step)
        np.testing.assert_allclose(
            shares[:, step:].sum(axis=1), reference.predict_proba(asked[:, None])[:, 1], atol=0.02
        )


def test_the_volume_of_a_case_counts_its_spacing():
    case = lesion_case(0)
    labels = case.load_labels()
    assert np.exp(log_volume(case, labels, TUMOUR)) == pytest.approx(2.0 * (labels == 1).sum())
