"""The box around a tumour: drawn with the mouse, kept with the case, judged by a model."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QPushButton

from napari_medseg.api.training import train_cases
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.forms import form_path, region_box_of, update_form
from napari_medseg.schemes import build_config, find_scheme
from napari_medseg.structures import DatasetInfo, Image, Prediction, TagResult
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.lesion_facts import attention_text, deciding_slices
from napari_medseg.widgets.predict_panel import PredictPanel
from napari_medseg.widgets.region_box import box_of_rectangles, rectangles, region_box_of_session
from napari_medseg.widgets.regions import drawn_shapes
from napari_medseg.widgets.session import session_of
from tests.factories import lesion_pixels, lesion_set

from .helpers import canvas_of, move, place_of

SHAPE = (6, 24, 28)
CPU = {"device": "cpu", "precision": "fp32", "threads": 1}


@st.composite
def boxes(draw):
    """A box in `SHAPE`."""
    box = []
    for n in SHAPE:
        start = draw(st.integers(0, n - 1))
        box.append((start, draw(st.integers(start + 1, n))))
    return tuple(box)


@settings(max_examples=60, deadline=None)
@given(box=boxes(), other=boxes())
def test_rectangles_mean_the_box_they_were_made_of(box, other):
    drawn = rectangles(box)
    assert len(drawn) == box[0][1] - box[0][0]
    assert box_of_rectangles(drawn, box, SHAPE) == box
    assert box_of_rectangles(drawn, None, SHAPE) == box
    # A rectangle on a further slice makes the box reach it and hold it.
    further = rectangles(other)[0]
    grown = box_of_rectangles([*drawn, further], box, SHAPE)
    if not any(np.allclose(further, known) for known in drawn):
        wanted = [(min(a[0], b[0]), max(a[1], b[1])) for a, b in zip(box[1:], other[1:], strict=True)]
        assert list(grown[1:]) == wanted
    assert grown[0] == (min(box[0][0], other[0][0]), max(box[0][1], other[0][0] + 1))


def test_a_changed_rectangle_gives_its_sides_to_all_slices():
    box = ((1, 4), (5, 15), (6, 20))
    drawn = rectangles(box)
    drawn[1] = rectangles(((2, 3), (7, 12), (6, 18)))[0]
    assert box_of_rectangles(drawn, box, SHAPE) == ((1, 4), (7, 12), (6, 18))
    assert box_of_rectangles(rectangles(box)[1:], box, SHAPE) == ((2, 4), (5, 15), (6, 20))
    assert box_of_rectangles([], box, SHAPE) is None
    outside = np.array([(0, -9, -9), (0, -9, -5), (0, -5, -5), (0, -5, -9)], float)
    assert box_of_rectangles([outside], None, SHAPE) is None


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A volume model that was hardly trained."""
    scheme = find_scheme("fibrosis")
    settings_ = ["network.base_width=4", "input_size=16", "input_slices=8", "lesion=tumour"]
    settings_ += ["training.epochs=1", "training.steps_per_epoch=1", "training.batch_size=2"]
    folder = tmp_path_factory.mktemp("fibrosis") / "run"
    train_cases(scheme, build_config(scheme, assignments=settings_), lesion_set(4, 2, 0), folder, **CPU)
    return folder


@pytest.fixture
def dataset(tmp_path):
    info = DatasetInfo(name="lesions", classes=mask_classes(["tumour", "organ"]), grades=("low", "high"))
    made = Dataset.create(tmp_path / "data", info)
    for index in range(2):
        pixels, _ = lesion_pixels(index, grade=index, shape=SHAPE)
        image = Image(levels=(pixels,), axes="zyx", spacing=(2.0, 1.0, 1.0), units=("millimeter",) * 3, name="scan")
        made.add_image(image, f"p{index}")
    return Dataset.open(tmp_path / "data")


def drag(viewer, begin, end):
    """Drag the mouse between two pixels of the slice on screen (its pixels are 1 mm)."""
    from qtpy.QtTest import QTest

    canvas, start, stop = canvas_of(viewer), place_of(viewer, *begin), place_of(viewer, *end)
    QTest.mousePress(canvas, Qt.MouseButton.LeftButton, pos=start)
    for share in (0.3, 0.7, 1.0):
        move(canvas, start + (stop - start) * share)
        QApplication.processEvents()
    QTest.mouseRelease(canvas, Qt.MouseButton.LeftButton, pos=stop)


def press(panel, name):
    panel.findChild(QPushButton, name).click()


