"""Prediction of many files into a folder: labels, probabilities and one table."""

from __future__ import annotations

import csv
import io
import itertools
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.api.prediction import LoadedModel, load_model, predict
from napari_medseg.api.regions import parse_region, region_of_mask, region_of_model
from napari_medseg.api.reports import write_report
from napari_medseg.api.slides import SlideOptions, is_slide, parse_tissue, predict_slide, suits_slides
from napari_medseg.data.naming import stem_of
from napari_medseg.data.regions import lesion_mask
from napari_medseg.data.rows import format_region
from napari_medseg.errors import Cancelled, ConfigError, InputNotFoundError, MedsegError, WriteError
from napari_medseg.io import image_files, read, write_image, write_labels
from napari_medseg.io.atomic import write_text
from napari_medseg.io.labels import orientation_of
from napari_medseg.io.model_file import identity, read_model
from napari_medseg.io.volume.space import moved
from napari_medseg.measure.lesions import lesion_size
from napari_medseg.measure.space import space_of
from napari_medseg.structures import Box, Image, Kind, Prediction, TagResult
from napari_medseg.training.events import Report, ignore

#: Endings of the label files that can be written.
LABEL_FORMATS = ("tif", "zarr", "nii.gz")
#: Most values of one result that are kept in memory; more go to the disk as they are made.
_VALUES_IN_MEMORY = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What is made of every image; with the model's identity `reports_of`, also a report."""

    region: Box | Path | None
    region_model: LoadedModel | None
    probabilities: bool
    repair_order: bool
    tissue: Literal["auto", "none"] | Path
    slides_as_images: bool
    reports_of: str = ""


