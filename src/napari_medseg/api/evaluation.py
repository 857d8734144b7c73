"""Evaluation as a function: a model against the finished cases of a data set."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.api.prediction import LoadedModel, load_model
from napari_medseg.data.whole_slides import SlideTile, WholeSlide
from napari_medseg.errors import DatasetError
from napari_medseg.structures import (
    Box,
    DatasetInfo,
    Image,
    MaskClass,
    Prediction,
    Progress,
    Split,
    Surface,
    TrainingCase,
)
from napari_medseg.training.events import Report, ignore

if TYPE_CHECKING:
    from napari_medseg.inference.evaluation import Judged
    from napari_medseg.inference.predictor import Predictor
    from napari_medseg.models.compute import Compute


def evaluate(
    model: LoadedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: Split = "test",
    allow_training_cases: bool = False,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    page: str | os.PathLike[str] | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """Judge a model on whole images of one split.

    Parameters
    ----------
    model
        A loaded model, a model file or a run folder.
    data
        Data set folder; finished cases count.
    split
        Which cases. A case without a split of its own gets the one that training drew for it.
    allow_training_cases
        Judge cases that the model was trained on or selected by as well, and other images of their groups; refused
        otherwise. Groups of another data set that merely have the same id need it too.
    device, precision, threads
        Chosen when None.
    page
        Also write an HTML page for people there: the figures with plots, pictures of the worst and best cases, and
        what the run depended on.
    report
        Receives ``progress`` events.

    Returns
    -------
    The ``evaluate`` document: ``scheme, model, split, n_cases, n_groups, segmentation, classification``, figures with
    95 % intervals over groups; for layers also ``surfaces`` and ``order``, for cases of several sources ``by_source``
    (`napari_medseg.inference.evaluation.evaluate_cases`).

    Raises
    ------
    DatasetError
        The split has no labelled case, or holds cases that the model has seen.
    ModelError
        The model cannot be used.
    """
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.retina import known_surfaces
    from napari_medseg.data.training_set import training_set

    loaded = (
        model
        if isinstance(model, LoadedModel)
        else load_model(model, device=device, precision=precision, threads=threads)
    )
    training = loaded.card.training
    data_set = training_set(Dataset.open(data), seed=training.seed, drawn=training.split_of_group)
    cases, described = data_set.of_split(split), data_set.info
    if not cases:
        raise DatasetError(
            f"Data set {data} has no finished case in split '{split}': mark cases as done, or choose another split."
        )
    seen = _seen_in_training(loaded, cases)
    if seen and not allow_training_cases:
        raise DatasetError(
            f"The model was trained on {len(seen)} of the {len(cases)} cases of split '{split}', or on other images of "
            f"their groups (the first is case '{seen[0].case}' of group '{seen[0].group}'), so its figures would "
            "flatter: choose another split, or add --allow-training-cases."
        )
    if loaded.predictor.graded and tuple(described.grades) != tuple(loaded.predictor.tags):
        known, wanted = (", ".join(names) or "none" for names in (loaded.predictor.tags, described.grades))
        raise DatasetError(
            f"The model knows the grades {known}, but data set {data} has {wanted}: write the same, lowest first, in "
            "its dataset.json, or use a model of this data set."
        )
    if loaded.predictor.classes and not loaded.predictor.marks_region:
        cases = in_values_of_model(cases, described, loaded.predictor.classes, str(data), report)
    # The model's own pile counts; models made before they had one are judged by the data set's.
    surfaces = loaded.card.surfaces or known_surfaces(described, loaded.predictor.classes)
    figures = figures_of(loaded.predictor, cases, loaded.compute, report, surfaces=surfaces)
    document = {"scheme": loaded.card.scheme, "model": str(loaded.path), "split": split} | figures
    if page is not None:
        _write_page(Path(page), document, loaded, cases, data, report)
    return document


def _write_page(
    path: Path,
    document: Mapping[str, Any],
    loaded: LoadedModel,
    cases: Sequence[TrainingCase],
    data: str | os.PathLike[str],
    report: Report,
) -> None:
    """The page of `evaluate`; the cases that it shows are predicted once more."""
    from napari_medseg.api.evaluation_page import pictures_of, write_page
    from napari_medseg.io.model_file import identity, package_versions, read_model

    asked = _ask(loaded.predictor, cases, loaded.compute, report)
    region_of = loaded.predictor.region_of

    def predicted(case: TrainingCase, image: Image) -> npt.NDArray[np.uint8] | None:
        if not asked.predictor.classes:
            return None
        found = asked.predict_case(image) if region_of is None else asked.predict_case(image, region_of(case))
        return None if found.labels is None else np.asarray(found.labels)

    flat = [case for case in cases if not isinstance(case, (SlideTile, WholeSlide))]
    digest = hashlib.sha256("".join(sorted(case.content_hash for case in cases)).encode()).hexdigest()
    manifest = {
        "model": loaded.name,
        "model identity": identity(*read_model(loaded.path)),
        "scheme": loaded.card.scheme,
        "settings": loaded.card.config,
        "data set": Path(data).resolve().name,
        "split": document["split"],
        "cases and labels": digest,
        "device": str(loaded.compute),
        "versions": package_versions(),
        "command": f"napari-medseg evaluate {loaded.path} --data {data} --split {document['split']} --page {path}",
    }
    write_page(path, document, pictures_of(document, flat, predicted), manifest)


def in_values_of_model(
    cases: Sequence[TrainingCase],
    described: DatasetInfo,
    classes: Sequence[MaskClass],
    data: str,
    report: Report,
) -> tuple[TrainingCase, ...]:
    """The cases with labels in a model's values: a class is what its name says, whatever its value.

    Raises
    ------
    DatasetError
        Model and data set have no class in common.
    """
    own = {c.name: c.value for c in classes}
    theirs = {c.name: c.value for c in described.classes}
    common = [name for name in own if name in theirs]
    if described.classes and not common:
        raise DatasetError(
            f"The model draws {', '.join(own)}, but data set {data} has {', '.join(theirs)}: none is the same, so "
            "nothing can be compared; give the same things the same names in its dataset.json."
        )
    for names, text in (
        ([name for name in own if name not in theirs], "The data set does not have {}, which the model draws."),
        ([name for name in theirs if name not in own], "The model does not know {}, which the data set has."),
    ):
        if names and theirs:
            report("warning", text=text.format(", ".join(names)))
    if all(own.get(name) == value for name, value in theirs.items()):
        return tuple(cases)
    value_of = np.arange(256, dtype=np.uint8)
    # What the model does not know is neither background nor one of its classes.
    other = next(value for value in range(254, 0, -1) if value not in own.values())
    for name, value in theirs.items():
        value_of[value] = own.get(name, other)

    def read(case: TrainingCase) -> npt.NDArray[np.uint8] | None:
        labels = case.load_labels()
        return None if labels is None else value_of[labels]

    def translated(case: TrainingCase) -> TrainingCase:
        if isinstance(case, WholeSlide):
            return replace(case, labels=case.labels.translated(value_of))
        return replace(case, load_labels=partial(read, case))

    return tuple(translated(case) for case in cases)


def figures_of(
    predictor: Predictor,
    cases: Sequence[TrainingCase],
    compute: Compute,
    report: Report = ignore,
    *,
    surfaces: Sequence[Surface] = (),
) -> dict[str, Any]:
    """The figures of `evaluate` for any predictor; an unknown class counts for nothing, an unknown tag is refused.

    Parameters
    ----------
    surfaces
        Between the predictor's layers from top to bottom; empty: nothing is said of surfaces.
    """
    from napari_medseg.inference.evaluation import evaluate_cases

    asked = _ask(predictor, cases, compute, report)
    return evaluate_cases(
        asked.predict_case,
        asked.cases,
        classes=asked.predictor.classes,
        tags=predictor.tags,
        surfaces=surfaces,
        graded=predictor.graded,
        region_of=predictor.region_of,
        progress=asked.progress,
    )


def judgements_of(
    predictor: Predictor, cases: Sequence[TrainingCase], compute: Compute, report: Report = ignore
) -> list[Judged]:
    """What every case adds to the figures of `figures_of`, which two models can be compared by."""
    from napari_medseg.inference.evaluation import Known, judge_cases

    asked = _ask(predictor, cases, compute, report)
    known = Known(asked.predictor.classes, predictor.tags, (), 0, predictor.graded)
    return judge_cases(asked.predict_case, asked.cases, known, region_of=predictor.region_of, progress=asked.progress)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A predictor, the cases with what it can be asked of them, and how it is asked."""

    predictor: Predictor
    cases: Sequence[TrainingCase]
    predict_case: Callable[..., Prediction]
    progress: Progress


