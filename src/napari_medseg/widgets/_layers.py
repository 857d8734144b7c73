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

from napari_medseg.io.slide.facts import ORIGIN
from napari_medseg.io.slide.virtual import with_virtual_levels
from napari_medseg.io.units import unit_name
from napari_medseg.io.volume.presets import WINDOW_KEY, default_limits
from napari_medseg.io.volume.space import origin_of
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Image, MaskClass

#: Hounsfield units that scanners store.
_SCANNED = (-1024.0, 3071.0)
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


def flat_kwargs(source: Layer) -> dict[str, Any]:
    """The same for a layer of rows and columns alone, which napari shows over every frame or slice of `source`."""
    kept = spatial_kwargs(source)
    return {key: kept[key][-2:] for key in ("scale", "translate", "units", "axis_labels")}


def image_kwargs(image: Image) -> dict[str, Any]:
    """Arguments for `Viewer.add_image` that show an image where it is, with its name and channels.

    An OCT image is shown pixel by pixel at first (`napari_medseg.widgets.aspect`): in true millimetres a B-scan is a
    flat strip in which nobody can draw. True spacing lies in ``metadata["medseg"]``, for all kinds of images.
    """
    keywords: dict[str, Any] = {"name": image.name, "rgb": image.rgb, "axis_labels": tuple(image.spatial_axes)}
    if image.spacing is not None and image.units is not None and image.kind != "oct":
        keywords |= {"scale": image.spacing, "units": image.units}
    if image.affine is not None:
        keywords["translate"] = origin_of(image.affine)[-len(image.spatial_axes) :]
    if ORIGIN in image.metadata:
        step = keywords.get("scale", (1.0,) * len(image.spatial_axes))
        keywords["translate"] = tuple(place * s for place, s in zip(image.metadata[ORIGIN], step, strict=True))
    keywords["metadata"] = {"medseg": _facts(image)}
    if image.path is not None:
        keywords["metadata"] |= {"path": str(image.path), "series": image.series}
    if "c" in image.axes and not image.rgb:
        keywords["channel_axis"] = image.axes.index("c")
        if len(image.channels) == image.num_channels:
            keywords["name"] = [f"{image.name} · {channel}" for channel in image.channels]
    return keywords


def _facts(image: Image) -> dict[str, Any]:
    """What panels need to know of an image that its layer's pixels, scale and units do not tell."""
    facts: dict[str, Any] = {
        "path": str(image.path),
        "kind": image.kind,
        "series": image.series,
        "warnings": list(image.warnings),
        "spacing": image.spacing,
        "units": image.units,
        "typed_spacing": bool(image.metadata.get("typed_spacing")),
    }
    if WINDOW_KEY in image.metadata:
        facts[WINDOW_KEY] = image.metadata[WINDOW_KEY]
    if image.affine is not None:
        facts["affine"] = image.affine
    if image.oct is not None:
        facts |= {
            "laterality": image.oct.laterality,
            "pattern": image.oct.pattern,
            "surfaces": dict(image.oct.surfaces),
            "positions": image.oct.positions,
        }
        if image.oct.localizer is not None:
            facts |= {"fundus": (image.oct.localizer.spatial_shape, image.oct.localizer.spacing)}
    return facts


def true_space(layer: Layer) -> tuple[tuple[float, ...], tuple[str, ...]] | None:
    """Spacing and units of a layer's pixels, however the layer is shown at the moment; None where they are not known.

    What a reader found counts first, then the layer's own scale, where its units are no pixels.
    """
    facts = layer.metadata.get("medseg", {})
    if "spacing" in facts:
        return None if facts["spacing"] is None else (tuple(facts["spacing"]), tuple(facts["units"]))
    units = tuple(unit_name(str(unit)) for unit in layer.units)
    known = tuple(unit for unit in units if unit is not None)
    return (tuple(float(step) for step in layer.scale), known) if len(known) == len(units) else None


def space_facts(source: Layer) -> dict[str, Any]:
    """What a layer beside `source` keeps of its place in the world and the eye; for ``metadata["medseg"]``."""
    facts = source.metadata.get("medseg", {})
    kept = ("kind", "spacing", "units", "affine", "laterality", "pattern", "positions", "fundus")
    # Files are found again by what they were drawn on: a DICOM SEG refers to its series.
    path = source.metadata.get("path")
    drawn_on = {} if path is None else {"source": path, "source_series": source.metadata.get("series")}
    return {key: facts[key] for key in kept if key in facts} | drawn_on


def show_window(layer: ImageLayer, limits: tuple[float, float]) -> None:
    """Show a CT between two Hounsfield units, with the slider's ends where a scanner's own lie."""
    low, high = limits
    layer.contrast_limits_range = (min(low, _SCANNED[0]), max(high, _SCANNED[1]))
    layer.contrast_limits = (low, high)


def add_image(viewer: napari.Viewer, image: Image) -> list[ImageLayer]:
    """Add an image, one layer per channel that is not red, green, blue."""
    image = with_virtual_levels(image)
    data: Any = list(image.levels) if len(image.levels) > 1 else image.levels[0]
    added = viewer.add_image(data, multiscale=len(image.levels) > 1, **image_kwargs(image))
    layers = list(added) if isinstance(added, list) else [added]
    if (limits := default_limits(image)) is not None:
        for layer in layers:
            show_window(layer, limits)
    return layers


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
        metadata={"medseg": space_facts(beside)},
        **spatial_kwargs(beside),
    )
