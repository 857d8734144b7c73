"""Prediction of whole slides into a folder: labels of all levels, tables, contours; it can be stopped and go on."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from napari_medseg.api.prediction import LoadedModel
from napari_medseg.api.slide_tables import tiles_of, write_class_contours, write_tag_map, write_tiles
from napari_medseg.data.tissue import find_tissue
from napari_medseg.errors import ConfigError, InputNotFoundError, WriteError
from napari_medseg.io import read_labels
from napari_medseg.io.atomic import write_text
from napari_medseg.io.growing import GrowingPyramid
from napari_medseg.io.halving import halved_by_choice, halved_by_mean
from napari_medseg.io.labels import image_label
from napari_medseg.io.ome_zarr import OWN_KEY
from napari_medseg.io.pyramid import create_pyramid
from napari_medseg.io.slide.facts import is_slide as is_slide
from napari_medseg.structures import NOT_LOOKED_AT, Box, Image, Progress, TagResult
from napari_medseg.training.events import duration

if TYPE_CHECKING:
    from napari_medseg.inference.slide import SlideOutputs, SlideRun

#: Key, beside the OME metadata, of what a finished run depended on.
_RUN_KEY = "run"
#: Rows of a file of probabilities: fewer wait in memory then.
_SHARD_ROWS = 512

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideOptions:
    """What is made of a slide.

    Parameters
    ----------
    region
        Box of level-0 pixels; None for all of it.
    tissue
        ``"auto"`` (found on a small picture), ``"none"`` (everything is predicted), or a label file that covers the
        slide at any resolution, in which everything but 0 and 255 is tissue.
    probabilities, contours
        Whether to write these as well.
    """

    region: Box | None = None
    tissue: Literal["auto", "none"] | Path = "auto"
    probabilities: bool = False
    contours: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideResult:
    """What was written of a slide.

    Parameters
    ----------
    labels
        OME-Zarr labels of the whole slide; None for a model that draws nothing.
    tag
        The slide's class; None where the model does not classify, or there was no tissue.
    windows, resumed
        Windows that were run now, and whether an earlier run had begun.
    seconds
        Spent waiting for pixels, in the network, in blending and writing, and on tables and contours.
    notes
        Sentences for people.
    """

    labels: Path | None
    tag: TagResult | None
    windows: int
    resumed: bool
    seconds: dict[str, float]
    notes: tuple[str, ...]


def suits_slides(model: LoadedModel) -> bool:
    """Whether a model works window by window on flat pictures."""
    predictor = model.predictor
    return len(predictor.window) == 2 and predictor.focus is None and not model.card.surfaces


def parse_tissue(text: str) -> Literal["auto", "none"] | Path:
    """What a person says of the tissue: ``auto``, ``none`` or a label file.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    """
    if text == "auto" or text == "none":
        return "auto" if text == "auto" else "none"
    path = Path(text)
    if not path.exists():
        raise InputNotFoundError(f"There is no tissue mask {path}: name a label image, or write auto or none.")
    return path


def predict_slide(
    model: LoadedModel,
    image: Image,
    folder: str | os.PathLike[str],
    *,
    name: str | None = None,
    options: SlideOptions | None = None,
    progress: Progress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> SlideResult:
    """Predict a slide into a folder, in memory that does not grow with the slide.

    While it runs, everything lies in ``<name>.partial``; when that is there at the start, and was begun with the same
    model, slide and options, its finished rows are not computed again. A result that was finished so is left as it is.

    Parameters
    ----------
    model
        For which `suits_slides` holds.
    image
        From `read`; of two spatial axes.
    folder, name
        Results are ``<name>.zarr`` (labels), ``<name>-tiles.csv``, ``<name>.geojson`` and, where wanted or known,
        ``<name>-probabilities.zarr`` and ``<name>-tags.zarr``. Default: the image's name.
    options
        Default: all tissue, labels, tables and contours.
    progress
        Called with (windows done, windows, text with the time left); may raise `Cancelled`.
    cancel
        Asked before every batch.

    Raises
    ------
    MedsegError
        The model or the slide cannot be used, or the folder not be written.
    Cancelled
        As asked; the next call with the same arguments goes on.
    """
    wanted = options or SlideOptions()
    place = Path(folder) / (name or image.name)
    mask, notes = _tissue(image, wanted.tissue)
    identity = _identity(model, image, wanted, mask)
    if (finished := _finished(place, identity)) is not None:
        return finished
    partial = place.with_name(f"{place.name}.partial")
    resumed = _begin(partial, identity)
    from napari_medseg.inference.slide import predict_slide as run
    from napari_medseg.inference.slide import tag_of

    outputs = _outputs(model, image, partial, wanted)
    done = run(
        model.predictor,
        image,
        outputs,
        region=wanted.region,
        mask=mask,
        compute=model.compute,
        progress=None if progress is None else _with_time_left(progress),
        cancel=cancel,
    )
    started = time.perf_counter()
    _write_tables(model, image, partial, wanted, outputs, done)
    tag = tag_of(model.predictor, outputs.journal)
    if outputs.labels is not None:
        kept = {_RUN_KEY: _hash(identity), "tag": None if tag is None else asdict(tag)}
        zarr.open_group(partial / "labels.zarr", mode="r+").attrs[OWN_KEY] = kept
    _publish(partial, place)
    seconds = {**done.seconds, "tables": time.perf_counter() - started}
    return SlideResult(
        labels=place.with_name(f"{place.name}.zarr") if model.predictor.classes else None,
        tag=tag,
        windows=done.windows,
        resumed=resumed,
        seconds=seconds,
        notes=(*notes, *done.notes),
    )


def _tissue(image: Image, tissue: Literal["auto", "none"] | Path) -> tuple[Mask, tuple[str, ...]]:
    """Where to predict, and what is to be said of it."""
    if tissue == "none":
        return np.ones((1, 1), bool), ()
    if tissue == "auto":
        found = find_tissue(image)
        return found.mask, found.notes
    labels = np.asarray(read_labels(tissue).labels)
    if labels.ndim != 2:
        raise ConfigError(f"Tissue in {tissue} has {labels.ndim} axes, a slide 2: name one flat label image.")
    return (labels != 0) & (labels != NOT_LOOKED_AT), ()


def _identity(model: LoadedModel, image: Image, options: SlideOptions, mask: Mask) -> dict[str, Any]:
    """What a run depends on: two runs of which this is the same may share their work."""
    stat = None if image.path is None else image.path.stat()
    with model.path.open("rb") as file:
        weights = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "version": 1,
        "model": weights,
        "slide": [str(image.path), *(() if stat is None else (stat.st_size, stat.st_mtime_ns)), image.series],
        "shape": list(image.shape),
        "region": None if options.region is None else [list(span) for span in options.region],
        "tissue": hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest(),
        "written": [options.probabilities, options.contours],
        "compute": [model.compute.device, model.compute.precision, model.compute.channels_last],
    }


def _hash(identity: dict[str, Any]) -> str:
    """An identity without the names in it: labels are handed on."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _finished(place: Path, identity: dict[str, Any]) -> SlideResult | None:
    """What an earlier run of the same kind finished: the labels get their name last, so the rest is there too."""
    labels = place.with_name(f"{place.name}.zarr")
    if not (labels / "zarr.json").is_file():
        return None
    kept = zarr.open_group(labels, mode="r").attrs.get(OWN_KEY)
    if not isinstance(kept, dict) or kept.get(_RUN_KEY) != _hash(identity):
        return None
    note = f"{labels.name} was finished before with the same model and options, and is kept: delete it to begin anew."
    tag = TagResult(**kept["tag"]) if kept.get("tag") else None
    return SlideResult(labels=labels, tag=tag, windows=0, resumed=True, seconds={}, notes=(note,))


