"""Train, validation and test: drawn by group, so that a patient is never on two sides.

Two ways to draw. `split_by_group` balances the shares and is written into the table once. `draw_split` gives every
group a place that depends on nothing but its name and the seed, so that adding cases or tags later moves no other
group; training uses it for cases without a split.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from napari_medseg.errors import DatasetError
from napari_medseg.structures import Case, Split

#: Shares of train, val and test.
FRACTIONS = (0.6, 0.2, 0.2)
SPLIT_ORDER: tuple[Split, ...] = ("train", "val", "test")


def group_of(case: Case) -> str:
    """What a split keeps together: the case's group, or the case alone."""
    # The prefix keeps a case without a group apart from a group of the same name.
    return f"group:{case.group}" if case.group else f"case:{case.case}"


def given_splits(cases: Iterable[Case]) -> dict[str, Split]:
    """Split of every group that has one in the table.

    Raises
    ------
    DatasetError
        A group stands on two sides; the sentence names its cases.
    """
    given: dict[str, tuple[Split, str]] = {}
    for case in cases:
        split = _as_split(case.split)
        if split is None:
            continue
        known, first = given.setdefault(group_of(case), (split, case.case))
        if known != split:
            raise DatasetError(
                f"Group '{case.group or case.case}' is in {known} (case '{first}') and in {split} (case "
                f"'{case.case}'): give all its cases one split."
            )
    return {group: split for group, (split, _) in given.items()}


def split_by_group(
    cases: Sequence[Case], fractions: Sequence[float] = FRACTIONS, seed: int = 0, *, redraw: bool = False
) -> dict[str, Split]:
    """Draw a split with balanced shares.

    Groups are taken tag by tag in a random order, each to the side that lacks most cases; with three groups or more
    every side gets one, with three groups of a tag every side gets one of that tag where possible.

    Parameters
    ----------
    cases
        All cases; a group with a split keeps it.
    fractions
        Shares of train, val and test, in this order.
    redraw
        Draw groups with a split anew as well.

    Returns
    -------
    split by case id.

    Raises
    ------
    DatasetError
        The fractions are no shares, or a group stands on two sides already.
    """
    shares = _checked_shares(fractions)
    given = {} if redraw else given_splits(cases)
    sizes = Counter(group_of(case) for case in cases)
    tags = _tags_of_groups(cases)
    # One tag after the other, so that each is spread over the sides.
    order = sorted(sizes, key=lambda group: (sorted(tags[group]), _position(group, seed)))
    sides = dict(given)
    filled = Counter({split: sum(sizes[g] for g, s in given.items() if s == split) for split in SPLIT_ORDER})
    for group in (g for g in order if g not in given):
        total = sum(filled.values()) + sizes[group]
        open_sides = [split for split in SPLIT_ORDER if shares[split] > 0]
        side = max(open_sides, key=lambda split: shares[split] * total - filled[split])
        sides[group] = side
        filled[side] += sizes[group]
    _cover(sides, given, tags, shares, seed)
    return {case.case: sides[group_of(case)] for case in cases}


def draw_split(
    cases: Sequence[Case],
    given: Mapping[str, Split],
    fractions: Sequence[float] = FRACTIONS,
    seed: int = 0,
) -> dict[str, Split]:
    """Draw a split in which every group's place follows from its name and the seed alone.

    Groups move only where a side would otherwise be empty, or would lack a tag that three groups or more have.

    Parameters
    ----------
    cases
        Cases to place.
    given
        Splits of groups that have one (`given_splits` of the whole data set); they keep it.
    fractions
        Shares of train, val and test, in this order.

    Returns
    -------
    split by case id.

    Raises
    ------
    DatasetError
        The fractions are no shares.
    """
    shares = _checked_shares(fractions)
    tags = _tags_of_groups(cases)
    sides = {group: given.get(group) or _side_at(_position(group, seed), shares) for group in tags}
    _cover(sides, given, tags, shares, seed)
    return {case.case: sides[group_of(case)] for case in cases}


def _cover(
    sides: dict[str, Split],
    given: Mapping[str, Split],
    tags: Mapping[str, frozenset[str]],
    shares: Mapping[Split, float],
    seed: int,
) -> None:
    """Move drawn groups, in place, until every side has a group, and one of every tag that enough groups have."""
    wanted = [split for split in SPLIT_ORDER if shares[split] > 0]
    everyone = frozenset(sides)
    counts = Counter(tag for of_group in tags.values() for tag in of_group)
    # Rare tags first: a group that has them often has the frequent ones too. The last one stands for any group.
    classes = [frozenset(g for g in sides if tag in tags[g]) for tag in sorted(counts, key=lambda t: (counts[t], t))]
    settled: list[frozenset[str]] = []
    for members in (*classes, everyone):
        if len(members) < len(wanted):
            continue
        settled.append(members)
        for side in wanted:
            if all(sides[group] != side for group in members):
                _move_one(members, side, sides, given, settled, seed)


def _move_one(
    members: frozenset[str],
    side: Split,
    sides: dict[str, Split],
    given: Mapping[str, Split],
    settled: Sequence[frozenset[str]],
    seed: int,
) -> None:
    """Move one group of `members` to a side, from a side that keeps all that it must have."""
    movable = []
    for group in members - given.keys():
        donor = sides[group]
        leaves_enough = all(
            group not in needed or any(sides[other] == donor for other in needed if other != group)
            for needed in settled
        )
        if leaves_enough:
            crowd = sum(sides[other] == donor for other in members)
            movable.append((-crowd, _position(group, seed), group))
    if movable:
        sides[min(movable)[2]] = side


def _checked_shares(fractions: Sequence[float]) -> dict[Split, float]:
    if len(fractions) != len(SPLIT_ORDER) or min(fractions) < 0 or not 0 < sum(fractions) < float("inf"):
        raise DatasetError(
            f"Fractions {tuple(fractions)} cannot be used: give three shares of train, val and test, e.g. 0.6,0.2,0.2."
        )
    return {split: share / sum(fractions) for split, share in zip(SPLIT_ORDER, fractions, strict=True)}


def _tags_of_groups(cases: Iterable[Case]) -> dict[str, frozenset[str]]:
    """Tags and grades of the cases of every group."""
    tags: dict[str, frozenset[str]] = {}
    for case in cases:
        group = group_of(case)
        known = {text for text in (case.tag, case.grade and f"grade {case.grade}") if text}
        tags[group] = tags.get(group, frozenset()) | known
    return tags


def _position(group: str, seed: int) -> float:
    """A number in [0, 1) that looks random and follows from group and seed alone."""
    digest = hashlib.blake2b(f"{seed}\0{group}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


def _side_at(position: float, shares: Mapping[Split, float]) -> Split:
    end = 0.0
    for split in SPLIT_ORDER:
        end += shares[split]
        if position < end and shares[split] > 0:
            return split
    return max(SPLIT_ORDER, key=lambda split: shares[split])


def _as_split(text: str) -> Split | None:
    return next((split for split in SPLIT_ORDER if split == text), None)
