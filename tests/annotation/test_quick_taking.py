"""Taking parts of a proposal over: whatever is taken, nothing that was looked at changes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from napari_medseg.annotation.quick_taking import take_area, take_classes, take_object
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import NOT_LOOKED_AT

VALUES = st.sampled_from([0, 1, 2, NOT_LOOKED_AT])
PAIRS = st.tuples(*(arrays(np.uint8, (6, 7), elements=VALUES) for _ in range(2)))


@given(PAIRS, st.sampled_from([None, [1], [2], [1, 2]]))
def test_only_the_asked_classes_are_taken_and_only_where_nobody_looked(pair, values):
    labels, proposed = pair
    after = take_classes(labels, proposed, values)
    wanted = np.isin(proposed, values or [1, 2]) & (labels == NOT_LOOKED_AT)
    np.testing.assert_array_equal(after[wanted], proposed[wanted])
    np.testing.assert_array_equal(after[~wanted], labels[~wanted])


@given(PAIRS, arrays(np.bool_, (6, 7)))
def test_an_area_brings_background_too(pair, area):
    labels, proposed = pair
    after = take_area(labels, proposed, area)
    wanted = area & (labels == NOT_LOOKED_AT)
    np.testing.assert_array_equal(after[wanted], proposed[wanted])
    np.testing.assert_array_equal(after[~wanted], labels[~wanted])


def test_an_object_is_what_is_connected_and_of_one_class():
    proposed = np.array([[1, 1, 0, 1], [2, 1, 0, 1], [2, 2, 0, 0]], np.uint8)
    labels = np.full(proposed.shape, NOT_LOOKED_AT, np.uint8)
    labels[0, 0] = 0
    after = take_object(labels, proposed, (1, 1))
    np.testing.assert_array_equal(after == 1, [[False, True, False, False], [False, True, False, False], [False] * 4])
    assert after[0, 0] == 0


@pytest.mark.parametrize("at", [(0, 2), (9, 0), (0, -1)])
def test_there_must_be_an_object(at):
    proposed = np.array([[1, 1, 0]], np.uint8)
    with pytest.raises(AnnotationError, match="click on a coloured object"):
        take_object(np.full_like(proposed, NOT_LOOKED_AT), proposed, at)
