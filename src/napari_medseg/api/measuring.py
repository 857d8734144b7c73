"""Measuring as a function: label files, or the finished cases of a data set, to one long table."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset_file import color_for
from napari_medseg.data.forms import fovea_of, lines_of
from napari_medseg.data.label_files import open_labels
from napari_medseg.data.naming import stem_of
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.io.atomic import write_text
from napari_medseg.io.labels import read_labels
from napari_medseg.io.plausibility import implausible_steps
from napari_medseg.io.volume.space import is_same_place
from napari_medseg.measure.etdrs import Laterality
from napari_medseg.measure.registry import measure as measure_subject
from napari_medseg.measure.rows import Row, csv_text
from napari_medseg.measure.sizes import count_values
from napari_medseg.measure.space import space_of, space_of_millimeters
from napari_medseg.measure.subject import Subject, with_scan
from napari_medseg.measure.targets import fitting_surfaces, missing_layers, surfaces_of_names
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, ArrayLike, Image, Kind, MaskClass, Progress

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.io.model_file import ModelCard
    from napari_medseg.structures import Case

_FINISHED = ("done", "reviewed")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOptions:
    """What a person says about labels that their files do not, or say wrongly; None and empty: as the file says.

    Parameters
    ----------
    kind
        Sort of image; what is measured depends on it.
    spacing
        Millimetres per pixel, ``z,y,x`` or ``y,x``.
    fovea
        Centre of the ETDRS grid as (bscan, column) from 0.
    laterality
        Which eye.
    classes
        Names of the labels' values; None: as the file says, and for one that says nothing ``label 1``, ``label 2``, ...
    layers
        Names of classes that are layers, from top to bottom (`napari_medseg.measure.targets.surfaces_of_names`).
    spans
        Further stretches to measure, each from one surface to another.
    """

    kind: Kind | None = None
    spacing: tuple[float, ...] | None = None
    fovea: tuple[float, float] | None = None
    laterality: Laterality = ""
    classes: Mapping[int, str] | None = None
    layers: tuple[str, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()


def measure(
    labels: Sequence[str | os.PathLike[str]] = (),
    *,
    data: str | os.PathLike[str] | None = None,
    image: str | os.PathLike[str] | None = None,
    series: int | None = None,
    model: str | os.PathLike[str] | None = None,
    options: MeasureOptions | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Row]:
    """Measure label files, or all finished cases of a data set: thickness, the ETDRS grid, sizes.

    Parameters
    ----------
    labels
        Label files, as ``predict`` and people write them; with `data` none.
    data
        Data set folder; its cases that are done or reviewed are measured.
    image, series
        The image that a single label file belongs to: tells spacing, eye and how B-scans lie.
    model
        The model that drew the labels: tells which classes are layers, and their order.
    options
        What the files do not say.
    progress
        Called with (images done, images, name); raises `Cancelled` to stop.
    say
        Called with remarks about what cannot be true, such as a depth of 4 mm per pixel.

    Returns
    -------
    rows of one long table, see `napari_medseg.measure.rows.Row`

    Raises
    ------
    InputNotFoundError, ReadError, DatasetError
        A file or data set is missing or cannot be read.
    ConfigError
        Neither or both of `labels` and `data` are given, or an option does not fit the labels.
    """
    options = options or MeasureOptions()
    if bool(labels) == (data is not None):
        raise ConfigError("Name label files, or a data set with --data, not both.")
    if data is not None:
        subjects: list[tuple[str, Callable[[], Subject]]] = _of_dataset(data, options)
    elif image is not None and len(labels) > 1:
        raise ConfigError("One image belongs to one label file: measure the others in calls of their own.")
    else:
        known: dict[str, Any] = {"image": image, "series": series, "card": _card_of(model)}
        subjects = [(stem_of(Path(path)), partial(subject_of_file, path, options, **known)) for path in labels]
    rows: list[Row] = []
    for done, (name, load) in enumerate(subjects):
        if progress is not None:
            progress(done, len(subjects), name)
        subject = load()
        if say is not None:
            if options.fovea is not None and subject.grid_obstacle:
                say(f"{subject.name}: the fovea is not used. {subject.grid_obstacle}")
            axes, shape = "tzyx"[-len(subject.labels.shape) :], subject.labels.shape
            for doubt in implausible_steps(subject.kind, axes, shape, subject.space.steps).values():
                say(f"{subject.name}: {doubt}")
        rows += measure_subject(subject)
    return rows


def _of_dataset(data: str | os.PathLike[str], options: MeasureOptions) -> list[tuple[str, Callable[[], Subject]]]:
    """Name of each finished case, and what loads it."""
    from napari_medseg.data.dataset import Dataset

    dataset = Dataset.open(data)
    finished = [case for case in dataset.cases if case.status in _FINISHED and case.label]
    if not finished:
        raise DatasetError(f"Data set {data} has no finished case with labels: draw some, and mark cases as done.")
    return [(case.case, partial(subject_of_case, dataset, case, options)) for case in finished]


def write_table(path: str | os.PathLike[str], rows: Sequence[Row]) -> Path:
    """Write rows as CSV in one step; raises `WriteError`."""
    write_text(Path(path), csv_text(rows))
    return Path(path)


def subject_of_file(
    path: str | os.PathLike[str],
    options: MeasureOptions,
    *,
    image: str | os.PathLike[str] | None = None,
    series: int | None = None,
    card: ModelCard | None = None,
) -> Subject:
    """A label file with what is known about it; `card` is that of `model`, parameters and errors as `measure`."""
    from napari_medseg.io import read

    found = read_labels(path)
    classes = _named(options.classes) or found.classes or (card.classes if card else ()) or _unnamed(found.labels)
    surfaces = card.surfaces if card else ()
    if not options.layers and (missing := missing_layers(classes, surfaces)):
        names = ", ".join(c.name for c in classes)
        raise ConfigError(
            f"The model's layer '{missing[0]}' is no class of {path}, which has {names}: name its values as the model "
            "does with --classes, or list its layers with --layers."
        )
    subject = Subject(
        name=stem_of(Path(path)),
        labels=found.labels,
        classes=classes,
        space=space_of(len(found.labels.shape), found.spacing, found.units),
        surfaces=fitting_surfaces(classes, surfaces),
    )
    if subject.surfaces or options.layers:
        subject = replace(subject, kind="oct")
    if image is not None:
        read_image = read(image, kind=options.kind, series=series)
        subject = _with_image(subject, read_image)
        _check_place(subject, found.affine, read_image)
    return with_options(subject, options)


def _named(names: Mapping[int, str] | None) -> tuple[MaskClass, ...]:
    return tuple(
        MaskClass(value=value, name=name, color=color_for(i))
        for i, (value, name) in enumerate(sorted((names or {}).items()))
    )


def _unnamed(labels: ArrayLike) -> tuple[MaskClass, ...]:
    """Classes of a file that names none."""
    drawn = np.flatnonzero(count_values(labels)[:NOT_LOOKED_AT])
    return _named({int(value): f"label {value}" for value in drawn if value != BACKGROUND})


def subject_of_case(dataset: Dataset, case: Case, options: MeasureOptions | None = None) -> Subject:
    """A case of a data set as it is on disk.

    Raises
    ------
    DatasetError, InputNotFoundError, ReadError
        It has no labels, or its files cannot be read.
    """
    path = dataset.current_label_path(case)
    if path is None:
        raise DatasetError(f"Case '{case.case}' has no labels to measure: draw some, or mark it as to do.")
    labels = open_labels(path)
    subject = Subject(
        name=case.case,
        labels=labels,
        classes=dataset.info.classes,
        space=space_of(len(labels.shape), None, None),
        kind=dataset.info.kind,
        surfaces=fitting_surfaces(dataset.info.classes, dataset.info.surfaces),
        fovea=fovea_of(dataset.path, case.case),
        lines=lines_of(dataset.path, case.case, axes=len(labels.shape)),
    )
    return with_options(_with_image(subject, dataset.read_image(case)), options or MeasureOptions())


def with_options(subject: Subject, options: MeasureOptions) -> Subject:
    """A subject with what a person said about it; raises `ConfigError` where that does not fit."""
    changes: dict[str, Any] = {}
    if options.spacing is not None:
        changes["space"] = space_of_millimeters(len(subject.labels.shape), options.spacing)
    if options.layers:
        changes["surfaces"] = surfaces_of_names(options.layers)
    if options.spans and not changes.get("surfaces", subject.surfaces):
        raise ConfigError(
            f"'{subject.name}' has no layers to measure from one surface to another: name them with --layers or "
            "--model."
        )
    for name in ("kind", "fovea", "laterality", "spans"):
        if getattr(options, name):
            changes[name] = getattr(options, name)
    return replace(subject, **changes)


def _with_image(subject: Subject, image: Image) -> Subject:
    """What the image tells; its own spacing is the true one, whatever a label file says."""
    if tuple(subject.labels.shape) != image.spatial_shape:
        sizes = (" × ".join(map(str, shape)) for shape in (subject.labels.shape, image.spatial_shape))
        raise ConfigError(
            f"The labels of '{subject.name}' have {next(sizes)} pixels, but the image has {next(sizes)}: "
            "name the image that they belong to."
        )
    if image.spacing is not None:
        subject = replace(subject, space=space_of(len(subject.labels.shape), image.spacing, image.units))
    grey = image.data if tuple(image.shape) == image.spatial_shape else None
    return with_scan(replace(subject, kind=image.kind, grey=grey), image.oct)


def _check_place(subject: Subject, affine: npt.NDArray[np.float64] | None, image: Image) -> None:
    """Raise `ConfigError` where labels say that they lie elsewhere in the body than the image."""
    if affine is None or image.affine is None or is_same_place(affine, image.affine, image.spatial_shape):
        return
    raise ConfigError(
        f"The labels of '{subject.name}' have as many voxels as the image, but lie elsewhere in the body: name the "
        "image that they were drawn on."
    )


def _card_of(model: str | os.PathLike[str] | None) -> ModelCard | None:
    if model is None:
        return None
    from napari_medseg.api.prediction import model_path
    from napari_medseg.io.model_file import read_card

    return read_card(model_path(model))
