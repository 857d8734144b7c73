"""From images and classes to layers: place in space, colours and names."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, direct_colormap

from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Image, MaskClass

_TRANSPARENT = "transparent"
_VEIL = "#202020"
LABELS_OPACITY = 0.5


def spatial_kwargs(source: Layer) -> dict[str, Any]:
    """What a layer added beside `source` must be given so that both cover each other, in the same units.

    A layer without units beside one with units makes napari ignore all units, and scale bars wrong. The channel axis
    of an RGB layer is not counted by napari, so the values fit a label image of the same pixels.
    """
    return {
        "scale": source.scale,
        "translate": source.translate,
        "rotate": source.rotate,
        "shear": source.shear,
        "affine": source.affine,
        "units": source.units,
        "axis_labels": source.axis_labels,
    }


def image_kwargs(image: Image) -> dict[str, Any]:
    """Arguments for `Viewer.add_image` that show an image where it is, with its name and channels."""
    keywords: dict[str, Any] = {"name": image.name, "rgb": image.rgb, "axis_labels": tuple(image.spatial_axes)}
    if image.spacing is not None and image.units is not None:
        keywords |= {"scale": image.spacing, "units": image.units}
    if image.path is not None:
        keywords["metadata"] = {"path": str(image.path), "series": image.series}
    if "c" in image.axes and not image.rgb:
        keywords["channel_axis"] = image.axes.index("c")
        if len(image.channels) == image.num_channels:
            keywords["name"] = [f"{image.name} · {channel}" for channel in image.channels]
    return keywords


def add_image(viewer: napari.Viewer, image: Image) -> list[ImageLayer]:
    """Add an image, one layer per channel that is not red, green, blue."""
    data: Any = list(image.levels) if len(image.levels) > 1 else image.levels[0]
    added = viewer.add_image(data, multiscale=len(image.levels) > 1, **image_kwargs(image))
    return list(added) if isinstance(added, list) else [added]


def class_colormap(
    classes: Sequence[MaskClass], hidden: Collection[int] = (), *, veiled: bool = False
) -> DirectLabelColormap:
    """The classes' colours; background and hidden classes are transparent, what nobody looked at too unless veiled."""
    unseen = _VEIL if veiled else _TRANSPARENT
    colors: dict[int | None, Any] = {None: _TRANSPARENT, BACKGROUND: _TRANSPARENT, NOT_LOOKED_AT: unseen}
    colors |= {c.value: _TRANSPARENT if c.value in hidden else c.color for c in classes}
    return direct_colormap(colors)


def class_features(classes: Sequence[MaskClass]) -> dict[str, list[Any]]:
    """Table that makes napari's status bar name the class under the pointer."""
    values = [BACKGROUND, *(c.value for c in classes), NOT_LOOKED_AT]
    names = ["background", *(c.name for c in classes), "not looked at"]
    return {"index": values, "class": names}


def add_labels(
    viewer: napari.Viewer, labels: npt.NDArray[np.uint8], classes: Sequence[MaskClass], *, name: str, beside: Layer
) -> Labels:
    """Add labels over an image, in the classes' colours, in the image's place and units."""
    return viewer.add_labels(
        labels,
        name=name,
        opacity=LABELS_OPACITY,
        colormap=class_colormap(classes),
        features=class_features(classes),
        **spatial_kwargs(beside),
    )
