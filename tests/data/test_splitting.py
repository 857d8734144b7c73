from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.data.splitting import draw_split, given_splits, group_of, split_by_group
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Case

case_lists = st.lists(
    st.builds(
        lambda group, tag: Case(case="", image="i", group=group, tag=tag),
        st.sampled_from(["", "p1", "p2", "p3", "p4", "p5", "p6", "p7"]),
        st.sampled_from(["", "a", "b"]),
    ),
    max_size=40,
).map(lambda cases: [replace(case, case=f"c{i}") for i, case in enumerate(cases)])
seeds = st.integers(0, 1000)


def draw_both(cases: list[Case], seed: int) -> list[dict[str, str]]:
    return [dict(split_by_group(cases, seed=seed)), dict(draw_split(cases, {}, seed=seed))]


@given(case_lists, seeds)
def test_no_group_is_on_two_sides(cases: list[Case], seed: int) -> None:
    for split in draw_both(cases, seed):
        sides = defaultdict(set)
        for case in cases:
            sides[group_of(case)].add(split[case.case])
        assert all(len(s) == 1 for s in sides.values())
        assert split.keys() == {case.case for case in cases}


@given(case_lists, seeds)
def test_three_groups_are_enough_for_three_sides(cases: list[Case], seed: int) -> None:
    if len({group_of(case) for case in cases}) < 3:
        return
    for split in draw_both(cases, seed):
        assert set(split.values()) == {"train", "val", "test"}


@given(st.integers(3, 12), st.integers(3, 12), seeds)
def test_every_side_has_every_tag_where_each_group_has_one(benign: int, malignant: int, seed: int) -> None:
    cases = [Case(case=f"b{i}", image="i", tag="benign") for i in range(benign)]
    cases += [Case(case=f"m{i}", image="i", tag="malignant") for i in range(malignant)]
    for split in draw_both(cases, seed):
        found = {(split[case.case], case.tag) for case in cases}
        assert found == {(side, tag) for side in ("train", "val", "test") for tag in ("benign", "malignant")}


@given(st.integers(30, 60), st.integers(1, 30), seeds)
def test_new_groups_move_no_others(before: int, added: int, seed: int) -> None:
    cases = [Case(case=f"c{i}", image="i", tag="ab"[i % 2]) for i in range(before + added)]
    first, second = draw_split(cases[:before], {}, seed=seed), draw_split(cases, {}, seed=seed)
    moved = [case for case in first if first[case] != second[case]]
    # Only a side that was empty by chance, and filled by a move, may give its group back.
    assert len(moved) <= 1


@given(st.integers(3, 80), seeds)
def test_the_order_of_the_table_does_not_matter(n: int, seed: int) -> None:
    cases = [Case(case=f"c{i}", image="i", tag="ab"[i % 2], group=f"g{i // 2}") for i in range(n)]
    assert draw_split(cases, {}, seed=seed) == draw_split(cases[::-1], {}, seed=seed)
    assert split_by_group(cases, seed=seed) == split_by_group(cases[::-1], seed=seed)


@given(seeds)
def test_shares_are_met(seed: int) -> None:
    cases = [Case(case=f"c{i}", image="i") for i in range(100)]
    sides = list(split_by_group(cases, (0.7, 0.2, 0.1), seed).values())
    assert [sides.count(side) for side in ("train", "val", "test")] == [70, 20, 10]


def test_given_splits_are_kept_and_bind_their_group() -> None:
    cases = [Case(case=f"c{i}", image="i", group=f"g{i // 2}") for i in range(20)]
    cases[0] = replace(cases[0], split="test")
    for split in (split_by_group(cases), draw_split(cases, given_splits(cases))):
        assert split["c0"] == split["c1"] == "test"


def test_a_group_that_is_given_two_sides_is_refused_by_name() -> None:
    cases = [Case(case="a", image="i", group="p1", split="train"), Case(case="b", image="i", group="p1", split="val")]
    with pytest.raises(DatasetError, match=r"'p1'.*'a'.*'b'"):
        split_by_group(cases)


@pytest.mark.parametrize("fractions", [(1.0,), (0.5, 0.6, -0.1), (0, 0, 0), (0.5, 0.5)])
def test_fractions_that_are_no_shares_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(DatasetError, match="shares"):
        split_by_group([], fractions)


def test_a_share_of_nothing_gets_nothing() -> None:
    cases = [Case(case=f"c{i}", image="i") for i in range(10)]
    assert set(split_by_group(cases, (0.8, 0.2, 0)).values()) == {"train", "val"}
