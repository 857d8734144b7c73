"""Slides in the viewer: which file a layer shows, and which part of it is meant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Shapes

from napari_medseg.errors import ConfigError
from napari_medseg.io.slide.facts import SLIDE_PIXELS, is_slide
from napari_medseg.io.units import millimeters
from napari_medseg.structures import Box
from napari_medseg.widgets.layer_images import drawn_outlines, image_of_layer, layer_spatial_shape
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.window import canvas_of


@dataclass(frozen=True, slots=True)
class SlideOnScreen:
    """A slide of which a layer shows all: its file, series, kind and spacing, as the command line takes them."""

    path: Path
    series: int
    kind: str
    spacing: str


def may_be_slide(layer: ImageLayer | None) -> bool:
    """Whether a layer looks like a slide, by what is known without reading its file."""
    if layer is None or not layer.multiscale:
        return False
    shape = layer_spatial_shape(layer)
    facts = layer.metadata.get("medseg", {})
    return len(shape) == 2 and (facts.get("kind") == "slide" or math.prod(shape) > SLIDE_PIXELS)


def slide_on_screen(layer: ImageLayer, session: Session) -> SlideOnScreen | None:
    """The slide that a layer shows all of; None for other images and for parts of slides."""
    if not may_be_slide(layer):
        return None
    opened = session.open
    if opened is not None and layer in opened.image_layers and opened.case.region:
        return None
    image = image_of_layer(layer, session)
    if image.path is None or not is_slide(image):
        return None
    steps = [s * (millimeters(u) or 0.0) for s, u in zip(image.spacing or (), image.units or (), strict=False)]
    spacing = ",".join(map(repr, steps)) if len(steps) == 2 and all(steps) else ""
    return SlideOnScreen(image.path, image.series, image.kind, spacing)


def box_in_view(viewer: napari.Viewer, layer: ImageLayer) -> Box:
    """The rows and columns of an image that the canvas shows, of a stack in every slice, in pixels of level 0.

    Raises
    ------
    ConfigError
        The view is in 3-D, or shows nothing of the image.
    """
    if viewer.dims.ndisplay != 2:
        raise ConfigError("What is in view can be predicted in the 2-D view alone: switch to it.")
    canvas, camera = canvas_of(viewer), viewer.scene.camera
    half = np.array([canvas.height(), canvas.width()]) / 2 / camera.zoom
    corners = []
    for sign in (-1, 1):
        point = np.array(viewer.dims.point)
        point[list(viewer.dims.displayed)] = np.array(camera.center[-2:]) + sign * half
        corners.append(np.asarray(layer.world_to_data(point))[-2:] + 0.5)
    return _inside(np.stack(corners), layer)


def drawn_box(shapes: Shapes, layer: ImageLayer) -> Box:
    """The box around the selected shapes (all, when none is selected), as `box_in_view`.

    Raises
    ------
    ConfigError
        Nothing is drawn, or all of it lies outside the image.
    """
    return _inside(np.concatenate(drawn_outlines(shapes, layer)) + 0.5, layer)


def _inside(corners: npt.NDArray[np.float64], layer: ImageLayer) -> Box:
    """The part of an image between corners, which count from the upper left corner of its first pixel."""
    shape = layer_spatial_shape(layer)
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int), shape[-2:])
    if np.any(low >= high):
        raise ConfigError(f"Nothing of image '{layer.name}' lies there: move the view, or draw over the image.")
    return (*((0, n) for n in shape[:-2]), *((int(a), int(b)) for a, b in zip(low, high, strict=True)))
