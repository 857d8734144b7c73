"""From open layers and files to cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.scan_columns import format_spacing, scan_cell
from napari_medseg.io.units import millimeters
from napari_medseg.structures import Case, Image
from napari_medseg.widgets._layers import true_space


def addable_layers(viewer: napari.Viewer) -> list[ImageLayer]:
    """Image layers that no open case and no panel has put there; fundus pictures go with their scan."""
    layers = [layer for layer in viewer.layers if type(layer) is ImageLayer and "case" not in layer.metadata]
    return [layer for layer in layers if "places" not in layer.metadata.get("medseg", {})]


def add_layers(dataset: Dataset, layers: Sequence[ImageLayer]) -> list[Case]:
    """Add images as cases: by their file where they have one, else their pixels are saved into the data set.

    Images of the data set are not added twice.

    Raises
    ------
    DatasetError, WriteError, LockedError
        One of them cannot be added; those before it were.
    """
    known = _known(dataset)
    added = []
    for layer in layers:
        path, columns = _file_of(layer), _columns_of(layer)
        if path is None:
            case = dataset.add_image(image_of_layer(layer), layer.name)
        elif (path.resolve(), columns.get("series", "")) in known:
            continue
        else:
            case = dataset.add_case(path, extra=columns)
        layer.metadata["case"] = case.case
        added.append(case)
    return added


def add_files(dataset: Dataset, paths: Sequence[Path], columns: Mapping[str, str] | None = None) -> list[Case]:
    """Add image files as cases, those that are not cases yet; raises as `add_layers`.

    Parameters
    ----------
    columns
        Cells of `napari_medseg.data.scan_columns` for all of them: series, spacing, laterality.
    """
    known, cells = _known(dataset), dict(columns or {})
    new = [path for path in paths if (path.resolve(), cells.get("series", "")) not in known]
    return [dataset.add_case(path, extra=cells) for path in new]


def _known(dataset: Dataset) -> set[tuple[Path, str]]:
    """Files of the cases, each with the series of it; the first series may be written or not."""
    series = ((case, scan_cell(case, "series").lstrip("0")) for case in dataset.cases)
    return {(dataset.image_path(case).resolve(), number) for case, number in series}


def _columns_of(layer: ImageLayer) -> dict[str, str]:
    """What a layer's file does not say by itself: which series it is, and the spacing that a person typed."""
    facts = layer.metadata.get("medseg", {})
    columns = {"series": str(layer.metadata["series"])} if layer.metadata.get("series") else {}
    if facts.get("typed_spacing") and (space := true_space(layer)) is not None:
        known = [step * (millimeters(unit) or 0.0) for step, unit in zip(*space, strict=True)]
        columns["spacing"] = format_spacing([step for step in known if step > 0])
    return columns


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
    return path if path is not None and path.exists() else None
