"""The Predict panel: from a model and a click to layers, and from there into the data set."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton
from skimage.draw import ellipse

from napari_medseg.annotation.order import repair_order
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import GLAND, make_dataset
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io.model_file import read_model, write_model
from napari_medseg.structures import MaskClass, Prediction, Surface, TagResult
from napari_medseg.widgets.accepting import accept, to_own_values
from napari_medseg.widgets.batch import MOST_CHARACTERS, BatchJob, plan_batches
from napari_medseg.widgets.jobs import Job
from napari_medseg.widgets.layer_images import drawn_region, image_of_layer
from napari_medseg.widgets.model_card import ModelChooser, known_scores
from napari_medseg.widgets.prediction_layers import add_prediction
from napari_medseg.widgets.result_card import figure_name, table_texts
from napari_medseg.widgets.result_rows import Result, ResultRows, facts_of_row, tag_of_row
from napari_medseg.widgets.taking_over import case_of_layer

from .helpers import row_in_another_process

SMALL = ("network.base_width=4", "input_size=32", "training.epochs=1", "training.steps_per_epoch=1")


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Path:
    """A run folder with a model, hardly trained."""
    folder = tmp_path_factory.mktemp("trained")
    make_dataset(folder / "data", n=10, size=64, seed=0)
    command = [sys.executable, "-m", "napari_medseg", "train", "pathology"]
    command += ["--data", str(folder / "data"), "--out", str(folder / "run"), "--device", "cpu", "--precision", "fp32"]
    for setting in SMALL:
        command += ["--set", setting]
    subprocess.run(command, check=True, capture_output=True, timeout=500)
    return folder / "run"


def test_files_are_batched_by_region_and_fit_a_command_line():
    long = [(Path(f"/data/{'x' * 100}/{i}.png"), "", "") for i in range(500)]
    batches = plan_batches([*long, (Path("a.png"), "0:4,0:4", ""), *long])
    assert [batch.region for batch in batches][-1] == "0:4,0:4"
    whole = [path for batch in batches if not batch.region for path in batch.inputs]
    assert whole == [path for path, *_ in long]
    assert all(sum(len(str(path)) + 3 for path in batch.inputs) <= MOST_CHARACTERS for batch in batches)


def test_a_batch_job_runs_all_and_stops_at_the_first_that_fails(qtbot, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(
        "import json, sys\n"
        "inputs = sys.argv[3:sys.argv.index('--out')]\n"
        "for i, name in enumerate(inputs):\n"
        "    print(json.dumps({'event': 'item_ended', 'input': name, 'index': i, 'of': len(inputs),"
        " 'row': {'input': name, 'argv': sys.argv}}))\n"
        "if 'bad' in inputs: sys.exit(1)\n"
        "print(json.dumps({'event': 'done', 'result': {}}))\n"
        "sys.exit(1)\n",
        "utf-8",
    )
    program = (sys.executable, str(script))
    items = [(Path("a"), "", "1"), (Path("b"), "0:2,0:2", ""), (Path("bad"), "0:3,0:3", ""), (Path("never"), "0:4", "")]
    options = ["--kind", "oct"]
    job = BatchJob(Path("m"), plan_batches(items), tmp_path / "out", options=options, program=program)
    rows, faults = [], []
    job.predicted.connect(rows.append)
    job.failed.connect(lambda text, details: faults.append(text))
    with qtbot.waitSignal(job.finished, timeout=30_000) as caught:
        job.start()
    assert caught.args == ["failed"]
    assert [row["input"] for row in rows] == ["a", "b", "bad"]
    assert rows[0]["argv"][-6:] == ["--series", "1", "--kind", "oct", "--events", "json"]
    assert rows[1]["argv"][-8:] == ["--region", "0:2,0:2", "--format", "tif", "--kind", "oct", "--events", "json"]
    assert [row["series"] for row in rows] == ["1", "", ""]
    assert len({row["argv"][row["argv"].index("--out") + 1] for row in rows}) == 3
    assert len(faults) == 1


@pytest.fixture
def image_layer():
    viewer = ViewerModel()
    pixels = np.zeros((60, 80, 3), np.uint8)
    return viewer, viewer.add_image(pixels, name="slide", scale=(0.5, 0.25), translate=(3, 7), units=("um", "um"))


def test_a_drawn_ellipse_is_its_pixels(image_layer):
    viewer, image = image_layer
    corners = np.array([[10, 20], [10, 60], [40, 60], [40, 20]], float)
    shapes = viewer.add_shapes(
        [corners], shape_type="ellipse", scale=image.scale, translate=image.translate, units=image.units
    )
    box, inside = drawn_region(shapes, image)
    expected = np.zeros((60, 80), bool)
    expected[ellipse(25, 40, 15, 20, shape=expected.shape)] = True
    got = np.zeros_like(expected)
    got[tuple(slice(*side) for side in box)] = inside
    assert (got != expected).sum() <= 4 * 2  # a polygon of 72 corners against the curve itself
    assert box[0][0] >= 9
    assert box[0][1] <= 42


def test_shapes_of_another_scale_are_brought_to_the_image(image_layer):
    viewer, image = image_layer
    world = np.array([[8, 12], [8, 17], [18, 17], [18, 12]], float)  # rows 10..30, columns 20..40 of the image
    shapes = viewer.add_shapes([world], shape_type="polygon", units=image.units)
    box, inside = drawn_region(shapes, image)
    assert box == ((10, 31), (20, 41))
    assert inside.mean() > 0.9


def test_only_selected_shapes_count_and_outside_is_refused(image_layer):
    viewer, image = image_layer
    square = np.array([[2, 2], [2, 9], [9, 9], [9, 2]], float)
    kwargs = {"scale": image.scale, "translate": image.translate, "units": image.units}
    shapes = viewer.add_shapes([square, square + 30], shape_type="rectangle", **kwargs)
    shapes.selected_data = {1}
    assert drawn_region(shapes, image)[0] == ((32, 40), (32, 40))
    shapes.selected_data = set()
    assert drawn_region(shapes, image)[0] == ((2, 40), (2, 40))
    shapes.data = [square - 100]
    with pytest.raises(ConfigError, match="outside the image"):
        drawn_region(shapes, image)
    shapes.data = []
    with pytest.raises(ConfigError, match="holds no shape"):
        drawn_region(shapes, image)


def test_a_region_of_a_stack_holds_every_slice():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((5, 30, 40)))
    shapes = viewer.add_shapes([np.array([[2, 5, 5], [2, 5, 20], [2, 15, 20], [2, 15, 5]])], shape_type="rectangle")
    box, inside = drawn_region(shapes, image)
    assert box == ((0, 5), (5, 16), (5, 21))
    assert inside.shape == (11, 16)


def test_pixels_of_a_layer_become_an_image_with_its_spacing(image_layer):
    _, layer = image_layer
    session = SimpleNamespace(open=None, dataset=None)
    image = image_of_layer(layer, session)
    assert (image.axes, image.spatial_shape, image.spacing) == ("yxc", (60, 80), (0.5, 0.25))
    assert image.units == ("micrometer", "micrometer")
    transparent = ImageLayer(np.dstack([np.full((4, 4, 3), 10, np.uint8), np.zeros((4, 4), np.uint8)]), rgb=True)
    flat = image_of_layer(transparent, session)
    assert flat.num_channels == 3
    assert (flat.region() == 255).all()


def a_prediction(region=((10, 30), (20, 50))) -> Prediction:
    shape = tuple(stop - start for start, stop in region)
    labels = np.zeros(shape, np.uint8)
    labels[2:5, 2:5] = 1
    return Prediction(
        labels=labels,
        classes=(GLAND,),
        tag=TagResult(tag="benign", probabilities={"benign": 0.75, "malignant": 0.25}),
        probabilities=np.stack([1 - labels, labels]).astype(np.float16),
        region=region,
        seconds=0.1,
    )


@pytest.mark.parametrize("rotate", [0, 30])
def test_layers_of_a_region_lie_where_it_is(image_layer, rotate):
    viewer, image = image_layer
    image.rotate = rotate
    labels, probability = add_prediction(viewer, a_prediction(), model="m1", beside=image)
    assert labels.name == "slide · m1 prediction"
    for layer in (labels, probability):
        assert layer.units == image.units
        assert layer.axis_labels == image.axis_labels
        np.testing.assert_allclose(layer.data_to_world((3, 4)), image.data_to_world((13, 24)))
    assert labels.data.dtype == np.uint8
    np.testing.assert_allclose(labels.get_color(1)[:3], np.array([0x00, 0x72, 0xB2]) / 255, atol=0.01)
    assert labels.features["class"].tolist() == ["background", "gland", "not looked at"]
    again = add_prediction(viewer, a_prediction(), model="m1", beside=image)
    assert again[0] is not labels
    assert labels in viewer.layers


@pytest.mark.parametrize("lead", [(), (4,)])
def test_confidence_is_a_strip_below_the_image_and_unsure_columns_are_bright(lead):
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((*lead, 100, 80)), name="scan", scale=(1,) * len(lead) + (0.5, 2))
    confidence = np.ones((*lead, 40), np.float32)
    confidence[..., 10], confidence[..., 11] = 0.5, np.nan
    region = (*((0, n) for n in lead), (0, 100), (20, 60))
    given = replace(a_prediction(region=region), confidence=confidence, probabilities=None)
    _, strip = add_prediction(viewer, given, model="m1", beside=image)
    assert strip.name == "scan · m1 confidence per column"
    first = strip.data_to_world((0,) * strip.ndim)
    assert first[-2] > image.data_to_world((0,) * len(lead) + (99, 0))[-2]
    np.testing.assert_allclose(first[-1], image.data_to_world((0,) * len(lead) + (0, 20))[-1])
    assert strip.data.shape[-1] == 40
    shown = strip.colormap.map(np.clip((strip.data[..., 0, :].reshape(-1, 40)[0] - 0.5) / 0.5, 0, 1))
    brightness = shown[:, :3].sum(axis=1)
    assert (brightness[[10, 11]] > 2 * brightness[0]).all()


def test_the_series_of_a_file_tells_which_case_a_layer_is(closed_session):
    dataset = closed_session.dataset
    first = dataset.cases[0]
    path = dataset.image_path(first)
    other = dataset.add_case(path, case="other eye", extra={"series": "1"})
    layer = ImageLayer(np.zeros((4, 4)), metadata={"path": str(path.resolve()), "series": 1})
    assert case_of_layer(closed_session, layer) == other.case
    layer.metadata["series"] = 0
    assert case_of_layer(closed_session, layer) == first.case


def test_a_row_tells_of_confidence_and_repaired_order():
    assert facts_of_row({"confidence": 0.914, "repaired": "0.032"}) == [
        "Confidence 0.91 on average.",
        "The order of layers was repaired in 3.2% of the columns.",
    ]
    assert facts_of_row({"confidence": "", "repaired": ""}) == facts_of_row({}) == []


def test_values_follow_the_names_of_classes():
    info = SimpleNamespace(classes=(MaskClass(value=7, name="gland", color="#000000"),))
    labels = np.array([[0, 1, 255]], np.uint8)
    assert to_own_values(labels, [GLAND], info).tolist() == [[0, 7, 255]]
    other = MaskClass(value=1, name="nerve", color="#000000")
    with pytest.raises(DatasetError, match="no class 'nerve'"):
        to_own_values(labels, [other], info)
    assert to_own_values(np.zeros((1, 1), np.uint8), [other], info).tolist() == [[0]]


@pytest.fixture
def closed_session(tmp_path):
    """A data set without a window: what `accept` needs of a session."""
    data = make_dataset(tmp_path / "data", n=6, size=48, seed=0)

    def update_case(case_id, **cells):
        data.update_case(case_id, revision=data.case(case_id).revision, **cells)

    return SimpleNamespace(dataset=data, open=None, update_case=update_case)


def give(session, case, labels, **kwargs):
    values = {"model": "m1", "region": None, "classes": (GLAND,), "tag": ""} | kwargs
    return accept(session, case, labels=labels, **values)


def test_a_model_fills_in_what_nobody_looked_at_and_keeps_what_a_person_drew(closed_session):
    data = closed_session.dataset
    case = next(case for case in data.cases if not case.label)
    store = data.label_store(case, (48, 48))
    drawn = np.ones((10, 10), np.uint8)
    store.write_box(((0, 10), (0, 10)), drawn)
    data.update_case(case.case, revision=case.revision, label=store.name, origin="person", status="draft", tag="")
    says = np.zeros((48, 48), np.uint8)
    says[40:] = 1
    assert give(closed_session, case.case, says, tag="malignant") == 48 * 48 - 100
    row, labels = data.case(case.case), data.read_labels(data.case(case.case))
    assert (labels[:10, :10] == 1).all()
    assert (labels[40:] == 1).all()
    assert (labels[20:40] == 0).all()
    assert (row.origin, row.status, row.tag) == ("model:m1", "draft", "malignant")


def test_a_models_draft_is_replaced_and_kept_aside(closed_session):
    data = closed_session.dataset
    case = next(case for case in data.cases if not case.label).case
    first, second = np.ones((48, 48), np.uint8), np.zeros((48, 48), np.uint8)
    give(closed_session, case, first)
    assert give(closed_session, case, second, model="m2") == 48 * 48
    assert (data.read_labels(data.case(case)) == 0).all()
    assert data.case(case).origin == "model:m2"
    copies = list((data.path / "history" / "labels").glob("*.tif"))
    assert len(copies) == 1
    from napari_medseg.data.label_files import open_labels

    assert (np.asarray(open_labels(copies[0])[...]) == 1).all()


def test_a_finished_case_is_not_changed_by_a_model(closed_session):
    data = closed_session.dataset
    case = next(case for case in data.cases if case.label)
    before = data.read_labels(case)
    assert give(closed_session, case.case, np.ones((48, 48), np.uint8), tag="malignant") == 0
    assert data.case(case.case) == case
    assert (data.read_labels(case) == before).all()


def test_a_region_outside_the_image_is_refused(closed_session):
    case = closed_session.dataset.cases[0].case
    with pytest.raises(DatasetError, match="shape"):
        give(closed_session, case, np.ones((10, 10), np.uint8))


def test_a_row_of_the_table_gives_its_tag():
    row = {"input": "a.png", "class": "benign", "p_benign": 0.75, "p_malignant": "0.25", "error": ""}
    assert tag_of_row(row) == TagResult(tag="benign", probabilities={"benign": 0.75, "malignant": 0.25})
    assert tag_of_row({"class": ""}) is None


def test_rows_say_that_probabilities_are_not_calibrated_and_what_failed(qtbot):
    rows = ResultRows()
    qtbot.addWidget(rows)
    good = rows.add(Result(title="a & b", model="m", tag=a_prediction().tag))
    bad = rows.add(Result(title="c", model="m", error="c.png is cut off: copy it again."))
    texts = [label.text() for label in good.findChildren(QLabel)]
    assert any("0.75 (not calibrated)" in text for text in texts)
    assert any("a &amp; b" in text for text in texts)
    assert bad.state.words == "c.png is cut off: copy it again."
    assert [result.title for result in rows.waiting()] == ["a & b"]


def test_a_card_is_shown_without_loading_the_model(qtbot, trained):
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    chooser.choose(trained)
    text = chooser._card.text()
    for words in ("run", "Mixed labels", "gland", "benign, malignant", "training cases"):
        assert words in text
    assert chooser.path == trained / "model.safetensors"
    assert "Research use only" in chooser._use.text()


def test_a_chosen_model_stays_and_else_the_runs_of_the_data_set_come_first(qtbot, tmp_path, trained):
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    assert chooser.path is not None  # the package's own
    (tmp_path / "later").mkdir()
    shutil.copy(trained / "model.safetensors", tmp_path / "later" / "model.safetensors")
    chooser.list_models(tmp_path)
    assert chooser.path == tmp_path / "later" / "model.safetensors"
    chooser.choose(trained)
    chooser.list_models(tmp_path)
    assert chooser.path == trained / "model.safetensors"
    chooser.choose(tmp_path / "later")
    listed = [chooser._box.itemData(row) for row in range(chooser._box.count())]
    assert len(listed) == len(set(listed)), "every model once"
    assert chooser.minimumSizeHint().width() < 300


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "empty"), (b"\x80\x04pickle me", "can run code"), (b"PK\x03\x04zipped..", "zip archive")],
)
def test_a_file_that_is_no_model_is_a_sentence(qtbot, tmp_path, content, words):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    with qtbot.waitSignal(chooser.chosen) as caught:
        chooser.choose(path)
    assert caught.args == [None]
    assert words in chooser.words


@pytest.fixture
def layered(tmp_path, trained) -> Path:
    """A model that knows the surface above its one class, and was chosen from two candidates."""
    card, tensors = read_model(trained / "model.safetensors")
    surface = Surface(name="top", above="", below=card.classes[0].name)
    candidates = ({"name": "a", "score": 0.8, "chosen": True}, {"name": "b", "score": 0.7})
    training = card.training.model_copy(update={"candidates": candidates})
    path = tmp_path / "layered.safetensors"
    write_model(path, tensors, card.model_copy(update={"surfaces": (surface,), "training": training}))
    return path


def test_a_card_folds_candidates_and_further_scores(qtbot, layered, trained):
    chooser = ModelChooser()
    qtbot.addWidget(chooser)
    chooser.choose(layered)
    assert [line[0] for line in chooser._candidates.table.texts()] == ["a", "b"]
    assert not chooser._candidates.isHidden()
    assert not chooser._candidates.is_open()
    scores = known_scores(chooser.card)
    assert len(scores) > 3
    assert table_texts(chooser._all_scores).keys() == {figure_name(name) for name in scores}
    chooser.choose(trained)
    assert chooser._candidates.isHidden()


@pytest.fixture
def panel(make_napari_viewer, qtbot, tmp_path, trained):
    """A Predict panel with a data set of two unlabelled cases, in a real window."""
    from napari_medseg.widgets.predict_panel import PredictPanel

    viewer = make_napari_viewer(show=True)
    data = make_dataset(tmp_path / "data", n=4, size=64, seed=1)
    for case in data.cases:
        data.update_case(case.case, revision=case.revision, status="todo", label="", tag="")
    made = PredictPanel(viewer)
    # Nobody but the test follows the panel to other tabs.
    made.session.panel_asked.connect(lambda name: None)
    viewer.window.add_dock_widget(made, name="Predict", area="right")
    made.session.open_dataset(tmp_path / "data")
    made.session.set_model(trained / "model.safetensors")
    yield made
    for job in list(Job.running):
        job.end()


def click(qtbot, widget) -> None:
    qtbot.mouseClick(widget, Qt.MouseButton.LeftButton)


def run(qtbot, panel) -> None:
    click(qtbot, panel._run)
    assert panel.job is not None
    qtbot.waitUntil(lambda: panel.job is None, timeout=200_000)
    assert panel.notice.words == ""


@pytest.mark.viewer
def test_predict_correct_and_accept_by_clicks(panel, qtbot):
    session, viewer = panel.session, panel.session.viewer
    assert not panel._run.isEnabled()
    session.open_case("tissue_000")
    assert panel._run.isEnabled()
    run(qtbot, panel)
    layer = viewer.layers.selection.active
    assert isinstance(layer, Labels)
    assert layer.name == "tissue_000 · run prediction"
    predicted = layer.data.copy()
    result = panel.results.results[0]
    assert result.tag is not None
    assert result.case == "tissue_000"

    row = panel.results.row_of(result)
    click(qtbot, row.findChild(QPushButton, "correct"))
    assert panel.notice.words == ""
    assert viewer.layers.selection.active is session.labels
    assert not layer.visible
    assert (session.labels.data == predicted).all()
    on_disk = row_in_another_process(session.dataset.path, "tissue_000")
    assert (on_disk["status"], on_disk["origin"], on_disk["tag"]) == ("draft", "model:run", result.tag.tag)
    values, counts = np.unique(predicted, return_counts=True)
    assert on_disk["values"] == {str(v): int(n) for v, n in zip(values, counts, strict=True)}
    session.labels.undo()
    assert (session.labels.data == 255).all()

    session.labels.data_setitem((np.arange(3), np.arange(3)), 1)
    viewer.add_shapes([np.array([[5, 5], [5, 30], [25, 30], [25, 5]])], shape_type="rectangle")
    panel.places.choose("region")
    run(qtbot, panel)
    region = panel.results.results[0]
    assert region.layers[0].data.shape == (21, 26)
    # An outline over what a person drew, and gone from the picture of another case.
    assert region.layers[0].contour > 0
    session.open_case("tissue_001")
    assert {layer.name.split(" ")[0] for layer in viewer.layers} <= {"tissue_001", "Shapes"}
    session.open_case("tissue_000")
    assert region.layers[0] in viewer.layers
    assert region.layers[0].visible
    click(qtbot, panel.results.row_of(region).findChild(QPushButton, "discard"))
    assert region.layers[0] not in viewer.layers
    assert region not in panel.results.results


@pytest.mark.viewer
def test_predictions_do_not_stay_over_cases_of_another_data_set(panel, qtbot, tmp_path):
    session, viewer = panel.session, panel.session.viewer
    session.open_case("tissue_000")
    run(qtbot, panel)
    assert panel.results.results
    # Its cases have the same ids.
    make_dataset(tmp_path / "others", n=2, size=32, seed=3)
    session.open_dataset(tmp_path / "others")
    assert not panel.results.results, "they could be accepted into the wrong data set"
    session.open_case("tissue_000")
    assert not [layer.name for layer in viewer.layers if "prediction" in layer.name]
    assert {layer.name.split(" ")[0] for layer in viewer.layers} == {"tissue_000"}
    np.testing.assert_allclose(viewer.camera.center[1:], (15.5, 15.5), atol=1)


@pytest.mark.viewer
def test_a_model_of_layers_repairs_their_order_and_says_how_sure_it_is(panel, qtbot, layered):
    session, viewer = panel.session, panel.session.viewer
    assert panel._repair_order.isHidden()
    session.set_model(layered)
    assert panel._repair_order.isVisible()
    session.open_case("tissue_000")
    panel._repair_order.setChecked(False)
    run(qtbot, panel)
    raw = viewer.layers.selection.active.data.copy()
    drawn_by_device = viewer.add_labels(np.ones((64, 64), np.uint8), name="device layers")
    panel._repair_order.setChecked(True)
    run(qtbot, panel)
    result = panel.results.results[0]
    labels, strip = result.layers
    assert "confidence" in strip.name
    expected = repair_order(raw, (0, 1))
    np.testing.assert_array_equal(labels.data, expected.labels)
    told = [label.text() for label in panel.results.row_of(result).findChildren(QLabel)]
    assert any(text.startswith("Confidence 0.") for text in told)
    repaired = [note for note in result.notes if "order of layers" in note]
    assert len(repaired) == bool(expected.changed_pixels)
    assert (drawn_by_device.data == 1).all()


@pytest.mark.viewer
def test_cases_of_the_list_are_predicted_in_a_child_and_accepted_together(panel, qtbot):
    data = panel.session.dataset
    case = data.case("tissue_003")
    data.update_case(case.case, revision=case.revision, region="0:48,8:56")
    panel.places.choose("cases")
    run(qtbot, panel)
    assert sorted(result.case for result in panel.results.results) == [case.case for case in data.cases]
    click(qtbot, panel._accept_all)
    assert panel.notice.words == ""
    fresh = Dataset.open(data.path)
    for case in fresh.cases:
        assert (case.status, case.origin) == ("draft", "model:run")
        assert fresh.read_labels(case).shape == fresh.read_image(case).spatial_shape
    assert fresh.read_labels(fresh.case("tissue_003")).shape == (48, 48)


@pytest.mark.viewer
def test_an_image_that_is_no_case_becomes_one_when_accepted(panel, qtbot):
    viewer = panel.session.viewer
    rng = np.random.default_rng(0)
    viewer.add_image(rng.integers(0, 255, (64, 64, 3), np.uint8), name="loose picture")
    before = len(panel.session.dataset.cases)
    run(qtbot, panel)
    result = panel.results.results[0]
    assert result.case == ""
    click(qtbot, panel.results.row_of(result).findChild(QPushButton, "accept"))
    assert panel.notice.words == ""
    fresh = Dataset.open(panel.session.dataset.path)
    assert len(fresh.cases) == before + 1
    assert (fresh.read_labels(fresh.cases[-1]) == result.layers[0].data).all()
