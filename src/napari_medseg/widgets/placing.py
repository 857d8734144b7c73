"""Where parts of an image lie in the world, however the image's layer is turned and scaled."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Layer
from napari.utils.transforms import Affine

from napari_medseg.structures import Box


def place_of_region(layer: Layer, region: Box) -> npt.NDArray[np.float64]:
    """The translation of a layer that shows a part of another one, in whatever way that one is turned and scaled."""
    to_world = Affine(scale=layer.scale, rotate=layer.rotate, shear=layer.shear, translate=layer.translate)
    return np.asarray(to_world([start for start, _ in region]), np.float64)