def _begin(partial: Path, identity: dict[str, Any]) -> bool:
    """Make the folder of an unfinished run, or keep the one that is there and fits; tells whether it was kept."""
    state = partial / "run.json"
    if state.is_file():
        try:
            if json.loads(state.read_text("utf-8")) == identity:
                return True
        except ValueError:
            pass  # damaged: begun anew
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        raise WriteError(f"Folder {partial} cannot be written ({error.strerror}): choose another one.") from error
    write_text(state, json.dumps(identity))
    return False


def _outputs(model: LoadedModel, image: Image, partial: Path, options: SlideOptions) -> SlideOutputs:
    """The arrays of a run; made anew unless all that its journal speaks of is there."""
    from napari_medseg.inference.journal import Journal
    from napari_medseg.inference.slide import SlideOutputs

    classes, journal = model.predictor.classes, partial / "journal.jsonl"
    labels, shares = partial / "labels.zarr", partial / "probabilities.zarr"
    needed = [labels, shares][: (1 + options.probabilities) * bool(classes)]
    if not journal.is_file() or not all((path / "zarr.json").is_file() for path in needed):
        journal.unlink(missing_ok=True)
        for path in (labels, shares):
            if path.exists():
                shutil.rmtree(path)
        known: dict[str, Any] = {"spacing": image.spacing, "units": image.units, "dtype": np.uint8}
        described: dict[str, Any] = {"image-label": image_label(classes, None)}
        if labels in needed:
            known |= {"name": image.name, "shape": image.spatial_shape, "axes": "yx", "centred": False}
            create_pyramid(labels, fill_value=NOT_LOOKED_AT, attributes=described, **known)
        if shares in needed:
            names = [
                {"label": n, "color": "FFFFFF", "active": True} for n in ("background", *(c.name for c in classes))
            ]
            known |= {"shape": (len(names), *image.spatial_shape), "axes": "cyx", "centred": True}
            described = {"omero": {"channels": names}}
            create_pyramid(shares, fill_value=0, shard_rows=_SHARD_ROWS, attributes=described, **known)
    return SlideOutputs(
        labels=GrowingPyramid(labels, halved_by_choice) if labels in needed else None,
        probabilities=GrowingPyramid(shares, halved_by_mean) if shares in needed else None,
        journal=Journal(journal),
    )


