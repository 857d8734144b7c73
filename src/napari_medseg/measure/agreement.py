"""How well readers agree: Dice of classes, kappa of tags and grades, distances of surfaces.

What is not defined is NaN: Dice of a class that neither reader drew, kappa where both readers gave one and the same tag
to every case.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import NOT_LOOKED_AT

Labels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

#: Power of the distance of two grades by which a disagreement about them counts.
_POWERS = {"linear": 1, "quadratic": 2}


def dice_matrix(readings: Sequence[Labels], value: int) -> Floats:
    """Dice of a class between all readers of an image, counted where both looked.

    Parameters
    ----------
    readings
        uint8 labels of one shape.
    value
        The class.

    Returns
    -------
    float64 (readers, readers), symmetric; 1 on the diagonal, NaN where neither drew the class

    Examples
    --------
    >>> a, b = np.array([1, 1, 0, 255], np.uint8), np.array([1, 0, 0, 1], np.uint8)
    >>> dice_matrix([a, b], 1).round(3).tolist()
    [[1.0, 0.667], [0.667, 1.0]]
    """
    count = len(readings)
    matrix = np.full((count, count), np.nan)
    drawn = [labels == value for labels in readings]
    looked = [labels != NOT_LOOKED_AT for labels in readings]
    for i in range(count):
        matrix[i, i] = 1.0 if drawn[i].any() else np.nan
        for j in range(i):
            both = looked[i] & looked[j]
            first, second = drawn[i] & both, drawn[j] & both
            total = np.count_nonzero(first) + np.count_nonzero(second)
            if total:
                matrix[i, j] = matrix[j, i] = 2 * np.count_nonzero(first & second) / total
    return matrix


def cohen_kappa(
    first: Sequence[str], second: Sequence[str], names: Sequence[str], *, weights: Literal["linear", "quadratic"] | None
) -> float:
    """Agreement of two readers about cases beyond what chance gives (J. Cohen, 1960 and, with weights, 1968).

    Parameters
    ----------
    first, second
        What the readers say of every case, each one of `names`.
    names
        Tags, or grades from the lowest to the highest.
    weights
        How much a disagreement counts: all the same (None), by the distance of the grades, or by its square.

    Returns
    -------
    1 for full agreement, 0 for chance; NaN without cases, or where chance alone gives full agreement

    Examples
    --------
    >>> round(cohen_kappa("aabb", "abbb", "ab", weights=None), 3)
    0.5
    """
    place = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(names), len(names)))
    for one, other in zip(first, second, strict=True):
        table[place[one], place[other]] += 1
    distance = np.abs(np.subtract.outer(np.arange(len(names)), np.arange(len(names)))).astype(np.float64)
    cost: Floats = (distance > 0).astype(np.float64) if weights is None else distance ** _POWERS[weights]
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(table.sum(), 1.0)
    by_chance = float((cost * expected).sum())
    return 1 - float((cost * table).sum()) / by_chance if by_chance > 0 else float("nan")


def surface_distances(first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> Floats:
    """Mean distance of each surface between two readers, over the columns in which both have it.

    Parameters
    ----------
    first, second
        Rows (bscan, surfaces, x) in pixels, NaN where a surface is missing.

    Returns
    -------
    float64 (surfaces,), in pixels; NaN for a surface that they nowhere share
    """
    apart = np.abs(first.astype(np.float64) - second)
    known = np.isfinite(apart)
    total = np.where(known, apart, 0.0).sum(axis=(0, 2))
    counts = known.sum(axis=(0, 2))
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)
