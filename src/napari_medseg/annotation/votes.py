"""What several readers say of the same pixels, counted by pattern.

There are few patterns (which reader says what), however many pixels an image has; everything that follows from the
votes is computed once per pattern.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import AnnotationError
from napari_medseg.structures import NOT_LOOKED_AT

Labels = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Votes:
    """Patterns of votes in an image.

    Parameters
    ----------
    patterns
        uint8 (patterns, readers): label value that each reader gave, 255 where the reader did not look.
    counts
        int64 (patterns,): pixels of each pattern.
    index
        int32, of the image's shape: pattern of each pixel.
    """

    patterns: Labels
    counts: npt.NDArray[np.int64]
    index: npt.NDArray[np.int32]

    @property
    def values(self) -> tuple[int, ...]:
        """Label values that occur, in order; 255 is none."""
        return tuple(int(value) for value in np.unique(self.patterns) if value != NOT_LOOKED_AT)

    def tally(self) -> npt.NDArray[np.int64]:
        """Readers per pattern and value of `values`, int64 (patterns, values)."""
        return np.stack([(self.patterns == value).sum(axis=1) for value in self.values], axis=1).astype(np.int64)


def votes_of(readings: Sequence[Labels]) -> Votes:
    """Count what the readers of an image say.

    Parameters
    ----------
    readings
        uint8 labels of one shape, at least two.

    Raises
    ------
    AnnotationError
        There are fewer than two, or their shapes differ.
    """
    if len(readings) < 2:
        raise AnnotationError(f"There are {len(readings)} readings, but it takes two to compare: ask another reader.")
    shapes = {labels.shape for labels in readings}
    if len(shapes) > 1:
        raise AnnotationError(f"The readings have different shapes {sorted(shapes)}: they are not of the same image.")
    # Pixels on which all readers say one thing are most of them: each such value is a pattern of its own.
    first = readings[0]
    same = np.ones(first.shape, bool)
    for labels in readings[1:]:
        same &= labels == first
    agreed, agreed_counts = np.unique(first[same], return_counts=True)
    disputed = np.stack([labels[~same] for labels in readings], axis=1)
    others, inverse, other_counts = np.unique(disputed, axis=0, return_inverse=True, return_counts=True)
    index = np.zeros(256, np.int32)
    index[agreed] = np.arange(len(agreed))
    places = index[first]
    places[~same] = inverse.reshape(-1) + len(agreed)
    patterns = np.concatenate([np.repeat(agreed[:, np.newaxis], len(readings), axis=1), others])
    return Votes(patterns.astype(np.uint8), np.concatenate([agreed_counts, other_counts]).astype(np.int64), places)