def predict_files(
    model: str | os.PathLike[str],
    inputs: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    region: str | None = None,
    region_model: str | os.PathLike[str] | None = None,
    probabilities: bool = False,
    repair_order: bool = False,
    label_format: str | None = None,
    tissue: str = "auto",
    reports: bool = False,
    kind: Kind | None = None,
    series: int | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> list[dict[str, Any]]:
    """Predict files and folders of images into a folder.

    A faulty input becomes a row with its error and the others go on. Every input adds its row to ``predictions.csv``
    when it is finished, so that an interrupted run leaves what it did.

    Parameters
    ----------
    region
        ``y0:y1,x0:x1`` (``z0:z1,...``), or a label file or folder of them: what is marked there. Models that judge one
        region (scheme `fibrosis`) write labels of the whole image all the same, 255 where they did not look.
    region_model
        A model that finds the region of every image, as in `napari_medseg.api.predict`.
    label_format
        One of `LABEL_FORMATS`; only NIfTI (``nii.gz``) keeps where voxels lie in the body. None: TIFF, and for slides
        what `napari_medseg.api.slides.predict_slide` writes, as for ``zarr``.
    tissue
        Where to look on slides: as in `napari_medseg.api.slides.SlideOptions`.
    reports
        Also write ``<name>-report.png`` (`napari_medseg.api.write_report`), for models of scheme `thyroid`.

    Returns
    -------
    The rows of ``predictions.csv``: ``input, region, labels, class, p_<class>..., seconds, error``; for models with
    surfaces also ``confidence`` (mean over columns) and ``repaired`` (share of columns, with `repair_order`); for
    models that judge one region ``box`` (what they were asked about), ``calibrated`` and, where they draw, the size of
    that, ``volume_mm3`` (``area_mm2`` of a picture), ``long_axis_mm``, ``short_axis_mm`` and ``axis_slice`` (from 0),
    where spacing is known; for models of scheme `thyroid` ``sure``, with ``box`` being what they judged. Of a cine or
    another stack that is classified slice by slice, ``<name>-frames.csv`` tells the class of every frame.

    Raises
    ------
    MedsegError
        The model cannot be used, an input does not exist, the region has other axes than the first image, or the
        folder cannot be written.
    """
    if label_format is not None and label_format not in LABEL_FORMATS:
        raise ConfigError(f"Labels cannot be written as '{label_format}': choose one of {', '.join(LABEL_FORMATS)}.")
    loaded = load_model(model, device=device, precision=precision, threads=threads)
    finder = None
    if region_model is not None:
        finder = load_model(region_model, device=device, precision=precision, threads=threads)
    asked = parse_region(region) if region is not None else None
    wanted = _Wanted(
        region=asked,
        region_model=finder,
        probabilities=probabilities,
        repair_order=repair_order,
        tissue=parse_tissue(tissue),
        slides_as_images=label_format not in (None, "zarr"),
        reports_of=_reports_of(loaded) if reports else "",
    )
    if wanted.region is not None and finder is not None:
        raise ConfigError("The region is either given or found by a model: give --region or --region-model, not both.")
    files = [file for given in inputs for file in _expand(Path(given))]
    _refuse_other_axes(files, wanted.region, kind, series)
    table = _Table(Path(out) / "predictions.csv", list(_empty_row(loaded, Path(), region)))
    rows: list[dict[str, Any]] = []
    for index, (file, name) in enumerate(zip(files, _unique_names(files), strict=True)):
        report("item_started", input=str(file), index=index, of=len(files))
        row = _empty_row(loaded, file, region)
        started = time.perf_counter()
        try:
            image = read(file, kind=kind, series=series)
            target = Path(out) / f"{name}.{label_format or 'tif'}"
            _predict_file(loaded, image, target, row, wanted, report)
        except Cancelled:
            raise
        except MedsegError as error:
            row["error"] = str(error)
            report("warning", text=str(error) if str(file) in str(error) else f"{file}: {error}")
        except Exception as error:
            # A defect of this package: one image must not cost the night's other thousand.
            row["error"] = f"Unexpected {type(error).__name__}: {error}"
            report("warning", text=f"{file}: {row['error']}. This is a defect of napari-medseg, please report it.")
        row["seconds"] = round(time.perf_counter() - started, 3)
        rows.append(row)
        table.add(row)
        report("item_ended", input=str(file), index=index, of=len(files), row=row)
    report("done", result={"out": str(out), "rows": len(rows)})
    return rows


def _expand(path: Path) -> list[Path]:
    """The images of a folder (itself where it is one, as an OCT export is); anything else as it is."""
    if not path.exists():
        raise InputNotFoundError(f"Input {path} does not exist: check the path.")
    return image_files(path) if path.is_dir() else [path]


def _refuse_other_axes(files: Sequence[Path], box: Box | Path | None, kind: Kind | None, series: int | None) -> None:
    """Say once, before the first prediction, what every row would say; the first image stands for all."""
    if box is None or isinstance(box, Path) or not files:
        return
    try:
        image = read(files[0], kind=kind, series=series)
    except MedsegError:
        return  # its row will say why
    if len(box) != len(image.spatial_axes):
        raise ConfigError(
            f"The region has {len(box)} axes but {files[0]} has {len(image.spatial_axes)} "
            f"({', '.join(image.spatial_axes)}): give start:stop for each of them."
        )


def _unique_names(files: Sequence[Path]) -> list[str]:
    """Output names after the inputs; a name that occurs again gets a number."""
    names: list[str] = []
    taken: set[str] = set()
    for file in files:
        stem = stem_of(file)
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
    if model.predictor.focus is not None:
        row |= dict.fromkeys(("box", "calibrated", *_size_columns(model)), "")
    if model.predictor.marks_region:
        row["sure"] = ""
    return row | {"seconds": 0.0, "error": ""}


def _predict_file(
    model: LoadedModel, image: Image, target: Path, row: dict[str, Any], wanted: _Wanted, report: Report
) -> None:
    from napari_medseg.inference.focus import in_whole_image, region_of_result

    def progress(done: int, total: int, text: str) -> None:
        report("progress", done=done, of=total, text=text)

    box, channels = _box(model, image, wanted, progress), len(model.predictor.classes) + 1
    if is_slide(image) and suits_slides(model) and not wanted.slides_as_images:
        options = SlideOptions(region=box, tissue=wanted.tissue, probabilities=wanted.probabilities)
        row |= _predict_slide(model, image, target, options, progress, report)
        return
    if box is not None and "box" in row:
        row["box"] = format_region(box)
    shape = tuple(stop - start for start, stop in region_of_result(model.predictor, image, box))
    with ExitStack() as rooms:
        result = predict(
            model,
            image,
            region=box,
            probabilities=wanted.probabilities,
            confidence=bool(model.card.surfaces),
            attention=bool(wanted.reports_of),
            repair_order=wanted.repair_order,
            out=rooms.enter_context(_room(shape, np.uint8, target.parent)),
            probabilities_out=rooms.enter_context(_room((channels, *shape), np.float16, target.parent))
            if wanted.probabilities and model.predictor.classes
            else None,
            progress=progress,
        )
        if wanted.reports_of:
            picture = target.with_name(f"{stem_of(target)}-report.png")
            write_report(picture, image, result, model=model.name, identity=wanted.reports_of, title=image.name)
        if model.predictor.focus is not None and result.labels is not None:
            if _size_columns(model):
                row |= _size_cells(model, result, image)
            if "sure" in row:
                row["box"] = format_region(result.region)
            result = in_whole_image(
                result, image, rooms.enter_context(_room(image.spatial_shape, np.uint8, target.parent))
            )
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
    row |= _cells_of(result, graded="calibrated" in row)
    for note in (*image.warnings, *result.notes):
        report("warning", text=f"{image.name}: {note}")


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


def _predict_slide(
    model: LoadedModel,
    image: Image,
    target: Path,
    options: SlideOptions,
    progress: Callable[[int, int, str], None],
    report: Report,
) -> dict[str, Any]:
    """Predict a slide beside `target`; cells of its row."""
    found = predict_slide(model, image, target.parent, name=stem_of(target), options=options, progress=progress)
    for note in (*image.warnings, *found.notes):
        report("warning", text=f"{image.name}: {note}")
    cells = {} if found.labels is None else {"labels": str(found.labels)}
    return cells if found.tag is None else cells | _tag_cells(found.tag)


def _tag_cells(tag: TagResult) -> dict[str, Any]:
    return {"class": tag.tag} | {f"p_{name}": round(float(p), 6) for name, p in tag.probabilities.items()}


def _cells_of(result: Prediction, *, graded: bool) -> dict[str, Any]:
    """What a prediction says beside its labels, for the columns of `_empty_row`."""
    row: dict[str, Any] = {}
    if result.confidence is not None and not np.isnan(result.confidence).all():
        row["confidence"] = round(float(np.nanmean(result.confidence)), 4)
    if result.repaired is not None:
        row["repaired"] = round(result.repaired, 4)
    if result.tag is not None:
        row |= _tag_cells(result.tag)
        if graded:
            row["calibrated"] = "yes" if result.tag.calibrated else "no"
        if result.tag.sure is not None:
            row["sure"] = "yes" if result.tag.sure else "no"
    return row


def _box(model: LoadedModel, image: Image, wanted: _Wanted, progress: Callable[[int, int, str], None]) -> Box | None:
    """What the model is asked about in an image; None for all of it."""
    if wanted.region_model is not None:
        return region_of_model(wanted.region_model, image, tuple(model.card.classes), progress=progress)[0]
    return region_of_mask(wanted.region, image) if isinstance(wanted.region, Path) else wanted.region


def _size_columns(model: LoadedModel) -> tuple[str, ...]:
    if model.predictor.marks_region:
        return ()
    amount = "area_mm2" if len(model.predictor.window) == 2 else "volume_mm3"
    return (amount, "long_axis_mm", "short_axis_mm", "axis_slice")


def _size_cells(model: LoadedModel, result: Prediction, image: Image) -> dict[str, Any]:
    """Size of what was drawn, for the columns of `_size_columns`; empty where spacing is not known."""
    mask = lesion_mask(np.asarray(result.labels))
    size = lesion_size(mask, space_of(mask.ndim, image.spacing, image.units))
    amount, *axes = _size_columns(model)
    cells: dict[str, Any] = {} if size.amount is None else {amount: round(size.amount, 3)}
    if size.axes is not None:
        first = result.region[0][0] if mask.ndim == 3 else 0
        found = (round(size.axes.long, 3), round(size.axes.short, 3), first + size.axes.slice_index)
        cells |= dict(zip(axes, found, strict=True))
    return cells


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


class _Table:
    """``predictions.csv``, a new one, to which every row is added by one write.

    Raises
    ------
    WriteError
        The folder cannot be written, or the disk is full.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path, self._columns = path, columns
        write_text(path, self._line(dict(zip(columns, columns, strict=True))))

    def add(self, row: dict[str, Any]) -> None:
        """Write one row, whole or not at all."""
        try:
            with self._path.open("ab", buffering=0) as file:
                end = file.tell()
                line = self._line(row).encode("utf-8")
                if file.write(line) < len(line):
                    # The disk filled up within the row: half of it would spoil the table.
                    file.truncate(end)
                    raise WriteError(f"{self._path} could not be written: free space there.")
                os.fsync(file.fileno())
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(f"{self._path} could not be written ({error.strerror}): free space there.") from error

    def _line(self, row: dict[str, Any]) -> str:
        text = io.StringIO()
        csv.DictWriter(text, fieldnames=list(self._columns), lineterminator="\n").writerow(row)
        return text.getvalue()
