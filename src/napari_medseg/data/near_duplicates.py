"""Pictures that are nearly the same: the same frame saved twice, or two frames of one sweep.

Each picture is made small and compared by normalised cross-correlation, so that brightness, contrast, size and the
marks of callipers do not count. On both sides of a split they make a model look better than it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

#: Correlation from which two thumbnails show the same; among different patients of one kind of picture it stays below.
THRESHOLD = 0.95
#: Side of a thumbnail, in pixels.
SIDE = 32
#: Rows of the table of correlations that are computed at once.
_ROWS = 512

Thumbnail = npt.NDArray[np.float32]


def thumbnail(pixels: npt.NDArray[Any]) -> Thumbnail:
    """What is compared of a picture (y, x) or (y, x, c): float32 (SIDE * SIDE), of mean 0 and length 1.

    A picture without any contrast gives zeros, which are like nothing.
    """
    from PIL import Image as Pillow

    grey = np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)
    grey = grey.mean(axis=-1) if grey.ndim == 3 else grey
    # The mean over areas: single marks fade.
    small = np.asarray(Pillow.fromarray(grey).resize((SIDE, SIDE), Pillow.Resampling.BOX)).reshape(-1)
    centred = small - small.mean()
    length = float(np.linalg.norm(centred))
    return np.asarray(centred / np.float32(length) if length > 1e-3 * SIDE else np.zeros_like(centred))


def near_duplicates(images: Sequence[npt.NDArray[Any]], threshold: float = THRESHOLD) -> list[tuple[int, int, float]]:
    """Pairs of pictures that are nearly the same.

    Parameters
    ----------
    images
        (y, x) or (y, x, c), of any sizes.
    threshold
        Least normalised cross-correlation, -1..1.

    Returns
    -------
    (index, later index, correlation), the most alike first

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> a, b = rng.random((60, 80)), rng.random((60, 80))
    >>> [(i, j) for i, j, _ in near_duplicates([a, b, 0.5 * a + 3])]
    [(0, 2)]
    """
    return similar_thumbnails([thumbnail(image) for image in images], threshold)


def similar_thumbnails(thumbnails: Sequence[Thumbnail], threshold: float = THRESHOLD) -> list[tuple[int, int, float]]:
    """As `near_duplicates`, of thumbnails."""
    if len(thumbnails) < 2:
        return []
    stacked = np.stack(thumbnails)
    found: list[tuple[int, int, float]] = []
    for start in range(0, len(stacked), _ROWS):
        likeness = stacked[start : start + _ROWS] @ stacked.T
        for row, column in np.argwhere(likeness >= threshold):
            first, second = start + int(row), int(column)
            if first < second:
                found.append((first, second, min(float(likeness[row, column]), 1.0)))
    return sorted(found, key=lambda pair: (-pair[2], pair[:2]))
