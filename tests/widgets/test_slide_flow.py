"""A slide of 100,000 by 80,000 pixels from end to end: annotated by mouse and keys, trained on, predicted under 2 GB.

Training and prediction run in processes of their own, as a person's would.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.slide_contours import REGION, SlideContours, contours_path
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.data.synthetic_slide import CLASSES, SyntheticSlide, write_slide
from napari_medseg.data.tile_tags import read_tile_tags, tags_path
from napari_medseg.io import read_labels
from napari_medseg.structures import NOT_LOOKED_AT, DatasetInfo
from napari_medseg.widgets import autosave
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import session_of
from tests.data.slides import TAGS, islands, outline, paint, pure_squares, tag_tiles

from .helpers import canvas_of, move, place_of, press, settled, stroke

pytestmark = pytest.mark.viewer
pytest.importorskip("torch")

#: Rows and columns, micrometres per pixel, and the side of a tile that is tagged.
SHAPE, MPP, TILE = (80_000, 100_000), 0.25, 512
MEMORY = 2e9
SMALL = {
    "network.base_width": 4,
    "input_size": 64,
    "slides.mpp": 1.0,
    "slides.tiles_per_pass": 6,
    "slides.validation_tiles": 3,
    "training.epochs": 1,
    "training.steps_per_epoch": 2,
    "training.batch_size": 2,
}
#: Runs a command and prints, last, the most memory that it ever held.
MEASURED = (
    "import resource, sys\n"
    "from napari_medseg.cli import main\n"
    "code = main(sys.argv[1:])\n"
    "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == 'darwin' else 1024)\n"
    "if sys.platform.startswith('linux'):\n"
    # The other figure begins with that of the process which started this one.
    "    lines = open('/proc/self/status').read().splitlines()\n"
    "    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith('VmHWM'))\n"
    "print(peak)\n"
    "sys.exit(code)\n"
)


class Desk:
    """A large slide on screen, and a hand that annotates it; places are pixels of the finest level."""

    def __init__(self, qtbot, viewer, folder: Path) -> None:
        self.qtbot, self.viewer = qtbot, viewer
        self.panel = AnnotatePanel(viewer)
        viewer.window.add_dock_widget(self.panel, area="right")
        self.session = session_of(viewer)
        self.session.painting_size = 1.0
        self.session.open_dataset(folder)
        self.session.open_case("large")
        settled(qtbot, lambda: (canvas_of(viewer).width(), canvas_of(viewer).height()))

    def look_at(self, y: float, x: float, zoom: float = 0.25) -> None:
        """Show a place in the middle, at screen pixels per pixel; the window to paint in follows."""
        self.viewer.scene.camera.center = (y * MPP, x * MPP)
        self.viewer.scene.camera.zoom = zoom / MPP
        window = self.session.open.window
        self.qtbot.waitUntil(lambda: window.is_open and not window.is_following, timeout=60_000)

    def place(self, y: float, x: float):
        return place_of(self.viewer, y * MPP, x * MPP)

    def drag(self, *points) -> None:
        stroke(self.qtbot, canvas_of(self.viewer), [self.place(*point) for point in points])

    def click(self, y: float, x: float) -> None:
        move(canvas_of(self.viewer), self.place(y, x), held=Qt.MouseButton.NoButton)
        self.qtbot.wait(30)
        self.qtbot.mouseClick(canvas_of(self.viewer), Qt.MouseButton.LeftButton, pos=self.place(y, x))
        self.qtbot.wait(30)

    def outline(self, square) -> None:
        """A polygon along the border of a box, click by click."""
        (y0, y1), (x0, x1) = square
        for corner in ((y0, x0), (y0, x1), (y1, x1), (y1, x0)):
            self.click(*corner)
        self.qtbot.keyClick(canvas_of(self.viewer), Qt.Key.Key_Escape)

    def key(self, key: Qt.Key) -> None:
        press(self.qtbot, self.viewer, key)

    def until(self, check) -> None:
        self.qtbot.waitUntil(check, timeout=60_000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set of a large slide that nobody has touched, and of a small finished one to validate with."""
    root = tmp_path_factory.mktemp("slides")
    write_slide(root / "large.svs", SHAPE, share=0.004, mpp=MPP)
    info = DatasetInfo(name="set", kind="slide", classes=CLASSES, tags=tag_classes(TAGS), tile=f"{TILE} px")
    dataset = Dataset.create(root / "data", info)
    dataset.add_case(root / "large.svs", case="large", split="train")
    small = write_slide(root / "small.svs", (2048, 3072), seed=1, mpp=MPP)
    dataset.add_case(root / "small.svs", case="small", split="val", status="done")
    for label in (paint, outline, tag_tiles):
        label(dataset, "small", small)
    return root


def squares_of(slide: SyntheticSlide, value: int, side: int) -> list:
    """Squares of one class, of a grid over all islands of a slide."""
    return [square for box in islands(slide) for square in pure_squares(slide.truth(box), value, box, side)]


