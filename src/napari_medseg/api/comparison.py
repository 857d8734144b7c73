"""Is the new model better? Two models on the same cases, none of which either was trained on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from napari_medseg.api.evaluation import in_values_of_model, judgements_of
from napari_medseg.api.prediction import LoadedModel, load_model
from napari_medseg.data.splitting import SPLIT_ORDER
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, MaskClass, Split, TrainingCase
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.inference.comparison import SharedClass
    from napari_medseg.inference.evaluation import Judged


def compare(
    first: LoadedModel | str | os.PathLike[str],
    second: LoadedModel | str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    split: Literal["val", "test"] = "val",
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """Judge two models on the same cases and say by how much the second is better than the first.

    Parameters
    ----------
    first, second
        Loaded models, model files or run folders; `first` is the one in use, `second` the new one.
    data
        Data set folder; finished cases count.
    split
        Which cases. Those that either model was trained on, and other images of their groups, are left out; of the
        split ``test`` also those that either was selected by.
    device, precision, threads
        Chosen when None.
    report
        Receives ``progress`` and ``warning`` events.

    Returns
    -------
    ``model_a, model_b, split, n_cases, n_groups, left_out, segmentation`` {class: ``dice_a, dice_b, difference,
    difference_ci, verdict, n_cases``; ``mean``}, ``classification`` (``auc``, ``balanced_accuracy``, ``per_class``),
    ``verdict, sentence, alarms, notes, per_case, definitions``

    Raises
    ------
    DatasetError
        No case is left that both can be judged on, or the models have nothing in common.
    ModelError
        A model cannot be used.
    """
    from napari_medseg.inference import comparison_words
    from napari_medseg.inference.comparison import DEFINITIONS, compare_masks, compare_tags

    models = [
        model
        if isinstance(model, LoadedModel)
        else load_model(model, device=device, precision=precision, threads=threads)
        for model in (first, second)
    ]
    info, cases, left_out = fair_cases(models, data, split)
    notes = []
    if left_out:
        text = f"{left_out} cases of split '{split}' were left out: one of the models learned from their groups."
        report("warning", text=text)
        notes.append(text)
    classes, tags = _shared_classes(models), _shared_tags(models)
    if not tags:
        if any(model.predictor.tags for model in models):
            notes.append("The models do not tell the same image classes, so these were not compared.")
        cases = [replace(case, tag=None, grade=None) for case in cases]
    if not classes and not tags:
        raise DatasetError("The models share no class and no tag, so nothing can be compared: compare others.")
    judged = _judged_by_both(models, cases, info, str(data), report)
    before, after = judged
    document: dict[str, Any] = {
        "dataset": str(data),
        "split": split,
        **{f"model_{letter}": _described(model) for letter, model in zip("ab", models, strict=True)},
        "n_cases": len(after),
        "n_groups": len({each.case.group for each in after}),
        "left_out": left_out,
        "segmentation": compare_masks(before, after, classes),
        "classification": compare_tags(before, after, tags, graded=models[1].predictor.graded) if tags else None,
    }
    document |= {
        "verdict": comparison_words.overall_verdict(document),
        "sentence": comparison_words.sentence(document),
        "alarms": comparison_words.alarms(document),
        "notes": [*notes, *comparison_words.remarks(document)],
        "per_case": _per_case(judged, classes),
        "definitions": DEFINITIONS,
    }
    document = dict(plain(document))
    report("done", result=document)
    return document


def fair_cases(
    models: Sequence[LoadedModel], data: str | os.PathLike[str], split: Split
) -> tuple[DatasetInfo, list[TrainingCase], int]:
    """Finished cases of a split that no model has learned from, and how many were left out.

    A case without a split of its own gets the one that the last model's training drew for it.

    Raises
    ------
    DatasetError
        None is left.
    """
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.data.training_set import training_set

    training = models[-1].card.training
    known = training_set(Dataset.open(data), seed=training.seed, drawn=training.split_of_group)
    cases = known.of_split(split)
    forbidden: tuple[Split, ...] = ("train", "val") if split == "test" else ("train",)
    fair = [case for case in cases if not any(_has_seen(model, case, forbidden) for model in models)]
    if not fair:
        why = "it has no finished case" if not cases else "the models learned from all of its groups"
        other = next(name for name in reversed(SPLIT_ORDER) if name != split)
        raise DatasetError(
            f"Split '{split}' of data set {data} cannot tell which model is better, because {why}: finish cases of "
            f"further groups, or compare on '{other}'."
        )
    return known.info, fair, len(cases) - len(fair)


def _has_seen(model: LoadedModel, case: TrainingCase, splits: Sequence[Split]) -> bool:
    training = model.card.training
    images = {image for split in splits for image in training.hashes.get(split, ())}
    return case.image_hash in images or training.split_of_group(case.group) in splits


def _drawn(model: LoadedModel) -> Sequence[MaskClass]:
    """What a model draws; one that marks where it looked draws nothing."""
    return () if model.predictor.marks_region else model.predictor.classes


def _shared_classes(models: Sequence[LoadedModel]) -> list[SharedClass]:
    from napari_medseg.inference.comparison import SharedClass

    first, second = ([c.name for c in _drawn(model)] for model in models)
    return [
        SharedClass(name=name, first=first.index(name), second=place)
        for place, name in enumerate(second)
        if name in first
    ]


def _shared_tags(models: Sequence[LoadedModel]) -> tuple[str, ...]:
    """The tags that both tell in the same order; none where they differ."""
    first, second = (tuple(model.predictor.tags) for model in models)
    same_kind = models[0].predictor.graded == models[1].predictor.graded
    return first if first == second and same_kind else ()


def _judged_by_both(
    models: Sequence[LoadedModel], cases: Sequence[TrainingCase], info: DatasetInfo, data: str, report: Report
) -> list[list[Judged]]:
    """The same cases in the same order, as each model's predictions were judged."""
    judged = []
    for number, model in enumerate(models):
        asked = cases
        if _drawn(model):
            asked = in_values_of_model(cases, info, model.predictor.classes, data, report)

        def in_both(event: str, /, *, offset: int = number, **values: Any) -> None:
            if event == "progress":
                values |= {"done": values["done"] + offset * values["of"], "of": len(models) * values["of"]}
            report(event, **values)

        judged.append({each.case.case: each for each in judgements_of(model.predictor, asked, model.compute, in_both)})
    both = [case for case in judged[0] if case in judged[1]]
    return [[each[case] for case in both] for each in judged]


def _described(model: LoadedModel) -> dict[str, Any]:
    return {"name": model.name, "path": str(model.path), "scheme": model.card.scheme}


def _per_case(judged: Sequence[Sequence[Judged]], classes: Sequence[SharedClass]) -> list[dict[str, Any]]:
    from napari_medseg import metrics

    rows = []
    for a, b in zip(*judged, strict=True):
        row: dict[str, Any] = {"case": a.case.case, "group": a.case.group}
        if a.counts is not None and b.counts is not None and classes:
            dice = [metrics.counts_to_scores(each.counts)["dice"] for each in (a, b)]
            row |= {
                "dice_a": {c.name: dice[0][c.first] for c in classes},
                "dice_b": {c.name: dice[1][c.second] for c in classes},
            }
        rows.append(row)
    return rows