def test_a_box_is_drawn_over_slices_and_kept_with_the_case(make_napari_viewer, qtbot, dataset):
    viewer = make_napari_viewer(show=True)
    session = session_of(viewer)
    session.set_dataset(dataset)
    session.open_case("p0")
    panel = AnnotatePanel(viewer)
    qtbot.addWidget(panel)
    box = region_box_of_session(session)
    viewer.reset_view()
    viewer.dims.set_current_step(0, 1)
    press(panel, "draw_box")
    with qtbot.waitSignal(box.changed, timeout=60_000):
        drag(viewer, (6, 8), (15, 18))
    image = session.open.image_layers[0]
    first = box.box_on(image)
    assert first[0] == (1, 2)
    assert np.abs(np.array(first[1:]) - [(6, 15), (8, 18)]).max() <= 1
    viewer.dims.set_current_step(0, 4)
    with qtbot.waitSignal(box.changed, timeout=60_000):
        drag(viewer, (9, 5), (18, 14))
    grown = box.box_on(image)
    assert grown[0] == (1, 5)
    assert region_box_of(dataset.path, "p0") == grown
    assert panel.grades.box.value == grown
    assert drawn_shapes(viewer) is None, "the box around a tumour is no region that is drawn completely"

    session.open_case("p1")
    assert box.box_on(session.open.image_layers[0]) is None
    session.open_case("p0")
    assert box.box_on(session.open.image_layers[0]) == grown
    press(panel, "clear_box")
    assert region_box_of(dataset.path, "p0") is None
    history = "".join(path.read_text("utf-8") for path in (dataset.path / "history").glob("*.jsonl"))
    assert "region_box" in history


def test_the_grade_is_chosen_in_the_panel(make_napari_viewer, qtbot, dataset):
    viewer = make_napari_viewer()
    session = session_of(viewer)
    session.set_dataset(dataset)
    session.open_case("p1")
    panel = AnnotatePanel(viewer)
    qtbot.addWidget(panel)
    panel.grades.grade.setCurrentIndex(panel.grades.grade.findData("high"))
    assert (session.case.grade, session.case.status) == ("high", "draft")
    assert Dataset.open(dataset.path).case("p1").grade == "high"
    session.open_case("p0")
    assert panel.grades.grade.currentData() == ""


def test_a_box_is_judged_and_its_grade_accepted(make_napari_viewer, qtbot, dataset, run):
    update_form(dataset, "p0", {"region_box": "1:5,6:18,8:20"})
    viewer = make_napari_viewer()
    session = session_of(viewer)
    session.set_dataset(dataset)
    session.open_case("p0")
    panel = PredictPanel(viewer)
    qtbot.addWidget(panel)
    panel.models.choose(run)
    assert not panel.region.isHidden()
    panel.region.choose("model")
    assert "Choose the model" in panel.region.obstacle()
    panel.region.choose("box")
    assert panel.region.region == ((1, 5), (6, 18), (8, 20))
    panel.run()
    qtbot.waitUntil(lambda: panel.job is None and bool(panel.results.results), timeout=120_000)
    (result,) = panel.results.results
    assert result.tag.graded
    assert result.region[0][0] <= 1
    names = [layer.name for layer in viewer.layers]
    assert any("what decided the grade" in name for name in names)
    place = [start for start, _ in result.region]
    np.testing.assert_allclose(result.layers[0].translate, np.array(place) * (2.0, 1.0, 1.0))
    panel.results.accept.emit(result)
    qtbot.waitUntil(lambda: Dataset.open(dataset.path).case("p0").grade != "", timeout=60_000)
    case = Dataset.open(dataset.path).case("p0")
    assert (case.grade, case.tag, case.status) == (result.tag.tag, "", "draft")
    assert case.origin.startswith("model:")


def test_a_broken_form_is_told_and_nothing_lost(make_napari_viewer, qtbot, dataset):
    path = form_path(dataset.path, "p0")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"region_box": "here"}), "utf-8")
    viewer = make_napari_viewer()
    session = session_of(viewer)
    box = region_box_of_session(session)
    told = []
    session.trouble.connect(lambda text, details: told.append(text))
    session.set_dataset(dataset)
    session.open_case("p0")
    assert "region 'here' is not understood" in told[0]
    assert box.box_on(session.open.image_layers[0]) is None
    assert json.loads(path.read_text("utf-8")) == {"region_box": "here"}


def test_the_slices_that_decided_hold_half_of_the_attention():
    attention = np.zeros((6, 4, 4), np.float32)
    attention[1], attention[2], attention[4] = 0.2, 1.0, 0.3
    assert deciding_slices(attention) == [2]
    attention[4] = 0.9
    assert deciding_slices(attention) == [2, 4]
    assert deciding_slices(np.zeros((3, 2, 2), np.float32)) == []
    prediction = Prediction(
        labels=None,
        classes=(),
        tag=TagResult(tag="low", probabilities={"low": 1.0}, graded=True),
        probabilities=None,
        region=((10, 16), (0, 4), (0, 4)),
        seconds=0.0,
        attention=attention,
    )
    assert attention_text(prediction) == "Slice 12 decided the grade most; half of what did lies in slices 12, 14."
