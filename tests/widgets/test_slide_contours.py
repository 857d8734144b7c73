"""Contours and tile tags on a whole slide, by real mouse and key events: drawn, saved, and there again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.data.slide_contours import SlideContours, contours_path
from napari_medseg.data.synthetic_slide import write_slide
from napari_medseg.data.tile_tags import read_tile_tags, tags_path
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of
from tests.widgets.helpers import canvas_of, move, place_of, press, settled, stroke

SHAPE = (6000, 8000)
#: Side of the tiles, in pixels of the slide.
TILE = 1000


@pytest.fixture(scope="module")
def slide_file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("slides") / "a.svs"
    write_slide(path, SHAPE, mpp=0.5)
    return path


@pytest.fixture
def folder(tmp_path: Path, slide_file: Path) -> Path:
    classes, tags = mask_classes(["tumour", "stroma"]), tag_classes(["benign", "malignant"])
    info = DatasetInfo(name="set", kind="slide", classes=classes, tags=tags, tile=f"{TILE} px")
    Dataset.create(tmp_path / "set", info).add_case(slide_file, case="a")
    return tmp_path / "set"


class Slide:
    """The slide of a data set on screen, and a hand that draws on it."""

    def __init__(self, qtbot, viewer, folder: Path) -> None:
        self.qtbot, self.viewer = qtbot, viewer
        self.panel = AnnotatePanel(viewer)
        viewer.window.add_dock_widget(self.panel, area="right")
        self.session = session_of(viewer)
        self.session.open_dataset(folder)
        self.session.open_case("a")
        self.open = self.session.open
        settled(qtbot, lambda: (canvas_of(viewer).width(), canvas_of(viewer).height()))
        viewer.reset_view()
        settled(qtbot, lambda: (canvas_of(viewer).width(), viewer.scene.camera.zoom))

    def place(self, y: float, x: float) -> QPoint:
        step = self.open.image_layers[0].scale
        return place_of(self.viewer, y * step[0], x * step[1])

    def pixel(self) -> float:
        """Pixels of the slide in one of the screen: how exact a hand can be."""
        return 1 / (self.viewer.scene.camera.zoom * self.open.image_layers[0].scale[0])

    def drag(self, *corners) -> None:
        stroke(self.qtbot, canvas_of(self.viewer), [self.place(*corner) for corner in corners])

    def freehand(self, y: float, x: float, radius: float) -> None:
        angle = np.linspace(0, 2 * np.pi, 25)
        self.drag(*zip(y + radius * np.sin(angle), x + radius * np.cos(angle), strict=True))

    def polygon(self, *corners) -> None:
        canvas = canvas_of(self.viewer)
        for corner in corners:
            move(canvas, self.place(*corner), held=Qt.MouseButton.NoButton)
            self.qtbot.wait(30)
            self.qtbot.mouseClick(canvas, Qt.MouseButton.LeftButton, pos=self.place(*corner))
            self.qtbot.wait(30)
        self.qtbot.keyClick(canvas, Qt.Key.Key_Escape)

    def click(self, y: float, x: float) -> None:
        move(canvas_of(self.viewer), self.place(y, x), held=Qt.MouseButton.NoButton)
        self.qtbot.mouseClick(canvas_of(self.viewer), Qt.MouseButton.LeftButton, pos=self.place(y, x))

    def key(self, key: Qt.Key, modifier=Qt.KeyboardModifier.AltModifier) -> None:
        press(self.qtbot, self.viewer, key, modifier)

    def names(self) -> list[str]:
        return [contour.class_name for contour in self.open.contours.present.contours]

    def until(self, check) -> None:
        self.qtbot.waitUntil(check, timeout=15000)


@pytest.fixture
def slide(make_napari_viewer, qtbot, folder: Path) -> Slide:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    return Slide(qtbot, viewer, folder)


def on_disk(folder: Path) -> SlideContours:
    return SlideContours.read(contours_path(folder / "labels", "a"))


def test_contours_holes_regions_and_tile_tags_are_saved_and_there_again(slide: Slide, folder: Path) -> None:
    classes = slide.open.classes
    slide.key(Qt.Key.Key_D)
    slide.freehand(2000, 2000, 1200)
    slide.until(lambda: slide.names() == ["tumour"])
    # A hole.
    slide.key(Qt.Key.Key_K)
    slide.freehand(2000, 2000, 500)
    slide.until(lambda: slide.open.contours.present.contours[0].parts[0].holes != ())
    slide.key(Qt.Key.Key_K)
    # Another class: Alt+1 and 2 are tags.
    slide.key(Qt.Key.Key_4)
    slide.key(Qt.Key.Key_G)
    slide.polygon((3500, 4500), (3500, 6500), (5500, 6500), (5500, 4500))
    slide.until(lambda: slide.names() == ["tumour", "stroma"])
    slide.key(Qt.Key.Key_Q)
    slide.polygon((300, 300), (300, 7700), (5800, 7700), (5800, 300))
    slide.until(lambda: slide.names() == ["tumour", "stroma", "Region*"])
    slide.until(lambda: len(on_disk(folder).contours) == 3)
    assert session_status(folder) == ("draft", "person", "")

    labels = on_disk(folder).labels(((0, 6000), (0, 8000)), 100, classes)
    y, x = np.mgrid[:60, :80] * 100 + 50
    from_middle = np.hypot(y - 2000, x - 2000)
    slack = 3 * slide.pixel() + 40  # a hand's, and the freehand line's between its corners
    ring = (from_middle < 1200 - slack) & (from_middle > 500 + slack)
    square = (abs(y - 4500) < 1000 - slack) & (abs(x - 5500) < 1000 - slack)
    inside = (abs(y - 3050) < 2750 - slack) & (abs(x - 4000) < 3700 - slack)
    near_square = (abs(y - 4500) < 1000 + slack) & (abs(x - 5500) < 1000 + slack)
    rest = (from_middle > 1200 + slack) & ~near_square
    hole = from_middle < 500 - slack
    assert (labels[ring] == 1).all()
    assert (labels[square] == 2).all()
    assert (labels[inside & (rest | hole)] == 0).all()
    assert (labels[(abs(y - 3050) > 2750 + slack) | (abs(x - 4000) > 3700 + slack)] == 255).all()

    before = on_disk(folder)
    slide.session.close_case()
    assert not [layer.name for layer in slide.viewer.layers]
    slide.session.open_case("a")
    slide.open = slide.session.open
    found = slide.open.contours.present.contours
    assert [c.id for c in found] == [c.id for c in before.contours]
    assert slide.open.contours.contours.layer.nshapes == 3
    slide.session.close_case()
    assert on_disk(folder).contours[0].parts[0].outer.tolist() == before.contours[0].parts[0].outer.tolist()
    slide.session.open_case("a")
    slide.open = slide.session.open
    tag_tiles(slide, folder)


def tag_tiles(slide: Slide, folder: Path) -> None:
    """Tiles are tagged by clicking and dragging; a second stroke takes tags away."""
    slide.key(Qt.Key.Key_T)
    slide.key(Qt.Key.Key_2)
    slide.drag((1500, 1500), (1500, 2500), (1500, 3500))
    slide.key(Qt.Key.Key_1)
    slide.click(5500, 7500)
    slide.until(lambda: slide.open.tiles.counts() == {"malignant": 3, "benign": 1})
    path = tags_path(folder / "labels", "a")
    slide.until(lambda: len(read_tile_tags(path)) == 4)
    tags = {(tile.box, tile.tag) for tile in read_tile_tags(path)}
    assert tags == {
        *((((1000, 2000), (x, x + TILE)), "malignant") for x in (1000, 2000, 3000)),
        (((5000, 6000), (7000, 8000)), "benign"),
    }
    # The case's own tag is another thing.
    assert Dataset.open(folder).case("a").tag == ""
    slide.key(Qt.Key.Key_2)
    # A hand makes several moves; one alone may follow the press too fast to be told.
    slide.drag((1500, 3500), (1500, 3000), (1500, 2500))
    slide.until(lambda: slide.open.tiles.counts() == {"malignant": 1, "benign": 1})
    slide.key(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    slide.until(lambda: slide.open.tiles.counts() == {"malignant": 3, "benign": 1})
    slide.session.close_case()
    slide.session.open_case("a")
    assert slide.session.open.tiles.counts() == {"malignant": 3, "benign": 1}


def session_status(folder: Path) -> tuple[str, str, str]:
    case = Dataset.open(folder).case("a")
    return case.status, case.origin, case.label


def test_class_keys_change_what_is_selected_delete_takes_it_away_and_undo_brings_it_back(slide: Slide) -> None:
    slide.key(Qt.Key.Key_G)
    slide.polygon((1000, 1000), (1000, 3000), (3000, 3000), (3000, 1000))
    slide.until(lambda: slide.names() == ["tumour"])
    # The outline that was just drawn is not selected: the next class is that of the next outline.
    slide.key(Qt.Key.Key_4)
    assert slide.names() == ["tumour"]
    slide.polygon((1000, 4000), (1000, 6000), (3000, 6000), (3000, 4000))
    slide.until(lambda: slide.names() == ["tumour", "stroma"])
    slide.key(Qt.Key.Key_E)
    slide.click(2000, 2000)
    slide.until(lambda: len(slide.open.contours.contours.chosen) == 1)
    slide.key(Qt.Key.Key_4)
    assert slide.names() == ["stroma", "stroma"]
    slide.qtbot.keyClick(canvas_of(slide.viewer), Qt.Key.Key_Delete)
    slide.until(lambda: slide.names() == ["stroma"])
    control = Qt.KeyboardModifier.ControlModifier
    slide.key(Qt.Key.Key_Z, control)
    slide.key(Qt.Key.Key_Z, control)
    assert slide.names() == ["tumour", "stroma"]
    slide.key(Qt.Key.Key_Z, control)
    assert slide.names() == ["tumour"]
    assert slide.open.contours.contours.layer.nshapes == 1
    slide.key(Qt.Key.Key_Z, control | Qt.KeyboardModifier.ShiftModifier)
    assert slide.names() == ["tumour", "stroma"]

    # What was reviewed stays as it is.
    slide.session.update_case("a", status="reviewed")
    slide.key(Qt.Key.Key_Z, control)
    assert "was reviewed" in slide.panel.notice.words
    slide.open.contours.contours.layer.selected_data = {0}
    slide.open.contours.contours.layer.remove_selected()
    slide.until(lambda: slide.open.contours.contours.layer.nshapes == 2)
    assert slide.names() == ["tumour", "stroma"]
    # Not by napari's own brush either.
    tiles = slide.open.tiles.layer
    slide.viewer.layers.selection.active = tiles
    tiles.mode = "paint"
    painted: list[object] = []
    tiles.events.paint.connect(painted.append)
    slide.click(2500, 2500)
    slide.until(lambda: painted != [])
    assert slide.open.tiles.counts() == {}


def test_what_a_program_found_and_what_cannot_be_read_stay_in_their_files(slide: Slide, folder: Path) -> None:
    cell = {
        "type": "Feature",
        "id": "1",
        "geometry": {"type": "Polygon", "coordinates": [[[1000, 2000], [1400, 2000], [1400, 2400], [1000, 2000]]]},
        "properties": {
            "objectType": "detection",
            "classification": {"name": "Mitosis", "color": [1, 2, 3]},
            "measurements": {"Area": 5.5},
        },
    }
    slide.session.close_case()
    path = contours_path(folder / "labels", "a")
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [cell]}), "utf-8")
    slide.session.open_case("a")
    slide.open = slide.session.open
    assert slide.open.contours.contours.layer.nshapes == 0
    picture = slide.open.contours.picture.layer
    assert picture is not None
    assert (np.asarray(picture.data[0][2050:2060, 1300:1310]) == 1).all()
    assert (np.asarray(picture.data[0][2450:2460, 1300:1310]) == 255).all()
    slide.key(Qt.Key.Key_D)
    slide.freehand(4000, 4000, 800)
    slide.until(lambda: slide.names() == ["tumour"])
    # ImageScope's layers become classes of the data set.
    (folder / "other.xml").write_text(
        '<Annotations><Annotation Id="1" Name="fat" LineColor="255"><Regions><Region Type="0"><Vertices>'
        '<Vertex X="6000" Y="500"/><Vertex X="7000" Y="500"/><Vertex X="7000" Y="1500"/>'
        "</Vertices></Region></Regions></Annotation></Annotations>",
        "utf-8",
    )
    slide.panel.contours.import_file(folder / "other.xml")
    slide.until(lambda: slide.names() == ["tumour", "fat"])
    assert [(c.name, c.color) for c in slide.open.classes][2:] == [("fat", "#ff0000")]
    slide.session.close_case()
    assert json.loads(path.read_text("utf-8"))["features"][0] == cell
    assert [c.class_name for c in on_disk(folder).contours] == ["Mitosis", "tumour", "fat"]

    # A file that cannot be read is told of, and kept.
    path.write_text("{ broken", "utf-8")
    slide.session.open_case("a")
    slide.open = slide.session.open
    assert "no GeoJSON" in slide.panel.notice.words
    slide.key(Qt.Key.Key_D)
    slide.freehand(4000, 4000, 800)
    slide.until(lambda: slide.names() == ["tumour"])
    slide.session.close_case()
    assert [c.class_name for c in on_disk(folder).contours] == ["tumour"]
    kept = list((folder / "history" / "labels").glob("a*.geojson"))
    assert [each.read_text("utf-8") for each in kept] == ["{ broken"]
