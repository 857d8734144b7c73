"""Prediction as functions: a model file and images in, labels, tags and tables out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.surfaces import pile_of
from napari_medseg.errors import ConfigError, InputNotFoundError, ModelError
from napari_medseg.io import read
from napari_medseg.io.model_file import ModelCard, read_model
from napari_medseg.schemes import SCHEMES
from napari_medseg.structures import Box, DatasetInfo, Image, Prediction, Progress

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model file, ready to predict.

    Parameters
    ----------
    name
        For layers and the ``origin`` of accepted labels: the file's name, or its run's name.
    path
        The model file.
    card
        What the file says about itself.
    predictor, compute
        Its networks, and the device they are on.
    """

    name: str
    path: Path
    card: ModelCard
    predictor: Predictor
    compute: Compute


def model_path(path: str | os.PathLike[str]) -> Path:
    """The model file of a path that may be a run folder.

    Raises
    ------
    InputNotFoundError
        Neither a file nor a run folder with a finished model.
    """
    given = Path(path)
    found = given / "model.safetensors" if given.is_dir() else given
    if not found.is_file():
        hint = "check the path"
        if given.is_dir():
            is_run = (given / "run.json").is_file()
            hint = "its training is not finished" if is_run else "choose a model file, or the folder of a training"
        raise InputNotFoundError(f"There is no model file at {found}: {hint}.")
    return found


def model_name(path: Path) -> str:
    """A model file's name for people: its run's folder for ``model.safetensors``, else its own."""
    return path.resolve().parent.name if path.name == "model.safetensors" else path.stem


def load_model(
    path: str | os.PathLike[str],
    *,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    compute: Compute | None = None,
) -> LoadedModel:
    """Load a model file, or the model of a run folder.

    Parameters
    ----------
    device, precision, threads
        As in `napari_medseg.models.compute.choose_compute`, which chooses what is None.
    compute
        What was chosen before, instead of these.

    Raises
    ------
    InputNotFoundError, ModelError
        There is none, or it cannot be used; the sentence says why.
    """
    found = model_path(path)
    card, tensors = read_model(found)
    if card.scheme not in SCHEMES:
        raise ModelError(
            f"Model file {found} was trained with scheme '{card.scheme}', which this program has not: update it."
        )
    from napari_medseg.models.compute import choose_compute

    compute = compute or choose_compute(device, precision, threads)
    predictor = SCHEMES[card.scheme].predictor(card, tensors, compute)
    return LoadedModel(name=model_name(found), path=found, card=card, predictor=predictor, compute=compute)


