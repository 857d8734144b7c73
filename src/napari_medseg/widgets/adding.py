"""From open layers and files to cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer

from napari_medseg.data.dataset import Dataset
from napari_medseg.structures import Case, Image
from napari_medseg.widgets._layers import true_space


def addable_layers(viewer: napari.Viewer) -> list[ImageLayer]:
    """Image layers that no open case and no panel has put there."""
    return [layer for layer in viewer.layers if type(layer) is ImageLayer and "case" not in layer.metadata]


def add_layers(dataset: Dataset, layers: Sequence[ImageLayer]) -> list[Case]:
    """Add images as cases: by their file where they have one, else their pixels are saved into the data set.

    Images of the data set are not added twice.

    Raises
    ------
    DatasetError, WriteError, LockedError
        One of them cannot be added; those before it were.
    """
    known = {dataset.image_path(case).resolve() for case in dataset.cases}
    added = []
    for layer in layers:
        path = _file_of(layer)
        if path is None:
            case = dataset.add_image(image_of_layer(layer), layer.name)
        elif path.resolve() in known:
            continue
        else:
            case = dataset.add_case(path)
        layer.metadata["case"] = case.case
        added.append(case)
    return added


def add_files(dataset: Dataset, paths: Sequence[Path]) -> list[Case]:
    """Add image files as cases, those that are not cases yet; raises as `add_layers`."""
    known = {dataset.image_path(case).resolve() for case in dataset.cases}
    return [dataset.add_case(path) for path in paths if path.resolve() not in known]


def image_of_layer(layer: ImageLayer) -> Image:
    """A layer as an image, with its true spacing and units (`true_space`)."""
    levels: tuple[Any, ...] = tuple(layer.data) if layer.multiscale else (np.asarray(layer.data),)
    ndim = levels[0].ndim - layer.rgb
    axes = "tzyx"[-ndim:] + ("c" if layer.rgb else "")
    spacing, units = true_space(layer) or (None, None)
    return Image(
        levels=levels,
        axes=axes,
        spacing=spacing,
        units=units,
        kind=layer.metadata.get("medseg", {}).get("kind", "image"),
        name=layer.name,
        rgb=layer.rgb,
        channels=("red", "green", "blue") if layer.rgb else (),
    )


def _file_of(layer: ImageLayer) -> Path | None:
    """The file or folder that a layer shows, where it shows all of it as the reader would."""
    name = layer.metadata.get("path") or layer.source.path
    path = Path(name) if name else None
    return path if path is not None and path.exists() and not layer.metadata.get("series") else None
