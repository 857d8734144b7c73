"""The loop in the window: a new model is compared and put in use by a click; the list says what is next."""

from __future__ import annotations

import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QPushButton

from napari_medseg import api
from napari_medseg.data.contradictions import contradictions
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.models_in_use import model_in_use, promotions
from napari_medseg.data.synthetic import make_dataset
from napari_medseg.io.model_file import read_model, write_model
from napari_medseg.widgets.case_list import CASE_ROLE
from napari_medseg.widgets.cases_panel import CasesPanel
from napari_medseg.widgets.comparison_card import ComparisonCard
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.predict_panel import PredictPanel
from napari_medseg.widgets.queue import Queue, queue_of_contradictions

pytestmark = pytest.mark.viewer

SMALL = ["network.base_width=4", "input_size=32", "training.steps_per_epoch=2", "training.epochs=1"]
LONG = 300_000


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set with a run, one that draws nothing, and four cases to do."""
    folder = tmp_path_factory.mktemp("loop") / "data"
    dataset = make_dataset(folder, n=20, size=64, seed=0)
    api.train("pathology", folder, folder / "runs" / "first", assignments=SMALL, seed=1, device="cpu", precision="fp32")
    card, tensors = read_model(folder / "runs" / "first" / "model.safetensors")
    blind = dict(tensors)
    name = next(key for key in tensors if key.startswith("segmenter") and "head" in key and key.endswith("bias"))
    blind[name] = np.array([1e4, -1e4], np.float32)
    write_model(folder / "runs" / "blind" / "model.safetensors", blind, card)
    for case in dataset.cases[-4:]:
        dataset.update_case(
            case.case, revision=case.revision, status="todo", split="", tag="", group=f"new {case.case}"
        )
    return folder


@pytest.fixture
def data(made, tmp_path):
    yield shutil.copytree(made, tmp_path / "data")
    for job in list(Job.running):
        job.end()


def click(qtbot, widget, name):
    button = widget.findChild(QPushButton, name)
    # A fold that was just opened has no height before the window is laid out.
    qtbot.waitUntil(lambda: button.isVisible() and button.height() > 10, timeout=20_000)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def listed(panel):
    return [panel.filter.index(row, 0).data(CASE_ROLE).case for row in range(panel.filter.rowCount())]


def test_a_worse_model_is_called_worse_and_nothing_is_promoted_without_a_click(qtbot, data):
    api.promote_model(data, data / "runs" / "first")
    card = ComparisonCard()
    qtbot.addWidget(card)
    card.show()
    card.begin(data, data / "runs" / "blind" / "model.safetensors")
    qtbot.waitUntil(lambda: card.job is None, timeout=LONG)
    assert card.sentence.startswith("Worse by")
    assert "never draws gland" in card._alarms.words
    assert [each.name for each in promotions(data)] == ["first"]
    with qtbot.waitSignal(card.promoted, timeout=LONG) as caught:
        click(qtbot, card, "promote_model")
    assert caught.args == [model_in_use(data)]
    assert card.sentence == "blind is in use now; it follows first."
    assert promotions(data)[-1].reason.startswith("Worse by")


def test_the_first_model_is_offered_without_a_comparison_and_a_comparison_can_be_stopped(qtbot, data):
    card = ComparisonCard()
    qtbot.addWidget(card)
    card.show()
    card.begin(data, data / "runs" / "first" / "model.safetensors")
    assert card.job is None
    with qtbot.waitSignal(card.promoted, timeout=LONG):
        click(qtbot, card, "promote_model")
    card.begin(data, data / "runs" / "blind" / "model.safetensors")
    click(qtbot, card, "stop_comparing")
    qtbot.waitUntil(lambda: card.job is None, timeout=LONG)
    assert card.sentence == "Not compared with first, which is in use."


def test_models_are_listed_put_in_use_and_gone_back_from(make_napari_viewer, qtbot, data):
    api.promote_model(data, data / "runs" / "first")
    viewer = make_napari_viewer(show=True)
    panel = PredictPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    panel.session.set_dataset(Dataset.open(data))
    assert panel.session.model == model_in_use(data)
    panel.kept.fold.set_open(True)

    def buttons():
        return [b for b in panel.kept.rows.findChildren(QPushButton, "put_in_use") if b.isVisible()]

    qtbot.waitUntil(lambda: len(buttons()) == 1, timeout=LONG)
    qtbot.mouseClick(buttons()[0], Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(promotions(data)) == 2 and panel.kept.back.isVisible(), timeout=LONG)
    assert "blind" in panel.session.model.name
    qtbot.waitUntil(lambda: panel.kept.back.text() == "Go back to first", timeout=LONG)
    qtbot.mouseClick(panel.kept.back, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: len(promotions(data)) == 3, timeout=LONG)
    qtbot.waitUntil(lambda: "first" in panel.session.model.name, timeout=LONG)


@pytest.fixture
def panel(make_napari_viewer, qtbot, data):
    api.promote_model(data, data / "runs" / "first")
    viewer = make_napari_viewer(show=True)
    made = CasesPanel(viewer)
    viewer.window.add_dock_widget(made, area="right")
    made.session.set_dataset(Dataset.open(data))
    made.queue.fold.set_open(True)
    return made


def test_the_list_follows_the_ranking_and_next_to_do_opens_its_first(panel, qtbot, data):
    todo = [case.case for case in Dataset.open(data).cases if case.status == "todo"]
    panel.queue.strategy.setCurrentIndex(panel.queue.strategy.findData("entropy"))
    click(qtbot, panel, "queue_look")
    qtbot.waitUntil(lambda: panel.queue.job is None, timeout=LONG)
    assert panel.notice.words == ""
    document = api.next_cases(data, strategy="entropy", device="cpu", precision="fp32")
    ranked = [entry["case"] for entry in document["ranking"]]
    assert set(listed(panel)[: len(ranked)]) == set(ranked)
    assert set(todo) <= set(ranked)
    assert panel._delegate.reasons[listed(panel)[0]].startswith("1. the model is unsure")
    assert "Not enough data to say" in panel.queue._words.text()
    click(qtbot, panel, "next_todo")
    assert panel.session.case.case == next(case for case in listed(panel) if case in todo)
    click(qtbot, panel, "queue_clear")
    assert listed(panel) == [case.case for case in Dataset.open(data).cases]


def test_a_contradiction_is_opened_by_a_click_and_gone_when_it_is_resolved(panel, qtbot, data):
    dataset = panel.session.dataset
    dataset.set_info(replace(dataset.info, implies={"gland": "malignant"}))
    drawn = [case for case in dataset.cases if case.label and case.tag == "benign"]
    assert len(drawn) > 2
    panel.queue.kind.setCurrentIndex(panel.queue.kind.findData("contradictions"))
    click(qtbot, panel, "queue_look")
    qtbot.waitUntil(lambda: panel.queue.job is None, timeout=LONG)
    queue = panel.queue._found
    assert {each.case for each in queue.found} == {case.case for case in drawn}
    assert set(listed(panel)) == {case.case for case in drawn}, "only these are listed"

    list_widget = queue._list
    place = list_widget.visualItemRect(list_widget.item(1)).center()
    qtbot.mouseClick(list_widget.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(place))
    first = queue.found[1].case
    assert panel.session.case.case == first
    panel.session.update_case(first, tag="malignant")
    qtbot.waitUntil(lambda: first not in {each.case for each in queue.found}, timeout=LONG)
    assert first not in listed(panel)

    list_widget.setCurrentRow(0)
    kept = queue.current
    click(qtbot, panel, "confirm_contradiction")
    assert kept not in queue.found
    assert kept.case not in {each.case for each in contradictions(Dataset.open(data))}
    assert len(queue.found) == len(drawn) - 2


def test_a_queue_survives_search_and_leaves_the_rest_behind_it(panel):
    cases = [case.case for case in panel.session.dataset.cases]
    panel.queue.changed.emit(Queue(ranks={cases[7]: 0, cases[3]: 1}, reasons={cases[7]: "first"}))
    assert listed(panel)[:2] == [cases[7], cases[3]]
    assert listed(panel)[2:] == [case for case in cases if case not in (cases[7], cases[3])]
    panel.search.setText(cases[3])
    assert listed(panel) == [cases[3]]
    panel.search.clear()
    assert panel.session.order[:2] == (cases[7], cases[3])


def test_several_contradictions_of_a_case_are_told_together():
    from napari_medseg.data.contradictions import Contradiction

    found = [Contradiction(case="a", kind="drawn", text="One."), Contradiction(case="b", kind="empty", text="Two.")]
    queue = queue_of_contradictions([*found, Contradiction(case="a", kind="model tag", text="Three.")])
    assert queue.reasons == {"a": "One. Three.", "b": "Two."}
    assert queue.ranks == {"a": 0, "b": 1}
    assert Contradiction(**asdict(found[0])) == found[0]
