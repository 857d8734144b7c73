"""What napari calls for files: readers, a writer, sample data. Thin: `io` does the work."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.io.labels import classes_of, write_labels
from napari_medseg.io.reading import read, recognise
from napari_medseg.io.slide.virtual import with_virtual_levels
from napari_medseg.io.units import unit_name
from napari_medseg.io.volume.dicom import one_per_series
from napari_medseg.io.volume.dicom_seg import is_seg_name
from napari_medseg.io.volume.dicom_seg_writer import write_seg
from napari_medseg.io.volume.presets import default_limits
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Image, MaskClass
from napari_medseg.widgets._layers import LABELS_OPACITY, class_colormap, class_features, image_kwargs
from napari_medseg.widgets.scan_layers import scan_layers
from napari_medseg.widgets.slide_opening import show_later

if TYPE_CHECKING:
    from napari.types import LayerData

#: Longest side of a labels layer that napari can paint on: the largest texture of common graphics cards.
_LARGEST_PAINTABLE = 16384
#: Larger label images stay on disk and are shown, not painted.
_LARGEST_PAINTABLE_BYTES = 2**30


def read_layers(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """Reader for npe2: a function that makes layers, or None when the content is of no known format.

    Parameters
    ----------
    path
        A file or folder, or several, each of which becomes layers of its own.
    """
    try:
        for one in _paths(path):
            recognise(one)
    except MedsegError:
        # npe2's way of saying "not mine"; another plugin may read it. What is wrong is said by the Open panel.
        return None
    return _layers


def _paths(path: str | Sequence[str]) -> list[Path]:
    return [Path(path)] if isinstance(path, str) else [Path(one) for one in path]


def _layers(path: str | Sequence[str]) -> list[LayerData]:
    layers: list[Any] = []
    for one in one_per_series(_paths(path)):
        image = with_virtual_levels(read(one))
        if not show_later(image, image_layers):
            layers += image_layers(image)
    # npe2's way of saying "read, but nothing to add".
    return layers or [(None,)]


def image_layers(image: Image) -> list[LayerData]:
    """Layers that show an image: labels with their classes' names and colours where the file holds such, else pixels.

    Each layer has scale, units and axis labels, and ``metadata["medseg"]`` with path, kind, series, warnings and true
    spacing. Of an OCT scan, the device's layers, fundus picture and the places of the B-scans follow.
    """
    keywords: dict[str, Any] = image_kwargs(image)
    classes = classes_of(image)
    if (classes or "image-label" in image.metadata) and "c" not in image.axes and image.dtype.kind in "iu":
        return [_labels_layer(image, classes, keywords)]
    if image.dtype == np.uint8:
        # Otherwise napari looks for the darkest and brightest pixel, which differ from view to view.
        keywords["contrast_limits"] = (0, 255)
    if (limits := default_limits(image)) is not None:
        keywords["contrast_limits"] = limits
    return [(*_levels(image, keywords), "image"), *scan_layers(image, keywords)]


def _levels(image: Image, keywords: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    image = with_virtual_levels(image)
    many = len(image.levels) > 1
    return (list(image.levels) if many else image.levels[0]), keywords | {"multiscale": many}


def _labels_layer(image: Image, classes: Sequence[MaskClass], keywords: dict[str, Any]) -> LayerData:
    keywords.pop("rgb", None)
    keywords |= {"opacity": LABELS_OPACITY}
    keywords["metadata"]["medseg"]["classes"] = _as_json(classes)
    if classes:
        keywords |= {"colormap": class_colormap(classes), "features": class_features(classes)}
    size = math.prod(image.shape) * image.dtype.itemsize
    if max(image.shape) <= _LARGEST_PAINTABLE and size <= _LARGEST_PAINTABLE_BYTES:
        return np.array(image.data[...]), keywords, "labels"
    return (*_levels(image, keywords), "labels")


def _as_json(classes: Sequence[MaskClass]) -> list[dict[str, Any]]:
    return [{"value": c.value, "name": c.name, "color": c.color} for c in classes]


def write_layer(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Writer for npe2: one Labels layer as TIFF, OME-Zarr, NIfTI or DICOM SEG, with its scale, units and classes.

    Parameters
    ----------
    path
        Ends in ``.tif``, ``.tiff``, ``.zarr``, ``.nii``, ``.nii.gz`` or ``.dcm``.
    data
        Integer array, or a list of levels of which the finest is written.
    attributes
        The layer's state.

    Returns
    -------
    the path that was written.

    Raises
    ------
    WriteError
        The disk is full, the folder read-only, or the labels are no integers.
    ConfigError, ReadError
        A DICOM SEG has no series to refer to, or the extra ``dicom-seg`` is not installed.
    """
    # napari hands over the levels of a multiscale layer as a sequence that is not an array.
    labels = data[0] if attributes.get("multiscale") else data
    spacing, units = _spacing(attributes)
    facts = attributes.get("metadata", {}).get("medseg", {})
    if is_seg_name(Path(path)):
        from napari_medseg.api.exporting import numbered_classes

        source = facts.get("source")
        if source is None:
            raise ConfigError(
                f"'{attributes.get('name')}' was not made on a DICOM series, which a DICOM SEG must refer to: "
                "save it as NIfTI, or run 'napari-medseg export' with --image."
            )
        write_seg(
            Path(path),
            labels,
            classes=layer_classes(attributes) or numbered_classes(np.asarray(labels)),
            source=Path(source),
            series=facts.get("source_series"),
            model=str(attributes.get("metadata", {}).get("prediction", "")),
        )
        return [path]
    write_labels(
        path, labels, classes=layer_classes(attributes), spacing=spacing, units=units, affine=facts.get("affine")
    )
    return [path]


