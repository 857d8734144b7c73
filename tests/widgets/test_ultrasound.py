"""What the window offers for ultrasound: scan region, cines, machines, forms, calipers, patients."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QPushButton

from napari_medseg.api import train
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.device_regions import device_regions
from napari_medseg.data.forms import form_path, lines_of, tirads_of, update_form
from napari_medseg.data.scan_boxes import followers, given_box, scan_boxes
from napari_medseg.data.synthetic_ultrasound import LESIONS, frame, make_dataset
from napari_medseg.structures import DatasetInfo, Image, TagResult
from napari_medseg.widgets.adding import add_files
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.class_facts import class_facts
from napari_medseg.widgets.drawn_lines import drawn_lines_of
from napari_medseg.widgets.new_dataset import NewDatasetForm
from napari_medseg.widgets.result_rows import tag_of_row, tag_text
from napari_medseg.widgets.scan_box import scan_box_of
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.smart_contour import smart_contour_of
from napari_medseg.widgets.view_prediction import ViewPrediction
from tests.io.ultrasound.writers import region, write_ultrasound

from .helpers import press

pytestmark = pytest.mark.viewer

SIZE = {"rows": 160, "columns": 240}
TRUTH = frame(LESIONS[3], seed=1, **SIZE)


@pytest.fixture
def dataset(tmp_path):
    """Two frames and a cine of one machine, two patients, all as DICOM."""
    info = DatasetInfo(
        name="us", kind="ultrasound", classes=mask_classes(["nodule"]), tags=tag_classes(["benign", "malignant"])
    )
    made = Dataset.create(tmp_path / "data", info)
    cine = np.stack([TRUTH.pixels] * 4)
    spaced = [region((0, 0, 239, 159), units=3, delta=0.05)]
    files = [
        write_ultrasound(tmp_path / "one.dcm", TRUTH.pixels),
        write_ultrasound(tmp_path / "two.dcm", TRUTH.pixels, regions=spaced),
        write_ultrasound(tmp_path / "cine.dcm", cine, cine=True),
    ]
    add_files(made, files, {})
    for case, patient in zip(made.cases, ("a", "b", "a"), strict=True):
        made.update_case(case.case, revision=case.revision, group=patient)
    return Dataset.open(made.path)


@pytest.fixture
def opened(make_napari_viewer, dataset):
    """The panel over the data set; call it with a case to open."""
    viewer = make_napari_viewer(show=True)
    panel = AnnotatePanel(viewer)
    viewer.window.add_dock_widget(panel)
    session = session_of(viewer)
    session.open_dataset(dataset.path)

    def open_case(case, qtbot):
        session.open_case(case)
        scan = scan_box_of(session)
        qtbot.waitUntil(lambda: scan.boxes is not None, timeout=60_000)
        return scan

    return viewer, panel, session, open_case


def stored(session) -> dict:
    path = form_path(session.dataset.path, session.case.case)
    return json.loads(path.read_text()) if path.exists() else {}


def test_looking_at_a_case_writes_nothing(opened, qtbot):
    _, panel, session, open_case = opened
    scan = open_case("one", qtbot)
    assert scan.box == scan_boxes(session.dataset, "one").found.box
    assert stored(session) == {}
    assert "Found" in panel.ultrasound.scan.source.text()
    assert panel.ultrasound.isVisible()


def test_a_chosen_method_is_kept_and_taken_back(opened, qtbot):
    _, panel, session, open_case = opened
    scan = open_case("one", qtbot)
    found, chooser = scan.box, panel.ultrasound.scan.method
    chooser.setCurrentIndex(chooser.findData("whole"))
    chooser.activated.emit(chooser.currentIndex())
    qtbot.waitUntil(lambda: stored(session) == {"region_box": "0:160,0:240"}, timeout=60_000)
    assert "whole image" in panel.ultrasound.scan.source.text()
    chooser.setCurrentIndex(chooser.findData("robust"))
    chooser.activated.emit(chooser.currentIndex())
    assert (scan.box, stored(session)) == (found, {})
    scan.undo()
    assert scan.box == ((0, 160), (0, 240))
    scan.undo()
    scan.undo()
    assert scan.box == found
    scan.redo()
    assert stored(session) == {"region_box": "0:160,0:240"}


def test_a_machines_box_serves_its_cases_but_those_with_their_own(opened, qtbot):
    _, panel, session, open_case = opened
    scan, box = open_case("one", qtbot), ((10, 120), (20, 200))
    qtbot.waitUntil(lambda: panel.ultrasound.scan.remember.text() == "Use for all 3 of this machine", timeout=60_000)
    scan.set_own(box)
    scan.remember_for_machine()
    assert device_regions(session.dataset.path) == {"Acme Medical Echo 7 160x240": box}
    update_form(session.dataset, "two", {"region_box": "0:100,0:100"})
    assert open_case("two", qtbot).box == ((0, 100), (0, 100))
    scan = open_case("cine", qtbot)
    assert scan.box == box
    assert panel.ultrasound.scan.method.currentData() == "machine"
    scan.choose("robust")
    assert scan.box == scan.boxes.found.box
    scan.follow_machine()
    assert scan.box == box
    assert followers(session.dataset, "Acme Medical Echo 7 160x240") == ("cine",)
    assert given_box(session.dataset, "cine") == ((0, 4), *box)
    assert given_box(session.dataset, "two") == ((0, 100), (0, 100))


def test_a_box_in_the_file_that_does_not_fit_is_said(opened, qtbot):
    _, panel, session, open_case = opened
    update_form(session.dataset, "one", {"region_box": "0:999,0:100"})
    scan = open_case("one", qtbot)
    assert scan.box == scan.boxes.found.box
    qtbot.waitUntil(lambda: "does not lie in the image" in panel.notice.words, timeout=60_000)


def test_deleting_the_rectangle_goes_back_to_what_was_found(opened, qtbot):
    viewer, _, session, open_case = opened
    scan = open_case("one", qtbot)
    found = scan.box
    scan.set_own(((0, 50), (0, 60)))
    scan.correct()
    viewer.layers.selection.active.remove_selected()
    qtbot.waitUntil(lambda: stored(session) == {}, timeout=60_000)
    assert scan.box == found


def test_a_cine_is_outlined_in_the_frame_on_screen(opened, qtbot):
    viewer, _, session, open_case = opened
    open_case("cine", qtbot)
    viewer.dims.set_current_step(0, 2)
    tool = smart_contour_of(session)
    press(qtbot, viewer, Qt.Key.Key_E)
    ellipse = viewer.layers.selection.active
    rows, columns = np.nonzero(TRUTH.nodule)
    top, bottom, left, right = rows.min() - 3, rows.max() + 2, columns.min() - 2, columns.max() + 4
    ellipse.add_ellipses(np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float))
    qtbot.waitUntil(lambda: tool.is_shown, timeout=60_000)
    press(qtbot, viewer, Qt.Key.Key_X)
    assert not tool.is_shown
    assert (np.asarray(session.labels.data) != 1).all()
    press(qtbot, viewer, Qt.Key.Key_E)
    viewer.layers.selection.active.add_ellipses(
        np.array([(top, left), (top, right), (bottom, right), (bottom, left)], float)
    )
    qtbot.waitUntil(lambda: tool.is_shown, timeout=60_000)
    press(qtbot, viewer, Qt.Key.Key_Y)
    drawn = np.asarray(session.labels.data) == 1
    assert drawn.any(axis=(1, 2)).tolist() == [False, False, True, False]
    assert 2 * (drawn[2] & (TRUTH.nodule == 1)).sum() / (drawn.sum() + TRUTH.nodule.sum()) > 0.9
    session.labels.undo()
    assert (np.asarray(session.labels.data) != 1).all()


def test_without_a_class_nothing_can_be_outlined(opened, qtbot):
    viewer, panel, session, open_case = opened
    open_case("one", qtbot)
    session.labels.selected_label = 0
    press(qtbot, viewer, Qt.Key.Key_E)
    qtbot.waitUntil(lambda: "Choose the class" in panel.notice.words, timeout=60_000)


@pytest.mark.parametrize(("case", "unit"), [("one", "px"), ("two", "mm")])
def test_calipers_have_millimetres_where_the_file_has_and_count_in_the_form(opened, qtbot, case, unit):
    viewer, panel, session, open_case = opened
    open_case(case, qtbot)
    lines = drawn_lines_of(session)
    press(qtbot, viewer, Qt.Key.Key_M)
    layer = viewer.layers.selection.active
    layer.add_lines(np.array([[20, 30], [20, 60]], float))
    qtbot.waitUntil(lambda: "lines" in stored(session), timeout=60_000)
    # The machine's pixels are 0.5 mm wide.
    assert list(layer.features["length"]) == ["15.0 mm" if unit == "mm" else "30 px"]
    assert lines_of(session.dataset.path, case, axes=2) == (((20.0, 30.0), (20.0, 60.0)),)
    tirads = panel.ultrasound.tirads
    update_form(session.dataset, case, {"tirads": {"composition": "solid"}})
    session.open_case("cine")
    session.open_case(case)
    for name, feature in (("echogenicity", "hypoechoic"), ("shape", "wider"), ("margin", "smooth")):
        box = tirads.choices[name]
        box.setCurrentIndex(box.findData(feature))
        box.activated.emit(box.currentIndex())
    tirads.foci["none"].click()
    said = tirads.result.text()
    assert "4 points: TR4" in said
    assert ("At 15.0 mm: biopsy" in said) == (unit == "mm")
    assert lines is drawn_lines_of(session)


def test_none_and_some_foci_exclude_each_other(opened, qtbot):
    _, panel, session, open_case = opened
    open_case("one", qtbot)
    foci = panel.ultrasound.tirads.foci
    foci["rim"].click()
    foci["punctate"].click()
    assert stored(session)["tirads"] == {"foci": ["rim", "punctate"]}
    foci["none"].click()
    assert tirads_of(session.dataset.path, "one") == {"foci": ["none"]}
    panel.ultrasound.tirads.findChild(QPushButton, "clear_tirads").click()
    assert stored(session) == {}


def test_the_next_case_of_the_same_patient(opened, qtbot):
    viewer, _, session, open_case = opened
    open_case("one", qtbot)
    press(qtbot, viewer, Qt.Key.Key_Right, Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier)
    assert session.case.case == "cine"
    press(qtbot, viewer, Qt.Key.Key_Left, Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier)
    assert session.case.case == "one"


def test_a_class_beside_the_form(opened, qtbot):
    _, _, session, open_case = opened
    open_case("one", qtbot)
    tag = TagResult(tag="benign", probabilities={"benign": 0.6, "malignant": 0.4}, sure=False)
    assert class_facts(session, "one", tag) == []
    solid = {"composition": "solid", "echogenicity": "very_hypoechoic", "shape": "taller", "margin": "smooth"}
    update_form(session.dataset, "one", {"tirads": {**solid, "foci": ["none"]}})
    (said,) = class_facts(session, "one", tag)
    assert said.startswith("Differs from the TI-RADS form (TR5")
    assert "unsure" in tag_text(tag)


def test_a_row_of_a_table_tells_whether_it_is_sure():
    cells = {"class": "a", "p_a": "0.7", "p_b": "0.3", "calibrated": "yes", "sure": "no"}
    tag = tag_of_row(cells)
    assert (tag.sure, tag.graded, tag.calibrated) == (False, False, True)
    assert tag_of_row({**cells, "sure": ""}).sure is None
    assert tag_of_row({"class": "a", "p_a": "1", "calibrated": "yes"}).graded


def test_a_new_data_set_of_ultrasound_proposes_four_lesions(qtbot, tmp_path):
    form = NewDatasetForm()
    qtbot.addWidget(form)
    form.place.setText(str(tmp_path))
    form.kind.setCurrentIndex(form.kind.findData("ultrasound"))
    made = []
    form.created.connect(made.append)
    form.findChild(QPushButton, "create").click()
    assert made[0].info.kind == "ultrasound"
    assert [tag.name for tag in made[0].info.tags] == list(LESIONS)
    form.kind.setCurrentIndex(form.kind.findData("ct"))
    assert form.tags.text() == ""


def test_what_was_typed_stays(qtbot):
    form = NewDatasetForm()
    qtbot.addWidget(form)
    form.tags.setText("benign, malignant")
    form.kind.setCurrentIndex(form.kind.findData("ultrasound"))
    assert form.tags.text() == "benign, malignant"


def test_a_scan_region_counts_in_all_frames_of_a_cine(tmp_path):
    make_dataset(tmp_path / "data", n=40, rows=96, columns=128)
    tiny = ["network.base_width=4", "network.middle_modules=1", "input_size=64", "training.epochs=1"]
    tiny += ["training.steps_per_epoch=1", "training.batch_size=4"]
    train("thyroid", tmp_path / "data", tmp_path / "run", assignments=tiny, device="cpu", precision="fp32")
    cine = Image(levels=(np.stack([TRUTH.pixels] * 3),), axes="tyx", name="cine", kind="ultrasound")
    work = ViewPrediction().work(
        tmp_path / "run" / "model.safetensors",
        cine,
        region=None,
        inside=None,
        probabilities=False,
        scan=((10, 120), (20, 200)),
    )
    found = work(lambda *_: None)
    assert found.region == ((0, 3), (10, 120), (20, 200))
    assert len(found.frames) == 3
    assert found.marks_region