def _with_time_left(progress: Progress) -> Progress:
    """Progress whose text tells the time left, by the pace since the first call."""
    began: list[tuple[float, int]] = []

    def report(done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if not began:
            began.append((now, done))
        (start, first) = began[0]
        left = f", {duration((now - start) / (done - first) * (total - done))} left" if done > first else ""
        progress(done, total, f"windows{left}")

    return report


def _write_tables(
    model: LoadedModel, image: Image, partial: Path, options: SlideOptions, outputs: SlideOutputs, done: SlideRun
) -> None:
    classes, tags = model.predictor.classes, model.predictor.tags
    region = options.region or tuple((0, n) for n in image.spatial_shape)
    levels = None if outputs.labels is None else outputs.labels.levels
    finest = None if levels is None else levels[0]
    edges = done.tile_edges(0), done.tile_edges(1)
    tiles = list(tiles_of(done.tiles(), edges, region, finest, [c.value for c in classes], outputs.journal))
    write_tiles(partial / "-tiles.csv", tiles, [c.name for c in classes], tags)
    if tags:
        write_tag_map(partial / "-tags.zarr", tiles, tags, image)
    if levels is not None and options.contours:
        write_class_contours(partial / ".geojson", levels, region, classes)


#: What a result is called in the folder of an unfinished run, and what follows the slide's name when it is done.
_RESULTS = {
    "-tiles.csv": "-tiles.csv",
    "-tags.zarr": "-tags.zarr",
    ".geojson": ".geojson",
    "probabilities.zarr": "-probabilities.zarr",
    "labels.zarr": ".zarr",
}


def _publish(partial: Path, place: Path) -> None:
    """Give the results their names, those of an earlier prediction being replaced; the labels last."""
    try:
        for inside, ending in _RESULTS.items():
            source, target = partial / inside, place.with_name(place.name + ending)
            if not source.exists():
                continue
            if target.is_dir():
                old = target.with_name(f".{target.name}.old")
                os.replace(target, old)
                os.replace(source, target)
                shutil.rmtree(old)
            else:
                os.replace(source, target)
        shutil.rmtree(partial)
    except OSError as error:
        raise WriteError(f"{place} could not be written ({error.strerror}): check who holds its files.") from error
