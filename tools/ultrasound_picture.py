"""Make docs/images/ultrasound.png: a generated frame with its scan region, an explained class and a TI-RADS form.

xvfb-run -a -s "-screen 0 1500x1000x24" python tools/ultrasound_picture.py docs/images
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_medseg.api import train
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.forms import LINES, TIRADS, update_form
from napari_medseg.data.regions import lesion_mask
from napari_medseg.data.synthetic_ultrasound import make_dataset
from napari_medseg.measure.diameters import diameters
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.predict_panel import PredictPanel
from napari_medseg.widgets.scan_box import scan_box_of
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.workspace import Workspace

#: Of a patient that the model has not seen.
CASE = "frame_036"
ANSWERS = {"composition": "solid", "echogenicity": "hypoechoic", "shape": "taller", "margin": "irregular"}
_FIT = ("network.base_width=8", "network.middle_modules=2", "input_size=128", "training.epochs=30")
_FASTER = ("training.batch_size=12", "training.steps_per_epoch=8", "training.validate_every=5")


def main(folder: Path) -> None:
    """Train on generated frames, judge one of them, and draw the window into files."""
    dataset = make_dataset(Path(tempfile.mkdtemp()) / "generated thyroid", n=40)
    _fill_form(dataset)
    run = dataset.path / "runs" / "thyroid"
    train("thyroid", dataset.path, run, assignments=[*_FIT, *_FASTER], device="cpu", precision="fp32")
    viewer = napari.Viewer()
    viewer.window.resize(1500, 860)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    workspace.show_panel("Annotate")
    _wait(1.0)
    session.open_case(CASE)
    _wait_for(lambda: scan_box_of(session).box is not None)
    annotate = workspace.findChild(AnnotatePanel)
    assert annotate is not None
    annotate.ultrasound.tirads.start()
    viewer.reset_view()
    _wait(1.0)
    viewer.window.screenshot(str(folder / "ultrasound-annotate.png"), flash=False, canvas_only=False)
    workspace.show_panel("Predict")
    panel = workspace.findChild(PredictPanel)
    assert panel is not None
    assert session.labels is not None
    session.labels.visible = False
    _wait_for(lambda: panel.models.path is not None)
    panel.run()
    _wait_for(lambda: panel.job is None)
    viewer.reset_view()
    _wait(1.0)
    viewer.window.screenshot(str(folder / "ultrasound.png"), flash=False, canvas_only=False)
    session.close_case()
    viewer.close()


def _fill_form(dataset: Dataset) -> None:
    """The answers of a person about one case, and the long axis of its nodule."""
    labels = dataset.read_labels(dataset.case(CASE))
    assert labels is not None
    size = diameters(lesion_mask(labels), (1.0, 1.0))
    assert size is not None
    lines = [np.round(size.long_line, 1).tolist(), np.round(size.short_line, 1).tolist()]
    update_form(dataset, CASE, {TIRADS: {**ANSWERS, "foci": ["punctate"]}, LINES: lines})


def _wait_for(done: Callable[[], bool]) -> None:
    while not done():
        _wait(0.2)


def _wait(seconds: float) -> None:
    """Let the window work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
