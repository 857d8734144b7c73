"""A slide's prediction in its folder: begun or gone on with, run band by band, finished under its own name.

Until it is finished, everything lies in ``<name>.partial``: ``run.json`` says what it depends on, ``bands.json`` which
rows are written by whom, and a journal per band which of them are there. Several programs may each run bands of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import zarr

from napari_medseg.api.prediction import LoadedModel
from napari_medseg.api.slide_tables import tiles_of, write_class_contours, write_tag_map, write_tiles
from napari_medseg.data.locking import STALE_SECONDS, FileLock, kept_alive
from napari_medseg.data.tissue import find_tissue
from napari_medseg.errors import ConfigError
from napari_medseg.io import read_labels
from napari_medseg.io.atomic import not_written, write_text
from napari_medseg.io.growing import GrowingPyramid
from napari_medseg.io.halving import halved_by_choice, halved_by_mean
from napari_medseg.io.labels import image_label
from napari_medseg.io.ome_zarr import OWN_KEY
from napari_medseg.io.pyramid import create_pyramid
from napari_medseg.io.slide.damage import damage_notes
from napari_medseg.structures import NOT_LOOKED_AT, Box, Image, Progress, TagResult

if TYPE_CHECKING:
    from napari_medseg.inference.job import Job
    from napari_medseg.inference.journal import Journal
    from napari_medseg.inference.slide import Band, SlideOutputs

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


@dataclass(frozen=True, slots=True, kw_only=True)
class BandResult:
    """What was done of one band: windows that were run, seconds as in `SlideResult`, sentences for people."""

    windows: int
    seconds: dict[str, float]
    notes: tuple[str, ...]


class SlideWork:
    """A prediction of a slide that is begun, or goes on where an earlier one with the same arguments stopped.

    Parameters
    ----------
    model
        For which `napari_medseg.api.slides.suits_slides` holds.
    image
        From `read`; of two spatial axes.
    place
        Folder and name of the results.
    options
        What is made of the slide.
    parts
        Bands that are wanted for several programs. One that was begun earlier keeps its bands.

    Raises
    ------
    MedsegError
        The model or the slide cannot be used, or the folder not be written.
    """

    def __init__(self, model: LoadedModel, image: Image, place: Path, options: SlideOptions, parts: int = 1) -> None:
        self._model, self._image, self._place, self._options = model, image, place, options
        self._mask, self._notes = _tissue(image, options.tissue)
        self._identity = _identity(model, image, options, self._mask)
        self._partial = place.with_name(f"{place.name}.partial")
        #: First row and end of every band, counted from the region's first row; none of a finished slide.
        self.bands: list[Band] = []
        #: What an earlier run of the same kind finished; None while there is something to do.
        self.finished = _finished(place, self._identity, draws=bool(model.predictor.classes))
        self.resumed = False
        if self.finished is None:
            self._begin(parts)

    @property
    def windows(self) -> list[int]:
        """Windows of every band."""
        return [sum(len(job.around(*band)[1]) for job in self._jobs) for band in self.bands]

    def run(
        self, band: int, *, progress: Progress | None = None, cancel: Callable[[], bool] | None = None
    ) -> BandResult:
        """Predict what is not finished of a band; `progress` counts its windows.

        Raises
        ------
        LockedError
            Another program works on this band.
        MedsegError
            As `napari_medseg.inference.slide.predict_slide`.
        """
        from napari_medseg.inference.slide import predict_slide

        with kept_alive(FileLock(self._partial / f"band-{band}.lock", timeout=STALE_SECONDS + 2)):
            done = predict_slide(
                self._model.predictor,
                self._image,
                self._outputs(band),
                region=self._options.region,
                mask=self._mask,
                band=self.bands[band],
                compute=self._model.compute,
                progress=progress,
                cancel=cancel,
            )
        notes = (*done.notes, *damage_notes(self._image.path))
        return BandResult(windows=done.windows, seconds=done.seconds, notes=notes)

    def finish(self, done: Sequence[BandResult]) -> SlideResult:
        """Write coarser levels, tables and contours, and give all results their names.

        Parameters
        ----------
        done
            What `run` returned for every band.
        """
        from napari_medseg.inference.slide import tag_of

        started = time.perf_counter()
        outputs = self._outputs(0)
        for number in range(1, len(self.bands)):
            outputs.journal.include(self._journal(number))
        if len(self.bands) > 1:
            for pyramid in filter(None, (outputs.labels, outputs.probabilities)):
                pyramid.complete()
        tag = tag_of(self._model.predictor, outputs.journal)
        self._write_tables(outputs)
        marked = zarr.open_group(self._partial / _marked(draws=outputs.labels is not None), mode="r+")
        kept = {_RUN_KEY: _hash(self._identity), "tag": None if tag is None else asdict(tag)}
        known = marked.attrs.get(OWN_KEY)
        marked.attrs[OWN_KEY] = {**(known if isinstance(known, dict) else {}), **kept}
        _publish(self._partial, self._place)
        parts = {part for one in done for part in one.seconds}
        seconds = {part: sum(one.seconds.get(part, 0.0) for one in done) for part in sorted(parts)}
        notes = dict.fromkeys([*self._notes, *(note for one in done for note in one.notes)])
        return SlideResult(
            labels=self._place.with_name(f"{self._place.name}.zarr") if self._model.predictor.classes else None,
            tag=tag,
            windows=sum(one.windows for one in done),
            resumed=self.resumed,
            seconds={**seconds, "tables": time.perf_counter() - started},
            notes=tuple(notes),
        )

    @cached_property
    def _jobs(self) -> tuple[Job, ...]:
        from napari_medseg.inference.slide import plan_slide

        outputs = self._outputs(0)
        return plan_slide(self._model.predictor, self._image, outputs, region=self._options.region, mask=self._mask)

    @property
    def _arrays(self) -> list[Path]:
        """The pyramids that grow: labels, then probabilities, as far as they are wanted."""
        names = ("labels.zarr", "probabilities.zarr")[: 1 + self._options.probabilities]
        return [self._partial / name for name in names] if self._model.predictor.classes else []

    def _begin(self, parts: int) -> None:
        """Make the folder and its arrays, or keep those that are there and fit."""
        from napari_medseg.inference.slide import plan_bands

        state, bands = self._partial / "run.json", self._partial / "bands.json"
        known = _read_json(state) == self._identity
        begun = _read_json(bands)
        if known and begun and all((path / "zarr.json").is_file() for path in self._arrays):
            self.bands, self.resumed = [(first, last) for first, last in begun], True
            return
        _make_empty(self._partial)
        write_text(state, json.dumps(self._identity))
        for path in self._arrays:
            _create(path, self._image, self._model)
        self.bands = plan_bands(self._jobs, self._outputs(0), parts)
        write_text(bands, json.dumps(self.bands))

    def _outputs(self, band: int) -> SlideOutputs:
        from napari_medseg.inference.slide import SlideOutputs

        alone = len(self.bands) <= 1
        labels, shares = (*self._arrays, None, None)[:2]
        return SlideOutputs(
            labels=None if labels is None else GrowingPyramid(labels, halved_by_choice, finest_only=not alone),
            probabilities=None if shares is None else GrowingPyramid(shares, halved_by_mean, finest_only=not alone),
            journal=self._journal(band),
        )

    def _journal(self, band: int) -> Journal:
        from napari_medseg.inference.journal import Journal

        return Journal(self._partial / ("journal.jsonl" if len(self.bands) <= 1 else f"journal-{band}.jsonl"))

    def _write_tables(self, outputs: SlideOutputs) -> None:
        from napari_medseg.inference.slide import SlideRun

        classes, tags = self._model.predictor.classes, self._model.predictor.tags
        region = self._options.region or tuple((0, n) for n in self._image.spatial_shape)
        levels = None if outputs.labels is None else outputs.labels.levels
        finest = None if levels is None else levels[0]
        run = SlideRun(self._jobs)
        edges = run.tile_edges(0), run.tile_edges(1)
        tiles = list(tiles_of(run.tiles(), edges, region, finest, [c.value for c in classes], outputs.journal))
        write_tiles(self._partial / "-tiles.csv", tiles, [c.name for c in classes], tags)
        if tags:
            write_tag_map(self._partial / "-tags.zarr", tiles, tags, self._image)
        if levels is not None and self._options.contours:
            write_class_contours(self._partial / ".geojson", levels, region, classes)


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
        "version": 2,
        "model": weights,
        "slide": [str(image.path), *(() if stat is None else (stat.st_size, stat.st_mtime_ns)), image.series],
        "shape": list(image.shape),
        "spacing": [list(image.spacing or ()), list(image.units or ())],
        "region": None if options.region is None else [list(span) for span in options.region],
        "tissue": hashlib.sha256(repr(mask.shape).encode() + np.packbits(mask).tobytes()).hexdigest(),
        "written": [options.probabilities, options.contours],
        "compute": [model.compute.device.partition(":")[0], model.compute.precision, model.compute.channels_last],
    }


def _hash(identity: dict[str, Any]) -> str:
    """An identity without the names in it: labels are handed on."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _read_json(path: Path) -> Any:
    """What a file says; None where there is none, or a damaged one."""
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _marked(*, draws: bool) -> str:
    """The result that says, when it has its name, what was finished; it gets it last."""
    return "labels.zarr" if draws else "-tags.zarr"


