"""From layers back to images and regions, for prediction."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from skimage.draw import polygon2mask

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.io.colors import flatten_alpha
from napari_medseg.structures import Box, Image
from napari_medseg.widgets.adding import image_of_layer as pixels_of_layer
from napari_medseg.widgets.regions import ellipse_outline
from napari_medseg.widgets.session import Session


def image_of_layer(layer: ImageLayer, session: Session) -> Image:
    """The image that a layer shows.

    Read from where it came from when that is known and of the same shape, since a file says more than pixels (kind,
    channels that napari shows as several layers); else made of the layer's own pixels.
    """
    image = _known_image(layer, session)
    return _image_of_pixels(layer) if image is None else image


def layer_spatial_shape(layer: ImageLayer) -> tuple[int, ...]:
    """Shape of a layer's finest pixels without colours."""
    shape = tuple(layer.data[0].shape if layer.multiscale else layer.data.shape)
    return shape[:-1] if layer.rgb else shape


def _known_image(layer: ImageLayer, session: Session) -> Image | None:
    from napari_medseg.io import read

    opened, image = session.open, None
    try:
        if opened is not None and session.dataset is not None and layer in opened.image_layers:
            image = session.dataset.read_image(opened.case)
        elif Path(layer.metadata.get("path", "")).is_file():
            facts = layer.metadata.get("medseg", {})
            image = read(layer.metadata["path"], kind=facts.get("kind"), series=layer.metadata.get("series", 0))
            if facts.get("typed_spacing"):
                image = dataclasses.replace(image, spacing=tuple(facts["spacing"]), units=tuple(facts["units"]))
    except MedsegError:
        # The file went away or changed since: what is on screen can still be predicted.
        return None
    return image if image is not None and image.spatial_shape == layer_spatial_shape(layer) else None


def _image_of_pixels(layer: ImageLayer) -> Image:
    image = pixels_of_layer(layer)
    if image.rgb and image.num_channels == 4:
        return dataclasses.replace(image, levels=(flatten_alpha(np.asarray(image.data)),))
    return image


def drawn_region(shapes: Shapes, image: ImageLayer) -> tuple[Box, npt.NDArray[np.bool_]]:
    """What the selected shapes (all, when none is selected) cover of an image.

    Shapes are drawn in a plane of rows and columns; of a stack the region holds every slice.

    Returns
    -------
    box
        Of level-0 pixels, around all shapes.
    inside
        bool array of the box's rows and columns: the pixels whose centres lie in a shape.

    Raises
    ------
    ConfigError
        Nothing is drawn, or all of it lies outside the image.
    """
    outlines, shape = drawn_outlines(shapes, image), layer_spatial_shape(image)
    points = np.concatenate(outlines)
    low = np.maximum(np.floor(points.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 1, shape[-2:])
    if np.any(low >= high):
        raise ConfigError(f"The shapes of layer '{shapes.name}' lie outside the image: draw over the image.")
    inside = np.zeros(tuple(high - low), np.bool_)
    for outline in outlines:
        inside |= polygon2mask(inside.shape, outline - low)  # type: ignore[no-untyped-call]  # scikit-image has none
    if not inside.any():
        raise ConfigError(f"The shapes of layer '{shapes.name}' cover no pixel: draw a larger region.")
    plane = tuple((int(start), int(stop)) for start, stop in zip(low, high, strict=True))
    return (*((0, n) for n in shape[:-2]), *plane), inside


def drawn_outlines(shapes: Shapes, image: ImageLayer) -> list[npt.NDArray[np.float64]]:
    """Corners (corner, 2) of the selected shapes (all, when none is selected), as rows and columns of an image.

    Raises
    ------
    ConfigError
        Nothing is drawn.
    """
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    if not chosen:
        raise ConfigError(f"Layer '{shapes.name}' holds no shape: draw a rectangle or polygon around the region.")
    return [_outline(shapes, index, image) for index in chosen]


def _outline(shapes: Shapes, index: int, image: ImageLayer) -> npt.NDArray[np.float64]:
    """Corners of a shape as (rows, columns) of the image's pixels."""
    corners = np.asarray(shapes.data[index], np.float64)
    if shapes.shape_type[index] == "ellipse":
        corners = ellipse_outline(corners)
    pixels = [image.world_to_data(shapes.data_to_world(corner)) for corner in corners]
    return np.asarray(pixels, np.float64)[:, -2:]
