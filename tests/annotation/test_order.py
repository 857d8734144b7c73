"""Order repair changes the fewest pixels, and nothing but layers."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.annotation.order import count_violations, repair_order
from tests.annotation.piles import AREA, PILES, fewest_changes, ordered_labels

columns = hnp.arrays(np.uint8, (6, 3), elements=st.sampled_from([0, 1, 2, 3, AREA, 255]))
piles = st.sampled_from([(0, 1, 2, 3), (0, 1, 2, 0)])


@given(labels=columns, pile=piles)
def test_repair_changes_as_few_pixels_as_any_order(labels: np.ndarray, pile: tuple[int, ...]) -> None:
    repair = repair_order(labels, pile)
    for before, after in zip(labels.T, repair.labels.T, strict=True):
        assert int((before != after).sum()) == fewest_changes(before, pile)
        assert fewest_changes(after, pile) == 0
    other = ~np.isin(labels, pile)
    np.testing.assert_array_equal(repair.labels[other], labels[other])


@given(labels=columns, pile=piles)
def test_violations_are_the_columns_that_no_cuts_explain(labels: np.ndarray, pile: tuple[int, ...]) -> None:
    expected = sum(fewest_changes(column, pile) > 0 for column in labels.T)
    repair = repair_order(labels, pile)
    assert count_violations(labels, pile) == repair.violations_before == expected
    assert repair.violations_after == 0
    different = (repair.labels != labels).any(axis=0).sum()
    assert repair.changed_columns == different / max(np.isin(labels, pile).any(axis=0).sum(), 1)


@given(data=st.data(), pile=st.sampled_from(PILES))
def test_labels_in_order_are_not_changed(data: st.DataObject, pile: tuple[int, ...]) -> None:
    labels = data.draw(ordered_labels(pile))
    repair = repair_order(labels, pile)
    np.testing.assert_array_equal(repair.labels, labels)
    assert (repair.changed_pixels, repair.violations_before) == (0, 0)


def test_volumes_are_repaired_bscan_by_bscan() -> None:
    volume = np.stack([np.array([[0, 2, 1, 1, 2]], np.uint8).T, np.array([[0, 1, 1, 2, 2]], np.uint8).T])
    repair = repair_order(volume, (0, 1, 2))
    assert repair.labels[..., 0].tolist() == [[0, 1, 1, 1, 2], [0, 1, 1, 2, 2]]
    assert (repair.changed_columns, repair.changed_pixels) == (0.5, 1)
