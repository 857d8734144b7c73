"""What a network that looks at one region says of the whole image: labels in the image's grid, and its attention."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.cropping import crop
from napari_medseg.data.resampling import WindowReader, choose_level, working_shape
from napari_medseg.inference.predictor import Predictor
from napari_medseg.models.guard import guard_torch_import
from napari_medseg.structures import NOT_LOOKED_AT, Box, Image, Prediction

guard_torch_import()

import torch  # noqa: E402 - after the guard
from torch.nn import functional  # noqa: E402 - after the guard

from napari_medseg.models.compute import Compute  # noqa: E402 - imports torch

#: Largest attention of a stack, 256 MiB.
_MOST_VALUES = 64 * 2**20


def region_of_result(predictor: Predictor, image: Image, region: Box | None) -> Box:
    """The region that a prediction will have: what is asked about, or what is cut out around it."""
    if predictor.focus is not None:
        return predictor.focus(image, region)
    return region if region is not None else tuple((0, n) for n in image.spatial_shape)


def in_whole_image(prediction: Prediction, image: Image, out: Any = None) -> Prediction:
    """A prediction of a region with labels of the whole image, 255 where the network did not look.

    Parameters
    ----------
    out
        Array (uint8, the image's spatial shape) that receives the labels; None makes a numpy array.
    """
    whole = tuple((0, n) for n in image.spatial_shape)
    if prediction.labels is None or prediction.region == whole:
        return prediction
    labels = np.empty(image.spatial_shape, np.uint8) if out is None else out
    labels[...] = NOT_LOOKED_AT
    labels[tuple(slice(*side) for side in prediction.region)] = np.asarray(prediction.labels)
    return replace(prediction, labels=labels, region=whole)


def attention(predictor: Predictor, image: Image, region: Box, compute: Compute) -> npt.NDArray[np.float32] | None:
    """Where in a region the network found its tag or grade.

    Parameters
    ----------
    region
        That of a `Prediction` of the image.

    Returns
    -------
    float32 of the region's shape, 0..1, every frame of a stack by itself; None for networks that cannot tell, and for
    stacks of more than `_MOST_VALUES` values
    """
    part = crop(image, region)
    lead = len(part.spatial_shape) - len(predictor.window)
    if predictor.attend is None or (lead and math.prod(part.spatial_shape) > _MOST_VALUES):
        return None
    prepared = predictor.prepare(part)
    frames = itertools.product(*(range(n) for n in part.spatial_shape[:lead]))
    inside = tuple((0, n) for n in part.spatial_shape[lead:])
    found = [
        _attention_of_frame(predictor, crop(part, (*((i, i + 1) for i in frame), *inside)), prepared, compute)
        for frame in frames
    ]
    return np.stack(found).reshape(part.spatial_shape)


def _attention_of_frame(predictor: Predictor, part: Image, prepared: Any, compute: Compute) -> npt.NDArray[np.float32]:
    """Attention in a part whose leading axes, where it has more than the network's window, are of length 1."""
    axes = len(predictor.window)
    working = working_shape(part, predictor.scale_of(part))
    pixels = WindowReader(part, working, choose_level(part, working)).read(tuple((0, n) for n in working))
    pixels = pixels.reshape(len(pixels), *working[-axes:])
    values = np.ascontiguousarray(predictor.normalise(pixels, prepared), np.float32)
    assert predictor.attend is not None, "asked before"
    mapped = predictor.attend(compute.to(torch.from_numpy(values)[np.newaxis]))[:, np.newaxis]
    mode = "trilinear" if axes == 3 else "bilinear"
    stretched = functional.interpolate(mapped.float(), size=part.spatial_shape[-axes:], mode=mode, align_corners=False)
    return stretched[0, 0].detach().cpu().numpy()
