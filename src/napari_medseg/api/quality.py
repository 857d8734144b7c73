"""Expected quality as functions: calibrate it on validation cases, and list results worst first."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg import metrics
from napari_medseg.api.evaluation import in_values_of_model
from napari_medseg.api.next_label import look_at
from napari_medseg.api.prediction import LoadedModel, load_model, model_path
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.models_in_use import model_in_use
from napari_medseg.data.whole_slides import pictures_of
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.io.model_file import QualityCard, read_model, write_model
from napari_medseg.structures import Box, DatasetInfo, Split, TrainingCase
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.inference.impressions import Impression

_SPLITS: tuple[Split, ...] = ("train", "val")
#: Training cases whose features are looked at.
_MOST_TRAINING = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A finished case as a model saw it, and how good that was.

    Parameters
    ----------
    impression
        What the model said.
    dice
        Mean Dice over the classes that were drawn by either; None without a mask.
    tag
        Index of the true tag or grade; None where it is not known.
    """

    impression: Impression
    dice: float | None
    tag: int | None


def calibrate_quality(
    model: LoadedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> QualityCard:
    """Fit what a model's results will be worth to the validation cases of its training, and write it into its file.

    Parameters
    ----------
    model
        A loaded model, a model file or a run folder. Its weights stay as they are, and so does its identity.
    data
        The data set that it was trained on.
    device, precision, threads
        Chosen when None.
    report
        Receives ``progress`` and ``warning`` events.

    Raises
    ------
    DatasetError
        The data set has too few finished validation cases for anything.
    MedsegError
        The model or the data set cannot be used, or the file cannot be written.
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model, **_compute(device, precision, threads))
    card = fit_quality(loaded, Dataset.open(data), report=report)
    described, tensors = read_model(loaded.path)
    write_model(loaded.path, tensors, described.model_copy(update={"quality": card}))
    return card


def _compute(device: str | None, precision: str | None, threads: int | None) -> dict[str, Any]:
    return {"device": device, "precision": precision, "threads": threads}


def fit_quality(model: LoadedModel, dataset: Dataset, *, report: Report = ignore) -> QualityCard:
    """As `calibrate_quality`, without writing."""
    from napari_medseg.data.training_set import training_set

    training = model.card.training
    known = training_set(dataset, seed=training.seed, drawn=training.split_of_group)
    cases = {split: list(pictures_of(known.of_split(split))) for split in _SPLITS}
    chosen = np.random.default_rng(0).permutation(len(cases["train"]))[:_MOST_TRAINING]
    learned = [cases["train"][int(i)] for i in chosen]
    total = len(learned) + len(cases["val"])

    def progress(offset: int) -> Report:
        def tell(event: str, /, **values: Any) -> None:
            if event == "progress":
                values |= {"done": values["done"] + offset, "of": total}
            report(event, **values)

        return tell

    fitted = quality_card(
        judge(model, learned, known.info, str(dataset.path), report=progress(0)),
        judge(model, cases["val"], known.info, str(dataset.path), report=progress(len(learned))),
    )
    if fitted == QualityCard():
        raise DatasetError(
            f"Data set {dataset.path} has {len(cases['val'])} finished validation cases, too few to expect anything "
            "from: finish more groups, or give them the split 'val'."
        )
    return fitted


def quality_card(learned: Sequence[Known], validation: Sequence[Known]) -> QualityCard:
    """The calibration that cases of the training and of the validation give."""
    from napari_medseg.inference.calibration import fit_tag_temperature
    from napari_medseg.inference.quality import fit_line, fit_space, score_of

    drawn = [(each, each.dice) for each in validation if each.dice is not None]
    tagged = [(each, each.tag) for each in validation if each.tag is not None]
    temperature = None
    if tagged:
        chances = np.array([[*each.impression.tag_probabilities.values()] for each, _ in tagged])
        temperature = fit_tag_temperature(chances, np.array([tag for _, tag in tagged]))
    features = [
        np.array([each.impression.features for each in cases if each.impression.features is not None])
        for cases in (learned, validation)
    ]
    return QualityCard(
        line=fit_line(
            [score_of(each.impression) for each, _ in drawn],
            [dice for _, dice in drawn],
            [each.impression.group for each, _ in drawn],
        ),
        temperature=temperature,
        space=fit_space(*features),
    )


def judge(
    model: LoadedModel, cases: Sequence[TrainingCase], info: DatasetInfo, data: str, *, report: Report = ignore
) -> list[Known]:
    """What a model says of finished pictures or volumes, and how good that is."""
    from napari_medseg.inference.engine import predict
    from napari_medseg.inference.focus import in_whole_image
    from napari_medseg.inference.impressions import impression_from
    from napari_medseg.inference.probing import FeatureProbe

    predictor = model.predictor
    drawn = bool(predictor.classes) and not predictor.marks_region
    if drawn and cases:
        cases = in_values_of_model(cases, info, predictor.classes, data, report)
    found = []
    for number, case in enumerate(cases):
        report("progress", done=number, of=len(cases), text=f"Judging {case.case}")
        image = case.load_image()
        region: Box | None = predictor.region_of(case) if predictor.region_of is not None else None
        probe = FeatureProbe(predictor)
        prediction = predict(probe.predictor, image, region=region, probabilities=drawn, compute=model.compute)
        impression = impression_from(prediction, case=case.case, group=case.group, features=probe.features())
        truth = case.load_labels() if drawn and case.has_mask else None
        dice = None
        if truth is not None:
            labels = np.asarray(in_whole_image(prediction, image).labels)
            dice = mean_dice(truth, labels, [c.value for c in predictor.classes])
        found.append(Known(impression=impression, dice=dice, tag=_tag_of(case, model, info)))
    return found


def mean_dice(truth: Any, labels: Any, values: Sequence[int]) -> float:
    """Mean Dice over the classes that truth or prediction hold, 0 for one that only one of them does.

    1 where neither holds any.
    """
    counts = metrics.class_counts(truth, labels, values)
    both = counts[:, 1] + counts[:, 2]
    there = both > 0
    return float((2 * counts[there, 0] / both[there]).mean()) if there.any() else 1.0


def _tag_of(case: TrainingCase, model: LoadedModel, info: DatasetInfo) -> int | None:
    names = list(model.predictor.tags)
    said = case.tag
    if model.predictor.graded:
        said = None if case.grade is None else info.grades[case.grade]
    return names.index(said) if said in names else None


def expected_quality(
    data: str | os.PathLike[str],
    model: LoadedModel | str | os.PathLike[str] | None = None,
    *,
    finished: bool = False,
    calibrate: bool = False,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """What a model's results on the cases of a data set will be worth, the worst first.

    Parameters
    ----------
    data
        Data set folder.
    model
        None: the data set's model in use.
    finished
        Also cases that are done.
    calibrate
        Calibrate anew, also where the model file says how.
    device, precision, threads, report
        As in `calibrate_quality`.

    Returns
    -------
    ``model, calibration`` (cases and spread it rests on), ``cases`` [``case, group, dice, dice_interval, right, tag,
    distance, unlike``], the worst first; ``unreadable`` {case: sentence}

    Raises
    ------
    MedsegError
        As `calibrate_quality`, and where there is no model.
    """
    from napari_medseg.inference.quality import quality_of

    dataset = Dataset.open(data)
    path = model if model is not None else model_in_use(dataset.path)
    if path is None:
        raise DatasetError(f"Data set {dataset.path} has no model in use: name a model, or put one in use.")
    loaded = (
        path if isinstance(path, LoadedModel) else load_model(model_path(path), **_compute(device, precision, threads))
    )
    card = loaded.card.quality
    if card is None or calibrate:
        card = calibrate_quality(loaded, dataset.path, report=report)
    rows, unreadable = [], {}
    cases = [case for case in dataset.cases if finished or case.status in ("todo", "draft")]
    for number, case in enumerate(cases):
        report("progress", done=number, of=len(cases), text=f"Looking at {case.case}")
        try:
            impression = look_at(dataset, case, loaded)
        except MedsegError as error:
            unreadable[case.case] = str(error)
            report("warning", text=str(error))
            continue
        rows.append((quality_of(impression, card), impression))
    rows.sort(key=lambda row: row[0].worst_first)
    document = {
        "model": loaded.name,
        "calibration": _described(card),
        "cases": [
            {
                "case": impression.case,
                "group": impression.group,
                "dice": quality.dice,
                "dice_interval": quality.dice_interval,
                "right": quality.right,
                "tag": max(p, key=p.__getitem__) if (p := impression.tag_probabilities) else None,
                "distance": quality.distance,
                "unlike": quality.is_unlike,
            }
            for quality, impression in rows
        ],
        "unreadable": unreadable,
    }
    document = dict(plain(document))
    report("done", result=document)
    return document


def _described(card: QualityCard) -> dict[str, Any]:
    return {
        "dice_cases": card.line.cases if card.line is not None else 0,
        "dice_spread": card.line.spread if card.line is not None else None,
        "temperature": card.temperature,
        "feature_cases": card.space.cases if card.space is not None else 0,
    }
