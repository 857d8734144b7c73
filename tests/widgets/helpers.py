"""What tests of panels share: data sets, real mouse events, and looking at files as another program would."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication, QWidget

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.structures import DatasetInfo

#: Rows and columns of the test images.
SHAPE = (512, 640)


def make_dataset(folder: Path, cases: int = 3, *, classes=("gland", "stroma"), tags=("benign", "malignant")) -> Dataset:
    """A data set of smooth colour images; no case is labelled."""
    info = DatasetInfo(name="test", classes=mask_classes(classes), tags=tag_classes(tags))
    dataset = Dataset.create(folder, info)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    for index in range(cases):
        image = np.stack([y % 256, x % 256, np.full(SHAPE, 40 * index)], axis=-1).astype(np.uint8)
        dataset.add_image(image, f"case{index}", group=f"patient{index}")
    return Dataset.open(folder)


def labels_on_disk(folder: Path, case_id: str) -> np.ndarray | None:
    """Labels as a program that starts now reads them."""
    dataset = Dataset.open(folder)
    return dataset.read_labels(dataset.case(case_id))


def row_in_another_process(folder: Path, case_id: str) -> dict[str, object]:
    """Row and label statistics of a case, read by a fresh interpreter."""
    code = (
        "import dataclasses, json, sys, numpy as np\n"
        "from napari_medseg.data.dataset import Dataset\n"
        "d = Dataset.open(sys.argv[1]); c = d.case(sys.argv[2]); m = d.read_labels(c)\n"
        "values = {} if m is None else {str(v): int(n) for v, n in zip(*np.unique(m, return_counts=True))}\n"
        "print(json.dumps({**dataclasses.asdict(c), 'values': values}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), case_id], capture_output=True, text=True, check=True, timeout=120
    )
    return json.loads(done.stdout)


def canvas_of(viewer):
    """The widget that takes mouse and keys."""
    return viewer.window._qt_viewer.canvas.native


def place_of(viewer, row: float, column: float) -> QPoint:
    """Where on the canvas a pixel of the 2-D image is shown."""
    canvas = canvas_of(viewer)
    center, zoom = viewer.scene.camera.center[-2:], viewer.scene.camera.zoom
    x = canvas.width() / 2 + (column - center[1]) * zoom
    y = canvas.height() / 2 + (row - center[0]) * zoom
    return QPoint(round(x), round(y))


def move(widget: QWidget, point: QPoint, modifier=Qt.KeyboardModifier.NoModifier, held=Qt.MouseButton.LeftButton):
    """Move the mouse over a widget with a button held, or ``NoButton``.

    ``qtbot.mouseMove`` would move the pointer of the screen instead, which tells of it later and of no button.
    """
    place = QPointF(point)
    event = QMouseEvent(
        QEvent.Type.MouseMove, place, widget.mapToGlobal(place), Qt.MouseButton.NoButton, held, modifier
    )
    QApplication.sendEvent(widget, event)


def stroke(qtbot, widget, points, modifier=Qt.KeyboardModifier.NoModifier) -> None:
    """Press the left button at the first point of a widget, move over the others, release at the last."""
    move(widget, points[0], modifier, Qt.MouseButton.NoButton)
    qtbot.mousePress(widget, Qt.MouseButton.LeftButton, modifier, points[0])
    for point in points[1:]:
        move(widget, point, modifier)
        # Plots drop moves that follow each other too fast.
        qtbot.wait(30)
    qtbot.mouseRelease(widget, Qt.MouseButton.LeftButton, modifier, points[-1])


def settled(qtbot, look, polls: int = 30) -> None:
    """Wait until what `look` returns (a place in a window that is still laid out) has stayed the same for a while."""
    seen: list[object] = []

    def same() -> bool:
        seen.append(look())
        return len(seen) >= polls and all(each == seen[-1] for each in seen[-polls:])

    qtbot.waitUntil(same, timeout=10000)


def drag(qtbot, viewer, pixels) -> None:
    """A stroke of the left mouse button over pixels (row, column) of the image."""
    stroke(qtbot, canvas_of(viewer), [place_of(viewer, *pixel) for pixel in pixels])


def press(qtbot, viewer, key, modifier=Qt.KeyboardModifier.AltModifier) -> None:
    """A key while the canvas has the focus."""
    viewer.window._qt_window.activateWindow()
    qtbot.waitUntil(viewer.window._qt_window.isActiveWindow, timeout=5000)
    qtbot.keyClick(canvas_of(viewer), key, modifier)
