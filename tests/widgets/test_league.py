"""Candidates side by side: fed by a real training of two small networks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_medseg.training.events import plain
from napari_medseg.training.run import run_stages
from napari_medseg.widgets.league_table import LeagueTable, candidate_of
from napari_medseg.widgets.run_files import STOP_NAME, ask_to_stop
from napari_medseg.widgets.run_view import RunView
from tests.training.tiny import CPU, mask_stage, tag_stage, training


def candidates():
    """A classifier first, then two segmenters that compete."""
    short = training(epochs=2, steps_per_epoch=1)
    yield tag_stage(training=short)
    for name in ("plain", "other"):
        stage = mask_stage(name, seed=len(name), training=short)
        yield replace(stage, title=f"The {name} one", candidate=True, score_name="accuracy")
    return {}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder, events and results of a run."""
    folder = tmp_path_factory.mktemp("run")
    events = []
    report = lambda event, **values: events.append(plain({"event": event, **values}))  # noqa: E731 - a recorder
    _, results = run_stages(candidates(), run=folder, seed=3, compute=CPU, report=report)
    return folder, events, results


@pytest.fixture
def view(qtbot):
    made = RunView()
    qtbot.addWidget(made)
    made.begin([])
    made.show()
    return made


def columns(view, number):
    return [line[number] for line in view.league.texts()]


def test_the_table_fills_while_candidates_train(view, run):
    _, events, results = run
    assert view.league.isHidden()
    seen = []
    for event in events:
        view.take(event)
        if event["event"] == "epoch_ended" and event["stage"] == "other":
            seen.append(columns(view, 5))
    assert seen == [["done", "1/2"], ["done", "2/2"]]
    assert view.timeline.states() == {"classifier": "done"}
    assert columns(view, 0) == ["The plain one", "The other one"]
    assert columns(view, 1) == [f"{result.best_score:.3f}" for result in results[1:]]
    assert columns(view, 5) == ["done", "done"]
    parameters = sum(p.numel() for p in mask_stage().model.parameters())
    assert [candidate.parameters for candidate in view.league.candidates] == [parameters] * 2
    assert len({view.league.color(c.stage) for c in view.league.candidates}) == 2


def test_scores_of_all_candidates_are_in_one_plot(view, run):
    _, events, _ = run
    for event in events:
        view.take(event)
    view.curves.show_stage("other")
    ended = [e for e in events if e["event"] == "epoch_ended"]
    for name in ("plain", "other"):
        of_stage = [e for e in ended if e["stage"] == name]
        assert view.curves.points(name) == ([1, 2], [e["score"] for e in of_stage])


def test_the_running_candidate_can_be_stopped_with_a_click(qtbot, view, run, tmp_path):
    _, events, _ = run
    stop = view.league.findChild(QPushButton, "stop_candidate")
    for event in events:
        view.take(event)
        if event["event"] == "epoch_ended" and event["stage"] == "plain":
            break
    view.stop_candidate.connect(lambda stage: ask_to_stop(tmp_path, stage))
    with qtbot.waitSignal(view.stop_candidate):
        qtbot.mouseClick(stop, Qt.MouseButton.LeftButton)
    assert (tmp_path / "stages" / "plain" / STOP_NAME).is_file()
    assert columns(view, 5) == ["stopping"]
    assert not stop.isEnabled()
    for event in events:
        view.take(event)
    assert not stop.isVisible()


def test_another_candidate_can_be_used_after_the_run(qtbot, view, run):
    folder, events, results = run
    for event in events:
        view.take(event)
    use = view.league.findChild(QPushButton, "use_candidate")
    assert not use.isVisible()
    entries = [
        {
            "name": r.name,
            "stage": r.name,
            "score": r.best_score,
            "seconds": r.seconds,
            "parameters": 1500,
            "chosen": n == 0,
        }
        for n, r in enumerate(results[1:])
    ]
    summary = {"model": str(folder / "model.safetensors"), "scores": {}, "candidates": json.loads(json.dumps(entries))}
    view.take({"event": "done", "result": {"model": summary["model"], "summary": summary}})
    assert columns(view, 5) == ["chosen", "done"]
    assert use.isVisible()
    assert not use.isEnabled()
    view.league.select("plain")
    assert not use.isEnabled()
    table = view.league._table
    place = table.visualRect(table.model().index(3, 2)).center()  # the figures of the second candidate
    qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert view.curves.shown == "other"
    with qtbot.waitSignal(view.use_candidate) as caught:
        qtbot.mouseClick(use, Qt.MouseButton.LeftButton)
    assert caught.args == ["other"]


@pytest.mark.parametrize("outcome", ["cancelled", "failed"])
def test_a_run_that_ends_early_leaves_no_candidate_running(view, run, outcome):
    _, events, _ = run
    for event in events:
        view.take(event)
        if event["event"] == "epoch_ended" and event["stage"] == "other":
            break
    view.end(outcome)
    assert columns(view, 5) == ["done", {"cancelled": "stopped"}.get(outcome, outcome)]


def test_a_new_run_forgets_the_candidates_of_the_last(view, run):
    for event in run[1]:
        view.take(event)
    view.begin([])
    assert view.league.isHidden()
    for event in run[1]:
        view.take(event)
    assert columns(view, 0) == ["The plain one", "The other one"]


def test_rows_of_a_summary_need_no_more_than_a_name(qtbot):
    table = LeagueTable()
    qtbot.addWidget(table)
    table.finish([{"name": "a"}, {"name": "b", "score": None, "stopped": True}])
    assert [line[5] for line in table.texts()] == ["done", "stopped"]
    assert candidate_of({"name": "a"}).stage == "a"


def test_ticks_of_the_epoch_axis_are_whole_epochs(view, run):
    for event in run[1]:
        view.take(event)
    axis = view.curves._plots[1].getAxis("bottom")
    for epochs in (2, 3, 7, 40, 1000):
        spacings = [step for step, _ in axis.tickSpacing(1, epochs, 300)]
        assert spacings
        assert all(step == int(step) and step >= 1 for step in spacings)
