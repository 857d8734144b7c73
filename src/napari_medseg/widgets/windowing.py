"""Which intensities an image is shown between: presets, level and width, remembered per kind of image."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_medseg.errors import AnnotationError
from napari_medseg.io.atomic import write_text
from napari_medseg.io.volume.presets import AS_FILE, WINDOWS, contrast_limits, own_window
from napari_medseg.widgets._layers import show_window
from napari_medseg.widgets.recent import settings_file

if TYPE_CHECKING:
    from napari_medseg.widgets.session import Session

#: The key of each preset; Ctrl+0 does not reach a window of napari.
KEYS = {name: f"Ctrl+{number}" for number, name in enumerate((*WINDOWS, AS_FILE), start=1)}
_FILE = "windows.json"
_NO_UNITS = "This image has no Hounsfield units; set its contrast with level and width."
_NO_OWN = "The file of this image names no window of its own."


class Window(NamedTuple):
    """What lies between black and white: its middle and its width, in the image's own units."""

    level: float
    width: float


def has_units(layer: Layer) -> bool:
    """Whether a layer shows Hounsfield units; a CT of 8 bits is a picture of one, in which none are left."""
    kind = layer.metadata.get("medseg", {}).get("kind")
    return isinstance(layer, ImageLayer) and kind == "ct" and layer.dtype != np.uint8


def windows_of(layer: Layer) -> dict[str, Window]:
    """Presets for a layer by name, its file's own first; empty where windows make no sense."""
    if not isinstance(layer, ImageLayer):
        return {}
    own = own_window(layer.metadata.get("medseg", {}))
    presets = WINDOWS if has_units(layer) else {}
    return {name: Window(*window) for name, window in (own | dict(presets)).items()}


def image_to_window(viewer: napari.Viewer) -> ImageLayer | None:
    """The image that a window is chosen for: the active one, else the uppermost that is visible; None without any."""
    active = viewer.layers.selection.active
    for layer in (*([active] if active is not None else []), *reversed(viewer.layers)):
        if isinstance(layer, ImageLayer) and layer.visible and windows_of(layer):
            return layer
    return None


def window_now(layer: ImageLayer) -> Window:
    """The window that a layer is shown with."""
    low, high = (float(limit) for limit in layer.contrast_limits)
    return Window((low + high) / 2, high - low)


def name_now(layer: ImageLayer) -> str:
    """The preset that a layer is shown with; empty for another window."""
    now = window_now(layer)
    return next((name for name, window in windows_of(layer).items() if np.allclose(window, now)), "")


def show(layer: ImageLayer, window: Window) -> None:
    """Show a layer with a window, without remembering it."""
    limits = contrast_limits(*window)
    if has_units(layer):
        show_window(layer, limits)
        return
    low, high = layer.contrast_limits_range
    layer.contrast_limits_range = (min(low, limits[0]), max(high, limits[1]))
    layer.contrast_limits = limits


def choose_preset(session: Session, name: str) -> None:
    """Show the image of a session with a preset, and every later one of its kind.

    Raises
    ------
    AnnotationError
        No image has Hounsfield units, or its file names no window.
    """
    layer = image_to_window(session.viewer)
    if layer is None:
        raise AnnotationError("No image here has Hounsfield units: open a CT to choose its window.")
    windows = windows_of(layer)
    if name not in windows:
        raise AnnotationError(_NO_OWN if name == AS_FILE else _NO_UNITS)
    show(layer, windows[name])
    _remember(session, layer, name)


def choose_window(session: Session, layer: ImageLayer, window: Window) -> None:
    """Show a layer with a level and a width; later images with Hounsfield units are shown so too."""
    show(layer, window)
    if has_units(layer):
        # Grey values of MR mean something else in every scan.
        _remember(session, layer, window)


def show_as_remembered(session: Session, layer: ImageLayer) -> None:
    """Show a new layer as images of its kind were shown last; as it is where none was, or it has no such window."""
    chosen = _recall(session).get(_kind(layer))
    window = windows_of(layer).get(chosen) if isinstance(chosen, str) else chosen
    if window is not None and windows_of(layer):
        show(layer, window)


def remembered_window(session: Session, kind: str) -> str:
    """Name of the preset that images of this kind were shown with last; empty where it was none."""
    chosen = _recall(session).get(kind)
    return chosen if isinstance(chosen, str) else ""


def _kind(layer: Layer) -> str:
    return str(layer.metadata.get("medseg", {}).get("kind", ""))


def _remember(session: Session, layer: ImageLayer, chosen: str | Window) -> None:
    remembered = _recall(session)
    remembered[_kind(layer)] = chosen
    path = settings_file(_FILE)
    if path is not None:
        write_text(path, json.dumps(remembered))


def _recall(session: Session) -> dict[str, str | Window]:
    """What was chosen last by kind of image: the name of a preset, or level and width."""
    if session.windows is None:
        session.windows = _read()
    return session.windows


def _read() -> dict[str, str | Window]:
    path = settings_file(_FILE)
    if path is None or not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        # Written by another version, or by hand: forgetting is harmless.
        return {}
    known: dict[str, str | Window] = {}
    for kind, chosen in (found if isinstance(found, dict) else {}).items():
        if isinstance(chosen, str):
            known[kind] = chosen
        elif isinstance(chosen, list) and len(chosen) == 2 and all(isinstance(n, int | float) for n in chosen):
            known[kind] = Window(*chosen)
    return known
