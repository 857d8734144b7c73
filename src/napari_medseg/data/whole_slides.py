"""Whole slides, and tiles of them, as training sees them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_medseg.data.tags import implied_tags
from napari_medseg.structures import DatasetInfo, Image, TrainingCase

if TYPE_CHECKING:
    from napari_medseg.data.slide_labels import SlideLabels

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeSlide(TrainingCase):
    """A slide that is never read whole; `has_mask` tells whether anything on it was looked at, `tag` is its own.

    Parameters
    ----------
    labels
        All that was drawn and said on it.
    load_tissue
        Where there is tissue, bool (y, x) over the whole slide at a lower resolution; found once, unless a person
        corrected it.
    """

    labels: SlideLabels
    load_tissue: Callable[[], Mask]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlideTile(TrainingCase):
    """A part of a slide as an image of its own.

    Parameters
    ----------
    load_whole
        Returns the slide, whose stains the tile shares.
    """

    load_whole: Callable[[], Image]


def tags_of(case: TrainingCase, info: DatasetInfo) -> Counter[str]:
    """What a case may train a classifier with: its tag; of a slide, those of its tiles.

    Of a slide these are tagged tiles and tags that its classes may imply or, where there are neither, its own.
    Whether a slide's mask implies a tag of any part shows only when training looks through it.
    """
    if not isinstance(case, WholeSlide):
        return Counter() if case.tag is None else Counter([case.tag])
    kinds = case.labels.kinds()
    found = Counter(kinds.tile_tags)
    for value in kinds.values:
        for tag in implied_tags({value}, info):
            found[tag] += 1
    if not found and case.tag is not None:
        found[case.tag] = 1
    return found


def pictures_of(cases: Sequence[TrainingCase]) -> tuple[TrainingCase, ...]:
    """The cases that are seen whole."""
    return tuple(case for case in cases if not isinstance(case, WholeSlide))


def slides_of(cases: Sequence[TrainingCase]) -> tuple[WholeSlide, ...]:
    """The cases that are slides."""
    return tuple(case for case in cases if isinstance(case, WholeSlide))
