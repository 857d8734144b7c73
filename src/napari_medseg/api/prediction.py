"""Prediction as functions: a model file and images in, labels, tags and tables out."""

from __future__ import annotations

import csv
import io
import itertools
import math
import os
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.surfaces import pile_of
from napari_medseg.errors import Cancelled, ConfigError, InputNotFoundError, MedsegError, ModelError, WriteError
from napari_medseg.io import image_files, read, write_labels
from napari_medseg.io.atomic import write_text
from napari_medseg.io.model_file import ModelCard, read_model
from napari_medseg.io.ome_zarr import is_ome_zarr
from napari_medseg.schemes import SCHEMES
from napari_medseg.structures import Box, DatasetInfo, Image, Kind, Prediction, Progress
from napari_medseg.training.events import Report, ignore

if TYPE_CHECKING:
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute


#: Most label pixels of one image that `predict_files` keeps in memory; more go to the disk as they are made.
_LABELS_IN_MEMORY = 64 * 2**20


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
        hint = "its training is not finished" if given.is_dir() else "check the path"
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
) -> LoadedModel:
    """Load a model file, or the model of a run folder.

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

    compute = choose_compute(device, precision, threads)
    predictor = SCHEMES[card.scheme].predictor(card, tensors, compute)
    return LoadedModel(name=model_name(found), path=found, card=card, predictor=predictor, compute=compute)


def predict(
    model: LoadedModel | str | os.PathLike[str],
    image: Image | npt.NDArray[Any] | str | os.PathLike[str],
    *,
    region: Box | None = None,
    probabilities: bool = False,
    confidence: bool = False,
    repair_order: bool = False,
    out: Any = None,
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
        Predict these level-0 pixels only.
    probabilities
        Also return class probabilities.
    confidence
        Also return how sure the network is of every column.
    repair_order
        Put layers that are out of order in order, for models of data sets with surfaces; the note says in how many
        columns that changed anything.
    out
        zarr array of the region's shape that receives the labels; memory stays bounded then.
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

    prediction = run_engine(
        loaded.predictor,
        as_image(image),
        region=region,
        probabilities=probabilities,
        confidence=confidence,
        out=out,
        compute=loaded.compute,
        progress=progress,
    )
    if not repair_order or not loaded.card.surfaces:
        return prediction
    described = DatasetInfo(name="", classes=loaded.card.classes, surfaces=loaded.card.surfaces)
    return _with_order(prediction, pile_of(described))


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


def predict_files(
    model: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    region: str | None = None,
    probabilities: bool = False,
    repair_order: bool = False,
    label_format: str = "tif",
    kind: Kind | None = None,
    series: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> list[dict[str, Any]]:
    """Predict files and folders of images into a folder.

    A faulty input becomes a row with its error and the others go on. ``predictions.csv`` is rewritten after every
    input, so that an interrupted run leaves what it finished.

    Returns
    -------
    The rows of ``predictions.csv``: ``input, region, labels, class, p_<class>..., seconds, error``; for models with
    surfaces also ``confidence`` (mean over columns) and ``repaired`` (share of columns, with `repair_order`).

    Raises
    ------
    MedsegError
        The model cannot be used, an input does not exist, or the folder cannot be written.
    """
    loaded = load_model(model, device=device, precision=precision, threads=threads)
    box = parse_box(region) if region is not None else None
    files = [file for given in inputs for file in _expand(Path(given))]
    folder = Path(out)
    names = _unique_names(files)
    rows: list[dict[str, Any]] = []
    for index, (file, name) in enumerate(zip(files, names, strict=True)):
        report("item_started", input=str(file), index=index, of=len(files))
        row = _empty_row(loaded, file, region)
        started = time.perf_counter()
        try:
            image = read(file, kind=kind, series=series)
            target = folder / f"{name}.{'zarr' if label_format == 'zarr' else 'tif'}"
            _predict_file(loaded, image, target, row, box, probabilities, repair_order, report)
        except Cancelled:
            raise
        except MedsegError as error:
            row["error"] = str(error)
            report("warning", text=f"{file}: {error}")
        except Exception as error:
            # A defect of this package: one image must not cost the night's other thousand.
            row["error"] = f"Unexpected {type(error).__name__}: {error}"
            report("warning", text=f"{file}: {row['error']}. This is a defect of napari-medseg, please report it.")
        row["seconds"] = round(time.perf_counter() - started, 3)
        rows.append(row)
        _write_table(folder / "predictions.csv", rows)
        report("item_ended", input=str(file), index=index, of=len(files), row=row)
    report("done", result={"out": str(folder), "rows": len(rows)})
    return rows


def _expand(path: Path) -> list[Path]:
    """The images of a folder that is not itself an image; anything else as it is."""
    if not path.exists():
        raise InputNotFoundError(f"Input {path} does not exist: check the path.")
    return image_files(path) if path.is_dir() and not is_ome_zarr(path) else [path]


def _unique_names(files: Sequence[Path]) -> list[str]:
    """Output names after the inputs; a name that occurs again gets a number."""
    names: list[str] = []
    taken: set[str] = set()
    for file in files:
        stem = file.name.removesuffix("".join(file.suffixes[-2:])) if file.name.endswith(".ome.tif") else file.stem
        candidates = (stem if number == 1 else f"{stem}-{number}" for number in itertools.count(1))
        # Names that differ in case alone are one file on Windows and macOS.
        name = next(name for name in candidates if name.casefold() not in taken)
        taken.add(name.casefold())
        names.append(name)
    return names


def _empty_row(model: LoadedModel, file: Path, region: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"input": str(file), "region": region or "", "labels": "", "class": ""}
    row |= {f"p_{tag}": "" for tag in model.predictor.tags}
    if model.card.surfaces:
        row |= {"confidence": "", "repaired": ""}
    return row | {"seconds": 0.0, "error": ""}


def _predict_file(
    model: LoadedModel,
    image: Image,
    target: Path,
    row: dict[str, Any],
    box: Box | None,
    probabilities: bool,
    repair_order: bool,
    report: Report,
) -> None:
    def progress(done: int, total: int, text: str) -> None:
        report("progress", done=done, of=total, text=text)

    with _room_for_labels(image, box, target.parent) as room:
        result = predict(
            model,
            image,
            region=box,
            probabilities=probabilities,
            confidence=bool(model.card.surfaces),
            repair_order=repair_order,
            out=room,
            progress=progress,
        )
        if result.labels is not None:
            written = write_labels(
                target,
                result.labels,
                classes=result.classes,
                spacing=image.spacing,
                units=image.units,
                axes=image.spatial_axes,
            )
            row["labels"] = str(written)
    if result.probabilities is not None:
        _write_probabilities(target, result, image)
    if result.confidence is not None and not np.isnan(result.confidence).all():
        row["confidence"] = round(float(np.nanmean(result.confidence)), 4)
    if result.repaired is not None:
        row["repaired"] = round(result.repaired, 4)
    if result.tag is not None:
        row["class"] = result.tag.tag
        row |= {f"p_{tag}": round(float(p), 6) for tag, p in result.tag.probabilities.items()}
    for note in (*image.warnings, *result.notes):
        report("warning", text=f"{image.name}: {note}")


@contextmanager
def _room_for_labels(image: Image, box: Box | None, folder: Path) -> Iterator[Any]:
    """A zarr array on the disk for the labels of a large image, removed afterwards; None for a small one.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    shape = tuple(stop - start for start, stop in box) if box is not None else image.spatial_shape
    if math.prod(shape) <= _LABELS_IN_MEMORY:
        yield None
        return
    import zarr

    try:
        folder.mkdir(parents=True, exist_ok=True)
        room = tempfile.TemporaryDirectory(prefix=".labels-", dir=folder)
    except OSError as error:
        raise WriteError(f"Folder {folder} cannot be written ({error.strerror}): choose another one.") from error
    with room:
        chunks = (1,) * (len(shape) - 2) + (1024, 1024)
        yield zarr.create_array(room.name, shape=shape, chunks=chunks, dtype="uint8", fill_value=0)


def _write_probabilities(target: Path, result: Prediction, image: Image) -> None:
    from napari_medseg.io import write_image

    channels = ("background", *(c.name for c in result.classes))
    stack = Image(
        levels=(result.probabilities,) if result.probabilities is not None else (),
        axes="c" + image.spatial_axes,
        spacing=image.spacing,
        units=image.units,
        channels=channels,
        name=f"{target.stem} probabilities",
    )
    write_image(target.with_name(f"{target.stem}-probabilities.zarr"), stack)


def _write_table(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())
