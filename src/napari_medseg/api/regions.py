"""Which region of an image a model is asked about: a box, that of a mask, or that of another model's prediction."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from napari_medseg.api.prediction import LoadedModel, parse_box
from napari_medseg.data.label_files import shape_text
from napari_medseg.data.regions import largest_part_box, mask_box
from napari_medseg.errors import ConfigError
from napari_medseg.structures import Box, Image, MaskClass, Prediction, Progress

_BOX = re.compile(r"[\s\d:,]+")


def parse_region(text: str) -> Box | Path:
    """A region as people write it: a box, or a file of labels.

    Raises
    ------
    ConfigError
        It is neither.
    """
    if _BOX.fullmatch(text):
        return parse_box(text)
    path = Path(text)
    if not path.exists():
        raise ConfigError(
            f"Region '{text}' is neither a box nor a file: write y0:y1,x0:x1 in pixels, or name a label file or a "
            "folder of them."
        )
    return path


def region_of_mask(mask: str | os.PathLike[str], image: Image) -> Box:
    """The box around everything that a label file marks.

    Parameters
    ----------
    mask
        A label file with the image's grid, or a folder that holds one named like the image.

    Raises
    ------
    ConfigError
        The folder holds none, the labels have another size than the image, or nothing is marked.
    ReadError
        The file cannot be read.
    """
    from napari_medseg.io import read_labels

    path = Path(mask)
    if path.is_dir() and not path.suffix == ".zarr":
        path = _label_file_of(path, image)
    labels = np.asarray(read_labels(path).labels)
    if labels.shape != image.spatial_shape:
        raise ConfigError(
            f"The labels {path} have {shape_text(labels.shape)} pixels but image '{image.name}' "
            f"{shape_text(image.spatial_shape)}: use labels that were drawn on this image."
        )
    box = mask_box(labels)
    if box is None:
        raise ConfigError(f"The labels {path} mark nothing: draw the region, or give a box.")
    return box


def region_of_model(
    model: LoadedModel, image: Image, classes: tuple[MaskClass, ...] = (), *, progress: Progress | None = None
) -> tuple[Box, Prediction]:
    """The box around the largest part of what a model draws in an image.

    Parameters
    ----------
    model
        Draws the lesion, e.g. one of scheme `boosting`.
    image
        Any image that it takes.
    classes
        What is looked for: where the model draws classes of these names, they alone count, else all of its classes.
    progress
        Called with (done, total, text).

    Returns
    -------
    box, and the whole prediction

    Raises
    ------
    ConfigError
        The model draws nothing, in general or here.
    """
    from napari_medseg.inference.engine import predict

    if not model.predictor.classes:
        raise ConfigError(f"Model '{model.name}' draws nothing, so it finds no region: choose one that segments.")
    found = predict(model.predictor, image, compute=model.compute, progress=progress)
    names = {c.name for c in classes}
    values = [c.value for c in found.classes if c.name in names] or [c.value for c in found.classes]
    box = largest_part_box(np.asarray(found.labels), values)
    if box is None:
        drawn = ", ".join(c.name for c in found.classes if c.value in values)
        raise ConfigError(f"Model '{model.name}' finds no {drawn} in image '{image.name}': draw a box around it.")
    return box, found


def _label_file_of(folder: Path, image: Image) -> Path:
    from napari_medseg.data.naming import stem_of
    from napari_medseg.io import image_files

    wanted = stem_of(image.path) if image.path is not None else image.name
    for path in image_files(folder):
        if stem_of(path) in (wanted, f"{wanted}_mask", f"{wanted}_seg", f"{wanted}_label"):
            return path
    raise ConfigError(f"Folder {folder} holds no labels named like image '{wanted}': check its files.")
