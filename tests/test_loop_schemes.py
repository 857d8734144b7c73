"""Every scheme takes part in the loop: the bundled models on small synthetic data sets."""

from __future__ import annotations

import math

import pytest

from napari_medseg import api
from napari_medseg.data import synthetic, synthetic_ct, synthetic_oct, synthetic_ultrasound
from napari_medseg.data.dataset import Dataset
from napari_medseg.schemes import SCHEMES

pytest.importorskip("torch")

PLAIN = {"device": "cpu", "precision": "fp32"}


def make(scheme, folder):
    """Four cases that the scheme's bundled model understands."""
    if scheme == "pathology":
        synthetic.make_dataset(folder, n=4, size=96)
    elif scheme == "oct":
        synthetic_oct.make_oct_dataset(folder, n=4, size=(96, 128))
    elif scheme == "thyroid":
        synthetic_ultrasound.make_dataset(folder, n=4, rows=180, columns=280, seed=7)
    else:
        synthetic_ct.make_ct_dataset(folder, n=4, size=(8, 48, 48))


@pytest.fixture(scope="module", params=sorted(SCHEMES))
def loop(request, tmp_path_factory):
    """A data set with a case to do, two for validation, and the scheme's bundled model in use."""
    folder = tmp_path_factory.mktemp(request.param) / "data"
    make(request.param, folder)
    dataset = Dataset.open(folder)
    for number, case in enumerate(dataset.cases):
        split, status = ("", "todo") if number < 1 else ("val" if number < 3 else "train", "done")
        dataset.update_case(case.case, revision=case.revision, split=split, status=status, group=f"group {number}")
    api.promote_model(folder, api.bundled_model(request.param))
    return folder


def test_the_loop_runs(loop):
    todo = {case.case for case in Dataset.open(loop).cases if case.status == "todo"}
    document = api.next_cases(loop, strategy="disagreement", **PLAIN)
    assert document["unreadable"] == {}
    assert todo <= {entry["case"] for entry in document["ranking"]}
    for entry in document["ranking"]:
        assert math.isfinite(entry["score"])
        assert 0 <= entry["score"] <= 1


def test_a_model_compared_with_itself_is_neither_better_nor_worse(loop):
    path = next((loop / "models").glob("*.safetensors"))
    document = api.compare(path, path, loop, **PLAIN)
    assert document["verdict"] == "unclear"
    entries = [*(document["segmentation"] or {}).values()]
    if document["classification"]:
        entries.append(document["classification"]["auc"])
    assert entries
    assert {entry["difference"] for entry in entries} <= {0.0, None}


def test_contradictions_can_be_asked_of_the_model(loop):
    path = next((loop / "models").glob("*.safetensors"))
    document = api.find_contradictions(loop, path, **PLAIN)
    assert document["n_cases"] == 3
    assert all(0 <= each["strength"] <= 1 for each in document["contradictions"])
