"""What an OCT scanner tells beside its B-scans, as layers: its own surfaces, the fundus picture, where B-scans lie."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.device_layers import labels_of_device
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.structures import Image, OctScan
from napari_medseg.widgets._layers import class_colormap, class_features

if TYPE_CHECKING:
    from napari.types import LayerData

#: Larger label images of a device's layers are not made; the rows stay in the image layer's metadata.
_MOST_PIXELS = 2**29
#: Room between the B-scan and the fundus picture at its right, as a share of the B-scan's width.
_GAP = 0.04
#: B-scans may leave the fundus picture by this share of its size.
_NEAR = 0.5
#: Fainter than what people draw.
_DEVICE_OPACITY = 0.25
_LINES_COLOR = "#56b4e9"


def scan_layers(image: Image, keywords: dict[str, Any]) -> list[LayerData]:
    """Layers that accompany the B-scans of an image; none for other images.

    Parameters
    ----------
    image
        As read.
    keywords
        What its own layer is made with.
    """
    if image.oct is None or "c" in image.axes:
        return []
    layers = [_device_labels(image, image.oct, keywords)] if image.oct.surfaces else []
    if image.oct.localizer is not None:
        layers += _fundus(image, image.oct, image.oct.localizer)
    return [layer for layer in layers if layer is not None]


def _device_labels(image: Image, scan: OctScan, keywords: dict[str, Any]) -> LayerData | None:
    """What lies between the device's surfaces, as labels named after the surfaces on either side."""
    if math.prod(image.shape) > _MOST_PIXELS:
        return None
    names = list(scan.surfaces)
    between = mask_classes([f"{upper} to {lower}" for upper, lower in itertools.pairwise(names)])
    # 0 stands above the first surface and below the last.
    labels = labels_of_device(scan.surfaces, image.spatial_shape, (*range(len(names)), 0))
    facts = {
        **keywords["metadata"]["medseg"],
        "classes": [{"value": c.value, "name": c.name, "color": c.color} for c in between],
    }
    shown = {
        "name": f"{image.name} · device layers",
        "axis_labels": keywords["axis_labels"],
        "metadata": {"medseg": facts},
        "colormap": class_colormap(between),
        "features": class_features(between),
        "opacity": _DEVICE_OPACITY,
    }
    return labels, shown, "labels"


def _fundus(image: Image, scan: OctScan, localizer: Image) -> list[LayerData]:
    """The fundus picture at the right of the B-scan, and the B-scans' places on it."""
    places = places_beside(image, localizer)
    facts = {"kind": "image", "spacing": localizer.spacing, "units": localizer.units, "places": places}
    shown: dict[str, Any] = {**places["pixel"], "axis_labels": ("y", "x"), "metadata": {"medseg": facts}}
    pixels = np.asarray(localizer.data[...])
    limits = {"contrast_limits": (0, 255)} if pixels.dtype == np.uint8 else {}
    picture = {"name": f"{image.name} · fundus", "rgb": localizer.rgb, **limits, **shown}
    layers: list[LayerData] = [(pixels, picture, "image")]
    if scan.positions is not None and _lie_on(scan.positions, pixels.shape):
        layers.append(_bscan_places(image, scan, scan.positions, shown))
    return layers


def _lie_on(positions: npt.NDArray[np.float64], shape: tuple[int, ...]) -> bool:
    """Whether B-scans lie on the picture or near it; in anonymised files the two may not belong together."""
    share = positions / np.asarray(shape[:2], np.float64)
    return bool(((share > -_NEAR) & (share < 1 + _NEAR)).all())


def places_beside(image: Image, localizer: Image) -> dict[str, dict[str, Any]]:
    """Scale, units and translation of what lies in the fundus' plane: beside B-scans in pixels, and in millimetres.

    In pixels the picture is as high as the B-scan. So it is in millimetres, too, where it has no spacing of its own.
    """
    height, width = image.spatial_shape[-2:]
    fit = height / localizer.spatial_shape[0]
    pixel = {"scale": (fit, fit), "units": ("pixel", "pixel"), "translate": (0.0, width * (1 + _GAP))}
    if image.spacing is None or image.units is None:
        return {"pixel": pixel, "true": pixel}
    (dy, dx), units = image.spacing[-2:], image.units[-2:]
    scale = localizer.spacing if localizer.spacing is not None else (fit * dy, fit * dy)
    return {"pixel": pixel, "true": {"scale": scale, "units": units, "translate": (0.0, width * dx * (1 + _GAP))}}


def _bscan_places(image: Image, scan: OctScan, positions: npt.NDArray[np.float64], shown: dict[str, Any]) -> LayerData:
    """Lines from start to end, or the circle around the second point through the first."""
    name = {"name": f"{image.name} · B-scans on the fundus"}
    if scan.pattern == "circle":
        corners = []
        for start, centre in positions:
            radius = float(np.hypot(*(start - centre)))
            corners.append([centre + np.array(corner) * radius for corner in ((-1, -1), (-1, 1), (1, 1), (1, -1))])
        circle = {"shape_type": "ellipse", "face_color": "transparent", "edge_color": _LINES_COLOR, "edge_width": 2}
        return corners, {**name, **circle, **shown}, "shapes"
    vectors = np.stack([positions[:, 0], positions[:, 1] - positions[:, 0]], axis=1)
    lines = {"vector_style": "line", "edge_color": _LINES_COLOR, "edge_width": 3.0, "opacity": 0.7}
    return vectors, {**name, **lines, **shown}, "vectors"
