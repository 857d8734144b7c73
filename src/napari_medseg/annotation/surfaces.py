"""Surfaces and labels: two views of the same layers, converted both ways.

A surface is a row per column of a B-scan. Pixel ``y`` of a column lies below a surface at row ``r`` exactly where
``y > r``; a surface between the pixels 4 and 5 has the row 4.5. NaN: the surface is not there in this column (a shadow,
the optic disc, an edge of the scan), and what lies between its neighbours is not known.

A *pile* holds the label values of the layers from top to bottom, one more than there are surfaces. Values outside the
pile are areas (fluid, optic disc) that were painted over the layers; they say nothing of the surfaces under them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, DatasetInfo

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.uint8]


def pile_of(info: DatasetInfo) -> tuple[int, ...]:
    """Label values of the layers from top to bottom; empty for a data set without surfaces."""
    if not info.surfaces:
        return ()
    value_of = {"": BACKGROUND, **{c.name: c.value for c in info.classes}}
    return (value_of[info.surfaces[0].above], *(value_of[surface.below] for surface in info.surfaces))


def labels_of_surfaces(rows: Rows, height: int, pile: Sequence[int]) -> Labels:
    """Labels of a B-scan from its surfaces.

    Parameters
    ----------
    rows
        (surfaces, x), NaN where a surface is missing; in every column the rows that are there do not decrease.
    height
        Rows of the B-scan.
    pile
        Label values from top to bottom, ``surfaces + 1`` of them.

    Returns
    -------
    uint8 (y, x); 255 where a missing surface leaves open which layer it is

    Examples
    --------
    >>> labels_of_surfaces(np.array([[0.5, 0.5], [1.5, np.nan]], np.float32), 4, (0, 1, 2)).T.tolist()
    [[0, 0, 1, 2], [0, 255, 255, 255]]
    """
    # A pixel lies between the surfaces above it and those below it; where both counts leave only one layer between
    # them it is known, where surfaces are missing in between it is not.
    pixel = np.arange(height, dtype=np.float32)[:, None]
    first = np.zeros((height, rows.shape[1]), np.int16)
    last = np.full((height, rows.shape[1]), len(rows), np.int16)
    for index, row in enumerate(rows):
        below = pixel > row  # False for NaN
        first[below] = index + 1
    for index in range(len(rows) - 1, -1, -1):
        above = pixel <= rows[index]
        last[above] = index
    values = np.asarray(pile, np.uint8)[np.minimum(first, last)]
    values[first != last] = NOT_LOOKED_AT
    return values


def surfaces_of_labels(labels: Labels, pile: Sequence[int]) -> Rows:
    """Surfaces of a labelled B-scan.

    In each column a surface is put where fewest pixels are on its wrong side (labels drawn by hand are not always in
    order); within areas, which say nothing, as high as that allows.

    Parameters
    ----------
    labels
        uint8 (y, x).
    pile
        Label values from top to bottom.

    Returns
    -------
    float32 (surfaces, x); NaN in columns that hold no pixel of the pile
    """
    height, width = labels.shape
    rank = np.full(256, -1, np.int16)
    for index, value in reversed(list(enumerate(pile))):
        rank[value] = index
    ranks = rank[labels]  # (y, x), -1: no layer
    rows = np.full((len(pile) - 1, width), np.nan, np.float32)
    known = (ranks >= 0).any(axis=0)
    for index in range(len(rows)):
        # Cutting below `cut` pixels, the wrong ones are those of lower layers above it and of upper layers below it.
        wrong_above = np.zeros((height + 1, width), np.int32)
        np.cumsum(ranks > index, axis=0, out=wrong_above[1:])
        upper = (ranks >= 0) & (ranks <= index)
        upper_above = np.zeros((height + 1, width), np.int32)
        np.cumsum(upper, axis=0, out=upper_above[1:])
        wrong = wrong_above + upper_above[-1] - upper_above
        rows[index] = wrong.argmin(axis=0) - 0.5
    rows[:, ~known] = np.nan
    return rows
