"""How sure a model is of each column of a B-scan, as a strip below it."""

from __future__ import annotations

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.utils.colormaps import Colormap

from napari_medseg.structures import Box
from napari_medseg.widgets._layers import space_facts, spatial_kwargs
from napari_medseg.widgets.placing import place_of_region

#: Height of the strip and its distance from the image, as shares of the image's depth.
_HEIGHT, _GAP = 0.03, 0.01
#: Confidence from which a column is as dark as the ground, and below which it is as bright as can be.
_SURE, _UNSURE = 1.0, 0.5
#: Below this a column counts as one to look at.
_LOW = 0.7
#: From bright orange (unsure) to near black (sure): what needs a look catches the eye, also of the colour-blind.
_COLORS = ("#ffb000", "#a85c00", "#1c1c1c")


def add_confidence(
    viewer: napari.Viewer, confidence: npt.NDArray[np.float32], region: Box, *, model: str, beside: ImageLayer
) -> ImageLayer:
    """Add the strip below an image.

    Parameters
    ----------
    confidence
        float32 ([z,] x); NaN where nothing was drawn, which is shown as unsure.
    region
        Box of the image that was predicted, in its pixels.
    """
    *lead, (top, bottom), columns = region
    depth = bottom - top
    height = max(2, round(_HEIGHT * depth))
    below = bottom + max(1, round(_GAP * depth))
    values = np.nan_to_num(confidence, nan=0.0).astype(np.float32)
    strip = np.repeat(values[..., np.newaxis, :], height, axis=-2)
    layer = viewer.add_image(
        strip,
        name=f"{beside.name} · {model} confidence per column",
        colormap=Colormap([*_COLORS], name="unsure to sure"),
        contrast_limits=(_UNSURE, _SURE),
        interpolation2d="nearest",
        metadata={"medseg": space_facts(beside), "prediction": model},
        **spatial_kwargs(beside),
    )
    layer.translate = place_of_region(beside, (*lead, (below, below + height), columns))
    return layer


def confidence_text(confidence: npt.NDArray[np.float32]) -> str:
    """The confidence in words: its mean, and the share of columns in which it is low.

    Examples
    --------
    >>> confidence_text(np.array([0.9, 0.9, 0.6, np.nan], np.float32))
    'Confidence 0.80 on average; below 0.70, or nothing drawn, in 50 % of the columns.'
    """
    low = np.nan_to_num(confidence, nan=0.0) < _LOW
    if np.isnan(confidence).all():
        return "Nothing was drawn."
    return (
        f"Confidence {np.nanmean(confidence):.2f} on average; below {_LOW:.2f}, or nothing drawn, in "
        f"{100 * low.mean():.0f} % of the columns."
    )
