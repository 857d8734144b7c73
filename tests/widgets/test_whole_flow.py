"""The product from end to end in one window: import, label by mouse and keys, train, predict, correct.

What is asserted is what the command line, in processes of their own, finds in the files afterwards.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image as Picture
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLineEdit, QPushButton

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import tissue
from napari_medseg.structures import NOT_LOOKED_AT
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.import_form import ImportForm
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

from .helpers import drag, press

CONTROL = Qt.KeyboardModifier.ControlModifier
CASES = 10
#: Cases that come with a mask and, in the table, a tag; the others are labelled in the window.
MASKED = 2
#: Settings that are typed into the form: small enough to train in a test, nothing of the scheme is replaced.
SMALL = {
    "network.base_width": 4,
    "input_size": 64,
    "training.epochs": 2,
    "training.steps_per_epoch": 3,
    "training.batch_size": 4,
}


def command(*words) -> dict:
    """The JSON document of a command in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-m", "napari_medseg", *map(str, words), "--json"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def window(make_napari_viewer, tmp_path):
    """A viewer with the Workspace, and folders of ten images and two masks of 512 x 512 with a table of patients."""
    images, masks = tmp_path / "source" / "images", tmp_path / "source" / "masks"
    images.mkdir(parents=True)
    masks.mkdir()
    table = ["image,patient,diagnosis"]
    for index in range(CASES):
        picture, labels = tissue(size=512, seed=index, malignant=bool(index % 2))
        Picture.fromarray(picture).save(images / f"case{index}.png")
        masked = index >= CASES - MASKED
        if masked:
            Picture.fromarray(labels * np.uint8(100)).save(masks / f"case{index}.png")
        table.append(f"case{index},patient{index},{'benign' if masked else ''}")
    (tmp_path / "source" / "patients.csv").write_text("\n".join(table), "utf-8")
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right")
    yield viewer, workspace, session_of(viewer)
    for job in list(Job.running):
        job.end()


def type_into(qtbot, field, text) -> None:
    """Replace what a field says, by keys, and leave it."""
    field.window().activateWindow()
    click(qtbot, field)
    qtbot.waitUntil(field.hasFocus, timeout=10_000)
    qtbot.keyClick(field, Qt.Key.Key_A, CONTROL)
    qtbot.keyClicks(field, str(text))
    qtbot.keyClick(field, Qt.Key.Key_Tab)


def click(qtbot, widget) -> None:
    """The left button in the middle of a widget that shows."""
    qtbot.waitUntil(widget.isVisible, timeout=10_000)
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def import_by_clicks(workspace, session, qtbot, source, data) -> None:
    """Make the data set in the Cases panel from images, masks and table, and the second tag in the Annotate panel."""
    workspace.show_panel("Cases")
    cases = workspace.panel("Cases")
    click(qtbot, cases.findChild(QPushButton, "import_dataset"))
    form = cases.findChild(ImportForm)
    type_into(qtbot, form.source, source)
    qtbot.keyClick(form.masks, Qt.Key.Key_Down)  # "a class per value"
    qtbot.waitUntil(lambda: form.findChild(QLineEdit, "class_100") is not None, timeout=30_000)
    type_into(qtbot, form.findChild(QLineEdit, "class_100"), "gland")
    type_into(qtbot, form.place, data)
    qtbot.waitUntil(form.make.isEnabled, timeout=30_000)
    click(qtbot, form.make)
    qtbot.waitUntil(lambda: session.dataset is not None, timeout=60_000)
    qtbot.waitUntil(cases.list.isVisible, timeout=10_000)
    row = cases.list.visualRect(cases.filter.index(0, 0))
    qtbot.mouseClick(cases.list.viewport(), Qt.MouseButton.LeftButton, pos=row.center())
    workspace.show_panel("Annotate")
    entry = workspace.panel("Annotate").new_tag
    click(qtbot, entry.plus)
    qtbot.keyClicks(entry.field, "malignant")
    qtbot.keyClick(entry.field, Qt.Key.Key_Return)


def type_settings(qtbot, form) -> None:
    """Unfold what hides the fields, and type into each."""
    for path, value in SMALL.items():
        editor = form.editor(path)
        for fold in form.findChildren(Fold):
            if fold.isAncestorOf(editor) and not fold.is_open():
                click(qtbot, fold.button)
        type_into(qtbot, editor.findChild(QLineEdit), value)
        assert editor.get() == value


