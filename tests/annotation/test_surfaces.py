"""Labels and surfaces say the same, in both directions, and painting keeps what surfaces do not decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_medseg.annotation.surfaces import (
    labels_of_surfaces,
    outside_of_layers,
    paint_surfaces,
    ranks_of_labels,
    surfaces_of_labels,
)
from tests.annotation.piles import AREA, PILES, ordered_labels, ordered_rows

piles = st.sampled_from(PILES)


@given(data=st.data(), pile=piles)
def test_labels_in_order_come_back_from_their_surfaces(data: st.DataObject, pile: tuple[int, ...]) -> None:
    labels = data.draw(ordered_labels(pile))
    assert np.array_equal(labels_of_surfaces(surfaces_of_labels(labels, pile), len(labels), pile), labels)


@given(data=st.data(), pile=piles)
def test_surfaces_come_back_from_their_labels_to_half_a_pixel(data: st.DataObject, pile: tuple[int, ...]) -> None:
    rows = data.draw(ordered_rows(len(pile) - 1, 9))
    rows = np.sort(rows + data.draw(hnp.arrays(np.float32, rows.shape, elements=st.floats(0, 0.75, width=32))), axis=0)
    rows = np.minimum(rows, 8.5)
    labels = labels_of_surfaces(rows, 9, pile)
    named = (labels != 0).any(axis=0)
    found = surfaces_of_labels(labels, pile)
    assert np.abs(found - rows)[:, named].max(initial=0) <= 0.5
    assert np.isnan(found[:, ~named]).all()


@given(data=st.data(), pile=piles)
def test_a_missing_surface_says_nothing_of_the_layers_beside_it(data: st.DataObject, pile: tuple[int, ...]) -> None:
    rows = data.draw(ordered_rows(len(pile) - 1, 9))
    missing = data.draw(hnp.arrays(bool, rows.shape))
    whole = labels_of_surfaces(rows, 9, pile)
    partly = labels_of_surfaces(np.where(missing, np.nan, rows).astype(np.float32), 9, pile)
    assert np.isin(partly[partly != whole], [255]).all()
    found = surfaces_of_labels(partly, pile)
    certain = np.isfinite(found)
    np.testing.assert_array_equal(found[certain], rows[certain])


@given(labels=hnp.arrays(np.uint8, (7, 4), elements=st.sampled_from([0, 1, 2, 3, AREA, 255])))
def test_each_surface_has_the_fewest_pixels_on_its_wrong_side_and_none_cross(labels: np.ndarray) -> None:
    pile = (0, 1, 2, 3)
    rows = surfaces_of_labels(labels, pile)
    ranks = ranks_of_labels(labels, pile)
    pixel = np.arange(7)
    for s, x in np.argwhere(np.isfinite(rows)):
        column = ranks[:, x]

        def wrong(row: float, column: np.ndarray = column, s: int = s) -> int:
            return int(((pixel > row) & (column >= 0) & (column <= s)).sum() + ((pixel <= row) & (column > s)).sum())

        assert wrong(rows[s, x]) == min(wrong(cut - 0.5) for cut in range(8))
    for x in range(4):
        known = rows[np.isfinite(rows[:, x]), x]
        assert (np.diff(known) >= 0).all()


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        ([0, 0, 1, 1, 2, 0], [1.5, 3.5, 4.5]),  # the background above and below
        ([1, 1, 2, 2, 2, 0], [-0.5, 1.5, 4.5]),  # the first layer reaches the picture's edge
        ([0, AREA, AREA, AREA, AREA, 0], [np.nan, np.nan, np.nan]),  # the optic disc alone
        ([0, 1, AREA, AREA, 2, 0], [0.5, np.nan, 4.5]),  # fluid over a boundary
        ([0, 1, AREA, 1, 2, 0], [0.5, 3.5, 4.5]),  # fluid within a layer
        ([0, 0, 0, 0, 0, 0], [np.nan, np.nan, np.nan]),
        ([255, 255, 1, 2, 255, 255], [np.nan, 2.5, np.nan]),
        ([0, 1, 1, 0, 1, 2], [0.5, 4.5, 5.5]),  # a hole is outvoted
    ],
)
def test_columns_of_a_pile_between_backgrounds(column: list[int], expected: list[float]) -> None:
    rows = surfaces_of_labels(np.asarray(column, np.uint8)[:, None], (0, 1, 2, 0))
    np.testing.assert_array_equal(rows[:, 0], np.asarray(expected, np.float32))


@given(data=st.data(), pile=piles)
def test_rows_that_labels_do_not_contradict_stay_as_they_are(data: st.DataObject, pile: tuple[int, ...]) -> None:
    rows = data.draw(ordered_rows(len(pile) - 1, 9)) + np.float32(0.2)
    labels = labels_of_surfaces(rows, 9, pile)
    area = data.draw(hnp.arrays(bool, labels.shape))
    painted = np.where(area, AREA, labels).astype(np.uint8)
    named = (labels != 0).any(axis=0)
    found = surfaces_of_labels(labels, pile, before=rows)
    np.testing.assert_array_equal(found[:, named], rows[:, named])
    # Under an area that somebody painted over them, surfaces stay too.
    under = surfaces_of_labels(painted, pile, before=rows)
    np.testing.assert_array_equal(under[:, named], rows[:, named])


def test_a_boundary_that_was_painted_away_is_not_kept() -> None:
    rows = np.array([[1.7], [3.7]], np.float32)
    labels = labels_of_surfaces(rows, 6, (0, 1, 2))
    labels[2:4] = 255
    assert np.isnan(surfaces_of_labels(labels, (0, 1, 2), before=rows)).all()


@given(data=st.data(), pile=piles)
def test_painting_from_own_surfaces_changes_nothing(data: st.DataObject, pile: tuple[int, ...]) -> None:
    labels = data.draw(ordered_labels(pile))
    area = data.draw(hnp.arrays(bool, labels.shape))
    labels = np.where(area, AREA, labels).astype(np.uint8)
    np.testing.assert_array_equal(paint_surfaces(labels, surfaces_of_labels(labels, pile), pile), labels)


def test_painting_draws_only_the_columns_asked_for_and_under_areas() -> None:
    labels = np.full((4, 3), 255, np.uint8)
    labels[2, 1] = AREA
    rows = np.full((1, 3), 1.5, np.float32)
    drawn = paint_surfaces(labels, rows, (1, 2), columns=np.array([False, True, True]))
    assert drawn.T.tolist() == [[255] * 4, [1, 1, AREA, 2], [1, 1, 2, 2]]


def test_a_surface_taken_away_opens_the_layers_beside_it_and_no_others() -> None:
    before = np.array([[0.5], [2.5], [4.5]], np.float32)
    labels = labels_of_surfaces(before, 6, (0, 1, 2, 3))
    rows = before.copy()
    rows[1] = np.nan
    assert paint_surfaces(labels, rows, (0, 1, 2, 3), before=before)[:, 0].tolist() == [0, 255, 255, 255, 255, 3]
    # A surface that was missing before leaves what was painted there.
    assert paint_surfaces(labels, rows, (0, 1, 2, 3), before=rows)[:, 0].tolist() == [0, 1, 1, 2, 2, 3]


@given(st.integers(0, 999), st.booleans())
def test_only_what_lies_outside_of_all_layers_can_be_background(seed, volume):
    rng = np.random.default_rng(seed)
    pile = (0, 3, 5, 7, 0)
    rows = np.sort(rng.uniform(-2, 22, (4, 9)).astype(np.float32), axis=0)
    rows[rng.random(rows.shape) < 0.3] = np.nan
    labels = labels_of_surfaces(rows, 20, pile)
    outside = outside_of_layers(np.stack([labels] * 2) if volume else labels, pile)
    outside = outside[1] if volume else outside
    for x in range(9):
        drawn = [y for y in range(20) if labels[y, x] in (3, 5, 7)]
        for y in range(20):
            above = bool(drawn) and y < drawn[0] and labels[drawn[0], x] == 3
            below = bool(drawn) and y > drawn[-1] and labels[drawn[-1], x] == 7
            if np.isin(labels, (3, 5, 7)).any():
                assert outside[y, x] == (above or below)
            else:
                assert outside[y, x] == (not (labels == 0).any())