def _ask(predictor: Predictor, cases: Sequence[TrainingCase], compute: Compute, report: Report) -> _Asked:
    from napari_medseg.inference.engine import predict
    from napari_medseg.inference.focus import in_whole_image
    from napari_medseg.inference.slide_evaluation import with_tagged_tiles
    from napari_medseg.inference.slide_tiles import predictor_for

    if predictor.marks_region:
        # Its labels say where it looked, which is nothing to compare with what people drew.
        predictor = replace(predictor, classes=())

    def predict_case(
        image: Image,
        region: Box | None = None,
        *,
        mask: npt.NDArray[np.bool_] | None = None,
        draw: bool = True,
        of: TrainingCase | None = None,
    ) -> Prediction:
        asked = predictor if of is None else predictor_for(predictor, of)
        asked = asked if draw else replace(asked, classes=())
        found = predict(asked, image, region=region, mask=mask, compute=compute)
        return found if mask is not None else in_whole_image(found, image)

    def progress(done: int, total: int, text: str) -> None:
        report("progress", done=done, of=total, text=text)

    if predictor.graded:
        names = predictor.tags
        cases = [replace(case, tag=None if case.grade is None else names[case.grade]) for case in cases]
    else:
        cases = with_tagged_tiles(predictor, cases)
    return _Asked(predictor=predictor, cases=cases, predict_case=predict_case, progress=progress)


def _seen_in_training(model: LoadedModel, cases: Sequence[TrainingCase]) -> list[TrainingCase]:
    """Cases whose image, or another one of their group, the model was fitted to or selected by."""
    training = model.card.training
    images = {*training.hashes.get("train", ()), *training.hashes.get("val", ())}
    return [c for c in cases if c.image_hash in images or training.split_of_group(c.group) in ("train", "val")]
