"""How long the window is deaf while a training runs: gaps of a 20 ms timer in napari's event loop.

A real training is started by the Train panel (a child process) on generated tissue; the same window is measured idle
before. The goal is a 95th percentile of at most 100 ms while training. Needs a display (or ``xvfb-run -a``).

    python benchmarks/window_latency.py [--seconds 30]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np

# Before napari is imported: the user's settings stay out of this.
os.environ["NAPARI_CONFIG"] = ""

import napari
from qtpy.QtCore import QEventLoop, Qt, QTimer

from napari_medseg.data.synthetic import make_dataset
from napari_medseg.widgets.train_panel import TrainPanel

TICK_MS = 20
GOAL_MS = 100.0


def gaps(seconds: float, until=None) -> np.ndarray:
    """Milliseconds between ticks of a timer, for a while or until something is true."""
    loop, timer, ticks = QEventLoop(), QTimer(), []
    end = time.perf_counter() + seconds

    def tick() -> None:
        ticks.append(time.perf_counter())
        if ticks[-1] >= end or (until is not None and until()):
            loop.quit()

    timer.setTimerType(Qt.TimerType.PreciseTimer)
    timer.timeout.connect(tick)
    timer.start(TICK_MS)
    loop.exec()
    timer.stop()
    return np.diff(ticks) * 1000


def show(name: str, values: np.ndarray) -> None:
    p50, p95, largest = np.percentile(values, 50), np.percentile(values, 95), values.max()
    print(f"{name:34} median {p50:6.1f} ms   p95 {p95:6.1f} ms   largest {largest:7.1f} ms   ({len(values)} ticks)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    viewer = napari.Viewer(show_welcome_screen=False)
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8))
    panel = TrainPanel(viewer)
    viewer.window.add_dock_widget(panel, name="Train", area="right")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        make_dataset(Path(folder, "data"), n=24, size=256, seed=0)
        panel.session.open_dataset(Path(folder, "data"))
        gaps(120.0, until=lambda: panel.setup.found is not None)
        show("idle", gaps(args.seconds / 2))
        panel.setup.form.editor("training.epochs").put(500)
        panel.start()
        starting = gaps(300.0, until=lambda: panel.job is None or "step" in panel.run_view.state)
        show("while the training starts", starting)
        training = gaps(args.seconds, until=lambda: panel.job is None)
        if panel.job is None:
            raise SystemExit(f"The training ended early: {panel.notice.words}")
        show("while it trains", training)
        panel.job.end()
        p95 = float(np.percentile(training, 95))
        print(f"p95 while training {p95:.1f} ms, goal {GOAL_MS:.0f} ms: {'met' if p95 <= GOAL_MS else 'NOT met'}")
    viewer.close()


if __name__ == "__main__":
    main()