def _spacing(attributes: Mapping[str, Any]) -> tuple[tuple[float, ...] | None, tuple[str, ...] | None]:
    """Scale and units, where the layer's units are lengths or times; a scale in pixels is no distance.

    What the image's reader found counts more than the scale that the layer is shown with.
    """
    facts = attributes.get("metadata", {}).get("medseg", {})
    if facts.get("spacing") is not None:
        return tuple(facts["spacing"]), tuple(facts["units"])
    names = [unit_name(unit) for unit in attributes.get("units") or ()]
    scale = attributes.get("scale")
    if scale is None or not names or any(name is None for name in names):
        return None, None
    return tuple(float(s) for s in scale), tuple(str(name) for name in names)


def layer_classes(attributes: Mapping[str, Any]) -> tuple[MaskClass, ...]:
    """The classes of a Labels layer: values and names from its features, colours from its colour map."""
    features = attributes.get("features")
    if features is None or "index" not in features or "class" not in features:
        return ()
    found = []
    for value, name in zip(features["index"], features["class"], strict=True):
        if BACKGROUND < int(value) < NOT_LOOKED_AT:
            found.append(
                MaskClass(value=int(value), name=str(name), color=_color(attributes.get("colormap"), int(value)))
            )
    return tuple(found)


def _color(colormap: Any, value: int) -> str:
    """``#rrggbb`` of a value in a layer's colour map."""
    red, green, blue = (round(float(part) * 255) for part in np.asarray(colormap.map(value)).ravel()[:3])
    return f"#{red:02x}{green:02x}{blue:02x}"


def sample_tissue() -> list[LayerData]:
    """Sample data for npe2: generated tissue and the outlines of its glands."""
    from napari_medseg.data.synthetic import GLAND, tissue

    pixels, labels = tissue(size=512, seed=0)
    image = Image(
        levels=(pixels,), axes="yxc", name="tissue", rgb=True, channels=("red", "green", "blue"), kind="slide"
    )
    outlines = Image(levels=(labels,), axes="yx", name="glands")
    shown = _labels_layer(outlines, (GLAND,), image_kwargs(outlines) | {"metadata": {"medseg": {"kind": "slide"}}})
    return [*image_layers(image), shown]


def sample_oct() -> list[LayerData]:
    """Sample data for npe2: a generated B-scan with fluid, and its layers."""
    from napari_medseg.data.synthetic_oct import CLASSES, SPACING, bscan

    pixels, labels = bscan(height=496, width=768, seed=0, fluid=True)
    space: dict[str, Any] = {"spacing": SPACING, "units": ("millimeter", "millimeter"), "kind": "oct"}
    image = Image(levels=(pixels,), axes="yx", name="B-scan", **space)
    layers = Image(levels=(labels,), axes="yx", name="layers", **space)
    return [*image_layers(image), _labels_layer(layers, CLASSES, image_kwargs(layers))]


def sample_ultrasound() -> list[LayerData]:
    """Sample data for npe2: a generated ultrasound frame with the machine's text, and its nodule."""
    from napari_medseg.data.synthetic_ultrasound import CLASSES, LESIONS, frame

    made = frame(LESIONS[2], seed=0)
    image = Image(levels=(made.pixels,), axes="yx", name="thyroid", kind="ultrasound")
    nodule = Image(levels=(made.nodule,), axes="yx", name="nodule", kind="ultrasound")
    return [*image_layers(image), _labels_layer(nodule, CLASSES, image_kwargs(nodule))]


def sample_ct() -> list[LayerData]:
    """Sample data for npe2: a generated CT of an abdomen, and its organs."""
    from napari_medseg.data.synthetic_ct import CLASSES, abdomen, spacing_of_size

    size = (80, 256, 320)
    pixels, labels = abdomen(*size, seed=0)
    space: dict[str, Any] = {"spacing": spacing_of_size(*size), "units": ("millimeter",) * 3, "kind": "ct"}
    image = Image(levels=(pixels,), axes="zyx", name="abdomen", **space)
    organs = Image(levels=(labels,), axes="zyx", name="organs", **space)
    return [*image_layers(image), _labels_layer(organs, CLASSES, image_kwargs(organs))]
