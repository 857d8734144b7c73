"""How sure a network is of each column of a B-scan, summed up while rows of labels are written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT


class ColumnConfidence:
    """Mean probability of the drawn classes, column by column.

    The background does not count: it is the largest part of most columns and nearly always certain.

    Parameters
    ----------
    shape
        Of the labels, ([z,] y, x).

    Examples
    --------
    >>> confidence = ColumnConfidence((2, 3))
    >>> labels = np.array([[0, 1, 1], [0, 0, 2]], np.uint8)
    >>> confidence.add((), labels, np.array([[0.9, 0.8, 0.5], [0.9, 0.9, 0.7]], np.float32))
    >>> confidence.values().tolist()
    [nan, 0.800000011920929, 0.6000000238418579]
    """

    def __init__(self, shape: Sequence[int]) -> None:
        columns = (*shape[:-2], shape[-1])
        self._sums = np.zeros(columns, np.float64)
        self._counts = np.zeros(columns, np.int64)

    def add(self, index: tuple[int, ...], labels: npt.NDArray[np.uint8], probability: npt.NDArray[np.float32]) -> None:
        """Take some rows.

        Parameters
        ----------
        index
            B-scan; empty where there is one.
        labels, probability
            (rows, x): label and probability of the label's class.
        """
        drawn = (labels != BACKGROUND) & (labels != NOT_LOOKED_AT)
        self._sums[index] += np.where(drawn, probability, 0.0).sum(axis=0)
        self._counts[index] += drawn.sum(axis=0)

    def values(self) -> npt.NDArray[np.float32]:
        """float32 ([z,] x), 0..1; NaN in columns in which nothing is drawn."""
        means = np.full(self._sums.shape, np.nan)
        np.divide(self._sums, self._counts, out=means, where=self._counts > 0)
        return means.astype(np.float32)
