"""Labels to the files of other programs, lying where their image lies, and back onto an image's grid."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.data.dataset_file import color_for
from napari_medseg.data.label_files import open_labels, shape_text
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io import read
from napari_medseg.io.labels import LabelImage, orientation_of, read_labels, write_labels
from napari_medseg.io.volume.dicom_seg import is_seg_name
from napari_medseg.io.volume.dicom_seg_writer import write_seg
from napari_medseg.io.volume.nifti_writer import is_nifti_name
from napari_medseg.io.volume.regrid import onto_grid
from napari_medseg.io.volume.space import is_same_place
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, ArrayLike, Case, Image, MaskClass, Progress

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset

_FINISHED = ("done", "reviewed")
#: Endings of exported data sets by format, a file each.
ENDINGS: Mapping[str, str] = {"nifti": ".nii.gz", "seg": ".dcm", "tiff": ".tif", "zarr": ".zarr"}
#: All formats: the last ones are folders of their own, images included.
FORMATS = (*ENDINGS, "nnunet", "coco")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A file that was written, and sentences about what happened on the way."""

    path: Path
    notes: tuple[str, ...] = ()


def export_labels(
    labels: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    image: str | os.PathLike[str] | None = None,
    series: int | None = None,
    classes: Mapping[int, str] | None = None,
    model: str = "",
) -> Exported:
    """Write a label file in another format.

    Parameters
    ----------
    labels
        Any file that `read_labels` reads, a DICOM SEG among them.
    out
        ``.nii``, ``.nii.gz``, ``.dcm`` (DICOM SEG), ``.tif`` or ``.zarr``.
    image, series
        The image that the labels were drawn on: tells where voxels lie. A SEG needs it, as DICOM series. Labels that
        lie on another grid (a SEG leaves empty planes out) are brought onto the image's, and a note says how.
    classes
        Names of values, where the label file has none.
    model
        Name of the model that drew them; empty: a person did.

    Raises
    ------
    InputNotFoundError, ReadError
        A file is missing or cannot be read.
    ConfigError
        The labels do not fit the image, or a SEG has no series to refer to.
    WriteError
        The name says no format, the disk is full or read-only.
    """
    found, place = read_labels(labels), Path(out)
    if classes:
        found = replace(found, classes=_named(classes, found.classes))
    if image is None:
        return _written(place, found, None, None, model, ())
    where = Path(image)
    target = read(where, series=series)
    found, notes = _on_image(Path(labels), found, target)
    return _written(place, found, where, series, model, notes)


def write_labels_of_image(
    out: str | os.PathLike[str],
    labels: ArrayLike,
    image: Image,
    classes: Sequence[MaskClass],
    *,
    model: str = "",
) -> Exported:
    """Write labels that lie on an image's grid; parameters and errors as `export_labels`."""
    if tuple(labels.shape) != image.spatial_shape:
        raise ConfigError(_sizes("The labels", labels.shape, image))
    found = LabelImage(labels=labels, axes=image.spatial_axes, classes=tuple(classes))
    found = _placed(found, labels, image)
    if is_seg_name(Path(out)) and image.path is not None:
        # The case may be a region of its series, and a SEG refers to whole slices.
        found, _ = _on_image(Path(out), found, read(image.path, series=image.series))
    return _written(Path(out), found, image.path, image.series, model, ())


def export_dataset(
    dataset: Dataset, out: str | os.PathLike[str], *, format: str = "nifti", progress: Progress | None = None
) -> list[Exported]:
    """Write the labels of all cases that are done or reviewed, each where its image lies, named after the case.

    Parameters
    ----------
    out
        Folder; a new or empty one for ``nnunet`` and ``coco``, which hold the images as well
        (`export_nnunet.export_nnunet`, `export_coco.export_coco`).
    format
        One of `FORMATS`.
    progress
        Called with (cases done, cases, case); may raise `Cancelled`.

    Raises
    ------
    ConfigError
        There is no such format, or it has no place for a case.
    DatasetError
        No case is finished, or `out` is the data set's own folder.
    WriteError
        The folder cannot be written.
    """
    if format not in FORMATS:
        raise ConfigError(f"There is no format '{format}': choose one of {', '.join(FORMATS)}.")
    folder = Path(out)
    if folder.resolve() in (dataset.path.resolve(), (dataset.path / "labels").resolve()):
        raise DatasetError(f"{folder} is the data set's own folder: choose another one for the exported labels.")
    cases = [case for case in dataset.cases if case.status in _FINISHED and dataset.current_label_path(case)]
    if not cases:
        raise DatasetError(f"No case of {dataset.path} is done and has labels: mark some as done first.")
    if format in ENDINGS:
        return _files_each(dataset, cases, folder, ENDINGS[format], progress)
    from napari_medseg.api.export_coco import export_coco
    from napari_medseg.api.export_nnunet import export_nnunet

    export = export_nnunet if format == "nnunet" else export_coco
    paths, notes = export(dataset, cases, folder, progress=progress)
    first, *others = paths
    return [Exported(path=first, notes=tuple(notes)), *(Exported(path=path) for path in others)]


