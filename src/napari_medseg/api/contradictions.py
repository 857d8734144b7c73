"""What cannot all be true, as a function: the data set against itself, and against a model where one is given."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.api.evaluation import in_values_of_model
from napari_medseg.api.prediction import LoadedModel, load_model
from napari_medseg.data.contradictions import Contradiction, confirmed_keys, contradictions, facts_of, key_of, state_of
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.training_set import training_set
from napari_medseg.data.whole_slides import pictures_of
from napari_medseg.errors import MedsegError
from napari_medseg.structures import NOT_LOOKED_AT, Box, Prediction, TrainingCase
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.inference.impressions import Impression

#: How probable a model's answer must be to stand against a person's.
SURE = 0.9
#: Share of what either drew of a class on which a sure model contradicts the labels, from which a case is named, and
#: share of the image below which it is a trifle.
_DISPUTED, _TRIFLE = 0.5, 1e-3


def find_contradictions(
    data: str | os.PathLike[str],
    model: LoadedModel | str | os.PathLike[str] | None = None,
    *,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """List what cannot all be true, what is most certainly wrong first.

    Parameters
    ----------
    data
        Data set folder.
    model
        Also list finished cases in which this model is sure of something else than the labels say, or its classifier
        and its segmenter contradict each other.
    device, precision, threads
        Chosen when None.
    report
        Receives ``progress`` and ``warning`` events.

    Returns
    -------
    ``contradictions`` [`Contradiction` as a dictionary], ``n_cases`` (that were looked at with the model), ``model``

    Raises
    ------
    MedsegError
        The data set or the model cannot be used.
    """
    dataset = Dataset.open(data)

    def progress(done: int, total: int, text: str) -> None:
        report("progress", done=done, of=total, text=text)

    found = contradictions(dataset, progress=progress)
    looked_at, loaded = 0, None
    if model is not None:
        loaded = (
            model
            if isinstance(model, LoadedModel)
            else load_model(model, device=device, precision=precision, threads=threads)
        )
        cases = _in_values_of(loaded, dataset, report)
        settled = confirmed_keys(dataset)
        for number, case in enumerate(cases):
            progress(number, len(cases), f"Asking the model about {case.case}")
            try:
                against = list(against_model(dataset, case, loaded))
            except MedsegError as error:
                report("warning", text=str(error))
                continue
            looked_at += 1
            found += [each for each in against if each.key not in settled]
    found.sort(key=lambda each: -each.strength)
    document = {
        "contradictions": [asdict(each) for each in found],
        "n_cases": looked_at,
        "model": None if loaded is None else loaded.name,
    }
    document = dict(plain(document))
    report("done", result=document)
    return document


def _in_values_of(model: LoadedModel, dataset: Dataset, report: Report) -> tuple[TrainingCase, ...]:
    """Finished pictures and volumes with labels in the model's values; slides are judged tile by tile elsewhere."""
    known = training_set(dataset)
    cases = tuple(pictures_of(known.cases))
    if model.predictor.classes and not model.predictor.marks_region:
        return in_values_of_model(cases, known.info, model.predictor.classes, str(dataset.path), report)
    return cases


def against_model(dataset: Dataset, case: TrainingCase, model: LoadedModel) -> Iterator[Contradiction]:
    """Where a sure model and a finished case contradict each other."""
    from napari_medseg.inference.engine import predict
    from napari_medseg.inference.focus import in_whole_image
    from napari_medseg.inference.impressions import impression_from

    image, predictor = case.load_image(), model.predictor
    region: Box | None = predictor.region_of(case) if predictor.region_of is not None else None
    drawn = bool(predictor.classes) and not predictor.marks_region
    prediction = predict(predictor, image, region=region, probabilities=drawn, compute=model.compute)
    row = dataset.case(case.case)
    state = state_of((row, facts_of(dataset, row)))

    def made(kind: Any, text: str, strength: float) -> Contradiction:
        # Without figures, which another training of the same model would change a little.
        key = key_of(kind, state, text.partition(" (")[0])
        return Contradiction(case=case.case, kind=kind, text=text, strength=strength, state=state, key=key)

    said = case.tag if not predictor.graded else _grade(dataset, case)
    if prediction.tag is not None and said is not None and said in predictor.tags:
        tag, chance = prediction.tag.tag, prediction.tag.probabilities[prediction.tag.tag]
        if tag != said and chance >= SURE:
            yield made("model tag", f"The model says '{tag}' ({chance:.2f}), a person '{said}'.", chance)
    if drawn and case.has_mask:
        truth = case.load_labels()
        if truth is not None:
            whole = in_whole_image(prediction, image)
            if whole.region == prediction.region:
                for text, strength in _disputed(prediction, truth):
                    yield made("model labels", text, strength)
    impression = impression_from(prediction, case=case.case, group=case.group)
    between = _two_opinions(impression, model, dataset)
    if between is not None:
        yield made("two opinions", *between)


def _grade(dataset: Dataset, case: TrainingCase) -> str | None:
    return None if case.grade is None else dataset.info.grades[case.grade]


def _disputed(prediction: Prediction, truth: np.ndarray[Any, np.dtype[np.uint8]]) -> Iterator[tuple[str, float]]:
    """Classes that a sure model sees elsewhere than they are drawn: a sentence, and the share that is disputed."""
    assert prediction.probabilities is not None
    looked_at = truth != NOT_LOOKED_AT
    for place, mask_class in enumerate(prediction.classes, start=1):
        sure = (np.asarray(prediction.probabilities[place]) >= SURE) & looked_at
        sure_not = (np.asarray(prediction.probabilities[place]) <= 1 - SURE) & looked_at
        drawn = truth == mask_class.value
        too_little, too_much = int((sure & ~drawn).sum()), int((sure_not & drawn).sum())
        either = int((sure | drawn).sum())
        if too_little + too_much < max(1.0, _TRIFLE * looked_at.sum()) or not either:
            continue
        share = (too_little + too_much) / either
        if share >= _DISPUTED:
            what = (
                f"{mask_class.name} where the labels have none" if too_little >= too_much else f"no {mask_class.name}"
            )
            where = "" if too_little >= too_much else " where it is drawn"
            yield f"The model is sure of {what}{where} ({100 * share:.0f} % of what either drew).", min(1.0, share)


def _two_opinions(impression: Impression, model: LoadedModel, dataset: Dataset) -> tuple[str, float] | None:
    """The sentence and strength where classifier and segmenter are both sure of different tags."""
    from napari_medseg.inference.impressions import tag_of_drawing

    implied = tag_of_drawing(impression, model.predictor, dataset.info.implies)
    if implied is None or not impression.tag_probabilities:
        return None
    drawn, told = (max(each, key=each.__getitem__) for each in (implied, impression.tag_probabilities))
    strength = min(implied[drawn], impression.tag_probabilities[told])
    if drawn == told or strength < SURE:
        return None
    seen = "draws nothing" if _is_empty(impression) else "draws what implies"
    ending = f", which implies '{drawn}'" if _is_empty(impression) else f" '{drawn}'"
    return f"The model's classifier says '{told}', its segmenter {seen}{ending} ({strength:.2f}).", strength


def _is_empty(impression: Impression) -> bool:
    return impression.doubt is None or not impression.doubt.shares.any()
