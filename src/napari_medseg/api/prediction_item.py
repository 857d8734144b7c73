"""Prediction of one image or slide of a list into a folder."""

from __future__ import annotations

import csv
import io
import math
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.api.prediction import LoadedModel, load_model, predict
from napari_medseg.api.prediction_table import cells_of, empty_row, size_cells, size_columns, slide_cells
from napari_medseg.api.regions import region_of_mask, region_of_model
from napari_medseg.api.reports import write_report
from napari_medseg.api.slides import SlideOptions, SlideResult, is_slide, predict_slide, suits_slides
from napari_medseg.data.naming import stem_of
from napari_medseg.data.rows import format_region
from napari_medseg.data.scan_columns import with_spacing
from napari_medseg.errors import Cancelled, ConfigError, MedsegError, WriteError
from napari_medseg.io import read, write_image, write_labels
from napari_medseg.io.atomic import write_text
from napari_medseg.io.labels import orientation_of
from napari_medseg.io.model_file import identity, read_model
from napari_medseg.io.volume.space import moved
from napari_medseg.structures import Box, Image, Kind, Prediction, Progress
from napari_medseg.training.events import Report

if TYPE_CHECKING:
    from napari_medseg.models.compute import Compute

#: Most values of one result that are kept in memory; more go to the disk as they are made.
_VALUES_IN_MEMORY = 64 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is made of every image, in values that can be sent to other programs.

    Parameters
    ----------
    model, out
        Model file and folder of the results.
    region, region_text
        What every image is asked about, and how it was written.
    region_model
        A model file that finds the region.
    label_format, probabilities, repair_order, tissue, reports, kind, series
        As in `napari_medseg.api.predict_files`.
    spacing
        Millimetres per pixel of images whose files do not tell, ``[z,] y, x``.
    """

    model: Path
    out: Path
    region: Box | Path | None
    region_text: str | None
    region_model: Path | None
    probabilities: bool
    repair_order: bool
    label_format: str | None
    tissue: Literal["auto", "none"] | Path
    reports: bool
    kind: Kind | None
    series: int | None
    spacing: tuple[float, ...] | None = None

    def absolute(self) -> Request:
        """The same, for programs that work in other folders."""
        region, tissue = self.region, self.tissue
        return replace(
            self,
            out=self.out.absolute(),
            region=region.absolute() if isinstance(region, Path) else region,
            tissue=tissue.absolute() if isinstance(tissue, Path) else tissue,
        )


class ItemPredictor:
    """A loaded model with what is asked of it.

    Parameters
    ----------
    request
        What is made of every image.
    compute
        How networks are run.

    Raises
    ------
    MedsegError
        The models cannot be used, or give no reports.
    """

    def __init__(self, request: Request, compute: Compute) -> None:
        self.request = request
        self.model = load_model(request.model, compute=compute)
        self._finder = None
        if request.region_model is not None:
            self._finder = load_model(request.region_model, compute=compute)
        self._reports_of = _reports_of(self.model) if request.reports else ""

    def empty_row(self, file: Path) -> dict[str, Any]:
        """The row of an image of which nothing is known yet."""
        return empty_row(self.model, file, self.request.region_text)

    def target(self, name: str) -> Path:
        """The label file of an image that has this name among the results."""
        return self.request.out / f"{name}.{self.request.label_format or 'tif'}"

    def read(self, file: Path) -> Image:
        """The image of a file."""
        return with_spacing(read(file, kind=self.request.kind, series=self.request.series), self.request.spacing)

    def goes_as_slide(self, image: Image) -> bool:
        """Whether an image is predicted as a slide."""
        return is_slide(image) and suits_slides(self.model) and self.request.label_format in (None, "zarr")

    def slide_options(self, image: Image, progress: Progress) -> SlideOptions:
        """What is made of a slide."""
        request = self.request
        box = self._box(image, progress)
        return SlideOptions(region=box, tissue=request.tissue, probabilities=request.probabilities)

    def predict(self, file: Path, name: str, report: Report) -> dict[str, Any]:
        """Predict one image; its row, in which stands what is wrong with it.

        Raises
        ------
        Cancelled
            As `report` raised it.
        """
        row = self.empty_row(file)
        with told_in(row, file, report):
            self._predict(self.read(file), self.target(name), row, report)
        return row

    def _predict(self, image: Image, target: Path, row: dict[str, Any], report: Report) -> None:
        progress = as_progress(report)
        if self.goes_as_slide(image):
            options = self.slide_options(image, progress)
            found = predict_slide(
                self.model, image, target.parent, name=stem_of(target), options=options, progress=progress
            )
            row |= slide_row(image, found, report)
            return
        box = self._box(image, progress)
        if box is not None and "box" in row:
            row["box"] = format_region(box)
        with ExitStack() as rooms:
            result = self._result(image, target, box, rooms, progress)
            self._write(result, image, target, row, rooms)
        row |= cells_of(result, graded="calibrated" in row)
        for note in (*image.warnings, *result.notes):
            report("warning", text=f"{image.name}: {note}")

    def _result(self, image: Image, target: Path, box: Box | None, rooms: ExitStack, progress: Progress) -> Prediction:
        """The prediction; what is large lies on the disk, in rooms that close with `rooms`."""
        from napari_medseg.inference.focus import region_of_result

        model, shares = self.model, self.request.probabilities
        shape = tuple(stop - start for start, stop in region_of_result(model.predictor, image, box))
        channels = len(model.predictor.classes) + 1
        floats = None
        if shares and model.predictor.classes:
            floats = rooms.enter_context(_room((channels, *shape), np.float16, target.parent))
        return predict(
            model,
            image,
            region=box,
            probabilities=shares,
            confidence=bool(model.card.surfaces),
            attention=bool(self._reports_of),
            repair_order=self.request.repair_order,
            out=rooms.enter_context(_room(shape, np.uint8, target.parent)),
            probabilities_out=floats,
            progress=progress,
        )

    def _write(self, result: Prediction, image: Image, target: Path, row: dict[str, Any], rooms: ExitStack) -> None:
        """Write the files of a prediction, and into its row what they are."""
        from napari_medseg.inference.focus import in_whole_image

        model = self.model
        if self._reports_of:
            picture = target.with_name(f"{stem_of(target)}-report.png")
            write_report(picture, image, result, model=model.name, identity=self._reports_of, title=image.name)
        if model.predictor.focus is not None and result.labels is not None:
            if size_columns(model):
                row |= size_cells(model, result, image)
            if "sure" in row:
                row["box"] = format_region(result.region)
            room = rooms.enter_context(_room(image.spatial_shape, np.uint8, target.parent))
            result = in_whole_image(result, image, room)
        if result.labels is not None:
            known: dict[str, Any] = {"spacing": image.spacing, "units": image.units, "axes": image.spatial_axes}
            if image.affine is not None:
                known["affine"] = moved(image.affine, [start for start, _ in result.region])
                known["orientation"] = orientation_of(image)
            row["labels"] = str(write_labels(target, result.labels, classes=result.classes, **known))
        if result.probabilities is not None:
            _write_probabilities(target, result, image)
        if result.frames:
            _write_frames(target, result)

    def _box(self, image: Image, progress: Progress) -> Box | None:
        """What the model is asked about in an image; None for all of it."""
        if self._finder is not None:
            return region_of_model(self._finder, image, tuple(self.model.card.classes), progress=progress)[0]
        region = self.request.region
        return region_of_mask(region, image) if isinstance(region, Path) else region


@contextmanager
def told_in(row: dict[str, Any], file: Path, report: Report) -> Iterator[None]:
    """Put what goes wrong, and the seconds it took, into a row, so that one image does not cost the night's others."""
    started = time.perf_counter()
    try:
        yield
    except Cancelled:
        raise
    except MedsegError as error:
        row["error"] = str(error)
        report("warning", text=str(error) if str(file) in str(error) else f"{file}: {error}")
    except Exception as error:
        # A defect of this package.
        row["error"] = f"Unexpected {type(error).__name__}: {error}"
        report("warning", text=f"{file}: {row['error']}. This is a defect of napari-medseg, please report it.")
    row["seconds"] = round(time.perf_counter() - started, 3)