def label_all(viewer, workspace, session, qtbot) -> dict[str, np.ndarray]:
    """Tag every case that came without a mask, draw on every second one, mark all done; returns what was drawn."""
    drawn = {}
    for index in range(CASES - MASKED):
        assert session.case.case == f"case{index}"
        viewer.reset_view()
        qtbot.wait(50)
        press(qtbot, viewer, Qt.Key.Key_1 if index % 2 == 0 else Qt.Key.Key_2)
        if index % 4 < 2:
            press(qtbot, viewer, Qt.Key.Key_3)
            session.labels.brush_size = 40
            for row in (150, 260, 370):
                drag(qtbot, viewer, [(row, column) for column in range(120, 400, 40)])
            drawn[f"case{index}"] = np.array(session.labels.data)
            assert (drawn[f"case{index}"] == 1).sum() > 10_000
        press(qtbot, viewer, Qt.Key.Key_Return, CONTROL)
    qtbot.waitUntil(lambda: session.open is None or session.open.autosave.is_saved(), timeout=15_000)
    return drawn


@pytest.mark.viewer
def test_label_train_predict_and_correct_by_clicks(window, qtbot, tmp_path):
    viewer, workspace, session = window
    data = tmp_path / "data"
    import_by_clicks(workspace, session, qtbot, tmp_path / "source", data)
    info = command("dataset", "info", data)
    assert (info["cases"], info["groups"]) == (CASES, CASES)
    drawn = label_all(viewer, workspace, session, qtbot)

    # What was labelled, as another process reads it.
    command("dataset", "check", data)
    with (data / "cases.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert {row["status"] for row in rows.values()} == {"done"}
    assert [rows[f"case{i}"]["tag"] for i in range(4)] == ["benign", "malignant", "benign", "malignant"]
    imported = {f"case{index}" for index in range(CASES - MASKED, CASES)}
    assert {case for case, row in rows.items() if row["label"]} == {*drawn, *imported}
    for case in imported:
        _, expected = tissue(size=512, seed=int(case[4:]), malignant=bool(int(case[4:]) % 2))
        np.testing.assert_array_equal(Dataset.open(data).read_labels(Dataset.open(data).case(case)), expected)
    for case, pixels in drawn.items():
        stored = Dataset.open(data).read_labels(Dataset.open(data).case(case))
        np.testing.assert_array_equal(stored, np.where(pixels == NOT_LOOKED_AT, 0, pixels))

    # Train by clicks.
    workspace.show_panel("Train")
    train = workspace.panel("Train")
    qtbot.waitUntil(lambda: train.setup.found is not None and train.setup.found.total("cases") == CASES, timeout=60_000)
    type_settings(qtbot, train.setup.form)
    qtbot.waitUntil(train._start.isEnabled, timeout=20_000)
    qtbot.mouseClick(train._start, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: train.job is None, timeout=400_000)
    assert train.notice.words == ""
    qtbot.mouseClick(train.run_view.result._use, Qt.MouseButton.LeftButton)

    run = next((data / "runs").iterdir())
    summary = json.loads((run / "summary.json").read_text("utf-8"))
    assert [stage["name"] for stage in summary["stages"]] == ["a_classifier", "b_segmenter", "c_classifier"]
    assert sum(summary["cases"][split]["masks"] for split in ("train", "val", "test")) == len(drawn) + MASKED
    figures = command("evaluate", run, "--data", data, "--device", "cpu")
    assert figures["n_cases"] == summary["cases"]["test"]["cases"]

    # Predict the case on screen by clicks, correct it, and compare with the command line's prediction.
    session.open_case("case2")
    predict = workspace.panel("Predict")
    qtbot.waitUntil(lambda: predict.models.path == run / "model.safetensors", timeout=20_000)
    qtbot.mouseClick(predict._run, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: predict.job is None and len(predict.results.waiting()) == 1, timeout=120_000)
    result = predict.results.waiting()[0]
    shown = np.asarray(result.layers[0].data)
    row = command("predict", run, Dataset.open(data).image_path(rows_case(data, "case2")), "--out", tmp_path / "out")
    (predicted,) = row["predictions"]
    assert predicted["class"] == result.tag.tag
    from napari_medseg.io import read_labels

    agreement = (np.asarray(read_labels(predicted["labels"]).labels) == shown).mean()
    assert agreement > 0.999  # precision may be chosen differently in another process
    assert Dataset.open(data).read_labels(rows_case(data, "case2")) is None


def rows_case(data, case_id):
    """A row as it is on the disk now."""
    return Dataset.open(data).case(case_id)
