"""How long a click on a curve takes, from the mouse to the drawn frame.

    xvfb-run -a python benchmarks/oct_click.py

A B-scan of 496 x 768 with eight surfaces is drawn click by click in a window of napari: the curve is traced, the
labels of the changed columns are drawn, both layers are refreshed. Printed are the median and the 95th percentile in
milliseconds of that answer, and of the frame that the graphics card (or software in its place) draws afterwards.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.layers import with_layers
from napari_medseg.data.retina import BACKGROUND_WORD
from napari_medseg.data.synthetic_oct import LAYERS, bscan, surface_rows
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.session import session_of

HEIGHT, WIDTH, CLICKS = 496, 768, 6


def main() -> None:
    """Measure, and print one JSON document."""
    # The generated layers have seven surfaces; a layer between pigment epithelium and choroid makes eight.
    info = with_layers(DatasetInfo(name="clicks", kind="oct"), [BACKGROUND_WORD, *LAYERS, "choroid", BACKGROUND_WORD])
    rows = surface_rows(1, HEIGHT, WIDTH, 0)[0]
    rows = np.concatenate([rows, rows[-1:] + 40])
    folder = Path(tempfile.mkdtemp()) / "data"
    Dataset.create(folder, info).add_image(bscan(HEIGHT, WIDTH)[0], "one")
    viewer = napari.Viewer()
    session = session_of(viewer)
    session.open_dataset(folder)
    session.open_case("one")
    opened = session.open
    assert opened is not None
    assert opened.curves is not None
    opened.edit_curves(True)
    curves = opened.curves
    QApplication.processEvents()
    answers, frames = [], []
    for surface in (0, len(rows) - 1, *range(1, len(rows) - 1)):
        curves.choose(surface)
        for column in np.linspace(2, WIDTH - 3, CLICKS).round().astype(int).tolist():
            QApplication.processEvents()
            start = time.perf_counter()
            curves.do(curves.curves.add_anchor, 0, surface, column, float(rows[surface, column]))
            answered = time.perf_counter()
            viewer.window._qt_viewer.canvas.native.update()
            QApplication.processEvents()
            frames.append(time.perf_counter() - answered)
            answers.append(answered - start)
    print(json.dumps({"clicks": len(answers), "answer": _summary(answers), "frame": _summary(frames)}, indent=2))
    viewer.close()


def _summary(seconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile in milliseconds."""
    median, high = 1000 * np.percentile(seconds, [50, 95])
    return {"median_ms": round(float(median), 1), "p95_ms": round(float(high), 1)}


if __name__ == "__main__":
    main()