def as_progress(report: Report) -> Progress:
    """Progress that is told as an event."""

    def progress(done: int, total: int, text: str) -> None:
        report("progress", done=done, of=total, text=text)

    return progress


def slide_row(image: Image, found: SlideResult, report: Report) -> dict[str, Any]:
    """Cells of a slide's row; what is to be said of it is reported."""
    for note in (*image.warnings, *found.notes):
        report("warning", text=f"{image.name}: {note}")
    return slide_cells(found)


def _reports_of(model: LoadedModel) -> str:
    """The identity of a model whose answers can be reported.

    Raises
    ------
    ConfigError
        Its answers are no class of a picture.
    """
    if not model.predictor.marks_region:
        raise ConfigError(
            "Reports are of models that tell the class of a picture (scheme thyroid): leave --report out."
        )
    return identity(*read_model(model.path))


@contextmanager
def _room(shape: tuple[int, ...], dtype: npt.DTypeLike, folder: Path) -> Iterator[Any]:
    """A zarr array on the disk for a large result, removed afterwards; None for a small one.

    Raises
    ------
    WriteError
        The folder cannot be written.
    """
    if math.prod(shape) <= _VALUES_IN_MEMORY:
        yield None
        return
    import zarr

    try:
        room = tempfile.TemporaryDirectory(prefix=".result-", dir=folder)
    except OSError as error:
        raise WriteError(f"Folder {folder} cannot be written ({error.strerror}): choose another one.") from error
    with room:
        chunks = (1,) * (len(shape) - 2) + (256, 1024)  # few rows: the engine holds one row of chunks
        yield zarr.create_array(room.name, shape=shape, chunks=chunks, dtype=np.dtype(dtype), fill_value=0)


def _write_probabilities(target: Path, result: Prediction, image: Image) -> None:
    channels = ("background", *(c.name for c in result.classes))
    stack = Image(
        levels=(result.probabilities,) if result.probabilities is not None else (),
        axes="c" + image.spatial_axes,
        spacing=image.spacing,
        units=image.units,
        channels=channels,
        name=f"{stem_of(target)} probabilities",
    )
    write_image(target.with_name(f"{stem_of(target)}-probabilities.zarr"), stack)


def _write_frames(target: Path, result: Prediction) -> None:
    """``<name>-frames.csv``: what the classifier says of every frame of a cine, numbered from 0."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["frame", "class", *(f"p_{tag}" for tag in result.frames[0].probabilities)])
    for number, frame in enumerate(result.frames, start=result.region[0][0]):
        writer.writerow([number, frame.tag, *(round(float(p), 6) for p in frame.probabilities.values())])
    write_text(target.with_name(f"{stem_of(target)}-frames.csv"), text.getvalue())
