"""Boxes of levels: what each does in the present stage, and the score of the stage that trains it."""

from __future__ import annotations

import pytest
from qtpy.QtWidgets import QLabel

from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.widgets.run_view import RunView
from tests.factories import lesion_set


def started(stage: str, states: str) -> dict:
    """A stage of 2+1: one letter per level."""
    names = {"f": "frozen", "t": "training", "w": "waiting"}
    parts = [
        {"name": f"level {k + 1}", "stage": "s1" if k < 2 else "s2", "state": names[s], "parameters": 10 ** (k + 2)}
        for k, s in enumerate(states)
    ]
    return {
        "event": "stage_started",
        "stage": stage,
        "title": stage,
        "cases": {},
        "score_name": "Dice",
        "parts": parts,
        "parameters": {"trainable": 1, "frozen": 0},
    }


def ended(stage: str, score: float) -> dict:
    return {"event": "stage_ended", "stage": stage, "best_score": score, "epochs": 2, "seconds": 3.0, "reused": False}


@pytest.fixture
def view(qtbot):
    made = RunView()
    qtbot.addWidget(made)
    made.show()
    made.begin([("s1", "s1"), ("s2", "s2")])
    return made


def shown(view) -> list[str]:
    return [label.text() for label in view.levels.findChildren(QLabel) if not label.isHidden()]


def test_boxes_follow_the_stages(view, qtbot):
    assert view.levels.isHidden()
    view.take(started("s1", "ttw"))
    assert view.levels.isVisible()
    assert [view.levels.words(row) for row in range(3)] == ["learns · 100", "learns · 1 k", "waits · 10 k"]
    view.take(ended("s1", 0.61))
    view.take(started("s2", "fft"))
    assert [view.levels.words(row) for row in range(3)] == ["frozen · 100", "frozen · 1 k", "learns · 10 k"]
    assert (view.levels.score("s1"), view.levels.score("s2")) == ("Dice 0.610", "")
    view.take(ended("s2", 0.7))
    qtbot.waitUntil(lambda: shown(view).count("Dice 0.610") == shown(view).count("Dice 0.700") == 1, timeout=5000)


def test_a_scheme_without_parts_shows_no_boxes(view):
    view.take(started("s1", "ttw"))
    view.take({**started("other", ""), "parts": []})
    assert view.levels.isHidden()


def test_a_new_run_begins_without_scores(view):
    view.take(started("s1", "ttw"))
    view.take(ended("s1", 0.61))
    view.begin([])
    assert view.levels.isHidden()
    view.take(started("s1", "ttw"))
    assert view.levels.score("s1") == ""


def test_the_scheme_tells_of_every_level_in_every_stage():
    from napari_medseg.models.compute import choose_compute
    from napari_medseg.schemes.boosting_levels import Variant
    from napari_medseg.schemes.boosting_parts import BoostingParts
    from napari_medseg.schemes.boosting_plan import Plan

    config = build_config(find_scheme("boosting"), assignments=["base_width=4", "variants=2+1"])
    data = lesion_set(train=2, val=1, test=0)
    parts = BoostingParts.fit(config, data, 0, choose_compute("cpu", "fp32", 1))
    generator = parts.train(Plan(Variant((2, 1)), 0))
    stage = next(generator)
    assert [part.state for part in stage.parts] == ["training", "training", "waiting"]
    assert [part.stage for part in stage.parts] == [stage.name, stage.name, Plan(Variant((2, 1)), 0).stage_name(1)]
    whole = parts.network(3)
    assert sum(part.parameters for part in stage.parts) == sum(p.numel() for p in whole.parameters())
