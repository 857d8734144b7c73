"""Surfaces of labels that a model drew: those beside a layer that it did not draw are not known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.surfaces import Labels, Rows, ranks_of_labels, surfaces_of_labels
from napari_medseg.annotation.tracing import MAX_JUMP, runs


def surfaces_of_prediction(labels: Labels, pile: Sequence[int], *, before: Rows | None = None) -> Rows:
    """Surfaces of a predicted B-scan, those alone of which the model drew both sides.

    `surfaces_of_labels` puts a surface beside a layer without pixels where its neighbours meet, since a person's layer
    that is not there has no thickness. In a prediction it may as well have been missed. So a surface is left out in
    columns in which one of its two layers has no pixel, unless the layer thins out to nothing (at the fovea) or leaves
    the picture: the surface then runs on without a jump from columns that show both layers to other ones that do.

    Parameters
    ----------
    labels, pile, before
        As for `surfaces_of_labels`; surfaces of `before` that the labels do not contradict stay.

    Returns
    -------
    float32 (surfaces, x), NaN where a surface is not known

    Examples
    --------
    >>> columns = np.array([[0, 1, 2, 3], [0, 2, 2, 3], [0, 1, 2, 3], [0, 0, 0, 3], [0, 0, 0, 3]], np.uint8)
    >>> surfaces_of_prediction(columns.T, (0, 1, 2, 3)).tolist()
    [[0.5, 0.5, 0.5, nan, nan], [1.5, 0.5, 1.5, nan, nan], [2.5, 2.5, 2.5, nan, nan]]
    """
    rows = surfaces_of_labels(labels, pile, before=before)
    ranks = ranks_of_labels(labels, pile)
    drawn = np.stack([(ranks == rank).any(axis=0) for rank in range(len(pile))])
    certain = drawn[:-1] & drawn[1:]
    if before is not None:
        certain |= rows == before
    return np.stack([_continued(*surface) for surface in zip(rows, certain, strict=True)])


def _continued(rows: Rows, certain: npt.NDArray[np.bool_]) -> Rows:
    """Rows (x,) where they are certain, and between such columns where they run on smoothly."""
    known = np.where(certain, rows, np.float32(np.nan))
    for start, stop in runs(np.where(certain, np.float32(np.nan), rows)):
        with_ends = slice(start - 1, stop + 1)
        is_between = 0 < start and stop < len(rows) and certain[start - 1] and certain[stop]
        if is_between and np.abs(np.diff(rows[with_ends])).max() <= MAX_JUMP:
            known[start:stop] = rows[start:stop]
    return known
