"""The Cases panel and its list."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.importing import import_dataset
from napari_medseg.io import write_labels
from napari_medseg.structures import Case, Image
from napari_medseg.widgets.case_list import CASE_ROLE, CaseDelegate, CaseFilter, CaseListModel, CaseListView
from napari_medseg.widgets.cases_panel import CasesPanel
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.thumbnails import SIZE, ThumbnailLoader, thumbnail

from .helpers import SHAPE, make_dataset


def many_cases(count: int) -> list[Case]:
    status = ("todo", "draft", "done", "reviewed")
    return [
        Case(
            case=f"case{i:05}", image=f"{i}.png", status=status[i % 4], tag="benign" if i % 3 else "", group=f"g{i % 7}"
        )
        for i in range(count)
    ]


@pytest.fixture
def listed(qtbot):
    """A list of 2,000 cases with its model and filter."""
    model, keeping = CaseListModel(), CaseFilter()
    keeping.setSourceModel(model)
    view = CaseListView()
    view.setModel(keeping)
    view.setItemDelegate(CaseDelegate(view))
    qtbot.addWidget(view)
    model.set_cases(many_cases(2000))
    return view, model, keeping


def shown(keeping: CaseFilter) -> list[Case]:
    return [keeping.index(row, 0).data(CASE_ROLE) for row in range(keeping.rowCount())]


def test_search_takes_every_word_and_status(listed):
    _, _, keeping = listed
    keeping.set_text("G3 benign")
    keeping.set_status("draft")
    expected = [c for c in many_cases(2000) if c.group == "g3" and c.tag == "benign" and c.status == "draft"]
    assert shown(keeping) == expected
    keeping.set_text("")
    keeping.set_status("")
    assert len(shown(keeping)) == 2000


def test_only_rows_in_view_ask_for_pictures(listed, qtbot):
    view, _, _ = listed
    asked: list[str] = []

    class Asking:
        def get(self, case_id: str) -> None:
            asked.append(case_id)

    view.itemDelegate().thumbnails = Asking()
    view.resize(360, 520)
    with qtbot.waitExposed(view):
        view.show()
    qtbot.waitUntil(lambda: bool(asked))
    assert set(asked) < {f"case{i:05}" for i in range(20)}
    view.scrollToBottom()
    qtbot.waitUntil(lambda: "case01999" in asked)
    assert len(set(asked)) < 60


def test_a_changed_row_repaints_that_row_alone(listed, qtbot):
    _, model, _ = listed
    cases = many_cases(2000)
    cases[7] = Case(case=cases[7].case, image=cases[7].image, status="reviewed")
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    with qtbot.waitSignal(model.dataChanged) as changed:
        model.set_cases(cases)
    assert changed.args[0].row() == changed.args[1].row() == 7
    assert resets == []


@pytest.mark.parametrize(
    ("pixels", "axes", "rgb", "expected"),
    [
        (np.zeros((300, 900, 3), np.uint8), "yxc", True, (30, 90, 3)),
        (np.zeros((20, 300, 200), np.int16), "zyx", False, (75, 50, 3)),
        (np.zeros((2, 40, 30), np.float32), "cyx", False, (40, 30, 3)),
        (np.full((1, 1), np.nan, np.float32), "yx", False, (1, 1, 3)),
    ],
)
def test_thumbnails_fit_whatever_the_image_is(pixels, axes, rgb, expected):
    picture = thumbnail(Image(levels=(pixels,), axes=axes, rgb=rgb))
    assert picture.shape == expected
    assert max(picture.shape[:2]) <= SIZE
    assert picture.dtype == np.uint8


def test_thumbnails_use_the_coarsest_level_that_suffices():
    class Untouchable(np.ndarray):
        def __getitem__(self, key):
            raise AssertionError("the fine level was read")

    fine = np.zeros((4000, 4000), np.uint8).view(Untouchable)
    middle, coarse = np.full((200, 200), 7, np.uint8), np.zeros((50, 50), np.uint8)
    assert thumbnail(Image(levels=(fine, middle, coarse), axes="yx")).shape == (67, 67, 3)


def test_a_loader_makes_the_latest_first_and_survives_unreadable_images(qtbot, tmp_path):
    dataset = make_dataset(tmp_path / "data")
    dataset.image_path(dataset.case("case1")).write_bytes(b"broken")
    loader = ThumbnailLoader(lambda case_id: dataset.read_image(dataset.case(case_id)))
    ready: list[str] = []
    loader.ready.connect(ready.append)
    for case in dataset.cases:
        loader.get(case.case)
    qtbot.waitUntil(lambda: len(ready) == 3, timeout=15_000)
    picture = loader.get("case2")
    assert picture is not None
    assert (picture.width(), picture.height()) == (92, 74)
    assert loader.get("case1") is None
    loader.stop()


def test_a_loader_stops_without_waiting_for_the_image_that_it_reads(qtbot):
    begun, may_go_on, over = threading.Event(), threading.Event(), threading.Event()

    def read(case_id):
        begun.set()
        may_go_on.wait(10)
        over.set()
        return Image(levels=(np.zeros((9, 9), np.uint8),), axes="yx")

    loader = ThumbnailLoader(read)
    ready: list[str] = []
    loader.ready.connect(ready.append)
    loader.get("slow")
    assert begun.wait(10)
    loader.stop()
    assert not over.is_set()
    may_go_on.set()
    assert over.wait(10)
    qtbot.wait(100)
    assert ready == []


@pytest.fixture
def desk(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer()
    panel = CasesPanel(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    return viewer, panel, session_of(viewer)


@pytest.mark.viewer
def test_open_layers_become_cases_with_one_click(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    file = tmp_path / "images" / "on disk.tif"
    file.parent.mkdir()
    write_labels(file, np.ones((512, 512), np.uint8))
    viewer.open(str(file), plugin="napari-medseg", layer_type="image")
    viewer.add_image(np.zeros((*SHAPE, 3), np.uint8), name="in memory", scale=(0.5, 0.5), units=("um", "um"))
    panel._new.place.setText(str(tmp_path))
    panel._new.name.setText("my set")
    panel._new.tags.setText("benign, malignant")
    panel._new._create()
    qtbot.waitUntil(lambda: panel.add.isVisibleTo(panel))
    qtbot.mouseClick(panel.add, Qt.MouseButton.LeftButton)
    dataset = Dataset.open(tmp_path / "my-set")
    assert [tag.name for tag in dataset.info.tags] == ["benign", "malignant"]
    assert len(dataset.cases) == 2
    assert dataset.image_path(dataset.cases[0]) == file
    saved = dataset.read_image(dataset.cases[1])
    assert (saved.spatial_shape, saved.spacing, saved.units) == (SHAPE, (0.5, 0.5), ("micrometer", "micrometer"))
    assert session.case == dataset.cases[0]
    panel._add_layers()
    assert len(Dataset.open(tmp_path / "my-set").cases) == 2


@pytest.mark.viewer
def test_progress_search_and_walking_follow_the_list(desk, qtbot, tmp_path):
    _, panel, session = desk
    dataset = make_dataset(tmp_path / "data", cases=4)
    dataset.update_case("case1", revision=1, status="done", tag="benign")
    session.open_dataset(tmp_path / "data")
    assert panel.progress.format() == "1 of 4 done"
    panel.search.setText("benign")
    assert session.order == ("case1",)
    panel.search.clear()
    panel._open_next_todo()
    assert session.case.case == "case0"
    panel._open_next_todo()
    assert session.case.case == "case2"
    assert panel.list.currentIndex().data() == "case2"
    panel._step(-1)
    assert session.case.case == "case1"
    session.update_case("case2", status="reviewed")
    assert panel.progress.format() == "2 of 4 done"
    session.update_case("case3", status="done")
    panel._open_next_todo()
    assert session.case.case == "case0"
    panel._open_next_todo()
    assert session.case.case == "case0"
    assert panel.notice.words == "No other case is to do."


@pytest.mark.viewer
def test_two_thousand_cases_open_at_once(desk, qtbot, tmp_path):
    _, panel, session = desk
    dataset = make_dataset(tmp_path / "data", cases=1)
    rows = "".join(f"c{i},images/case0.tif,,,,,,,,,,todo,,1,,\n" for i in range(2000))
    table = tmp_path / "data" / "cases.csv"
    header = table.read_text("utf-8").splitlines()[0]
    table.write_text(f"{header}\n{rows}", "utf-8")
    del dataset
    session.open_dataset(tmp_path / "data")
    panel.search.setText("c1999")
    assert panel.filter.rowCount() == 1
    assert len(session.order) == 1


@pytest.mark.viewer
def test_two_viewers_have_sessions_of_their_own(make_napari_viewer, tmp_path):
    first, second = make_napari_viewer(), make_napari_viewer()
    make_dataset(tmp_path / "data", cases=1)
    session_of(first).open_dataset(tmp_path / "data")
    assert session_of(first) is session_of(first)
    assert session_of(second).dataset is None


@pytest.mark.viewer
def test_import_form_makes_the_data_set_that_the_function_makes(desk, qtbot, tmp_path):
    from PIL import Image as Picture

    _, panel, session = desk
    for name in ("images", "masks"):
        (tmp_path / "source" / name).mkdir(parents=True)
    for index in range(2):
        Picture.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "source" / "images" / f"a{index}.png")
        mask = np.zeros((64, 64), np.uint8)
        mask[:10] = index + 1
        Picture.fromarray(mask).save(tmp_path / "source" / "masks" / f"a{index}.png")
    (tmp_path / "source" / "index.csv").write_text("image,diagnosis,patient\na0,benign,1\na1,malignant,2\n", "utf-8")
    form = panel._import
    form.source.setText(str(tmp_path / "source"))
    form._look_into_source()
    form.place.setText(str(tmp_path / "out"))
    form.source.editingFinished.emit()  # what Qt emits when the field loses the focus
    assert form.place.text() == str(tmp_path / "out")
    form.class_name.setText("gland")
    assert form.columns["tag_column"].currentData() == "diagnosis"
    with qtbot.waitSignal(form.created, timeout=20_000):
        form._import()
    by_form = Dataset.open(tmp_path / "out")
    by_function = import_dataset(
        tmp_path / "source",
        tmp_path / "out2",
        table="index.csv",
        id_column="image",
        tag_column="diagnosis",
        group_column="patient",
        instances="gland",
    )
    facts = [[(c.case, c.tag, c.group, c.status) for c in d.cases] for d in (by_form, by_function)]
    assert facts[0] == facts[1]
    assert by_form.info.classes == by_function.info.classes
    for case in by_form.cases:
        np.testing.assert_array_equal(by_form.read_labels(case), by_function.read_labels(case))
    assert session.dataset.path == tmp_path / "out"


@pytest.mark.viewer
def test_import_form_offers_values_and_layers_of_an_oct_set(desk, qtbot, tmp_path):
    from PIL import Image as Picture

    _, panel, session = desk
    # Rows 0-2 vitreous, then RNFL, GCL, IPL; some fluid (9), and a stripe where nobody looked (7).
    mask = np.repeat(np.array([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3, np.uint8)[:, None], 12, axis=1)
    mask[4:6, 2:4], mask[:, 11] = 9, 7
    for folder, pixels in (("images", np.zeros_like(mask)), ("masks", mask)):
        (tmp_path / "source" / folder).mkdir(parents=True)
        for name in "ab":
            Picture.fromarray(pixels).save(tmp_path / "source" / folder / f"{name}.png")
    form = panel._import
    panel._pages.setCurrentWidget(form)
    form.kind.setCurrentText("oct")
    form.masks.setCurrentIndex(1)
    form.source.setText(str(tmp_path / "source"))
    with qtbot.waitSignal(form.values.changed, timeout=20_000):
        form.source.editingFinished.emit()
    qtbot.waitUntil(form.make.isEnabled)
    assert form.values.classes() == {v: f"class {v}" for v in (1, 2, 3, 7, 9)}
    for value, name in {1: "RNFL", 2: "GCL+IPL", 3: "GCL+IPL", 7: "", 9: "fluid"}.items():
        form.values.field(value).setText(name)
    assert form.layers.layers() == ["background", "RNFL", "GCL+IPL"]
    form.place.setText(str(tmp_path / "out"))
    form.source_value.setText("Spectralis")
    with qtbot.waitSignal(form.created, timeout=20_000):
        qtbot.mouseClick(form.make, Qt.MouseButton.LeftButton)
    info = session.dataset.info
    assert [c.name for c in info.classes] == ["RNFL", "GCL+IPL", "fluid"]
    assert [s.name for s in info.surfaces] == ["ILM", "RNFL/GCL+IPL"]
    labels = session.dataset.read_labels(session.dataset.cases[0])
    expected = np.array([0, 1, 2, 2, 0, 0, 0, 255, 0, 3], np.uint8)[mask]
    np.testing.assert_array_equal(labels, expected)
    assert {case.source for case in session.dataset.cases} == {"Spectralis"}


@pytest.mark.viewer
def test_an_oct_set_without_layers_is_not_made_silently(desk, qtbot, tmp_path):
    from PIL import Image as Picture

    _, panel, session = desk
    source = tmp_path / "oct_of_a_clinic"
    mask = np.repeat(np.arange(4, dtype=np.uint8)[:, None], 12, axis=1)
    for folder in ("images", "masks"):
        (source / folder).mkdir(parents=True)
        Picture.fromarray(mask).save(source / folder / "a.png")
    form = panel._import
    panel._pages.setCurrentWidget(form)
    form.source.setText(str(source))
    form.source.editingFinished.emit()
    qtbot.waitUntil(lambda: form.values.names() == ["class 1", "class 2", "class 3"], timeout=20_000)
    qtbot.waitUntil(form.make.isEnabled)
    assert form.kind.currentText() == "oct"
    form.place.setText(str(tmp_path / "out"))
    form.spacing.setText("0.004, 0.011")
    qtbot.mouseClick(form.make, Qt.MouseButton.LeftButton)
    assert "No class is a layer yet" in form.notice.words
    assert not (tmp_path / "out").exists()
    form.areas_only.setChecked(True)
    with qtbot.waitSignal(form.created, timeout=20_000):
        qtbot.mouseClick(form.make, Qt.MouseButton.LeftButton)
    assert session.dataset.info.surfaces == ()
    assert session.dataset.read_image(session.dataset.cases[0]).spacing == (0.004, 0.011)


@pytest.mark.viewer
def test_cases_of_one_source_are_shown_alone(desk, tmp_path):
    _, panel, session = desk
    make_dataset(tmp_path / "data", cases=3)
    session.open_dataset(tmp_path / "data")
    assert panel.source.isHidden()
    for number, case in enumerate(session.dataset.cases):
        session.dataset.update_case(case.case, revision=case.revision, source="A" if number else "B")
    session.cases_changed.emit()
    assert not panel.source.isHidden()
    panel.source.setCurrentText("B")
    assert session.order == (session.dataset.cases[0].case,)
    panel.source.setCurrentText("all sources")
    assert len(session.order) == len(session.dataset.cases)


@pytest.mark.viewer
def test_pictures_of_a_data_set_that_was_empty_at_first(make_napari_viewer, qtbot, tmp_path):
    viewer = make_napari_viewer(show=True)
    panel, session = CasesPanel(viewer), session_of(viewer)
    viewer.window.add_dock_widget(panel, area="right")
    make_dataset(tmp_path / "data", cases=2)
    session.open_dataset(tmp_path / "data")
    qtbot.waitUntil(lambda: panel._thumbnails.get("case0") is not None)
    first = panel._thumbnails
    make_dataset(tmp_path / "other", cases=0)
    session.open_dataset(tmp_path / "other")
    assert panel._thumbnails is not first
    image = Image(levels=(np.zeros((64, 64, 3), np.uint8),), axes="yxc", rgb=True)
    qtbot.wait(200)  # the list is drawn, empty
    session.dataset.add_image(image, "case0")
    session.cases_changed.emit()
    qtbot.waitUntil(lambda: panel._thumbnails.get("case0") is not None)


@pytest.mark.viewer
def test_a_case_on_screen_is_not_offered_as_an_image_to_add(desk, qtbot, tmp_path):
    viewer, panel, session = desk
    make_dataset(tmp_path / "data", cases=1)
    session.open_dataset(tmp_path / "data")
    session.open_case("case0")
    qtbot.wait(50)
    assert panel.add.isHidden()
    viewer.add_image(np.zeros((32, 32), np.uint8), name="foreign")
    qtbot.waitUntil(lambda: not panel.add.isHidden())
