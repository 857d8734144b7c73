"""The few things that panels must know about the window they live in; the only place that reaches behind napari."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import napari
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QMainWindow, QWidget


def real_viewer(viewer: napari.Viewer) -> napari.Viewer:
    """The viewer itself, where napari gave a panel a proxy of it."""
    return cast("napari.Viewer", getattr(viewer, "__wrapped__", viewer))


def main_window(viewer: napari.Viewer) -> QMainWindow:
    """The window of a viewer, to hang shortcuts and a session on."""
    return cast("QMainWindow", real_viewer(viewer).window._qt_window)


def canvas_of(viewer: napari.Viewer) -> QWidget:
    """The widget that shows a viewer's layers and takes the mouse."""
    return cast("QWidget", real_viewer(viewer).window._qt_viewer.canvas.native)


def follow(owner: QObject, emitter: Any, slot: Callable[..., None]) -> None:
    """Call a method of `owner` at each of napari's events, until Qt destroys it.

    napari keeps methods for as long as their Python object lives, which may be longer than its Qt half does.
    """
    emitter.connect(slot)
    owner.destroyed.connect(lambda: emitter.disconnect(slot))


@contextmanager
def quick_removal() -> Iterator[None]:
    """Take layers away without waiting for Python's collector, which napari runs in full for each of them.

    Objects that are frozen are passed over; what the layers leave behind is collected soon after.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
