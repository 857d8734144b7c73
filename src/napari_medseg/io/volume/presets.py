"""Windows of Hounsfield units that people look at CT with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from napari_medseg.structures import Image

#: (level, width) in HU by name. Pancreas is narrower than soft tissue: its contrast to tumours is small.
WINDOWS: Mapping[str, tuple[float, float]] = {
    "soft tissue": (40.0, 400.0),
    "pancreas": (60.0, 200.0),
    "liver": (90.0, 150.0),
    "lung": (-600.0, 1500.0),
    "bone": (480.0, 2500.0),
    "brain": (40.0, 80.0),
}
#: The window that the file's maker chose.
AS_FILE = "as the file says"
DEFAULT_WINDOW = "soft tissue"
#: Key of `Image.metadata` for (level, width).
WINDOW_KEY = "window"


def windows_of(image: Image) -> dict[str, tuple[float, float]]:
    """(level, width) by name for an image: the presets, and the file's own first where it has one."""
    return own_window(image.metadata) | dict(WINDOWS)


def own_window(metadata: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """The file's own window by its name; empty where there is none."""
    return {AS_FILE: metadata[WINDOW_KEY]} if WINDOW_KEY in metadata else {}


def contrast_limits(level: float, width: float) -> tuple[float, float]:
    """Darkest and brightest value of a window.

    >>> contrast_limits(*WINDOWS["lung"])
    (-1350.0, 150.0)
    """
    return level - width / 2, level + width / 2


def default_limits(image: Image) -> tuple[float, float] | None:
    """Contrast limits of a CT to begin with: the file's own window, else soft tissue; None for other images.

    A CT of 8 bits is a picture of one, in which no Hounsfield units are left.
    """
    if image.kind != "ct" or image.dtype == np.uint8:
        return None
    return contrast_limits(*own_window(image.metadata).get(AS_FILE, WINDOWS[DEFAULT_WINDOW]))
