"""Editing curves: every act keeps the order, says what it changed, and can be undone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from napari_medseg.annotation.acts import Changes
from napari_medseg.annotation.curve import Curve, derived_columns
from napari_medseg.annotation.curves import Curves
from napari_medseg.annotation.surfaces import labels_of_surfaces, paint_surfaces
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import Surface
from tests.annotation.test_tracing import HEIGHT, WAVE, WIDTH, layered

SURFACES = (
    Surface(name="ILM", above="", below="retina", edge="dark-to-bright"),
    Surface(name="BM", above="retina", below="choroid", edge="bright-to-dark"),
)
PILE = (0, 1, 2)
BSCANS = 4


def make_curves() -> Curves:
    """Four B-scans of one eye that sinks by two rows from one to the next."""
    pictures = [layered(WAVE + 2 * bscan, noise=0.3) for bscan in range(BSCANS)]
    return Curves(SURFACES, (BSCANS, HEIGHT, WIDTH), pictures.__getitem__)


@pytest.fixture
def curves() -> Curves:
    """With both surfaces drawn from end to end in the first B-scan."""
    curves = make_curves()
    for surface, rows in enumerate((WAVE, WAVE + 14)):
        for x in (0, WIDTH - 1):
            curves.add_anchor(0, surface, x, float(rows[x]))
    return curves


def changed(changes: Changes) -> list[int]:
    return sorted({int(x) for change in changes for x in np.flatnonzero(change.columns)})


def test_two_clicks_draw_a_curve_along_the_edge(curves: Curves) -> None:
    rows = curves.rows(0)
    assert np.abs(rows - [WAVE, WAVE + 14]).max() <= 2
    assert curves.pinned(0).sum() == 4
    assert curves.drawn_bscans() == [0]


def test_a_click_changes_the_curve_between_its_neighbours_only(curves: Curves) -> None:
    curves.add_anchor(0, 0, 30, float(WAVE[30]))
    before = curves.rows(0)
    changes = curves.add_anchor(0, 0, 60, float(WAVE[60]) - 4)
    assert min(changed(changes)) > 30
    np.testing.assert_array_equal(changes[0].before, before)
    np.testing.assert_array_equal(curves.rows(0)[:, :31], before[:, :31])


def test_a_click_beyond_a_neighbour_is_refused_in_a_sentence_and_changes_nothing(curves: Curves) -> None:
    before = curves.rows(0)
    with pytest.raises(AnnotationError, match="BM cannot lie above ILM: click between"):
        curves.add_anchor(0, 1, 40, float(WAVE[40]) - 5)
    with pytest.raises(AnnotationError, match="ILM cannot lie below BM"):
        curves.add_anchor(0, 0, 40, float(WAVE[40]) + 30)
    with pytest.raises(AnnotationError, match="outside the picture"):
        curves.add_anchor(0, 0, WIDTH, 5.0)
    np.testing.assert_array_equal(curves.rows(0), before)


def test_a_click_a_little_beyond_a_neighbour_means_the_neighbour(curves: Curves) -> None:
    curves.add_anchor(0, 1, 40, float(curves.rows(0)[0, 40]) - 1.0)
    rows = curves.rows(0)
    assert rows[1, 40] == rows[0, 40]


def test_a_curve_that_nobody_drew_gives_way_to_a_click() -> None:
    curves = make_curves()
    curves.set_rows(0, np.stack([WAVE, WAVE + 6]))
    changes = curves.add_anchor(0, 0, 40, float(WAVE[40]) + 9)
    rows = curves.rows(0)
    assert rows[0, 40] == np.float32(float(WAVE[40]) + 9)
    assert (rows[1] >= rows[0]).all()
    assert rows[1, 5] == np.float32(WAVE[5] + 6)
    assert len(changes) == 1
    curves.undo()
    np.testing.assert_array_equal(curves.rows(0), np.stack([WAVE, WAVE + 6]))


def layered_curves(width: int = 400, height: int = 300) -> Curves:
    """Eight surfaces that a model drew, 12 rows apart, in a picture that shows no edge."""
    names = [f"s{i}" for i in range(8)]
    surfaces = [Surface(name=name, above=f"a{i}", below=f"a{i + 1}") for i, name in enumerate(names)]
    curves = Curves(surfaces, (1, height, width), lambda _: np.zeros((height, width), np.float32))
    curves.set_rows(0, np.repeat(100 + 12 * np.arange(8, dtype=np.float32)[:, None], width, axis=1))
    return curves


@pytest.mark.parametrize(("surface", "row"), [(0, 290.0), (0, 150.0), (7, 5.0), (3, 280.0), (3, 20.0), (6, 250.0)])
def test_a_stray_click_far_beyond_surfaces_that_nobody_drew_moves_none_of_them(surface: int, row: float) -> None:
    curves = layered_curves()
    before = [curves.curve(0, s) for s in range(8)]
    with pytest.raises(AnnotationError, match=rf"s{surface} cannot lie \d+ rows (above|below) s\d: choose the surface"):
        curves.add_anchor(0, surface, 200, row)
    assert all(curves.curve(0, s).same(before[s]) for s in range(8))


def test_surfaces_that_nobody_drew_give_way_near_the_click_only_and_undo_restores_them() -> None:
    curves = layered_curves()
    before = [curves.curve(0, s) for s in range(8)]
    rows = curves.rows(0)
    curves.add_anchor(0, 2, 200, float(rows[3, 200]) + 10)
    moved = curves.rows(0) - rows
    assert moved[3, 200] == 10
    assert moved[3].max() == 10
    assert not moved[[0, 1, 4, 5, 6, 7]].any()
    assert not moved[3, :120].any()
    assert not moved[3, 281:].any()
    curves.undo()
    assert all(curves.curve(0, s).same(before[s]) for s in range(8))


def test_a_click_never_moves_what_a_person_drew_and_pushes_up_to_it() -> None:
    curves = layered_curves()
    curves.add_anchor(0, 4, 200, 150.0)
    firm = curves.curve(0, 4)
    curves.add_anchor(0, 2, 200, 149.0)
    assert curves.curve(0, 4).same(firm)
    rows = curves.rows(0)
    assert rows[2:5, 200].tolist() == [149, 149, 150]
    with pytest.raises(AnnotationError, match="s2 cannot lie below s4: click between its neighbours"):
        curves.add_anchor(0, 2, 150, 155.0)


def test_a_dragged_anchor_stops_at_its_neighbours_and_is_one_step_to_undo(curves: Curves) -> None:
    curves.add_anchor(0, 0, 40, float(WAVE[40]))
    before = curves.rows(0)
    curves.move_anchor(0, 0, 40, 41, float(WAVE[41]) - 2)
    curves.move_anchor(0, 0, 41, 200, 500.0, going_on=True)
    x = WIDTH - 2
    assert curves.curve(0, 0).columns == [0, x, WIDTH - 1]
    assert curves.rows(0)[0, x] == curves.rows(0)[1, x]
    curves.undo()
    np.testing.assert_array_equal(curves.rows(0), before)
    with pytest.raises(AnnotationError, match="no anchor in column 7"):
        curves.move_anchor(0, 0, 7, 8, 3.0)


def test_deleting_anchors_joins_or_shortens_the_curve(curves: Curves) -> None:
    first = curves.rows(0)
    curves.add_anchor(0, 0, 40, float(WAVE[40]) - 6)
    curves.delete_anchor(0, 0, 40)
    np.testing.assert_allclose(curves.rows(0), first, atol=0.1)
    curves.add_anchor(0, 0, 40, float(WAVE[40]))
    curves.delete_anchor(0, 0, WIDTH - 1)
    assert np.isnan(curves.rows(0)[0, 41:]).all()
    assert np.isfinite(curves.rows(0)[0, :41]).all()


def test_a_curve_stops_resumes_and_closes_its_gap(curves: Curves) -> None:
    curves.add_anchor(0, 0, 60, float(WAVE[60]))
    changes = curves.stop(0, 0, 40)
    assert changed(changes) == list(range(41, 60))
    assert np.isnan(curves.rows(0)[0, 41:60]).all()
    curves.add_anchor(0, 0, 50, float(WAVE[50]))  # resumes here and runs on to the right
    assert np.isnan(curves.rows(0)[0, 41:50]).all()
    assert np.isfinite(curves.rows(0)[0, 50:]).all()
    curves.resume(0, 0, 45)
    assert np.isfinite(curves.rows(0)[0]).all()
    with pytest.raises(AnnotationError, match="no gap in column 45"):
        curves.resume(0, 0, 45)


def test_a_curve_cannot_stop_where_it_is_not() -> None:
    with pytest.raises(AnnotationError, match="ILM is not drawn in column 3"):
        make_curves().stop(0, 0, 3)


def test_erasing_leaves_the_rest_untouched_and_pieces_can_be_dragged(curves: Curves) -> None:
    before = curves.rows(0)
    assert changed(curves.erase(0, 0, 20, 50)) == list(range(20, 50))
    after = curves.rows(0)
    np.testing.assert_array_equal(after[0, :20], before[0, :20])
    np.testing.assert_array_equal(after[0, 50:], before[0, 50:])
    assert {0, 19, 50, WIDTH - 1} <= set(curves.curve(0, 0).columns)
    curves.clear(0, 0)
    assert np.isnan(curves.rows(0)[0]).all()


def test_straight_pieces_ignore_the_picture_and_do_not_overshoot() -> None:
    curves = make_curves()
    for x, row in ((0, 50.0), (30, 60.0), (60, 60.0)):
        curves.add_anchor(0, 0, x, row, straight=True)
    rows = curves.rows(0)[0, :61]
    assert (np.diff(rows) >= 0).all()
    assert rows.max() <= 60
    curves.move_anchor(0, 0, 30, 30, 55.0)
    assert (np.diff(curves.rows(0)[0, :61]) >= 0).all()


def test_predicted_curves_get_few_anchors_close_to_them() -> None:
    curves = make_curves()
    gap = np.where((np.arange(WIDTH) > 40) & (np.arange(WIDTH) < 50), np.nan, WAVE)
    curves.set_rows(0, np.stack([gap, WAVE + 14]).astype(np.float32))
    curve = curves.curve(0, 0)
    assert not curve.pinned
    assert len(curve.anchors) <= 14
    assert {0, 40, 50, WIDTH - 1} <= set(curve.columns)
    lines = np.interp(np.arange(41), curve.columns, list(curve.anchors.values()))
    assert np.abs(lines - WAVE[:41]).max() <= 1.5
    assert list(curve.stops) == [40]


def test_rows_that_cross_are_put_in_order_and_those_of_a_file_are_no_act() -> None:
    curves = make_curves()
    pinned = np.zeros((2, WIDTH), bool)
    pinned[0, [5, 50]] = True
    curves.set_rows(0, np.stack([WAVE, WAVE - 3]), pinned=pinned, remember=False)
    assert (curves.rows(0)[1] == curves.rows(0)[0]).all()
    assert not curves.can_undo
    assert np.flatnonzero(curves.pinned(0)[0]).tolist() == [5, 50]


def test_curves_follow_what_is_painted_and_nothing_else(curves: Curves) -> None:
    before = curves.rows(0)
    labels = paint_surfaces(np.full((HEIGHT, WIDTH), 255, np.uint8), before, PILE)
    assert curves.set_from_labels(0, labels, PILE) == ()
    labels[:, 30:35] = np.where(np.arange(HEIGHT)[:, None] <= 10, 0, np.where(np.arange(HEIGHT)[:, None] <= 55, 1, 2))
    changes = curves.set_from_labels(0, labels, PILE, columns=slice(25, 40))
    assert changed(changes) == list(range(30, 35))
    assert (curves.rows(0)[:, 32] == [10.5, 55.5]).all()
    np.testing.assert_array_equal(curves.rows(0)[:, :30], before[:, :30])
    np.testing.assert_array_equal(labels_of_surfaces(curves.rows(0), HEIGHT, PILE), labels)


def test_curves_are_carried_on_to_the_next_bscan_though_the_eye_moved(curves: Curves) -> None:
    curves.carry_on(0, 3)
    assert np.abs(curves.rows(3) - [WAVE + 6, WAVE + 20]).max() <= 2
    assert not curves.pinned(3).any()
    curves.undo()
    assert curves.drawn_bscans() == [0]


def test_curves_that_are_there_stay_when_others_are_carried_on(curves: Curves) -> None:
    curves.add_anchor(1, 0, 0, 5.0)
    curves.add_anchor(1, 0, 80, 5.0)
    there = curves.rows(1)[0]
    curves.carry_on(0, 1)
    np.testing.assert_array_equal(curves.rows(1)[0], there)
    assert np.isfinite(curves.rows(1)[1]).all()


def test_bscans_between_two_are_filled(curves: Curves) -> None:
    curves.carry_on(0, 3)
    changes = curves.fill_between(3, 0)
    assert [change.bscan for change in changes] == [1, 2]
    for bscan in (1, 2):
        assert np.abs(curves.rows(bscan) - [WAVE + 2 * bscan, WAVE + 14 + 2 * bscan]).max() <= 2


def test_nothing_is_carried_from_a_bscan_without_curves_or_outside(curves: Curves) -> None:
    with pytest.raises(AnnotationError, match="B-scan 2 has no curves"):
        curves.carry_on(1, 2)
    with pytest.raises(AnnotationError, match="no B-scan 5: the image has 4"):
        curves.carry_on(0, 4)


def test_derived_columns_of_a_line_are_its_ends() -> None:
    assert derived_columns(np.arange(50, dtype=np.float32), 7) == [7, 56]
    assert derived_columns(np.zeros(1, np.float32)) == [0]


class Editing(RuleBasedStateMachine):
    """Any acts in any order: order kept, pieces anchored at both ends, every act undone and redone exactly."""

    @initialize()
    def start(self) -> None:
        self.curves = make_curves()
        self.states = [self.state()]

    def state(self) -> list[Curve]:
        return [self.curves.curve(b, s) for b in range(BSCANS) for s in range(2)]

    def done(self, changes: Changes) -> None:
        if changes:
            self.states.append(self.state())

    columns = st.integers(0, WIDTH - 1)
    surfaces = st.integers(0, 1)

    @rule(s=surfaces, x=columns, row=st.floats(-1, HEIGHT), straight=st.booleans())
    def add(self, s: int, x: int, row: float, straight: bool) -> None:
        try:
            self.done(self.curves.add_anchor(0, s, x, row, straight=straight))
        except AnnotationError:
            assert self.same(self.states[-1])

    @rule(s=surfaces, pick=st.integers(0, 99), x=columns, row=st.floats(-5, HEIGHT + 5))
    def move(self, s: int, pick: int, x: int, row: float) -> None:
        anchors = self.curves.curve(0, s).columns
        if anchors:
            self.done(self.curves.move_anchor(0, s, anchors[pick % len(anchors)], x, row))

    @rule(s=surfaces, pick=st.integers(0, 99))
    def delete(self, s: int, pick: int) -> None:
        anchors = self.curves.curve(0, s).columns
        if anchors:
            self.done(self.curves.delete_anchor(0, s, anchors[pick % len(anchors)]))

    @rule(s=surfaces, x=columns, resume=st.booleans())
    def stop_or_resume(self, s: int, x: int, resume: bool) -> None:
        try:
            self.done((self.curves.resume if resume else self.curves.stop)(0, s, x))
        except AnnotationError:
            assert self.same(self.states[-1])

    @rule(s=surfaces, x=columns, width=st.integers(1, 30))
    def erase(self, s: int, x: int, width: int) -> None:
        self.done(self.curves.erase(0, s, x, x + width))

    @rule(shift=st.floats(-5, 5, width=32))
    def predict(self, shift: float) -> None:
        self.done(self.curves.set_rows(0, np.stack([WAVE, WAVE + 9]) + np.float32(shift)))

    @rule(to=st.integers(1, 3))
    def carry(self, to: int) -> None:
        if 0 in self.curves.drawn_bscans():
            self.done(self.curves.carry_on(0, to))

    @rule()
    def undo(self) -> None:
        changes = self.curves.undo()
        if len(self.states) > 1:
            now = self.states.pop()
            assert self.same(self.states[-1])
            assert self.curves.redo() != () or changes == ()
            assert self.same(now)
            self.curves.undo()
        else:
            assert changes == ()

    def same(self, state: list[Curve]) -> bool:
        return all(a.same(b) for a, b in zip(self.state(), state, strict=True))

    @invariant()
    def surfaces_do_not_cross_and_lie_in_the_picture(self) -> None:
        for bscan in range(BSCANS):
            rows = self.curves.rows(bscan)
            known = np.isfinite(rows).all(axis=0)
            assert (rows[1] >= rows[0])[known].all()
            assert (rows[np.isfinite(rows)] >= -0.5).all()
            assert (rows[np.isfinite(rows)] <= HEIGHT - 0.5).all()

    @invariant()
    def curves_run_exactly_between_their_anchors(self) -> None:
        for curve in self.state():
            expected = np.zeros(WIDTH, bool)
            expected[curve.columns] = True
            for a, b in curve.intervals():
                expected[a : b + 1] = True
            np.testing.assert_array_equal(np.isfinite(curve.rows), expected)
            for x, row in curve.anchors.items():
                assert curve.rows[x] == np.float32(row)
            assert curve.pinned <= set(curve.anchors)
            assert curve.stops <= set(curve.columns)


Editing.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestEditing = Editing.TestCase
