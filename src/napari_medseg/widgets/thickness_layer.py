"""The thickness map as a layer of its own, in the place of the fundus picture beside the B-scans."""

from __future__ import annotations

from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer

from napari_medseg.io.units import PIXEL
from napari_medseg.measure.enface import on_fundus, on_squares
from napari_medseg.measure.subject import Subject
from napari_medseg.structures import Image
from napari_medseg.widgets.scan_layers import places_beside
from napari_medseg.widgets.thickness_map import COLORMAP


def add_map_layer(
    viewer: napari.Viewer,
    subject: Subject,
    values: npt.NDArray[np.float32],
    *,
    name: str,
    limits: tuple[float, float],
    beside: Layer,
) -> ImageLayer:
    """Add a map, on the fundus picture's pixels where it is known how B-scans lie on it, else in the scan's own frame.

    It lies where that picture lies, at the right of the B-scans, so that it covers none of them.
    """
    data, image = _picture(subject, values)
    depth = tuple(subject.labels.shape[-2:])
    steps = tuple(subject.space.steps[-2:])
    spaced = None not in steps
    scan = Image(
        levels=(np.broadcast_to(np.uint8(0), depth),),
        axes="yx",
        spacing=tuple(step or 1.0 for step in steps) if spaced else None,
        units=("millimeter", "millimeter") if spaced else None,
    )
    places = places_beside(scan, image)
    # The units of layers must agree, or napari ignores them all.
    shown = places["pixel" if str(beside.units[-1]) == PIXEL else "true"]
    layer = viewer.add_image(
        data,
        name=name,
        colormap=COLORMAP,
        contrast_limits=limits,
        interpolation2d="nearest",
        axis_labels=("y", "x"),
        metadata={"measured": True, "medseg": {"places": places, "kind": "image", "spacing": None}},
        **shown,
    )
    return layer


def update_map_layer(layer: ImageLayer, subject: Subject, values: npt.NDArray[np.float32]) -> None:
    """Show other values of the same scan."""
    layer.data = _picture(subject, values)[0]


def _picture(subject: Subject, values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float32], Image]:
    """The map as a picture, and a stand-in that tells its size and spacing."""
    between, lateral = subject.space.between or 1.0, subject.space.lateral or 1.0
    spacing: Any
    if subject.positions is not None and subject.fundus_shape is not None:
        rows, columns = subject.fundus_shape[-2:]
        data, spacing = on_fundus(values, subject.positions, (rows, columns)), subject.aspect
    else:
        data, spacing = on_squares(values, between, lateral), (lateral, lateral)
    units = ("millimeter", "millimeter")
    return data, Image(levels=(data,), axes="yx", spacing=spacing, units=units)