def _finished(place: Path, identity: dict[str, Any], *, draws: bool) -> SlideResult | None:
    """What an earlier run of the same kind finished: what says so got its name last, so the rest is there too."""
    marked = place.with_name(place.name + _RESULTS[_marked(draws=draws)])
    if not (marked / "zarr.json").is_file():
        return None
    kept = zarr.open_group(marked, mode="r").attrs.get(OWN_KEY)
    if not isinstance(kept, dict) or kept.get(_RUN_KEY) != _hash(identity):
        return None
    note = f"{marked.name} was finished before with the same model and options, and is kept: delete it to begin anew."
    tag = TagResult(**kept["tag"]) if kept.get("tag") else None
    return SlideResult(labels=marked if draws else None, tag=tag, windows=0, resumed=True, seconds={}, notes=(note,))


def _make_empty(partial: Path) -> None:
    """Make the folder of an unfinished run, empty.

    Raises
    ------
    LockedError
        Another program works there.
    WriteError
        It cannot be written.
    """
    for lock in partial.glob("*.lock"):
        with FileLock(lock, timeout=STALE_SECONDS + 2):
            pass  # its holder is gone
    try:
        if partial.exists():
            shutil.rmtree(partial)
        partial.mkdir(parents=True)
    except OSError as error:
        raise not_written(partial, error) from error


def _create(path: Path, image: Image, model: LoadedModel) -> None:
    """Make an array of a run, without any pixel yet."""
    classes = model.predictor.classes
    known: dict[str, Any] = {"spacing": image.spacing, "units": image.units, "dtype": np.uint8}
    try:
        if path.stem == "labels":
            known |= {"name": image.name, "shape": image.spatial_shape, "axes": "yx", "centred": False}
            described: dict[str, Any] = {"image-label": image_label(classes, None)}
            create_pyramid(path, fill_value=NOT_LOOKED_AT, attributes=described, **known)
        else:
            names = ("background", *(c.name for c in classes))
            known |= {"shape": (len(names), *image.spatial_shape), "axes": "cyx", "centred": True}
            described = {"omero": {"channels": [{"label": n, "color": "FFFFFF", "active": True} for n in names]}}
            create_pyramid(path, fill_value=0, shard_rows=_SHARD_ROWS, attributes=described, **known)
    except OSError as error:
        raise not_written(path, error) from error


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
        raise not_written(place, error) from error
