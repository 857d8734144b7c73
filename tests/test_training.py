"""Training as the command line starts it, in one process."""

from __future__ import annotations

import pytest

from napari_medseg.api.training import train_cases
from napari_medseg.schemes import build_config, find_scheme
from tests.factories import spot_set

pytest.importorskip("torch")

SMALL = ["network.base_width=4", "input_size=32", "training.epochs=1", "training.steps_per_epoch=2"]


def train(run, **options):
    """The sentences that were said, and the summary."""
    said = []

    def report(event, **values):
        if event == "warning":
            said.append(values["text"])

    scheme = find_scheme("pathology")
    config = build_config(scheme, assignments=SMALL)
    summary = train_cases(scheme, config, spot_set(), run, device="cpu", report=report, **options)
    return said, summary


def test_a_resumed_run_says_when_it_computes_with_something_else(tmp_path):
    train(tmp_path, precision="fp32", threads=1)
    said, summary = train(tmp_path, resume=True)
    assert all(stage["reused"] for stage in summary["stages"])
    assert not [text for text in said if "instead of" in text], "what was recorded is used"
    said, _ = train(tmp_path, resume=True, precision="bf16", threads=2)
    assert [text for text in said if "precision bf16 instead of fp32 and threads 2 instead of 1" in text]
