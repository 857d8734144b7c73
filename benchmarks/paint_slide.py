"""How long it takes to paint on a generated slide: strokes with real mouse events, saving, moving the window.

A window of napari is opened on a case that is a whole slide, and everything is done as a person does it: mouse events
on the canvas, moves of the camera. A display is needed (``xvfb-run -a -s "-screen 0 1400x1000x24 +extension GLX"``).

    python benchmarks/paint_slide.py [--shape 80000 100000] [--places 12] [--seed 0]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("NAPARI_CONFIG", "")

import napari
import numpy as np
from qtpy.QtCore import QEvent, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.synthetic_slide import CLASSES, write_slide
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.annotate_panel import AnnotatePanel
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.window import canvas_of

BRUSH = 40
#: Screen pixels per pixel of the painting, and mouse events of a stroke with the screen pixels between them.
ZOOM, EVENTS, STEP = 1.0, 20, 12
#: napari takes no notice of mouse moves that follow each other in less than a hundredth of a second.
PAUSE = 0.012

Times = dict[str, list[tuple[float, float]]]


def timed(times: list[tuple[float, float]], act: Callable[[], object]) -> None:
    """Note wall and CPU seconds of an act, until the window has drawn what it changed."""
    wall, cpu = time.perf_counter(), time.process_time()
    act()
    QApplication.processEvents()
    times.append((time.perf_counter() - wall, time.process_time() - cpu))


def open_slide(folder: Path, shape: tuple[int, int], seed: int, times: Times) -> Session:
    """A viewer of 1366 x 768 with the Annotate panel and a generated slide."""
    slide = folder / "slide.svs"
    write_slide(slide, shape, seed=seed, share=0.12)
    dataset = Dataset.create(folder / "data", DatasetInfo(name="slides", kind="slide", classes=CLASSES))
    dataset.add_case(slide, case="slide")
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.window.resize(1366, 768)
    viewer.window.add_dock_widget(AnnotatePanel(viewer), area="right")
    session = session_of(viewer)
    session.open_dataset(folder / "data")
    QApplication.processEvents()
    timed(times["open the case, to the first picture"], lambda: session.open_case("slide"))
    return session


def look_at(session: Session, place: np.ndarray) -> None:
    """Bring a pixel of the painting (y, x) to the middle of the view."""
    opened = session.open
    step = opened.painted.layer.scale
    camera = session.viewer.scene.camera
    camera.center, camera.zoom = tuple(place * step), ZOOM / step[0]


def stroke(session: Session, times: list[tuple[float, float]]) -> None:
    """Paint from the middle of the view to the right and down, and note what each move of the mouse takes."""
    canvas = canvas_of(session.viewer)
    start = np.array([canvas.width() / 2, canvas.height() / 2])
    press, move, release = (
        QEvent.Type.MouseButtonPress,
        QEvent.Type.MouseMove,
        QEvent.Type.MouseButtonRelease,
    )
    left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton

    def send(kind: QEvent.Type, step: int, button: Qt.MouseButton, held: Qt.MouseButton) -> None:
        place = QPointF(*(start + step * np.array([STEP, STEP / 3])))
        event = QMouseEvent(kind, place, canvas.mapToGlobal(place), button, held, Qt.KeyboardModifier.NoModifier)
        QApplication.sendEvent(canvas, event)

    send(press, 0, left, left)
    for step in range(1, EVENTS + 1):
        time.sleep(PAUSE)
        timed(times, lambda step=step: send(move, step, none, left))
    send(release, EVENTS, left, none)


def places(shape: tuple[int, ...], count: int, seed: int) -> Iterator[np.ndarray]:
    """Pixels of a painting, all over it, each in another window than the one before."""
    rng = np.random.default_rng(seed)
    before = np.zeros(2)
    while count:
        place = rng.uniform(0.05, 0.95, 2) * shape
        if np.abs(place - before).max() > 4096:
            yield place
            before, count = place, count - 1


def measure(session: Session, count: int, seed: int) -> Times:
    """Paint at places all over the slide."""
    opened, times = session.open, defaultdict(list)
    opened.choose_class(1)
    opened.labels.brush_size = BRUSH
    for place in places(opened.store.shape, count, seed):
        look_at(session, place)
        # Right after a stroke: what is not saved yet is saved before the window moves.
        timed(times["move the window, saving a stroke"], opened.window.follow)
        stroke(session, times["mouse event of a stroke"])
        painted = int((opened.labels.data == 1).sum())
        assert painted > EVENTS * STEP * BRUSH / 2, painted
        timed(times["save a stroke"], opened.autosave.flush)
        stroke(session, [])
    timed(times["complete the view"], lambda: opened.mark_region_complete(view_of(session)))
    whole = tuple((0, n) for n in opened.labels.data.shape)
    opened.fill_not_looked_at(whole)
    timed(times["save a whole window (4096 x 4096)"], opened.autosave.flush)
    return times


def view_of(session: Session) -> tuple[tuple[int, int], ...]:
    """What is in view, in pixels of the window."""
    from napari_medseg.widgets.regions import view_region

    return view_region(session.viewer, session.open.labels)


def report(times: Times) -> None:
    """Print a table in milliseconds."""
    print("| what | times | wall ms, median | wall ms, 95 % | CPU ms, median | CPU ms, 95 % |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, each in times.items():
        figures = [f"{np.percentile([t[kind] for t in each], p) * 1e3:.0f}" for kind in (0, 1) for p in (50, 95)]
        print(f"| {name} | {len(each)} | {' | '.join(figures)} |")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", type=int, nargs=2, default=(80_000, 100_000), help="rows and columns of the slide")
    parser.add_argument("--places", type=int, default=12, help="how often the window moves")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        times: Times = defaultdict(list)
        session = open_slide(Path(folder), tuple(chosen.shape), chosen.seed, times)
        print(f"slide {chosen.shape[0]} x {chosen.shape[1]}, painted at 1/{session.open.store.downsample}")
        times.update(measure(session, chosen.places, chosen.seed))
        report(times)
        session.close_case()
        session.viewer.close()


if __name__ == "__main__":
    main()
