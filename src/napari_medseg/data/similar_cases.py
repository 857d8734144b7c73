"""Cases of a data set whose images are nearly the same, and what to do about them.

Of an ultrasound frame the scan alone is compared: the machine's frame around it is the same in all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.near_duplicates import THRESHOLD, Thumbnail, similar_thumbnails, thumbnail
from napari_medseg.data.scan_region import find_scan_region
from napari_medseg.data.splitting import group_of
from napari_medseg.errors import MedsegError
from napari_medseg.structures import Box, Case, Fault, Image, Kind, Progress, TrainingSet

#: Kinds whose images are pictures of one plane.
KINDS: tuple[Kind, ...] = ("image", "ultrasound")
#: Pairs that are named in one sentence.
_NAMED = 10
_MEND = "Run 'napari-medseg dataset split --group-duplicates --redraw', or give both the same 'group'."

#: Thumbnails of images that were looked at, by their hash and box: a check is made anew with every change of a form.
_seen: dict[tuple[str, Box | None], Thumbnail] = {}
_MOST_SEEN = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarPair:
    """Two cases whose images are nearly the same, and how much so (correlation, 0..1)."""

    first: str
    second: str
    likeness: float


def image_thumbnail(image: Image, box: Box | None = None) -> Thumbnail | None:
    """What is compared of an image; None for stacks in space.

    Parameters
    ----------
    box
        Where the scan is, (y, x); None: it is looked for in ultrasound, and all of other pictures counts.
    """
    if "z" in image.axes:
        return None
    if box is None and image.kind == "ultrasound":
        box = find_scan_region(image).box
    inside = box or tuple((0, n) for n in image.spatial_shape[-2:])
    middle = [(n // 2, n // 2 + 1) for n in image.spatial_shape[:-2]]
    pixels = image.region((*middle, *inside))
    return thumbnail(np.moveaxis(pixels.reshape(pixels.shape[0], *pixels.shape[-2:]), 0, -1))


def similar_cases(
    dataset: Dataset, *, threshold: float = THRESHOLD, progress: Progress | None = None
) -> list[SimilarPair]:
    """Pairs of cases in different groups whose images are nearly the same, the most alike first.

    Images that cannot be read are passed over: a check of the data set names them.
    """
    if dataset.info.kind not in KINDS:
        return []
    found: dict[str, Thumbnail] = {}
    for number, case in enumerate(dataset.cases):
        if progress is not None:
            progress(number, len(dataset.cases), f"Comparing {case.case}")
        try:
            small = image_thumbnail(dataset.read_image(case))
        except MedsegError:
            continue
        if small is not None:
            found[case.case] = small
    groups = {case.case: group_of(case) for case in dataset.cases}
    return [pair for pair in _pairs(found, threshold) if groups[pair.first] != groups[pair.second]]


def duplicate_faults(dataset: Dataset, pairs: Sequence[SimilarPair]) -> list[Fault]:
    """A warning per pair; it says so where the pair lies on both sides of the table's split."""
    splits = {case.case: case.split for case in dataset.cases}
    faults = []
    for pair in pairs:
        sides = [splits[pair.first], splits[pair.second]]
        text = f"Its image is nearly that of case '{pair.second}' of another group (correlation {pair.likeness:.3f})"
        if all(sides) and sides[0] != sides[1]:
            text += f", and they lie on both sides of the split ({sides[0]}, {sides[1]})"
        faults.append(Fault(text=f"{text}.", where=f"case '{pair.first}'", mend=_MEND, severity="warning"))
    return faults


def divided_duplicates(data: TrainingSet, progress: Progress) -> tuple[SimilarPair, ...]:
    """Pairs of cases of a training that are nearly the same and lie on different sides of its split.

    Raises
    ------
    Cancelled
        `progress` asked to stop.
    """
    if data.info.kind not in KINDS:
        return ()
    found: dict[str, Thumbnail] = {}
    for number, case in enumerate(data.cases):
        progress(number, len(data.cases), f"comparing {case.case}")
        key = (case.image_hash, case.box)
        small = _seen.get(key)
        if small is None:
            small = image_thumbnail(case.load_image(), case.box)
            if small is None:
                continue
            if len(_seen) >= _MOST_SEEN:
                _seen.clear()
            _seen[key] = small
        found[case.case] = small
    splits = {case.case: case.split for case in data.cases}
    return tuple(pair for pair in _pairs(found, THRESHOLD) if splits[pair.first] != splits[pair.second])


def divided_fault(data: TrainingSet, pairs: Sequence[SimilarPair]) -> Iterator[Fault]:
    """One warning that names pairs on both sides of a training's split; none without pairs."""
    if not pairs:
        return
    splits = {case.case: case.split for case in data.cases}
    shown = "; ".join(
        f"'{pair.first}' ({splits[pair.first]}) and '{pair.second}' ({splits[pair.second]})" for pair in pairs[:_NAMED]
    )
    more = f"; and {len(pairs) - _NAMED} more" if len(pairs) > _NAMED else ""
    many = "pairs of nearly equal images lie" if len(pairs) > 1 else "pair of nearly equal images lies"
    text = f"{len(pairs)} {many} on both sides of the split, so scores will flatter: {shown}{more}."
    yield Fault(text=text, mend=_MEND, severity="warning")


def group_duplicates(
    dataset: Dataset, *, threshold: float = THRESHOLD, progress: Progress | None = None
) -> Mapping[str, str]:
    """Give cases that are nearly the same one group, and so all cases of their groups; labels and tags stay.

    Returns
    -------
    new group by case, of those that were changed

    Raises
    ------
    ConflictError, WriteError, LockedError
        The table was changed meanwhile, or cannot be written.
    """
    pairs = similar_cases(dataset, threshold=threshold, progress=progress)
    groups = {case.case: group_of(case) for case in dataset.cases}
    homes = {group: group for group in groups.values()}
    order = {group: number for number, group in enumerate(homes)}
    for pair in pairs:
        first, second = (_home(homes, groups[name]) for name in (pair.first, pair.second))
        early, late = sorted((first, second), key=order.__getitem__)
        homes[late] = early
    joined = Counter(_home(homes, group) for group in homes)
    names: dict[str, str] = {}
    for case in dataset.cases:
        home = _home(homes, groups[case.case])
        if joined[home] > 1:
            names.setdefault(home, _free_name(case, homes, home))
    changed = {}
    for case in dataset.cases:
        name = names.get(_home(homes, groups[case.case]), case.group)
        if name != case.group:
            dataset.update_case(case.case, revision=case.revision, group=name)
            changed[case.case] = name
    return changed


def _free_name(case: Case, homes: Mapping[str, str], home: str) -> str:
    """The name of a case's group or, where it has none, its own; another one where that is another group's."""
    name = case.group or case.case
    taken = f"group:{name}"
    return name if taken not in homes or _home(homes, taken) == home else f"{name} and like it"


def _pairs(thumbnails: Mapping[str, Thumbnail], threshold: float) -> list[SimilarPair]:
    names = list(thumbnails)
    found = similar_thumbnails(list(thumbnails.values()), threshold)
    return [SimilarPair(first=names[i], second=names[j], likeness=likeness) for i, j, likeness in found]


def _home(homes: Mapping[str, str], group: str) -> str:
    """The group that a group was joined to, through all joins."""
    while homes[group] != group:
        group = homes[group]
    return group