def predict(
    model: LoadedModel | str | os.PathLike[str],
    image: Image | npt.NDArray[Any] | str | os.PathLike[str],
    *,
    region: Box | str | os.PathLike[str] | None = None,
    region_model: LoadedModel | str | os.PathLike[str] | None = None,
    probabilities: bool = False,
    confidence: bool = False,
    attention: bool = False,
    repair_order: bool = False,
    out: Any = None,
    probabilities_out: Any = None,
    progress: Progress | None = None,
) -> Prediction:
    """Predict one image.

    Parameters
    ----------
    model
        A loaded model, a model file or a run folder.
    image
        An image, a path that `read` understands, or an array: (y, x) or (y, x, 3 or 4) taken as RGB.
    region
        Predict these level-0 pixels only: a box (or its text, ``y0:y1,x0:x1``), or a label file, whose marked part
        counts. A model that judges one region (scheme `fibrosis`) takes it for the lesion's place, cuts out what lies
        around it, and returns that.
    region_model
        Find the region by this model first: around the largest part of what it draws. Not together with `region`.
    probabilities
        Also return class probabilities.
    confidence
        Also return how sure the network is of every column.
    attention
        Also return where the image decided its grade, for models that can tell.
    repair_order
        Put layers that are out of order in order, for models of data sets with surfaces; the note says in how many
        columns that changed anything.
    out
        zarr array of the region's shape that receives the labels; memory stays bounded then.
    probabilities_out
        float16 zarr array (class with the background, *the region's shape) that receives the probabilities.
    progress
        Called with (done, total, text); may raise `Cancelled`.

    Raises
    ------
    MedsegError
        The model or the image cannot be used.

    Examples
    --------
    >>> from napari_medseg import api
    >>> from napari_medseg.data.synthetic import tissue
    >>> picture, _ = tissue(size=256, seed=1)
    >>> result = api.predict(api.bundled_model("pathology"), picture)
    >>> result.labels.shape
    (256, 256)
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    from napari_medseg.inference.engine import predict as run_engine

    picture = as_image(image)
    prediction = run_engine(
        loaded.predictor,
        picture,
        region=_region(loaded, picture, region, region_model, progress),
        probabilities=probabilities,
        confidence=confidence,
        out=out,
        probabilities_out=probabilities_out,
        compute=loaded.compute,
        progress=progress,
    )
    prediction = replace(prediction, surfaces=loaded.card.surfaces, marks_region=loaded.predictor.marks_region)
    if attention:
        from napari_medseg.inference.focus import attention as find_attention

        found = find_attention(loaded.predictor, picture, prediction.region, loaded.compute)
        prediction = replace(prediction, attention=found)
    if not repair_order or not loaded.card.surfaces:
        return prediction
    described = DatasetInfo(name="", classes=loaded.card.classes, surfaces=loaded.card.surfaces)
    return _with_order(prediction, pile_of(described))


def _region(
    model: LoadedModel,
    image: Image,
    region: Box | str | os.PathLike[str] | None,
    region_model: LoadedModel | str | os.PathLike[str] | None,
    progress: Progress | None,
) -> Box | None:
    """The box that is asked about; None for the whole image."""
    from napari_medseg.api.regions import parse_region, region_of_mask, region_of_model

    if region is not None and region_model is not None:
        raise ConfigError("The region is either given or found by a model: give one of the two.")
    if region_model is not None:
        finder = region_model if isinstance(region_model, LoadedModel) else load_model(region_model)
        return region_of_model(finder, image, tuple(model.card.classes), progress=progress)[0]
    asked = parse_region(os.fspath(region)) if isinstance(region, (str, os.PathLike)) else region
    return region_of_mask(asked, image) if isinstance(asked, Path) else asked


def _with_order(prediction: Prediction, pile: Sequence[int]) -> Prediction:
    """The prediction with its layers in order, and a note on what that changed."""
    from napari_medseg.inference.postprocess import repair_layers

    if prediction.labels is None:
        return prediction
    changed = repair_layers(prediction.labels, pile)
    note = f"The order of layers was repaired in {changed:.1%} of the columns." if changed else ""
    return replace(prediction, repaired=changed, notes=(*prediction.notes, *filter(None, [note])))


def bundled_model(scheme: str) -> Path:
    """The small model of a scheme that comes with the package, trained on synthetic pictures only.

    Raises
    ------
    InputNotFoundError
        The package has none for this scheme.
    """
    path = Path(__file__).parents[1] / "resources" / f"{scheme}-demo.safetensors"
    if not path.is_file():
        raise InputNotFoundError(f"There is no bundled model for scheme '{scheme}': train one.")
    return path


def as_image(image: Image | npt.NDArray[Any] | str | os.PathLike[str]) -> Image:
    """An image from a path or an array; an `Image` is returned as it is."""
    if isinstance(image, Image):
        return image
    if isinstance(image, (str, os.PathLike)):
        return read(image)
    pixels = np.asarray(image)
    if pixels.ndim == 3 and pixels.shape[-1] in (3, 4):
        return Image(levels=(pixels[..., :3],), axes="yxc", rgb=True, channels=("red", "green", "blue"), name="array")
    if pixels.ndim not in (2, 3):
        raise ConfigError(f"An image array must be (y, x), (y, x, rgb) or (z, y, x), but has shape {pixels.shape}.")
    return Image(levels=(pixels,), axes="zyx"[-pixels.ndim :], name="array")


def parse_box(text: str) -> Box:
    """The box of ``y0:y1,x0:x1`` or ``z0:z1,y0:y1,x0:x1``.

    Raises
    ------
    ConfigError
        The text is none, or a stop is not above its start.

    Examples
    --------
    >>> parse_box("0:512,256:768")
    ((0, 512), (256, 768))
    """
    parts = text.split(",")
    matches = [re.fullmatch(r"\s*(\d+):(\d+)\s*", part) for part in parts]
    box = tuple((int(m[1]), int(m[2])) for m in matches if m is not None)
    if len(box) != len(parts) or len(box) not in (2, 3) or any(stop <= start for start, stop in box):
        raise ConfigError(f"Region '{text}' is not a box: write it as y0:y1,x0:x1 in pixels, e.g. 0:512,0:512.")
    return box
