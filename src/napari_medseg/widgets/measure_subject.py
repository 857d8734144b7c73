"""From a labels layer to what is measured: classes, layers, spacing, and how the scan lies in the eye."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

from napari_medseg.data.forms import fovea_of, lines_of
from napari_medseg.measure.space import space_of
from napari_medseg.measure.subject import Subject, with_scan
from napari_medseg.measure.targets import fitting_surfaces
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Image, MaskClass, OctScan, Surface
from napari_medseg.widgets._layers import true_space
from napari_medseg.widgets.layer_images import layer_spatial_shape
from napari_medseg.widgets.session import Session

#: Where a layer keeps the surfaces between its own classes, as the model that drew it knows them.
PILE_KEY = "pile"
#: Classes that are made up for a layer that names none.
_MOST_VALUES = 30
_GREY = "#9e9e9e"


def subject_of_layer(layer: Labels, session: Session) -> Subject:
    """What a layer says about itself; for the case on screen also the fovea and lines that its form holds.

    Raises
    ------
    DatasetError
        The form of the case cannot be read.
    """
    facts, classes = layer.metadata.get("medseg", {}), classes_of_layer(layer)
    surfaces = _surfaces(classes, facts, session)
    spacing, units = true_space(layer) or (None, None)
    opened = session.open if session.open is not None and session.open.labels is layer else None
    subject = Subject(
        name=layer.name if opened is None else opened.case.case,
        labels=layer.data,
        classes=classes,
        space=space_of(layer.data.ndim, spacing, units),
        kind="oct" if surfaces else facts.get("kind", "image"),
        surfaces=surfaces,
        fovea=layer.metadata.get("fovea"),
    )
    if session.dataset is not None and opened is not None:
        folder, case = session.dataset.path, opened.case.case
        lines = lines_of(folder, case, axes=layer.data.ndim)
        subject = replace(subject, fovea=fovea_of(folder, case), lines=lines)
    elif opened is None:
        subject = replace(subject, lines=tuple(layer.metadata.get("lines", ())))
    return with_scan(subject, _scan_of(facts))


def image_beside(layer: Labels, session: Session) -> ImageLayer | None:
    """The grey image that labels lie on: the case's own, else the first one of the same pixels and place."""
    opened = session.open
    images = opened.image_layers if opened is not None and opened.labels is layer else session.viewer.layers
    for image in images:
        if not isinstance(image, ImageLayer) or image.rgb or {"prediction", "measured"} & image.metadata.keys():
            continue
        if layer_spatial_shape(image) != layer.data.shape:
            continue
        if np.allclose(image.scale, layer.scale) and np.allclose(image.translate, layer.translate):
            return image
    return None


def classes_of_layer(layer: Labels) -> tuple[MaskClass, ...]:
    """Classes as the layer's features name them; without names, one per value that occurs."""
    table = layer.features
    if {"index", "class"} <= set(table.columns):
        named = {int(value): str(name) for value, name in zip(table["index"], table["class"], strict=True)}
    else:
        values = np.unique(np.asarray(layer.data))
        named = {int(value): f"label {value}" for value in values[:_MOST_VALUES]}
    return tuple(
        MaskClass(value=value, name=name, color=_color(layer, value))
        for value, name in named.items()
        if BACKGROUND < value < NOT_LOOKED_AT
    )


def _color(layer: Labels, value: int) -> str:
    if isinstance(layer.colormap, DirectLabelColormap) and value in layer.colormap.color_dict:
        rgb = layer.colormap.color_dict[value][:3]
    else:
        found = layer.get_color(value)
        rgb = (0.6, 0.6, 0.6) if found is None else found[:3]
    return "#{:02x}{:02x}{:02x}".format(*(round(255 * float(part)) for part in rgb)) if len(rgb) == 3 else _GREY


def _surfaces(classes: tuple[MaskClass, ...], facts: dict[str, Any], session: Session) -> tuple[Surface, ...]:
    """Surfaces between a layer's classes: its model's, the data set's, a scanner's own, or those of known names."""
    declared = session.dataset.info.surfaces if session.dataset is not None else ()
    return fitting_surfaces(classes, facts.get(PILE_KEY, ()), declared, _device_surfaces(classes, facts))


def _device_surfaces(classes: tuple[MaskClass, ...], facts: dict[str, Any]) -> tuple[Surface, ...]:
    """A scanner's own surfaces, for the layer that shows what lies between each two of them."""
    names = list(facts.get("surfaces", ()))
    if len(names) < 2 or [c.name for c in classes] != [f"{a} to {b}" for a, b in itertools.pairwise(names)]:
        return ()
    between = ["", *(c.name for c in classes), ""]
    return tuple(
        Surface(name=name, above=above, below=below)
        for name, above, below in zip(names, between, between[1:], strict=False)
    )


def _scan_of(facts: dict[str, Any]) -> OctScan | None:
    """What the layer keeps of a scanner's facts."""
    if not {"laterality", "pattern", "positions"} & facts.keys():
        return None
    shape, spacing = facts.get("fundus", (None, None))
    localizer = None
    if shape is not None:
        # Its size and spacing are asked for, not its pixels.
        empty = np.broadcast_to(np.uint8(0), shape)
        units = None if spacing is None else ("millimeter", "millimeter")
        localizer = Image(levels=(empty,), axes="yx", spacing=spacing, units=units)
    return OctScan(
        laterality=facts.get("laterality", ""),
        pattern=facts.get("pattern", ""),
        positions=facts.get("positions"),
        localizer=localizer,
    )


def image_to_complete(layer: Labels, session: Session) -> Image:
    """An image of the layer's shape with what is known of its space, for `missing_facts` to ask about."""
    facts = layer.metadata.get("medseg", {})
    spacing, units = true_space(layer) or (None, None)
    is_oct = bool(_surfaces(classes_of_layer(layer), facts, session))
    return Image(
        levels=(layer.data,),
        axes="tzyx"[-layer.data.ndim :],
        spacing=spacing,
        units=units,
        kind="oct" if is_oct else facts.get("kind", "image"),
        oct=_scan_of(facts),
    )
