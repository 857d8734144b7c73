"""How the levels of scheme `boosting` are grouped, how many there are, and which axes each pooling halves."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

#: Fewest and most levels of a network.
LEAST_LEVELS, MOST_LEVELS = 2, 6
#: Levels for sets of fewer training volumes than this; more get one level more each.
_FEW, _MANY = 20, 100
#: A slice counts as thick, and is not pooled away, where it is this much thicker than a pixel is wide.
_THICK = 2.0
#: Longest side of a training patch that is chosen automatically, in working voxels.
LONGEST_PATCH = 64


@dataclass(frozen=True, slots=True)
class Variant:
    """Levels in consecutive groups, the finest first: each group is trained after and below those before it.

    Parameters
    ----------
    groups
        Number of levels per group; ``(3, 1)`` trains levels 1 to 3, then level 4.
    reason
        Why it was chosen, for people; empty where a person chose it.

    Examples
    --------
    >>> variant = Variant((3, 1))
    >>> variant.name, variant.levels, variant.levels_of(0), variant.levels_of(1)
    ('3+1', 4, range(1, 4), range(4, 5))
    """

    groups: tuple[int, ...]
    reason: str = ""

    @property
    def name(self) -> str:
        """How people write it."""
        return "+".join(map(str, self.groups))

    @property
    def levels(self) -> int:
        """Levels of the finished network."""
        return sum(self.groups)

    def levels_of(self, group: int) -> range:
        """The levels of a group, counted from 1."""
        first = 1 + sum(self.groups[:group])
        return range(first, first + self.groups[group])


def parse_variants(text: str) -> tuple[Variant | None, ...]:
    """Variants from text such as ``"3+1"`` or ``"2+1, 3+1, 4"``; None stands for ``"auto"``.

    Raises
    ------
    ValueError
        The text says something else, a network has too few or too many levels, or a variant comes twice.

    Examples
    --------
    >>> parse_variants("3+1, auto")
    (Variant(groups=(3, 1), reason=''), None)
    """
    words = [word for word in re.split(r"[\s,;]+", text.strip()) if word]
    if not words:
        raise ValueError("name at least one, e.g. auto or 3+1")
    if len(set(words)) < len(words):
        raise ValueError(f"'{next(word for word in words if words.count(word) > 1)}' is there twice: remove one")
    return tuple(None if word == "auto" else _parse(word) for word in words)


def _parse(word: str) -> Variant:
    if not re.fullmatch(r"[1-9]\d?(\+[1-9]\d?)*", word):
        raise ValueError(f"'{word}' is no grouping of levels: write e.g. 3+1 (levels 1 to 3, then level 4), or auto")
    variant = Variant(tuple(int(number) for number in word.split("+")))
    if not LEAST_LEVELS <= variant.levels <= MOST_LEVELS:
        raise ValueError(f"'{word}' makes {variant.levels} levels: {LEAST_LEVELS} to {MOST_LEVELS} are possible")
    if variant.groups[0] < LEAST_LEVELS:
        raise ValueError(f"'{word}' begins with one level, which is no U-Net: begin with two or more, e.g. 2+1")
    return variant


def choose_variant(volumes: int, shape: Sequence[int]) -> Variant:
    """Levels for a training set: the last of them is a group of its own, as the source found best.

    Few volumes cannot feed many weights, and a level whose map has fewer than 2 voxels along its longest axis sees
    nothing that the one above does not.

    Parameters
    ----------
    volumes
        Number of training volumes.
    shape
        Median spatial shape at the working resolution.

    Examples
    --------
    >>> (
    ...     choose_variant(60, (35, 50, 35)).name,
    ...     choose_variant(10, (64, 64, 64)).name,
    ...     choose_variant(500, (20,) * 3).name,
    ... )
    ('3+1', '2+1', '3+1')
    """
    wanted = 3 if volumes < _FEW else 4 if volumes < _MANY else 5
    possible = max(3, int(math.log2(max(shape) / 2)) + 1)
    levels = min(wanted, possible)
    size = " x ".join(str(n) for n in shape)
    counted = f"{volumes} training image{'' if volumes == 1 else 's'}"
    reason = f"{levels} levels for {counted}" if levels == wanted else f"{levels} levels for images of {size}"
    return Variant((levels - 1, 1), f"{reason} (median size {size})" if levels == wanted else reason)


def plan_poolings(
    levels: int, shape: Sequence[int], spacing: Sequence[float] | None, *, in_plane_only: bool = False
) -> tuple[tuple[int, ...], ...]:
    """Factor per axis of each pooling, the finest first.

    Rows and columns are halved each time. Slices are halved too, unless they are thick (as nnU-Net plans it, Isensee et
    al. 2021, doi:10.1038/s41592-020-01008-z) or there are no two of them left.

    Parameters
    ----------
    levels
        Levels of the network.
    shape
        Median spatial shape at the working resolution, ([z,] y, x).
    spacing
        Distance between neighbouring working voxels per axis; None where unknown: slices count as thin.
    in_plane_only
        Never halve slices.

    Examples
    --------
    >>> plan_poolings(3, (64, 64, 64), (1.0, 1.0, 1.0))
    ((2, 2, 2), (2, 2, 2))
    >>> plan_poolings(4, (30, 512, 512), (5.0, 0.8, 0.8))
    ((1, 2, 2), (1, 2, 2), (2, 2, 2))
    """
    sizes = list(shape)
    steps = list(spacing) if spacing is not None else [1.0] * len(sizes)
    poolings = []
    for _ in range(levels - 1):
        factors = [2] * len(sizes)
        if len(sizes) == 3 and (in_plane_only or sizes[0] < 2 or steps[0] > _THICK * min(steps[1:])):
            factors[0] = 1
        sizes = [max(1, size // factor) for size, factor in zip(sizes, factors, strict=True)]
        steps = [step * factor for step, factor in zip(steps, factors, strict=True)]
        poolings.append(tuple(factors))
    return tuple(poolings)


def multiple_of(poolings: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """What the sides of an image must be multiples of, per axis.

    Examples
    --------
    >>> multiple_of(((1, 2, 2), (2, 2, 2)))
    (2, 4, 4)
    """
    return tuple(math.prod(factors) for factors in zip(*poolings, strict=True))


def choose_patch(shape: Sequence[int], multiple: Sequence[int]) -> tuple[int, ...]:
    """The median image or what of it is at most `LONGEST_PATCH` long, cut to a multiple that every network takes.

    Examples
    --------
    >>> (
    ...     choose_patch((35, 50, 35), (8, 8, 8)),
    ...     choose_patch((6, 512, 512), (1, 8, 8)),
    ...     choose_patch((5, 20, 20), (8, 8, 8)),
    ... )
    ((32, 48, 32), (6, 64, 64), (8, 16, 16))
    """
    return tuple(max(min(size, LONGEST_PATCH) // step, 1) * step for size, step in zip(shape, multiple, strict=True))
