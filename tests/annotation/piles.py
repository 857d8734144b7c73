"""Columns of layers, drawn at random, and what brute force says about them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.annotation.surfaces import labels_of_surfaces

#: Ends of different kinds, and the background at both ends.
PILES = ((0, 1, 2, 3), (0, 1, 2, 0), (5, 3, 4), (0, 7))
AREA = 9


@st.composite
def ordered_rows(draw: st.DrawFn, count: int, height: int) -> np.ndarray:
    """Surfaces (count, x) of whole cuts, in order."""
    cuts = draw(hnp.arrays(np.int64, st.tuples(st.just(count), st.integers(1, 5)), elements=st.integers(0, height)))
    return np.sort(cuts, axis=0).astype(np.float32) - np.float32(0.5)


@st.composite
def ordered_labels(draw: st.DrawFn, pile: Sequence[int], height: int = 9) -> np.ndarray:
    """Labels (y, x) in order, every column with a layer that is not the background."""
    labels = labels_of_surfaces(draw(ordered_rows(len(pile) - 1, height)), height, pile)
    return labels[:, (labels != 0).any(axis=0)]


def fewest_changes(column: np.ndarray, pile: Sequence[int]) -> int:
    """Fewest pixels of a column to change so that its layers are in order, by trying all cuts."""
    height = len(column)
    in_pile = np.isin(column, pile)
    ranks = [
        np.searchsorted(cuts, np.arange(height), side="right")
        for cuts in itertools.combinations_with_replacement(range(height + 1), len(pile) - 1)
    ]
    return min(int((in_pile & (np.asarray(pile)[rank] != column)).sum()) for rank in ranks)
