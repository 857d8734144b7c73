"""Make docs/images/ct.png: a generated CT with three drawn slices, what lies between, and both other planes.

xvfb-run -a -s "-screen 0 1500x1000x24" python tools/ct_picture.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
from qtpy.QtWidgets import QApplication

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.scan_columns import format_spacing
from napari_medseg.data.synthetic_ct import CLASSES, abdomen, spacing_of_size
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.ortho_views import NAME, OrthoViews, toggle_planes
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

SIZE = (80, 256, 320)
#: Slices in which the organs are drawn.
DRAWN = (31, 36, 41)


def main(folder: Path) -> None:
    """Draw the window into a file."""
    dataset = Dataset.create(
        Path(tempfile.mkdtemp()) / "data", DatasetInfo(name="generated", kind="ct", classes=CLASSES)
    )
    units, organs = abdomen(*SIZE, seed=0)
    dataset.add_image(units, "abdomen", extra={"spacing": format_spacing(spacing_of_size(*SIZE))})
    viewer = napari.Viewer()
    viewer.window.resize(1500, 900)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("abdomen")
    workspace.show_panel("Annotate")
    opened = session.open
    assert opened is not None
    assert opened.volume is not None
    for z in DRAWN:
        opened.labels.data[z] = organs[z]
    opened.labels.refresh()
    toggle_planes(viewer)
    planes = viewer.window.dock_widgets[NAME]
    assert isinstance(planes, OrthoViews)
    planes.go_to((38, 120, 150))
    opened.volume.all_classes = True
    opened.volume.interpolate()
    _wait(3.0)
    viewer.reset_view()
    _wait(1.0)
    viewer.window.screenshot(str(folder / "ct.png"), flash=False, canvas_only=False)
    viewer.close()


def _wait(seconds: float) -> None:
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
