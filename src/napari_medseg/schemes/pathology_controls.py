"""The experiment behind the claim of scheme `pathology`: its stages beside controls of equal budget.

The source claims that B beats the same segmenter trained from scratch on the masks alone, and that C beats the
classifier trained on the tags alone, and A. Every arm sees the same cases, patches of the same size and the same
number of optimiser steps as the part of the scheme it is compared with:

=============  ========================================================  =====================
arm            what it is                                                optimiser steps
=============  ========================================================  =====================
``a``          classifier on all samples                                 E
``b``          segmenter, encoder from A                                 E, after A's E
``c``          classifier A with B's encoder                             E, after A's and B's
``b_scratch``  segmenter from scratch on the masks alone                 2 E (A's + B's)
``a_on``       A, going on                                               E (C's)
``tags_alone`` classifier from scratch on the given tags, none implied   3 E (A's + B's + C's)
=============  ========================================================  =====================
"""

from __future__ import annotations

import random
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.data.tags import implied_tags
from napari_medseg.errors import DatasetError
from napari_medseg.schemes.pathology import PathologyConfig
from napari_medseg.schemes.pathology_parts import PathologyParts, count_steps
from napari_medseg.structures import DatasetInfo, TrainingCase, TrainingSet

if TYPE_CHECKING:
    from torch import nn

    from napari_medseg.models.compute import Compute
    from napari_medseg.training.stage import Stage, StageResult

#: What is compared with what: (arm, its control, figure).
COMPARISONS = (
    ("b", "b_scratch", "dice"),
    ("c", "a", "auc"),
    ("c", "a_on", "auc"),
    ("c", "tags_alone", "auc"),
)


def thin_out(data: TrainingSet, *, masks: int, tag_share: float, seed: int) -> tuple[TrainingSet, TrainingSet]:
    """Hide most masks and tags of the training cases, to have many tags and few contours.

    Masks are kept of `masks` cases, drawn evenly over the tags; a share `tag_share` of every tag's cases keeps its
    given tag. Where the data set says that a mask implies a tag, a case that keeps its mask has that tag too.
    Validation and test cases stay as they are.

    Returns
    -------
    The thinned set, and the same with given tags alone (no mask, nothing implied), for the control.

    Raises
    ------
    DatasetError
        Fewer training cases have a mask than are asked for.
    """
    rng = random.Random(f"{seed}-{masks}-{tag_share}")
    train = list(data.of_split("train"))
    drawn = [case for case in train if case.has_mask]
    if len(drawn) < masks:
        raise DatasetError(f"{masks} masks are asked for, but only {len(drawn)} training cases have one.")
    keeps_mask = {case.case for case in _evenly(drawn, rng)[:masks]}
    keeps_tag = {case.case for case in _share(train, tag_share, rng)}
    thinned, tags_alone = [], []
    for case in data.cases:
        if case.split != "train":
            thinned.append(case)
            tags_alone.append(case)
            continue
        tag = case.tag if case.case in keeps_tag else None
        if tag is not None:
            tags_alone.append(_with(case, tag=tag, mask=False))
        if case.case in keeps_mask:
            thinned.append(_with(case, tag=tag or _implied(case, data.info), mask=True))
        elif tag is not None:
            thinned.append(_with(case, tag=tag, mask=False))
    return replace(data, cases=tuple(thinned)), replace(data, cases=tuple(tags_alone))


def control_stages(
    config: PathologyConfig, data: TrainingSet, tags_alone: TrainingSet, seed: int, compute: Compute
) -> Generator[Stage, StageResult, Mapping[str, nn.Module]]:
    """Yield the scheme's three stages and the controls; return the network of every arm by its name.

    Early stopping is off: every arm takes all of its steps and keeps its best weights by validation.
    """
    epochs = config.training.epochs
    # The control on the given tags alone has fewer cases, but must take as many steps.
    steps = count_steps(config.training, len(data.of_split("train")))
    parts = _parts(config, data, seed, compute, epochs, steps)
    double = _parts(config, data, seed, compute, 2 * epochs, steps)
    alone = _parts(config, tags_alone, seed, compute, 3 * epochs, steps)

    a = parts.classifier()
    yield parts.tag_stage("a", "A: classifier on all samples", a)
    b = parts.segmenter()
    b.encoder.load_state_dict(a.encoder.state_dict())
    yield parts.mask_stage("b", "B: segmenter from A's encoder", b, ("a",))
    c = parts.classifier()
    c.load_state_dict(a.state_dict())
    c.encoder.load_state_dict(b.encoder.state_dict())
    yield parts.tag_stage("c", "C: classifier from B's encoder", c, ("a", "b"))

    scratch = double.segmenter()
    yield double.mask_stage("b_scratch", "Control: segmenter from scratch", scratch)
    going_on = parts.classifier()
    going_on.load_state_dict(a.state_dict())
    yield parts.tag_stage("a_on", "Control: A going on", going_on, ("a",))
    tags_only = alone.classifier()
    yield alone.tag_stage("tags_alone", "Control: classifier on the given tags alone", tags_only)
    return {"a": a, "b": b, "c": c, "b_scratch": scratch, "a_on": going_on, "tags_alone": tags_only}


def _parts(
    config: PathologyConfig, data: TrainingSet, seed: int, compute: Compute, epochs: int, steps: int
) -> PathologyParts:
    training = config.training.model_copy(update={"epochs": epochs, "patience": 0})
    config = config.model_copy(update={"training": training})
    return PathologyParts.fit(config, data, seed, compute, steps_per_epoch=steps)


def _evenly(cases: Sequence[TrainingCase], rng: random.Random) -> list[TrainingCase]:
    """The cases in an order that takes every tag in turn."""
    by_tag: dict[str, list[TrainingCase]] = {}
    for case in rng.sample(list(cases), len(cases)):
        by_tag.setdefault(case.tag or "", []).append(case)
    queues = [by_tag[tag] for tag in sorted(by_tag)]
    longest = max((len(queue) for queue in queues), default=0)
    return [queue[i] for i in range(longest) for queue in queues if i < len(queue)]


def _share(cases: Sequence[TrainingCase], share: float, rng: random.Random) -> list[TrainingCase]:
    """The same share of every tag's cases, at least one of each."""
    by_tag: dict[str, list[TrainingCase]] = {}
    for case in cases:
        if case.tag is not None:
            by_tag.setdefault(case.tag, []).append(case)
    kept = []
    for tag in sorted(by_tag):
        count = max(1, round(share * len(by_tag[tag])))
        kept += rng.sample(by_tag[tag], count)
    return kept


def _implied(case: TrainingCase, info: DatasetInfo) -> str | None:
    """The tag that the case's mask implies; None where it implies none, or several."""
    labels = case.load_labels()
    tags = implied_tags(set(np.unique(labels).tolist()), info) if labels is not None else set()
    return tags.pop() if len(tags) == 1 else None


def _with(case: TrainingCase, *, tag: str | None, mask: bool) -> TrainingCase:
    seen: dict[str, Any] = {"tag": tag, "content_hash": f"{case.content_hash}-{tag}-{mask}"}
    if not mask:
        seen |= {"has_mask": False, "load_labels": lambda: None}
    return replace(case, **seen)
