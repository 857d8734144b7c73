"""How long people wait at the start: the help text, and opening a panel in a running napari.

    python benchmarks/startup.py [--repeats N]

Prints one line per figure with the limit it is meant to keep: `napari-medseg --help` 0.5 s, a panel 1.0 s. Each panel
is opened in a process of its own, after napari's window is up, so that it pays for its own imports. The wall time is
followed by the processor time, which a busy machine changes little.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

PANELS = ("Workspace", "Open", "Cases", "Annotate", "Train", "Predict", "Measure")

OPEN_PANEL = """
import sys, time
import napari
from qtpy.QtWidgets import QApplication

viewer = napari.Viewer(show_welcome_screen=False)
QApplication.processEvents()
start, cpu = time.perf_counter(), time.process_time()
viewer.window.add_plugin_dock_widget("napari-medseg", sys.argv[1])
QApplication.processEvents()
print(time.perf_counter() - start, time.process_time() - cpu, "torch" in sys.modules)
viewer.close()
"""


def help_seconds() -> tuple[float, float]:
    """Wall and processor time of ``napari-medseg --help`` in a new process."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, "-m", "napari_medseg", "--help"], check=True, capture_output=True)
    wall, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def panel_seconds(panel: str) -> tuple[float, float]:
    """Wall and processor time of opening a panel in a window that is up."""
    environment = {**os.environ, "NAPARI_CONFIG": ""}
    done = subprocess.run(
        [sys.executable, "-c", OPEN_PANEL, panel], check=True, capture_output=True, text=True, env=environment
    )
    wall, cpu, torch_loaded = done.stdout.split()[-3:]
    if torch_loaded == "True":
        raise SystemExit(f"Opening {panel} loaded torch.")
    return float(wall), float(cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--repeats", type=int, default=3, help="the median is printed")
    repeats = parser.parse_args().repeats
    show("napari-medseg --help", [help_seconds() for _ in range(repeats)], 0.5)
    for panel in PANELS:
        show(f"open {panel}", [panel_seconds(panel) for _ in range(repeats)], 1.0)


def show(name: str, figures: list[tuple[float, float]], limit: float) -> None:
    wall, cpu = (statistics.median(column) for column in zip(*figures, strict=True))
    verdict = "met" if wall <= limit else "missed"
    print(f"{name:<24}{wall:6.2f} s  ({cpu:.2f} s of processor time)   limit {limit} s   {verdict}", flush=True)


if __name__ == "__main__":
    main()
