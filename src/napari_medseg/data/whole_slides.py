"""Whole slides, and tiles of them, as training sees them."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_medseg.data.cropping import crop
from napari_medseg.data.tags import implied_tags
from napari_medseg.data.tile_names import tile_name
from napari_medseg.structures import Box, DatasetInfo, Image, TrainingCase

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


def tile_of(slide: WholeSlide, box: Box, tag: str | None, least: Sequence[float] = (1, 1)) -> SlideTile:
    """A tile of a slide as a case: with its tag, or without one with what was drawn in it.

    Parameters
    ----------
    box
        In level-0 pixels; what reaches beyond the slide is cut off.
    least
        Rows and columns that a network sees: a smaller tile is shown with what lies around it, as in training.
    """
    image = slide.load_image()
    inside = tuple(_around(*sides) for sides in zip(box, least, image.spatial_shape, strict=True))
    name = tile_name(slide.case, inside)
    return SlideTile(
        case=name,
        group=slide.group,
        source=slide.source,
        split=slide.split,
        tag=tag,
        grade=None,
        has_mask=tag is None,
        load_image=partial(crop, image, inside),
        load_labels=partial(slide.labels.read, inside, 1) if tag is None else lambda: None,
        content_hash=hashlib.blake2b(f"{slide.content_hash} {name} {tag}".encode(), digest_size=16).hexdigest(),
        image_hash=slide.image_hash,
        load_whole=slide.load_image,
    )


def _around(side: tuple[int, int], least: float, size: int) -> tuple[int, int]:
    """A side of a tile, at least so long if the slide is, inside the slide."""
    length = min(max(side[1] - side[0], math.ceil(least)), size)
    start = min(max(0, (side[0] + side[1] - length) // 2), size - length)
    return start, start + length


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
