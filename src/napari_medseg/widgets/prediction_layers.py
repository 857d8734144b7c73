"""A prediction as layers: always new ones, over the image they belong to."""

from __future__ import annotations

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import Colormap

from napari_medseg.io.volume.space import moved
from napari_medseg.structures import Prediction
from napari_medseg.widgets._layers import add_labels, spatial_kwargs
from napari_medseg.widgets.confidence_strip import add_confidence
from napari_medseg.widgets.measure_subject import PILE_KEY
from napari_medseg.widgets.placing import place_of_region

#: Width of an outline, in pixels of the image.
_OUTLINE = 3
#: Opacity of a region that was judged as a whole: the picture in it stays in sight.
_TINT = 0.12


def add_prediction(
    viewer: napari.Viewer, prediction: Prediction, *, model: str, beside: ImageLayer, outlined: bool = False
) -> list[Layer]:
    """Add the labels of a prediction, and its probabilities, confidence and attention where it has them.

    Parameters
    ----------
    model
        Name of the model, for the layers' names.
    beside
        The image that was predicted; place, size and units are its.
    outlined
        Draw outlines alone: fills could not be told from those of labels that a person drew. A region that was judged
        as a whole is only tinted.

    Returns
    -------
    the new layers, the labels first; empty for a model that draws nothing.
    """
    layers: list[Layer] = []
    place = place_of_region(beside, prediction.region)
    if prediction.labels is not None:
        name = f"{beside.name} · {model} prediction"
        pixels = np.asarray(prediction.labels)
        labels: Labels = add_labels(viewer, pixels, prediction.classes, name=name, beside=beside)
        labels.translate = place
        facts = labels.metadata["medseg"]
        if facts.get("affine") is not None:
            facts["affine"] = moved(facts["affine"], [start for start, _ in prediction.region])
        labels.metadata["prediction"] = model
        facts[PILE_KEY] = prediction.surfaces
        if prediction.marks_region:
            labels.opacity = _TINT
        elif outlined:
            labels.contour, labels.opacity = _OUTLINE, 1.0
        layers.append(labels)
    if prediction.probabilities is not None:
        layers += _add_probabilities(viewer, prediction, model=model, beside=beside, place=place)
    if prediction.confidence is not None:
        layers.append(add_confidence(viewer, prediction.confidence, prediction.region, model=model, beside=beside))
    if prediction.attention is not None:
        layers.append(_add_attention(viewer, prediction, model=model, beside=beside, place=place))
    if layers:
        viewer.layers.selection.active = layers[0]
    return layers


def _add_attention(
    viewer: napari.Viewer, prediction: Prediction, *, model: str, beside: ImageLayer, place: npt.NDArray[np.float64]
) -> Layer:
    """Where the tag or grade comes from; hidden at first where it lies over a drawing that is to be looked at."""
    decided = "grade" if prediction.tag is not None and prediction.tag.graded else "class"
    layer: Layer = viewer.add_image(
        prediction.attention,
        name=f"{beside.name} · {model} what decided the {decided}",
        colormap="inferno",
        contrast_limits=(0.0, 1.0),
        blending="additive",
        opacity=0.6,
        visible=prediction.marks_region,
        metadata={"prediction": model},
        **spatial_kwargs(beside),
    )
    layer.translate = place
    return layer


def _add_probabilities(
    viewer: napari.Viewer, prediction: Prediction, *, model: str, beside: ImageLayer, place: npt.NDArray[np.float64]
) -> list[Layer]:
    assert prediction.probabilities is not None
    added: list[Layer] = []
    for channel, mask_class in enumerate(prediction.classes, start=1):
        # napari draws no half precision.
        layer = viewer.add_image(
            np.asarray(prediction.probabilities[channel], np.float32),
            name=f"{beside.name} · {model} probability of {mask_class.name}",
            colormap=Colormap(["black", mask_class.color], name=f"to {mask_class.color}"),
            contrast_limits=(0.0, 1.0),
            blending="additive",
            visible=False,
            metadata={"prediction": model},
            **spatial_kwargs(beside),
        )
        layer.translate = place
        added.append(layer)
    return added
