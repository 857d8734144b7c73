"""Make docs/images/quick-learner.png and stroke-correct.png: a proposal from four strokes, and a stroke that spread.

xvfb-run -a -s "-screen 0 1500x1000x24" python tools/quick_learner_picture.py docs/images
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
from scipy import ndimage

from napari_medseg import api
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic import tissue
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.accepting import accept
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.workspace import Workspace

PICTURE, TRUTH = tissue(size=512, seed=5)


def main(folder: Path) -> None:
    """Draw both windows into files."""
    model = api.load_model(api.bundled_model("pathology"))
    info = DatasetInfo(name="generated", classes=tuple(model.card.classes))
    dataset = Dataset.create(Path(tempfile.mkdtemp()) / "data", info)
    dataset.add_image(np.asarray(api.as_image(PICTURE).data), "first")
    dataset.add_image(np.asarray(api.as_image(PICTURE).data), "predicted")
    viewer = napari.Viewer()
    viewer.window.resize(1366, 768)
    workspace = Workspace(viewer)
    viewer.window.add_dock_widget(workspace, area="right", name="napari-medseg")
    session = session_of(viewer)
    session.open_dataset(dataset.path)
    session.open_case("first")
    workspace.show_panel("Annotate")
    panel = next(widget for widget in QApplication.allWidgets() if isinstance(widget, AnnotatePanel))
    _propose(session, panel)
    _shoot(viewer, folder / "quick-learner.png")
    panel.quick.learner.set_on(False)
    session.open_case("predicted")
    _correct(session, panel, model)
    _shoot(viewer, folder / "stroke-correct.png")
    viewer.close()


def _propose(session: Session, panel: AnnotatePanel) -> None:
    """Two strokes in glands and two beside them."""
    labels = session.labels
    assert labels is not None
    labels.brush_size = 12
    learner = panel.quick.learner
    learner.set_on(True)
    for value, depth in ((1, 8), (0, 8)):
        inside = ndimage.distance_transform_edt(value == TRUTH) > depth
        places = np.argwhere(inside)
        for place in places[[len(places) // 4, 3 * len(places) // 4]]:
            for step in range(-10, 11, 4):
                labels.paint((place[0], place[1] + step), value)
    labels.events.paint(value=[])
    _wait(lambda: learner.proposal is not None and not learner.is_busy)


def _correct(session: Session, panel: AnnotatePanel, model: api.LoadedModel) -> None:
    """A click on the largest object that is missing."""
    labels = np.asarray(api.predict(model, PICTURE).labels).copy()
    parts, _ = ndimage.label(labels == 1)
    labels[parts == np.bincount(parts[parts > 0]).argmax()] = 0
    accept(session, "predicted", model="demo", labels=labels, region=None, classes=model.card.classes, tag="")
    session.set_model(api.bundled_model("pathology"))
    corrector = panel.refine.corrector
    corrector.set_on(True)
    _wait(lambda: not corrector.is_busy)
    opened = session.labels
    assert opened is not None
    missing = ndimage.distance_transform_edt((labels == 0) & (TRUTH == 1))
    opened.brush_size, opened.mode = 12, "paint"
    opened.paint(np.unravel_index(missing.argmax(), missing.shape), 1)
    _wait(lambda: not corrector.is_busy and bool(corrector.text))


def _shoot(viewer: napari.Viewer, path: Path) -> None:
    end = time.monotonic() + 2
    _wait(lambda: time.monotonic() > end)
    viewer.window.screenshot(str(path), flash=False, canvas_only=False)


def _wait(done: Callable[[], bool]) -> None:
    """Let the window work until something is done."""
    end = time.monotonic() + 60
    while not done() and time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.02)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