def centre(square) -> tuple[float, float]:
    (y0, y1), (x0, x1) = square
    return (y0 + y1) / 2, (x0 + x1) / 2


def command(*words: object) -> list[str]:
    """Lines that a command in a fresh process prints, with its peak memory in bytes as the last."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, *map(str, words)], capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def annotate(desk: Desk, slide: SyntheticSlide) -> None:
    """Contours of both classes and a complete region, painting far from them, and tagged tiles."""
    for value, key in ((1, Qt.Key.Key_4), (2, Qt.Key.Key_5)):
        square = squares_of(slide, value, 512)[0]
        desk.look_at(*centre(square))
        desk.key(key)
        desk.key(Qt.Key.Key_G)
        desk.outline(square)
        desk.until(lambda value=value: len(desk.session.open.contours.present.contours) == value)
    empty = next(box for box in squares_of(slide, 0, 1024))
    desk.look_at(*centre(empty))
    desk.key(Qt.Key.Key_Q)
    desk.outline(empty)
    desk.until(lambda: len(desk.session.open.contours.present.contours) == 3)

    y, x = centre(squares_of(slide, 1, 512)[-1])
    desk.look_at(y, x)
    desk.key(Qt.Key.Key_4)
    desk.viewer.layers.selection.active = desk.session.open.labels
    desk.session.open.labels.brush_size = 30
    desk.session.open.labels.mode = "paint"
    # napari takes no notice of moves that follow each other too fast, so the first and the last come twice.
    desk.drag((y, x - 100), (y, x - 100), (y, x), (y, x + 100), (y, x + 100))
    desk.until(lambda: desk.session.open.autosave.is_saved() and desk.session.case.label != "")

    desk.key(Qt.Key.Key_T)
    for number, key in enumerate((Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3)):
        y, x = centre(tiles_of(slide, number)[0])
        desk.look_at(y, x)
        desk.key(key)
        desk.click(y, x)
        desk.until(lambda number=number: sum(desk.session.open.tiles.counts().values()) == number + 1)


def tiles_of(slide: SyntheticSlide, value: int) -> list:
    """Tiles of the grid whose middle is of one class."""
    middles = [(tuple(np.floor_divide(centre(square), TILE)), square) for square in squares_of(slide, value, 256)]
    return [tuple((int(k) * TILE, int(k + 1) * TILE) for k in tile) for tile, _ in middles]


def test_a_large_slide_is_annotated_trained_on_and_predicted(
    make_napari_viewer, qtbot, folder: Path, monkeypatch
) -> None:
    monkeypatch.setattr(autosave, "QUIET_SECONDS", 0.05)
    slide = SyntheticSlide.make(SHAPE, share=0.004, mpp=MPP)
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    desk = Desk(qtbot, viewer, folder / "data")
    annotate(desk, slide)
    desk.session.close_case()

    dataset = Dataset.open(folder / "data")
    case = dataset.case("large")
    contours = SlideContours.read(contours_path(dataset.labels_folder, "large"))
    assert [c.class_name for c in contours.contours] == ["tumour", "necrosis", REGION]
    for value in (1, 2):
        found = contours.labels(squares_of(slide, value, 512)[0], 16, CLASSES)
        assert (found == value).mean() > 0.9
    master = SlideMaster.open(dataset.current_label_path(case))
    y, x = (int(c) // master.downsample for c in centre(squares_of(slide, 1, 512)[-1]))
    assert (master.read(((y - 2, y + 3), (x - 20, x + 20))) == 1).all()
    tags = {tile.tag: tile.box for tile in read_tile_tags(tags_path(dataset.labels_folder, "large"))}
    assert set(tags) == set(TAGS)
    dataset.update_case("large", revision=case.revision, status="done")

    settings = [part for name, value in SMALL.items() for part in ("--set", f"{name}={value}")]
    run = folder / "run"
    command("train", "pathology", "--data", folder / "data", "--out", run, "--device", "cpu", *settings)
    counted = json.loads((run / "summary.json").read_text("utf-8"))["cases"]["train"]
    assert (counted["slides"], counted["masks"], counted["tiles"]) == (1, 1, 3)

    out = folder / "out"
    *_, peak = command("predict", run, folder / "large.svs", "--out", out, "--device", "cpu")
    assert int(peak) < MEMORY
    (row,) = csv.DictReader((out / "predictions.csv").open(encoding="utf-8"))
    assert row["error"] == ""
    stored = read_labels(out / "large.zarr")
    assert tuple(stored.labels.shape) == SHAPE
    for box in islands(slide):
        middle = tuple((int(c) - 50, int(c) + 50) for c in centre(box))
        assert (np.asarray(stored.labels[tuple(slice(*span) for span in middle)]) != NOT_LOOKED_AT).all()
