"""The Train panel: what it finds in the data, what it shows of a run, and a real training by clicks."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.errors import ConfigError
from napari_medseg.schemes import SCHEMES, build_config
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.check_view import CheckView
from napari_medseg.widgets.data_check import check_data
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.result_card import figure_name
from napari_medseg.widgets.run_files import check_name, free_name, interrupted_runs
from napari_medseg.widgets.run_view import RunView

from .test_jobs import alive

PATHOLOGY = SCHEMES["pathology"]


def ignore(done: int, total: int, text: str) -> None:
    """A progress that nobody watches."""


def examine(folder: Path, **kwargs):
    config = build_config(PATHOLOGY, profile="cpu")
    return check_data(folder, PATHOLOGY, config, include_drafts=kwargs.pop("drafts", False), progress=ignore)


def test_counts_are_those_of_the_table_and_the_masks(tmp_path):
    make_dataset(tmp_path / "data", n=14, size=48, seed=3)
    data = Dataset.open(tmp_path / "data")
    # One finished case with nothing in it, beside those with glands.
    with open(tmp_path / "data" / "cases.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    empty = next(row for row in rows if row["split"] == "val" and row["label"])
    Picture.fromarray(np.zeros((48, 48), np.uint8)).save(data.labels_folder / empty["label"])

    found = examine(tmp_path / "data")
    expected: dict[str, Counter] = {name: Counter() for name in ("cases", "tag benign", "contours", "empty masks")}
    for row in rows:
        expected["cases"][row["split"]] += 1
        expected["tag benign"][row["split"]] += row["tag"] == "benign"
        if row["label"]:
            mask = np.asarray(Picture.open(data.labels_folder / row["label"]))
            expected["contours" if mask.any() else "empty masks"][row["split"]] += 1
    for name, counts in expected.items():
        assert found.counts[name] == {split: counts[split] for split in ("train", "val", "test")}
    assert found.counts["groups"] == {
        split: len({row["group"] for row in rows if row["split"] == split}) for split in ("train", "val", "test")
    }
    assert found.can_train
    assert found.feeds[PATHOLOGY.title] == ""
    assert "14 tags" in found.sentence()
    assert "1 empty mask" in found.sentence()


def test_every_fault_is_shown_with_its_mend(qtbot, tmp_path):
    data = make_dataset(tmp_path / "data", n=10, size=48, seed=0)
    data.image_path(data.cases[0]).unlink()
    data.image_path(data.cases[1]).write_bytes(b"not a picture")
    found = examine(tmp_path / "data")
    assert not found.can_train
    errors = [str(fault) for fault in found.faults if fault.severity == "error"]
    for case in data.cases[:2]:
        assert any(case.case in text for text in errors)
    view = CheckView()
    qtbot.addWidget(view)
    view.show_check(found)
    assert view.words.startswith(f"{len(errors)} faults to mend first")


def test_drafts_count_only_when_asked_for(tmp_path):
    data = make_dataset(tmp_path / "data", n=10, size=48, seed=0)
    case = data.cases[0]
    data.update_case(case.case, revision=case.revision, status="draft")
    assert examine(tmp_path / "data").total("cases") == 9
    assert examine(tmp_path / "data", drafts=True).total("cases") == 10


def test_data_without_labels_say_what_is_missing(tmp_path):
    data = make_dataset(tmp_path / "data", n=4, size=48, seed=0)
    for case in data.cases:
        data.update_case(case.case, revision=case.revision, status="todo")
    found = examine(tmp_path / "data")
    assert not found.can_train
    assert found.feeds[PATHOLOGY.title]
    assert found.sentence() == "no labels in 0 finished cases"


def events() -> list[dict]:
    """A run as its child tells it: A reused, B trained with a warning, C not begun."""
    epoch = {"event": "epoch_ended", "stage": "b", "epochs": 3, "details": {}, "seconds": 1.0, "eta_seconds": 2.0}
    return [
        {
            "event": "started",
            "scheme": "pathology",
            "run": "r",
            "device": "cpu",
            "precision": "fp32",
            "threads": 2,
            "processes": 2,
            "stages": [{"name": name, "title": f"Stage {name}"} for name in "abc"],
        },
        {"event": "stage_started", "stage": "a", "title": "Stage a", "cases": {"train": 5, "validation": 2}},
        {"event": "stage_ended", "stage": "a", "best_score": 0.5, "epochs": 3, "seconds": 0.0, "reused": True},
        {"event": "stage_started", "stage": "b", "title": "Stage b", "cases": {"train": 5, "validation": 2}},
        {"event": "step", "stage": "b", "step": 4, "steps": 12, "loss": 0.25, "eta_seconds": 75.0},
        {**epoch, "epoch": 1, "train_loss": 0.9, "score": None, "validation_loss": None, "best_score": None},
        {**epoch, "epoch": 2, "train_loss": 0.5, "score": 0.7, "validation_loss": 0.6, "best_score": 0.7},
        {"event": "warning", "text": "Memory ran out: the batch was halved."},
        {**epoch, "epoch": 3, "train_loss": 0.4, "score": 0.6, "validation_loss": 0.65, "best_score": 0.7},
    ]


@pytest.fixture
def view(qtbot):
    made = RunView()
    qtbot.addWidget(made)
    made.begin([(name, f"Stage {name}") for name in "abc"])
    return made


def test_a_run_is_shown_as_it_goes(view):
    for event in events():
        view.take(event)
    assert view.timeline.states() == {"a": "reused", "b": "running", "c": "waiting"}
    assert view.timeline.note("b") == "3/3 · best 0.700"
    assert view.curves.shown == "b"
    assert view.curves.points("train_loss") == ([1, 2, 3], [0.9, 0.5, 0.4])
    assert view.curves.points("validation_loss") == ([2, 3], [0.6, 0.65])
    assert view.curves.points("score") == ([2, 3], [0.7, 0.6])
    assert view.warnings() == ["Memory ran out: the batch was halved."]


def test_time_left_is_said_for_the_stage(view):
    for event in events()[:5]:
        view.take(event)
    assert view.state == "step 4 of 12 · loss 0.250 · 1 min 15 s left in this stage"


@pytest.mark.parametrize(("outcome", "state"), [("cancelled", "stopped"), ("failed", "failed")])
def test_a_run_that_ended_early_shows_where(view, outcome, state):
    for event in events():
        view.take(event)
    view.end(outcome)
    assert view.timeline.states() == {"a": "reused", "b": state, "c": "waiting"}


def test_a_clicked_stage_keeps_its_curves_on_screen(qtbot, view):
    for event in events():
        view.take(event)
    row = view.timeline._rows["a"]
    qtbot.mouseClick(row._title, Qt.MouseButton.LeftButton)
    view.take({**events()[-1], "epoch": 4})
    assert view.curves.shown == "a"
    view.begin([])
    for event in events():
        view.take(event)
    assert view.curves.shown == "b"


def test_stages_that_a_scheme_finds_as_it_goes_are_added(view):
    view.take({"event": "stage_started", "stage": "candidate_7", "title": "Candidate 7", "cases": {}})
    assert view.timeline.states()["candidate_7"] == "running"


def test_the_result_is_a_table_of_scores_and_a_model_to_use(qtbot, view, tmp_path):
    model = tmp_path / "model.safetensors"
    summary = {"model": str(model), "scores": {"b_dice_gland": 0.8333, "c_auc": None}}
    view.take({"event": "done", "result": {"model": str(model), "summary": summary}})
    assert view.result.figures() == {"B Dice gland": "0.833"}
    with qtbot.waitSignal(view.use_model) as caught:
        qtbot.mouseClick(view.result._use, Qt.MouseButton.LeftButton)
    assert caught.args == [model]


def test_names_of_runs_are_free_and_can_be_folders(tmp_path):
    assert free_name(tmp_path, "pathology") == "pathology-1"
    (tmp_path / "pathology-1").mkdir()
    (tmp_path / "pathology-3").mkdir()
    assert free_name(tmp_path, "pathology") == "pathology-2"
    check_name(tmp_path, "glands 2.1 (no)".replace(" (no)", ""))
    for bad in ("", "../up", "a/b", ".hidden", "dot.", "pathology-1", "x\ny"):
        with pytest.raises(ConfigError):
            check_name(tmp_path, bad)


def test_only_runs_without_a_result_are_interrupted(tmp_path):
    record = {"scheme": "pathology", "seed": 3, "config": PATHOLOGY.config_type().model_dump(mode="json")}
    for name, files in {
        "stopped": {"run.json": json.dumps(record)},
        "finished": {"run.json": json.dumps(record), "summary.json": "{}"},
        "foreign": {"run.json": json.dumps({**record, "scheme": "other"})},
        "damaged": {"run.json": "{"},
        "listed": {"run.json": "[]"},
        "empty": {},
    }.items():
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file).write_text(text)
    assert [run.path.name for run in interrupted_runs(tmp_path)] == ["stopped"]
    assert interrupted_runs(tmp_path)[0].seed == 3
    assert interrupted_runs(tmp_path / "missing") == []


TINY = {
    "network.base_width": 4,
    "input_size": 32,
    "training.epochs": 2,
    "training.steps_per_epoch": 1,
    "training.batch_size": 2,
    "training.checkpoint_seconds": 0.0,
}


@pytest.fixture
def panel(make_napari_viewer, qtbot, tmp_path):
    """A Train panel on a small data set, in a real window."""
    from napari_medseg.widgets.train_panel import TrainPanel

    viewer = make_napari_viewer(show=True)
    make_dataset(tmp_path / "data", n=10, size=64, seed=0)
    made = TrainPanel(viewer)
    viewer.window.add_dock_widget(made, name="Train", area="right")
    made.session.open_dataset(tmp_path / "data")
    qtbot.waitUntil(lambda: made.setup.found is not None, timeout=20_000)
    for path, value in TINY.items():
        made.setup.form.editor(path).put(value)
    yield made
    for job in list(Job.running):
        job.end()


@pytest.mark.viewer
def test_the_scheme_follows_the_data_set_until_a_person_chooses(make_napari_viewer, tmp_path):
    from napari_medseg.widgets.session import session_of
    from napari_medseg.widgets.train_setup import TrainSetup

    session = session_of(make_napari_viewer())
    setup = TrainSetup(session)
    expected = {
        "oct": ("oct", ()),
        "ct": ("boosting", ()),
        "mr": ("boosting", ()),
        "ultrasound": ("fibrosis", ("F0", "F1")),
        "image": ("pathology", ()),
    }
    for kind, (scheme, grades) in expected.items():
        session.set_dataset(Dataset.create(tmp_path / kind, DatasetInfo(name=kind, kind=kind, grades=grades)))
        assert setup.scheme.key == scheme
    setup.choose("oct")
    session.set_dataset(Dataset.open(tmp_path / "image"))
    assert setup.scheme.key == "oct", "the same data set, read anew"
    session.set_dataset(Dataset.open(tmp_path / "ct"))
    assert setup.scheme.key == "boosting"


@pytest.mark.viewer
def test_training_by_clicks_shows_previews_and_gives_a_model(panel, qtbot):
    said = []
    panel.session.panel_asked.connect(said.append)
    assert panel.setup.check_view.words.startswith("Ready: 10 tags")
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    assert panel.job is not None
    assert not panel.setup.isVisible()
    qtbot.waitUntil(lambda: panel.job is None, timeout=300_000)

    assert panel.notice.words == ""
    assert set(panel.run_view.timeline.states().values()) == {"done"}
    names = [layer.name for layer in panel.session.viewer.layers]
    assert any(name.endswith("· training preview") for name in names)
    run = panel.session.dataset.path / "runs" / "pathology-1"
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    shown = {figure_name(name): f"{v:.3f}" for name, v in summary["scores"].items() if v is not None}
    assert panel.run_view.result.figures() == shown
    assert panel._name.text() == "pathology-2"
    qtbot.mouseClick(panel.run_view.result._use, Qt.MouseButton.LeftButton)
    assert panel.session.model == run / "model.safetensors"
    assert said == ["Predict"]


@pytest.mark.viewer
def test_an_estimate_is_asked_for_with_a_click_and_forgotten_with_an_edit(panel, qtbot):
    row = panel.setup.estimate
    qtbot.waitUntil(row.isEnabled, timeout=20_000)
    qtbot.mouseClick(row.button, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: "GiB" in row.words, timeout=200_000)
    assert row.words.startswith("At most ")
    panel.setup.form.editor("training.epochs").put(3)
    assert row.words == ""
    assert not (panel.session.dataset.path / "runs").exists()


@pytest.mark.viewer
def test_a_cancelled_run_is_offered_again_and_ends(panel, qtbot):
    panel.setup.form.editor("training.epochs").put(500)
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.run_view.curves.shown != "", timeout=120_000)
    pid = panel.job.pid
    with qtbot.waitSignal(panel.job.finished, timeout=5_000):
        qtbot.mouseClick(panel._cancel, Qt.MouseButton.LeftButton)
    assert not alive(pid)
    assert panel.run_view.timeline.states()["a_classifier"] == "stopped"
    assert panel._resume.isVisible()
    assert panel._resumable.text() == "pathology-1 was stopped before its end."
    assert panel.run_view.state == "Stopped; what was trained so far is kept."
    qtbot.mouseClick(panel._resume, Qt.MouseButton.LeftButton)
    with qtbot.waitSignal(panel.job.reported, timeout=60_000) as caught:
        pass
    assert caught.args[0]["event"] == "started"
    panel.cancel()
    qtbot.waitUntil(lambda: panel.job is None, timeout=10_000)


@pytest.mark.viewer
def test_closing_napari_ends_the_training(make_napari_viewer, qtbot, tmp_path):
    from napari_medseg.widgets.train_panel import TrainPanel

    viewer = make_napari_viewer(show=True)
    make_dataset(tmp_path / "data", n=10, size=64, seed=0)
    panel = TrainPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Train", area="right")
    panel.session.open_dataset(tmp_path / "data")
    for path, value in TINY.items():
        panel.setup.form.editor(path).put(value)
    panel.start()
    job = panel.job
    with qtbot.waitSignal(job.reported, timeout=60_000):
        pass
    pid = job.pid
    del panel
    viewer.close()
    qtbot.waitUntil(lambda: not alive(pid), timeout=10_000)
    assert job.outcome == "cancelled"


@pytest.mark.viewer
def test_what_cannot_start_is_said_in_the_panel(panel, qtbot):
    (panel.session.dataset.path / "runs" / "taken").mkdir(parents=True)
    panel._name.setText("taken")
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    assert "There is a run 'taken' already" in panel.notice.words
    assert panel.job is None
    panel.setup.form.editor("input_size").put(100)
    assert not panel._start.isEnabled()
    assert "multiple of 32" in panel.setup.form.fault_at("input_size")


@pytest.mark.viewer
def test_candidates_compete_and_another_than_the_best_can_be_the_model(panel, qtbot):
    panel.setup.choose("oct")
    candidate = {"encoder_weights": None, "architecture": "unet-plain", "encoder": "unet-plain", "convs_per_level": 1}
    small = {**candidate, "base_width": 4, "downsamplings": 2}
    settings = {"window_width": 32, "stride": 16, "search": False, "candidates": [small, {**small, "base_width": 6}]}
    training = {"training.epochs": 1, "training.steps_per_epoch": 1, "training.batch_size": 2}
    for path, value in {**settings, **training}.items():
        panel.setup.form.editor(path).put(value)
    qtbot.waitUntil(lambda: panel.setup.found is not None, timeout=20_000)
    assert panel._name.text() == "oct-1"
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=300_000)
    assert panel.notice.words == ""
    league = panel.run_view.league
    assert sorted(c.standing for c in league.candidates) == ["chosen", "done"]
    other = next(c for c in league.candidates if c.standing == "done")
    league.select(other.stage)
    qtbot.mouseClick(league._use, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: panel.job is None, timeout=300_000)
    assert panel.notice.words == ""
    assert {c.name: c.standing for c in league.candidates}[other.name] == "chosen"
    summary = json.loads((panel.session.dataset.path / "runs" / "oct-1" / "summary.json").read_text("utf-8"))
    assert [c["name"] for c in summary["candidates"] if c["chosen"]] == [other.name]
    assert all(stage["reused"] for stage in summary["stages"])


@pytest.mark.viewer
def test_seed_and_start_reach_the_run(panel, qtbot):
    options = panel.setup.start_options
    options.set_open(True)
    assert options.arguments() == []
    qtbot.keyClicks(options._seed, "7")
    qtbot.keyClicks(options._model, "/nowhere/model.safetensors")
    qtbot.mouseClick(panel._start, Qt.MouseButton.LeftButton)
    assert "does not exist" in panel.notice.words
    assert panel.job is None
    options._model.clear()
    assert options.arguments() == ["--seed", "7"]
