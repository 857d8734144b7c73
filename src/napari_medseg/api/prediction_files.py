"""Prediction of many files into a folder: labels, probabilities and one table."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_medseg.api.cohort import Item, predict_cohort
from napari_medseg.api.prediction import model_path
from napari_medseg.api.prediction_item import ItemPredictor, Request
from napari_medseg.api.prediction_table import Table
from napari_medseg.api.regions import parse_region
from napari_medseg.api.slides import parse_tissue
from napari_medseg.api.tracing import Tracer
from napari_medseg.data.naming import stem_of
from napari_medseg.data.scan_columns import parse_spacing
from napari_medseg.errors import ConfigError, InputNotFoundError, MedsegError
from napari_medseg.io import image_files, read
from napari_medseg.io.address import address_of, may_be_there
from napari_medseg.structures import Box, Kind
from napari_medseg.training.events import Report, ignore

#: Endings of the label files that can be written.
LABEL_FORMATS = ("tif", "zarr", "nii.gz")
#: Inputs that are named when they failed.
_MOST_NAMES = 5


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
    spacing: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    report: Report = ignore,
) -> list[dict[str, Any]]:
    """Predict files and folders of images into a folder.

    A faulty input becomes a row with its error and the others go on. Every input adds its row to ``predictions.csv``
    when it is finished, so that an interrupted run leaves what it did; ``<name>-trace.json`` tells what its labels
    depend on (`napari_medseg.api.tracing`).

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
    spacing
        Millimetres per pixel, ``z,y,x`` or ``y,x``, for images whose files do not tell.
    workers
        Processes of this machine that share the inputs, and the rows of a slide where there are fewer inputs than
        processes. The results are those of one process to the bit, when `threads` is the same. A script that asks for
        several has to keep what it does under ``if __name__ == "__main__":``.
    scheduler
        Address of a dask.distributed scheduler whose workers share the inputs instead; inputs, model and folder are
        theirs under the same paths.

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
    if region is not None and region_model is not None:
        raise ConfigError("The region is either given or found by a model: give --region or --region-model, not both.")
    request = Request(
        model=model_path(model).absolute(),
        out=Path(out),
        region=parse_region(region) if region is not None else None,
        region_text=region,
        region_model=None if region_model is None else model_path(region_model).absolute(),
        probabilities=probabilities,
        repair_order=repair_order,
        label_format=label_format,
        tissue=parse_tissue(tissue),
        reports=reports,
        kind=kind,
        series=series,
        spacing=parse_spacing(spacing or ""),
    )
    files = [file for given in inputs for file in _expand(Path(given))]
    items = [Item(*each) for each in zip(range(len(files)), files, _unique_names(files), strict=True)]
    _refuse_other_axes(files, request.region, kind, series)
    wanted = {"device": device, "precision": precision, "threads": threads}
    report = Tracer(request, wanted, report)
    if scheduler is not None:
        rows = _on_cluster(request, items, scheduler, wanted, report)
    elif workers > 1:
        rows = _in_processes(request, items, workers, wanted, report)
    else:
        rows = _one_by_one(request, items, wanted, report)
    if len(rows) > 1 and (failed := [Path(row["input"]).name for row in rows if row["error"]]):
        more = f" and {len(failed) - _MOST_NAMES} more" if len(failed) > _MOST_NAMES else ""
        names = ", ".join(failed[:_MOST_NAMES]) + more
        report("warning", text=f"{len(failed)} of {len(rows)} inputs were not predicted ({names}): the table says why.")
    report("done", result={"out": str(out), "rows": len(rows)})
    return rows


def _one_by_one(
    request: Request, items: Sequence[Item], wanted: Mapping[str, Any], report: Report
) -> list[dict[str, Any]]:
    """Predict in this process."""
    from napari_medseg.models.compute import choose_compute

    compute = choose_compute(**wanted)
    if wanted["threads"] is not None:
        compute.limit_threads()
    predictor = ItemPredictor(request, compute)
    table = Table(request.out / "predictions.csv", list(predictor.empty_row(Path())))
    rows = []
    for item in items:
        report("item_started", input=str(item.file), index=item.index, of=len(items))
        row = predictor.predict(item.file, item.name, report)
        rows.append(row)
        table.add(row)
        report("item_ended", input=str(item.file), index=item.index, of=len(items), row=row)
    return rows


def _in_processes(
    request: Request, items: Sequence[Item], workers: int, wanted: Mapping[str, Any], report: Report
) -> list[dict[str, Any]]:
    """Predict in several processes of this machine."""
    from napari_medseg.api.processes import Processes, share_compute

    compute, devices = share_compute(workers, **wanted)
    # This process predicts nothing, but knows the table's columns, and what cannot work at all.
    predictor = ItemPredictor(request, replace(compute, device="cpu"))
    table = Table(request.out / "predictions.csv", list(predictor.empty_row(Path())))
    with Processes(request, compute, workers, devices) as pool:
        return predict_cohort(pool, items, predictor.empty_row, table, report)


def _on_cluster(
    request: Request, items: Sequence[Item], scheduler: str, wanted: Mapping[str, Any], report: Report
) -> list[dict[str, Any]]:
    """Predict on the workers of a dask.distributed scheduler."""
    from napari_medseg.api.cluster import Cluster
    from napari_medseg.models.compute import choose_compute

    seen = request.absolute()
    predictor = ItemPredictor(seen, choose_compute("cpu", "fp32", wanted["threads"]))
    table = Table(request.out / "predictions.csv", list(predictor.empty_row(Path())))
    there = [replace(item, file=item.file if address_of(item.file) else item.file.absolute()) for item in items]
    with Cluster(seen, scheduler, **wanted) as pool:
        return predict_cohort(pool, there, predictor.empty_row, table, report)


def _expand(path: Path) -> list[Path]:
    """The images of a folder (itself where it is one, as an OCT export is); anything else as it is."""
    if not may_be_there(path):
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
