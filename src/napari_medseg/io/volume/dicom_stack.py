"""From loose DICOM slices to stacks: which belong together, in what order, how far apart, and what is odd about them.

Neither file names nor instance numbers decide (both are reversed, shuffled or repeated in practice), but the places of
the slices along their common normal. The distance between slices is the median of what lies between them, never
"SliceThickness", which is another thing where slices overlap or leave gaps. Nothing is stretched: where slices are
missing, empty ones take their places; where distances vary, none is claimed and every even part is offered by itself.
In both cases the stack resampled to even distances is offered too, for a person to choose.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_medseg.io.volume.dicom_header import PHASE_KEYS, Slice
from napari_medseg.io.volume.space import Affine, from_slices

#: Distances that differ by less than this share of the usual one are even.
_EVEN = 0.01
#: Headers round places: slices may lie this many millimetres beside where even ones would.
_ROUNDED = 0.1
#: A distance is a multiple of the usual one within this share of it.
_MULTIPLE = 0.05
#: Places closer than this, in millimetres, are the same.
_SAME_PLACE = 1e-3
#: Fewer slices are no part worth offering by itself.
_LEAST_PART = 3
#: Planes per slice that resampling may make.
_MOST_PLANES = 4
#: Slices may slip sideways by this many pixels before somebody is told.
_SLIP_PIXELS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Slices in order; None where one is missing.

    Parameters
    ----------
    affine
        As `Image.affine`; None where places are unknown or uneven.
    in_plane
        Millimetres between rows and columns where `affine` is None and these are known.
    depths, resampled_to
        For a stack that is resampled to even distances: where its slices lie, counted in planes of the result from 0,
        and how many planes that has. Empty and 0 for others.
    variant
        What tells it from other stacks of the same series, for people; empty where there is no other.
    """

    slices: tuple[Slice | None, ...]
    affine: Affine | None
    in_plane: tuple[float, ...] | None = None
    depths: tuple[float, ...] = ()
    resampled_to: int = 0
    variant: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def is_resampled(self) -> bool:
        """Whether its planes are interpolated between the slices."""
        return bool(self.depths)

    @property
    def count(self) -> int:
        """Planes along the stack."""
        return self.resampled_to or len(self.slices)

    @property
    def present(self) -> list[Slice]:
        """The slices that there are."""
        return [one for one in self.slices if one is not None]


def stacks_of(slices: Iterable[Slice]) -> list[Stack]:
    """All stacks that slices form, the one with most slices first; localizers only where there is nothing else.

    Stacks of one series and size keep the order of their phases or places.
    """
    pictures = list(slices)
    pictures = [one for one in pictures if not one.is_localizer] or pictures
    groups: dict[tuple[object, ...], list[Slice]] = defaultdict(list)
    for one in pictures:
        groups[_geometry_key(one)].append(one)
    stacks = [stack for group in groups.values() for stack in _stacks_of_group(group)]
    return sorted(stacks, key=_rank)


def _geometry_key(one: Slice) -> tuple[object, ...]:
    orientation = None if one.orientation is None else tuple(round(part, 3) + 0.0 for part in one.orientation)
    spacing = None if one.spacing is None else tuple(round(part, 4) for part in one.spacing)
    return one.series, orientation, one.rows, one.columns, spacing, one.modality


def _rank(stack: Stack) -> tuple[object, ...]:
    first = stack.present[0]
    return -len(stack.present), first.series_number, first.series


def _stacks_of_group(group: list[Slice]) -> list[Stack]:
    group, told = _without_copies(group)
    if any(one.position is None or one.orientation is None for one in group):
        return [_unplaced(group, told)]
    stacks = []
    for name, phase, more in _phases(group):
        for stack in _ordered(phase):
            variant = ", ".join(part for part in (name, stack.variant) if part)
            stacks.append(replace(stack, variant=variant, warnings=(*told, *more, *stack.warnings)))
    return stacks


def _without_copies(group: list[Slice]) -> tuple[list[Slice], list[str]]:
    """Drop files that are there twice; the UID alone does not tell, as anonymisers give one to all slices."""
    unique = list({(one.instance, one.position, one.number, one.phases): one for one in reversed(group)}.values())
    copies = len(group) - len(unique)
    if not copies:
        return group, []
    return unique[::-1], [
        f"{copies} of its files {'is a copy' if copies == 1 else 'are copies'} of others and left out."
    ]


