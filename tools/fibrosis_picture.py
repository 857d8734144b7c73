"""Make docs/images/fibrosis.png: a tumour in generated CTs, drawn and graded in the region around its box.

xvfb-run -a -s "-screen 0 1500x900x24" python tools/fibrosis_picture.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from napari.layers import Shapes
from qtpy.QtWidgets import QApplication

from napari_medseg.api import train
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.forms import REGION_BOX, update_form
from napari_medseg.data.regions import mask_box
from napari_medseg.data.rows import format_region
from napari_medseg.data.synthetic_ct import TUMOUR, make_ct_dataset
from napari_medseg.widgets.predict_panel import PredictPanel
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

SHAPE = (48, 160, 200)
CASES = 24
_FIT = ("network.base_width=8", "input_size=32", "input_slices=16", "lesion=tumour", "training.epochs=25")
_FASTER = ("training.learning_rate=0.005", "training.validate_every=5", "training.steps_per_epoch=10")


def main(folder: Path) -> None:
    """Train on generated CTs, judge one of them, and draw the window into a file."""
    dataset = _make(Path(tempfile.mkdtemp()) / "data")
    run = dataset.path / "runs" / "tumour and grade"
    train("fibrosis", dataset.path, run, assignments=[*_FIT, *_FASTER], device="cpu", precision="fp32")
    viewer = napari.Viewer()
    viewer.window.resize(1500, 860)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("ct23")
    workspace.show_panel("Predict")
    _wait(0.5)
    panel = workspace.findChild(PredictPanel)
    assert panel is not None
    assert session.labels is not None
    session.labels.visible = False
    panel.run()
    while panel.job is not None:
        _wait(0.2)
    (result,) = panel.results.results
    for layer in result.layers:
        layer.visible = True
    axes = result.layers[-1]
    assert isinstance(axes, Shapes)
    viewer.dims.set_current_step(0, round(float(axes.data[0][0, 0])))
    viewer.reset_view()
    viewer.camera.center = np.array(result.layers[0].extent.world).mean(axis=0)
    viewer.camera.zoom *= 2.2
    _wait(1.0)
    viewer.window.screenshot(str(folder / "fibrosis.png"), flash=False, canvas_only=False)
    session.close_case()
    viewer.close()


def _make(path: Path) -> Dataset:
    """Abdomens whose tumour is denser the higher its grade, and the box of the last one."""
    dataset = make_ct_dataset(path, CASES, SHAPE)
    labels = dataset.read_labels(dataset.case(f"ct{CASES - 1}"))
    box = mask_box(labels, [TUMOUR.value])
    assert box is not None
    update_form(dataset, f"ct{CASES - 1}", {REGION_BOX: format_region(box)})
    return dataset


def _wait(seconds: float) -> None:
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
