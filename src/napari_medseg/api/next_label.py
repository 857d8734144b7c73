"""What to label next: the unlabelled cases in the order of a strategy, and the kind of label that pays."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from napari_medseg.api.prediction import LoadedModel, load_model
from napari_medseg.data.cropping import crop
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.forms import region_box_of
from napari_medseg.data.models_in_use import model_in_use
from napari_medseg.data.rows import format_region
from napari_medseg.data.tissue import find_tissue
from napari_medseg.errors import ConfigError, DatasetError, MedsegError
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import Box, Case, Image
from napari_medseg.training.events import Report, ignore, plain

if TYPE_CHECKING:
    from napari_medseg.inference.impressions import Impression
    from napari_medseg.inference.ranking import Strategy

Kind = Literal["contour", "tag"]

#: Slices or regions that are named per case.
_PLACES = 5
#: Regions of a slide that are looked at, and their side in pixels.
_REGIONS, _SIDE = 12, 1024


def next_cases(
    data: str | os.PathLike[str],
    model: LoadedModel | str | os.PathLike[str] | None = None,
    *,
    strategy: Strategy = "foreground-random",
    kind: Kind | None = None,
    n: int | None = None,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    threads: int | None = None,
    report: Report = ignore,
) -> dict[str, Any]:
    """Put the cases that lack a label in the order in which they should get one.

    Parameters
    ----------
    data
        Data set folder.
    model
        A loaded model, a model file or a run folder; None: the data set's model in use. ``random`` needs none.
    strategy
        See `napari_medseg.inference.ranking`.
    kind
        Which label: a ``contour`` (any drawing; also of cases that are done with a tag alone) or a ``tag``. None:
        contours where the data set has mask classes.
    n
        How many cases to name; None: all.
    seed
        Of random choices.
    device, precision, threads
        Chosen when None.
    report
        Receives ``progress`` and ``warning`` events.

    Returns
    -------
    ``strategy, kind, model, n_labelled, n_unlabelled, held_out`` (cases of validation and test, which must not be
    chosen by a model's doubts), ``ranking`` [``case, group, rank, score, reason, places`` (slices or regions)],
    ``unreadable`` {case: sentence}, ``advice`` (`napari_medseg.api.label_value.label_advice`)

    Raises
    ------
    MedsegError
        The model or the data set cannot be used, or the strategy needs what the model does not say.
    """
    from napari_medseg.api.label_value import label_advice
    from napari_medseg.inference.ranking import STRATEGIES, rank

    if strategy not in STRATEGIES:
        raise ConfigError(f"There is no strategy '{strategy}': choose one of {', '.join(STRATEGIES)}.")
    dataset = Dataset.open(data)
    kind = kind or ("contour" if dataset.info.classes else "tag")
    loaded = None
    if strategy != "random":
        loaded = _load(dataset, model, device, precision, threads)
    cases, labelled, held_out = candidates(dataset, kind, loaded)
    impressions, unreadable = _impressions(dataset, cases, loaded, strategy, seed, report)
    ranked = rank(
        impressions,
        strategy,
        class_names=[c.name for c in loaded.predictor.classes] if loaded is not None else (),
        progress=labelled / max(1, labelled + len(cases)),
        seed=seed,
    )
    by_case = {each.case: each for each in impressions}
    document = {
        "strategy": strategy,
        "kind": kind,
        "model": None if loaded is None else loaded.name,
        "n_labelled": labelled,
        "n_unlabelled": len(cases),
        "held_out": held_out,
        "ranking": [
            {
                "case": each.case,
                "group": by_case[each.case].group,
                "rank": place,
                "score": None if np.isnan(each.score) else each.score,
                "reason": each.reason,
                "places": places_of(by_case[each.case], strategy, seed),
            }
            for place, each in enumerate(ranked[:n], start=1)
        ],
        "unreadable": unreadable,
        "advice": label_advice(dataset),
    }
    document = dict(plain(document))
    report("done", result=document)
    return document


def candidates(dataset: Dataset, kind: Kind, model: LoadedModel | None) -> tuple[list[Case], int, int]:
    """Cases that lack a label of a kind, the number of those that have it, and of those held out of the choice."""
    lacking, labelled, held_out = [], 0, 0
    for case in dataset.cases:
        finished = case.status in ("done", "reviewed")
        has_label = dataset.current_label_path(case) is not None
        lacks = (case.status == "todo" or (finished and not has_label)) if kind == "contour" else not _is_tagged(case)
        if not lacks:
            labelled += finished
            continue
        split = case.split or (model.card.training.split_of_group(case.group or case.case) if model else "")
        if split in ("val", "test"):
            held_out += 1
        else:
            lacking.append(case)
    return lacking, labelled, held_out


def _is_tagged(case: Case) -> bool:
    return bool(case.tag or case.grade)


def _load(
    dataset: Dataset,
    model: LoadedModel | str | os.PathLike[str] | None,
    device: str | None,
    precision: str | None,
    threads: int | None,
) -> LoadedModel:
    if isinstance(model, LoadedModel):
        return model
    path = model if model is not None else model_in_use(dataset.path)
    if path is None:
        raise DatasetError(
            f"Data set {dataset.path} has no model in use yet: name a model, put one in use, or choose the strategy "
            "random."
        )
    return load_model(path, device=device, precision=precision, threads=threads)


def _impressions(
    dataset: Dataset,
    cases: Sequence[Case],
    model: LoadedModel | None,
    strategy: Strategy,
    seed: int,
    report: Report,
) -> tuple[list[Impression], dict[str, str]]:
    """What the model says of every case; images that cannot be read are told, and left out."""
    from napari_medseg.inference.impressions import Impression

    found: list[Impression] = []
    unreadable: dict[str, str] = {}
    for number, case in enumerate(cases):
        report("progress", done=number, of=len(cases), text=f"Looking at {case.case}")
        if model is None:
            nothing: Mapping[str, float] = {}
            found.append(Impression(case=case.case, group=case.group, doubt=None, slices=(), tag_probabilities=nothing))
            continue
        try:
            found.append(look_at(dataset, case, model, second_opinion=strategy == "disagreement", seed=seed))
        except MedsegError as error:
            unreadable[case.case] = str(error)
            report("warning", text=str(error))
    return found, unreadable


def look_at(
    dataset: Dataset, case: Case, model: LoadedModel, *, second_opinion: bool = False, seed: int = 0
) -> Impression:
    """What a model says of a case; of a slide, by some regions of its tissue.

    Raises
    ------
    MedsegError
        The image cannot be read, or the model does not fit it.
    """
    from napari_medseg.inference.impressions import impression_of, joined

    image = dataset.read_image(case)
    options: dict[str, Any] = {
        "case": case.case,
        "group": case.group,
        "implies": dataset.info.implies,
        "second_opinion": second_opinion,
    }
    if is_slide(image):
        regions = tissue_regions(image, seed)
        parts = [impression_of(model.predictor, crop(image, box), model.compute, **options) for box in regions]
        return joined(parts, regions)
    region = None
    if model.predictor.focus is not None:
        region = region_box_of(dataset.path, case.case)
    return impression_of(model.predictor, image, model.compute, region=region, **options)


def tissue_regions(image: Image, seed: int = 0, *, most: int = _REGIONS, side: int = _SIDE) -> list[Box]:
    """Square boxes (y, x) of a slide in level-0 pixels, drawn at random from a grid over its tissue; at least one."""
    mask = find_tissue(image).mask
    boxes = []
    height, width = image.spatial_shape
    for top in range(0, height, side):
        for left in range(0, width, side):
            box = ((top, min(top + side, height)), (left, min(left + side, width)))
            rows, columns = (
                slice(low * n // size, max(low * n // size + 1, high * n // size))
                for (low, high), n, size in zip(box, mask.shape, image.spatial_shape, strict=True)
            )
            if mask[rows, columns].mean() > 0.5:
                boxes.append(box)
    if not boxes:
        middle = tuple((max(0, (n - side) // 2), min(n, (n + side) // 2)) for n in (height, width))
        return [middle]
    chosen = np.random.default_rng(seed).permutation(len(boxes))[:most]
    return [boxes[i] for i in sorted(chosen.tolist())]


def places_of(impression: Impression, strategy: Strategy, seed: int) -> list[dict[str, Any]]:
    """The slices of a stack, or regions of a slide, to begin with: the best few by the same strategy."""
    from napari_medseg.inference.ranking import rank_places

    order = rank_places(impression.slices, strategy, seed)[:_PLACES]
    if impression.regions:
        return [{"region": format_region(impression.regions[i]), "score": impression.slices[i].entropy} for i in order]
    return [{"slice": i, "score": impression.slices[i].entropy} for i in order]