def _unplaced(group: list[Slice], told: list[str]) -> Stack:
    in_order = sorted(group, key=lambda one: (one.number, one.frame))
    if len(group) > 1:
        told.append("The file does not say where its slices lie: they are shown in the order of their numbers.")
    return Stack(slices=tuple(in_order), affine=None, in_plane=group[0].spacing, warnings=tuple(told))


def _normal(one: Slice) -> npt.NDArray[np.float64]:
    along, down = np.asarray(one.orientation, np.float64).reshape(2, 3)
    normal = np.cross(along, down)
    length = float(np.linalg.norm(normal))
    return normal / length if length > 0 else normal


def _depths(group: Sequence[Slice]) -> npt.NDArray[np.float64]:
    """Millimetres of each slice along the normal of the first."""
    return np.asarray([one.position for one in group], np.float64) @ _normal(group[0])


def _phases(group: list[Slice]) -> list[tuple[str, list[Slice], list[str]]]:
    """Parts of a group in which no two slices lie at the same place, each with a name and what is odd about it."""
    if not _has_repeats(group):
        return [("", group, [])]
    for index, (_, word) in enumerate(PHASE_KEYS):
        parts: dict[str, list[Slice]] = defaultdict(list)
        for one in group:
            parts[one.phases[index]].append(one)
        # An element that differs from slice to slice tells slices apart, not phases.
        is_phase = len(parts) > 1 and min(map(len, parts.values())) > 1
        if is_phase and not any(_has_repeats(part) for part in parts.values()):
            in_order = sorted(parts.values(), key=lambda part: min((one.number, one.frame) for one in part))
            return [(f"{word} {number} of {len(parts)}", part, []) for number, part in enumerate(in_order, 1)]
    return _by_turn(group)


def _has_repeats(group: Sequence[Slice]) -> bool:
    return len(group) > 1 and bool(np.min(np.diff(np.sort(_depths(group)))) < _SAME_PLACE)


def _by_turn(group: list[Slice]) -> list[tuple[str, list[Slice], list[str]]]:
    """The first slice of every place, the second of every place, and so on, by instance number."""
    depths = _depths(group)
    order = np.argsort(depths, kind="stable")
    places = np.concatenate([[0], np.cumsum(np.diff(depths[order]) >= _SAME_PLACE)])
    turns: dict[int, list[Slice]] = defaultdict(list)
    for place in range(int(places[-1]) + 1):
        here = [group[i] for i in order[places == place]]
        for turn, one in enumerate(sorted(here, key=lambda one: (one.number, one.frame))):
            turns[turn].append(one)
    told = (
        "Several of its slices lie at the same place and nothing in the file tells them apart: their numbers sort them "
        f"into {len(turns)} images."
    )
    return [(f"set {turn + 1} of {len(turns)}", part, [told]) for turn, part in turns.items()]


def _ordered(group: list[Slice]) -> list[Stack]:
    """Stacks of slices at different places: one, or where distances vary, also each even part."""
    depths = _depths(group)
    order = np.argsort(depths, kind="stable")
    depths, in_order = depths[order], [group[i] for i in order]
    if len(group) == 1:
        return [_placed(in_order, [0])]
    gaps = np.diff(depths)
    usual = float(np.median(gaps))
    straight = depths[0] + np.arange(len(gaps) + 1) * (depths[-1] - depths[0]) / len(gaps)
    is_even = np.all(np.abs(gaps - usual) <= _EVEN * usual)
    if is_even or (
        np.max(np.abs(depths - straight)) <= _ROUNDED and gaps.min() > 0.5 * usual and gaps.max() < 1.5 * usual
    ):
        return [_placed(in_order, range(len(in_order)))]
    steps = np.round(gaps / usual)
    are_multiples = np.all(np.abs(gaps - steps * usual) <= _MULTIPLE * usual * np.maximum(steps, 1))
    if are_multiples and steps.min() >= 1 and steps.sum() <= 2 * len(gaps) and not _has_wider_part(steps):
        indices = [0, *np.cumsum(steps).astype(int).tolist()]
        return [_with_missing(in_order, indices, depths), _evened(in_order, depths, indices[-1] + 1)]
    return _uneven(in_order, gaps, depths)


def _has_wider_part(steps: npt.NDArray[np.float64]) -> bool:
    """Whether slices follow each other at a wider distance for a while: taken so, with none missing in between."""
    return any(step > 1 and len(list(run)) >= _LEAST_PART for step, run in itertools.groupby(steps.tolist()))


