"""Make docs/images/slides.png: a generated slide with contours, a complete region and tags of tiles.

xvfb-run -a -s "-screen 0 1500x1000x24" python tools/slide_picture.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
import numpy.typing as npt
from qtpy.QtWidgets import QApplication, QScrollArea

from napari_medseg.annotation.contour_drawing import Look
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import tag_classes
from napari_medseg.data.synthetic_slide import CLASSES, write_slide
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.contours_section import ContoursSection
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.slide_case import SlideCase
from napari_medseg.widgets.slide_contours import REGION_LOOK
from napari_medseg.widgets.tiles_section import TilesSection
from napari_medseg.widgets.workspace import Workspace

SIZE = (12000, 16000)
#: Rows and columns of tiles with tags.
BENIGN, MALIGNANT = (slice(9, 11), slice(9, 13)), (slice(2, 5), slice(11, 13))


def main(folder: Path) -> None:
    """Draw the window into a file."""
    home = Path(tempfile.mkdtemp())
    write_slide(home / "slide.svs", SIZE, seed=3, share=0.3, mpp=0.5)
    info = DatasetInfo(
        name="generated", kind="slide", classes=CLASSES, tags=tag_classes(["benign", "malignant"]), tile="448 µm"
    )
    dataset = Dataset.create(home / "data", info)
    dataset.add_case(home / "slide.svs", case="slide")
    viewer = napari.Viewer()
    viewer.window.resize(1500, 900)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("slide")
    workspace.show_panel("Annotate")
    opened = session.open
    assert isinstance(opened, SlideCase)
    _draw(opened)
    for section in (*workspace.findChildren(ContoursSection), *workspace.findChildren(TilesSection)):
        section.fold.set_open(True)
    opened.tiles.start()
    _wait(2.0)
    viewer.reset_view()
    for area in workspace.findChildren(QScrollArea):
        for section in area.findChildren(TilesSection):
            area.ensureWidgetVisible(section)
    _wait(2.0)
    viewer.window.screenshot(str(folder / "slides.png"), flash=False, canvas_only=False)
    viewer.close()


def _draw(opened: SlideCase) -> None:
    tumour, necrosis = (Look(c.name, c.color) for c in CLASSES)
    drawing = opened.contours.drawing
    drawing.draw(_blob(3600, 4200, 2300), "new", tumour)
    drawing.draw(_blob(3500, 4300, 900), "cut", tumour)
    drawing.draw(_blob(8300, 4400, 1500), "new", necrosis)
    region = np.array([(700, 1200), (700, 7600), (10600, 7600), (10600, 1200)], np.float64)
    drawing.draw(region, "new", REGION_LOOK)
    for place, value in ((BENIGN, 1), (MALIGNANT, 2)):
        opened.tiles.layer.data[place] = value
    opened.tiles.layer.refresh()


def _blob(y: float, x: float, radius: float) -> npt.NDArray[np.float64]:
    angle = np.linspace(0, 2 * np.pi, 80, endpoint=False)
    wavy = radius * (1 + 0.08 * np.sin(5 * angle) + 0.05 * np.cos(9 * angle))
    return np.stack([y + wavy * np.sin(angle), x + wavy * np.cos(angle)], axis=1)


def _wait(seconds: float) -> None:
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