def _files_each(
    dataset: Dataset, cases: Sequence[Case], folder: Path, ending: str, progress: Progress | None
) -> list[Exported]:
    written = []
    for number, case in enumerate(cases):
        if progress is not None:
            progress(number, len(cases), case.case)
        path = dataset.current_label_path(case)
        assert path is not None
        origin = case.origin.removeprefix("model:") if case.origin.startswith("model:") else ""
        written.append(
            write_labels_of_image(
                folder / f"{case.case}{ending}",
                open_labels(path),
                dataset.read_image(case),
                dataset.info.classes,
                model=origin,
            )
        )
    return written


def _written(
    out: Path, found: LabelImage, source: Path | None, series: int | None, model: str, notes: Sequence[str]
) -> Exported:
    told = list(notes)
    if is_seg_name(out):
        if source is None:
            raise ConfigError("A DICOM SEG refers to the series that was drawn on: name it with --image.")
        classes = found.classes or numbered_classes(found.labels)
        if np.any(np.asarray(found.labels[...]) == NOT_LOOKED_AT):
            told.append("Voxels that nobody looked at are background in a SEG.")
        return Exported(
            path=write_seg(out, found.labels, classes=classes, source=source, series=series, model=model),
            notes=tuple(told),
        )
    if found.affine is None and is_nifti_name(out):
        told.append("Where the labels lie in the body is not known: they begin at 0.")
    write_labels(
        out,
        found.labels,
        classes=found.classes,
        spacing=found.spacing,
        units=found.units,
        axes=found.axes,
        affine=found.affine,
        orientation=found.orientation,
    )
    return Exported(path=out, notes=tuple(told))


def _on_image(path: Path, found: LabelImage, image: Image) -> tuple[LabelImage, tuple[str, ...]]:
    """Labels on the grid of an image, and what had to be done for that."""
    here, there = found.affine, image.affine
    is_same_shape = tuple(found.labels.shape) == image.spatial_shape
    if is_same_shape and (here is None or there is None or is_same_place(here, there, image.spatial_shape)):
        return _placed(found, found.labels, image), ()
    if here is None or there is None:
        raise ConfigError(_sizes(str(path), found.labels.shape, image))
    moved = onto_grid(found.labels, here, there, image.spatial_shape)
    return _placed(found, moved.labels, image), (moved.summary,)


def _placed(found: LabelImage, labels: ArrayLike, image: Image) -> LabelImage:
    """Labels on an image's grid with what the image knows of space."""
    return replace(
        found,
        labels=labels,
        axes=image.spatial_axes,
        spacing=image.spacing,
        units=image.units,
        affine=image.affine,
        orientation=orientation_of(image),
    )


def labels_onto(path: str | os.PathLike[str], image: Image) -> tuple[LabelImage, tuple[str, ...]]:
    """A label file, a DICOM SEG or NIfTI say, on the grid of an image; and sentences about how it came there.

    Raises
    ------
    InputNotFoundError, ReadError, ConfigError
        It is missing, cannot be read, or neither fits nor says where it lies.
    """
    return _on_image(Path(path), read_labels(path), image)


def _sizes(what: str, shape: Sequence[int], image: Image) -> str:
    return (
        f"{what} has {shape_text(tuple(shape))} pixels, but the image {shape_text(image.spatial_shape)}: "
        "name the image that was drawn on."
    )


def numbered_classes(labels: ArrayLike) -> tuple[MaskClass, ...]:
    """Classes of labels that name none: ``label 1``, ``label 2``, ... for the values that occur."""
    values = [int(value) for value in np.unique(np.asarray(labels[...])) if value not in (BACKGROUND, NOT_LOOKED_AT)]
    return _named({value: f"label {value}" for value in values}, ())


def _named(names: Mapping[int, str], known: Sequence[MaskClass]) -> tuple[MaskClass, ...]:
    """Classes by names that a person gives, else those known."""
    by_value = {c.value: c for c in known}
    for at, (value, name) in enumerate(sorted(names.items())):
        color = by_value[value].color if value in by_value else color_for(at)
        by_value[value] = MaskClass(value=value, name=name, color=color)
    return tuple(by_value[value] for value in sorted(by_value))