def _placed(in_order: Sequence[Slice], indices: Sequence[int] | range, warnings: Sequence[str] = ()) -> Stack:
    """Slices at equal distances, of which the k-th is number ``indices[k]`` of the stack."""
    first, last = in_order[0], in_order[-1]
    slices: list[Slice | None] = [None] * (indices[-1] + 1)
    for index, one in zip(indices, in_order, strict=True):
        slices[index] = one
    told = list(warnings)
    if first.spacing is None:
        return Stack(slices=tuple(slices), affine=None, warnings=tuple(told))
    start, stop = np.asarray(first.position), np.asarray(last.position)
    step = (stop - start) / indices[-1] if indices[-1] else _normal(first)
    # `_stacks_of_group` saw to it.
    assert first.position is not None
    assert first.orientation is not None
    places = np.asarray([one.position for one in in_order]) - (start + np.outer(np.asarray(indices), step))
    sideways = places - np.outer(places @ _normal(first), _normal(first))
    slip = float(np.linalg.norm(sideways, axis=1).max())
    if slip > _SLIP_PIXELS * min(first.spacing):
        told.append(
            f"Its slices slip sideways against each other by up to {slip:.3g} mm: they are shown in one column."
        )
    affine = from_slices(first.position, step, first.orientation, first.spacing)
    return Stack(slices=tuple(slices), affine=affine, warnings=tuple(told))


def _with_missing(in_order: Sequence[Slice], indices: Sequence[int], depths: npt.NDArray[np.float64]) -> Stack:
    lost = sorted(set(range(indices[-1] + 1)) - set(indices))
    step = (depths[-1] - depths[0]) / indices[-1]
    places = [f"{depths[0] + index * step:.2f}" for index in lost]
    shown = ", ".join(places[:8]) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
    many = len(lost) > 1
    warning = (
        f"{len(lost)} slice{'s are' if many else ' is'} missing (at {shown} mm along the stack): "
        f"{'empty slices take their places' if many else 'an empty slice takes its place'}, so that sizes stay right. "
        "The image with interpolated slices can be chosen instead."
    )
    return replace(_placed(in_order, indices, [warning]), variant="empty where slices are missing")


def _uneven(in_order: Sequence[Slice], gaps: npt.NDArray[np.float64], depths: npt.NDArray[np.float64]) -> list[Stack]:
    """The whole without a distance, and the parts that have one."""
    parts, start = [], 0
    for alike in (list(run) for _, run in itertools.groupby(_kinds_of(gaps))):
        part = in_order[start : start + len(alike) + 1]
        if len(part) >= _LEAST_PART:
            name = f"even part from {depths[start]:.1f} to {depths[start + len(alike)]:.1f} mm"
            parts.append(replace(_placed(part, range(len(part))), variant=name))
        start += len(alike)
    warning = (
        f"The distance between its slices varies from {gaps.min():.4g} to {gaps.max():.4g} mm, so it is counted in "
        "slices: heights and volumes are not known. Choose the image resampled to even distances"
        f"{', or an even part' if parts else ''}."
    )
    whole = Stack(
        slices=tuple(in_order), affine=None, in_plane=in_order[0].spacing, variant="all slices", warnings=(warning,)
    )
    # Steps of the smallest distance lose nothing, unless one slice lies all too near to another.
    step = max(float(gaps.min()), float(depths[-1] - depths[0]) / (_MOST_PLANES * len(in_order)))
    return [whole, _evened(in_order, depths, round((depths[-1] - depths[0]) / step) + 1), *parts]


def _evened(in_order: Sequence[Slice], depths: npt.NDArray[np.float64], count: int) -> Stack:
    """The same stretch in planes at even distances, interpolated between the slices next to each."""
    height = float(depths[-1] - depths[0])
    step = height / (count - 1)
    ends = _placed([in_order[0], in_order[-1]], [0, count - 1])
    places = tuple(((depths - depths[0]) / step).tolist())
    wide = float(np.diff(depths).max())
    warning = (
        f"Resampled: {len(in_order)} slices at uneven distances became {count} planes {step:.4g} mm apart, "
        f"interpolated over gaps of up to {wide:.4g} mm; what lies in a gap is a guess."
    )
    return Stack(
        slices=tuple(in_order),
        affine=ends.affine,
        depths=places,
        resampled_to=count,
        variant="resampled to even distances",
        warnings=(warning, *ends.warnings),
    )


def _kinds_of(gaps: npt.NDArray[np.float64]) -> list[int]:
    """A number per gap that changes where its width does."""
    changes = np.abs(np.diff(gaps)) > _EVEN * np.minimum(gaps[1:], gaps[:-1])
    return [0, *map(int, np.cumsum(changes))]
