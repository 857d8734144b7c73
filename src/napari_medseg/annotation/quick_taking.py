"""What a person takes over of a proposal: only where nobody has looked yet, so that nothing drawn is changed."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from napari_medseg.annotation.change import Mask
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT


def take_classes(labels: Labels, proposed: Labels, values: Collection[int] | None = None) -> Labels:
    """Labels with the proposed classes in them.

    Proposed background is not taken: that somebody has looked at every pixel of it is for that person to say.

    Parameters
    ----------
    labels, proposed
        uint8 of one shape; 255 where nobody looked, and where nothing is proposed.
    values
        The classes to take; None for all.
    """
    wanted = (proposed != BACKGROUND) if values is None else np.isin(proposed, list(values))
    return _taken(labels, proposed, wanted)


def take_object(labels: Labels, proposed: Labels, at: tuple[int, ...]) -> Labels:
    """Labels with one proposed object in them: what is connected with a pixel and of its class.

    Raises
    ------
    AnnotationError
        No class is proposed there.
    """
    inside = all(0 <= i < n for i, n in zip(at, proposed.shape, strict=True))
    value = int(proposed[at]) if inside else BACKGROUND
    if value in (BACKGROUND, NOT_LOOKED_AT):
        raise AnnotationError("Nothing is proposed under the pointer: click on a coloured object.")
    parts, _ = ndimage.label(proposed == value)
    return _taken(labels, proposed, parts == parts[at])


def take_area(labels: Labels, proposed: Labels, area: Mask) -> Labels:
    """Labels with what is proposed in an area in them, background too: whoever brushes over it has looked at it."""
    return _taken(labels, proposed, area)


def _taken(labels: Labels, proposed: Labels, wanted: Mask) -> Labels:
    taken = wanted & (labels == NOT_LOOKED_AT) & (proposed != NOT_LOOKED_AT)
    return np.where(taken, proposed, labels)
