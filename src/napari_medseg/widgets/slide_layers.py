"""What is written beside a slide's labels, as layers: probabilities, the map of tags, contours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Layer
from napari.utils.colormaps import Colormap

from napari_medseg.io import read
from napari_medseg.io.contour_file import read_contours
from napari_medseg.structures import MaskClass
from napari_medseg.widgets._layers import spatial_kwargs
from napari_medseg.widgets.layer_images import layer_spatial_shape

#: Probabilities on disk are whole numbers up to this.
_ONE = 255
#: More outlines than this make napari's Shapes layers slow; they stay in their file.
_MOST_RINGS = 500


def add_slide_maps(
    viewer: napari.Viewer, labels: Path, classes: Sequence[MaskClass], *, model: str, beside: ImageLayer
) -> list[Layer]:
    """Add the probabilities of the classes and of the tags that lie beside a slide's labels, hidden at first.

    Parameters
    ----------
    labels
        ``<name>.zarr``.
    classes
        Those that are drawn.
    model
        Its name, for those of the layers.
    beside
        The slide's layer.
    """
    added: list[Layer] = []
    shares = labels.with_name(f"{labels.stem}-probabilities.zarr")
    if shares.exists():
        for number, mask_class in enumerate(classes, start=1):
            data = _channel(shares, number)
            colormap = Colormap(["black", mask_class.color], name=f"to {mask_class.color}")
            added.append(_add(viewer, data, f"{model} probability of {mask_class.name}", colormap, _ONE, beside))
    tags = labels.with_name(f"{labels.stem}-tags.zarr")
    if tags.exists():
        for number, tag in enumerate(read(tags).channels):
            data = [np.asarray(level) for level in _channel(tags, number)]
            added.append(_add(viewer, data, f"{model} probability of {tag}", "inferno", 1, beside))
    return added


def _channel(path: Path, number: int) -> list[Any]:
    """The levels of one channel, still lazy."""
    levels: tuple[Any, ...] = read(path).levels
    return [level.take(number, axis=0) for level in levels]


def _add(
    viewer: napari.Viewer, levels: list[Any], name: str, colormap: object, one: float, beside: ImageLayer
) -> Layer:
    """Add an image that covers a slide at any resolution."""
    place = spatial_kwargs(beside)
    steps = np.array(layer_spatial_shape(beside)) / levels[0].shape
    # napari places the middle of the first pixel.
    place |= {"scale": beside.scale * steps, "translate": beside.translate + beside.scale * (steps - 1) / 2}
    layer: Layer = viewer.add_image(
        levels if len(levels) > 1 else levels[0],
        multiscale=len(levels) > 1,
        name=f"{beside.name} · {name}",
        colormap=colormap,
        contrast_limits=(0.0, one),
        blending="additive",
        opacity=0.6,
        visible=False,
        metadata={"prediction": name},
        **place,
    )
    return layer


def add_slide_contours(
    viewer: napari.Viewer, labels: Path, *, model: str, beside: ImageLayer
) -> tuple[list[Layer], str]:
    """Add the contours that lie beside a slide's labels, where there are not too many of them.

    Returns
    -------
    the layer, if any; and what is to be said of it
    """
    path = labels.with_suffix(".geojson")
    contours = read_contours(path).contours if path.exists() else ()
    rings = [(contour.color, ring) for contour in contours for p in contour.parts for ring in (p.outer, *p.holes)]
    if not rings:
        return [], "There are no contours: nothing was drawn."
    if len(rings) > _MOST_RINGS:
        return [], f"{len(rings):,} contours are too many to show: they are in {path}."
    layer = viewer.add_shapes(
        # Corners of pixels; napari counts from the middle of the first one.
        [ring - 0.5 for _, ring in rings],
        shape_type="polygon",
        face_color="transparent",
        edge_color=[color for color, _ in rings],
        edge_width=max(1.0, max(layer_spatial_shape(beside)) / 2000),
        name=f"{beside.name} · {model} contours",
        metadata={"prediction": model},
        **spatial_kwargs(beside),
    )
    return [layer], f"{len(contours):,} contours, also in {path}."
