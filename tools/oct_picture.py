"""Make docs/images/oct.png and measure.png: the curves of a generated volume, with thickness profile and map.

xvfb-run -a -s "-screen 0 1500x900x24" python tools/oct_picture.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication, QPushButton

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.finishing import record_labels
from napari_medseg.data.scan_columns import format_spacing
from napari_medseg.data.synthetic_oct import CLASSES, SPACING, SURFACES, volume
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

#: B-scans, rows and columns; the B-scans cover as many millimetres as they are wide.
SHAPE = (25, 384, 512)


def main(folder: Path) -> None:
    """Draw the window into files, with curves, then with the map as a layer."""
    info = DatasetInfo(name="generated", kind="oct", classes=CLASSES, surfaces=SURFACES)
    dataset = Dataset.create(Path(tempfile.mkdtemp()) / "data", info)
    image, labels = volume(*SHAPE, seed=4)
    spacing = (SHAPE[2] * SPACING[1] / SHAPE[0], *SPACING)
    case = dataset.add_image(image, "macula", extra={"spacing": format_spacing(spacing), "laterality": "R"})
    store = dataset.label_store(case, SHAPE)
    store.write_box(tuple((0, n) for n in SHAPE), labels)
    record_labels(dataset, case.case, store, revision=case.revision)
    viewer = napari.Viewer()
    viewer.window.resize(1500, 860)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("macula")
    _wait(0.5)
    opened = session.open
    assert opened is not None
    assert opened.curves is not None
    opened.labels.opacity = 0.3
    opened.curves.go_to(SHAPE[0] // 2)
    opened.edit_curves(True)
    opened.curves.choose(2)
    workspace.show_panel("Measure")
    _wait(6.0)
    viewer.reset_view()
    _wait(0.5)
    viewer.window.screenshot(str(folder / "oct.png"), flash=False, canvas_only=False)
    opened.edit_curves(False)
    map_button = workspace.findChild(QPushButton, "map_layer")
    assert map_button is not None
    map_button.click()
    _wait(0.5)
    viewer.reset_view()
    _wait(0.5)
    viewer.window.screenshot(str(folder / "measure.png"), flash=False, canvas_only=False)
    viewer.close()


def _wait(seconds: float) -> None:
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
