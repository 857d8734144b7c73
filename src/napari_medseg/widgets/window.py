"""The few things that panels must know about the window they live in; the only place that reaches behind napari."""

from __future__ import annotations

from typing import cast

import napari
from qtpy.QtWidgets import QMainWindow


def real_viewer(viewer: napari.Viewer) -> napari.Viewer:
    """The viewer itself, where napari gave a panel a proxy of it."""
    return cast("napari.Viewer", getattr(viewer, "__wrapped__", viewer))


def main_window(viewer: napari.Viewer) -> QMainWindow:
    """The window of a viewer, to hang shortcuts and a session on."""
    return cast("QMainWindow", real_viewer(viewer).window._qt_window)
