"""What several data sets declare, brought together by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from napari_medseg.data.dataset_file import EMPTY, next_class_color, next_tag_color
from napari_medseg.data.layers import layer_names
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, Surface

Say = Callable[[str], None]

#: Values 1..254 are classes.
_MOST_CLASSES = 254


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedInfo:
    """A data set's description and the name that sentences and prefixes give the data set."""

    name: str
    info: DatasetInfo


def merged_info(sets: Sequence[NamedInfo], name: str, say: Say) -> DatasetInfo:
    """One description for all data sets.

    Parameters
    ----------
    sets
        At least one.
    name
        Of the merged data set.
    say
        Called with remarks on what the data sets do not share.

    Returns
    -------
    Classes and tags by name, in order of first appearance, with values 1, 2, ...; colours of the first set that has
    them unless another class has them already.

    Raises
    ------
    DatasetError
        Kinds, grades, implied tags or the order of layers contradict each other; the sentence names the data sets.
    """
    first = sets[0]
    for other in sets[1:]:
        if other.info.kind != first.info.kind:
            raise DatasetError(
                f"'{first.name}' holds images of kind {first.info.kind}, '{other.name}' of kind {other.info.kind}: "
                "only data sets of one kind can be merged."
            )
    merged = DatasetInfo(name=name, kind=first.info.kind)
    for entry in sets:
        merged = _with_names(merged, entry.info)
    if len(merged.classes) > _MOST_CLASSES:
        raise DatasetError(f"Together they have {len(merged.classes)} classes, more than {_MOST_CLASSES}: merge fewer.")
    _say_differences(sets, merged, say)
    return replace(merged, grades=_grades(sets), implies=_implications(sets), surfaces=_surfaces(sets, say))


def surface_names(part: DatasetInfo, merged: DatasetInfo) -> dict[str, str]:
    """Name in the merged description by name in one data set, for every surface of that set."""
    names = {(surface.above, surface.below): surface.name for surface in merged.surfaces}
    return {surface.name: names[surface.above, surface.below] for surface in part.surfaces}


def _with_names(merged: DatasetInfo, info: DatasetInfo) -> DatasetInfo:
    for added in info.classes:
        if all(added.name != known.name for known in merged.classes):
            color = next_class_color(merged) if _is_used(merged, added.color) else added.color
            new = replace(added, value=len(merged.classes) + 1, color=color)
            merged = replace(merged, classes=(*merged.classes, new))
    for tag in info.tags:
        if all(tag.name != known.name for known in merged.tags):
            color = next_tag_color(merged) if _is_used(merged, tag.color) else tag.color
            merged = replace(merged, tags=(*merged.tags, replace(tag, color=color)))
    return merged


def _is_used(info: DatasetInfo, color: str) -> bool:
    return color.casefold() in {c.color.casefold() for c in info.classes} | {t.color.casefold() for t in info.tags}


def _say_differences(sets: Sequence[NamedInfo], merged: DatasetInfo, say: Say) -> None:
    for entry in sets:
        own = {c.name for c in entry.info.classes}
        missing = [c.name for c in merged.classes if c.name not in own]
        if own and missing:
            names = ", ".join(f"'{name}'" for name in missing)
            say(f"'{entry.name}' does not know {names}: its labels count as looked at without finding any.")
    spelled: dict[str, str] = {}
    for name in (c.name for c in merged.classes):
        other = spelled.setdefault(name.casefold(), name)
        if other != name:
            say(f"Classes '{other}' and '{name}' differ in capitals only and stay two classes.")


def _grades(sets: Sequence[NamedInfo]) -> tuple[str, ...]:
    graded = [entry for entry in sets if entry.info.grades]
    for entry in graded[1:]:
        if entry.info.grades != graded[0].info.grades:
            raise DatasetError(
                f"The grades of '{graded[0].name}' are {', '.join(graded[0].info.grades)}, those of '{entry.name}' "
                f"{', '.join(entry.info.grades)}: give both the same in dataset.json first."
            )
    return graded[0].info.grades if graded else ()


def _implications(sets: Sequence[NamedInfo]) -> dict[str, str]:
    """What masks imply, where all data sets that can draw such a mask say the same."""
    merged: dict[str, str] = {}
    for key in dict.fromkeys(key for entry in sets for key in entry.info.implies):
        concerned = [e for e in sets if e.info.classes and (key == EMPTY or key in {c.name for c in e.info.classes})]
        said = [(entry.name, entry.info.implies.get(key)) for entry in concerned]
        for other, tag in said[1:]:
            if tag != said[0][1]:
                raise DatasetError(
                    f"A mask of '{key}' implies {_tag(said[0][1])} in '{said[0][0]}' but {_tag(tag)} in '{other}': "
                    "make 'implies' in their dataset.json say the same first."
                )
        merged[key] = str(said[0][1])
    return merged


def _tag(tag: str | None) -> str:
    return f"the tag '{tag}'" if tag else "no tag"


def _surfaces(sets: Sequence[NamedInfo], say: Say) -> tuple[Surface, ...]:
    """The longest pile, when every other one is a stretch of it."""
    piled = [entry for entry in sets if entry.info.surfaces]
    if not piled:
        return ()
    longest = max(piled, key=lambda entry: len(entry.info.surfaces))
    pile = layer_names(longest.info.surfaces)
    for entry in piled:
        part = layer_names(entry.info.surfaces)
        if not any(pile[start : start + len(part)] == part for start in range(len(pile) - len(part) + 1)):
            raise DatasetError(_difference(longest.name, pile, entry.name, part))
        missing = len(longest.info.surfaces) - len(entry.info.surfaces)
        if missing:
            own = {(s.above, s.below) for s in entry.info.surfaces}
            names = [f"'{s.name}'" for s in longest.info.surfaces if (s.above, s.below) not in own]
            say(f"'{entry.name}' does not have the surface{'s' * (missing > 1)} {', '.join(names)}.")
    return longest.info.surfaces


def _difference(name: str, pile: Sequence[str], other_name: str, part: Sequence[str]) -> str:
    """The sentence that names the first place at which two piles part."""
    lead = pile.index(part[0]) if part[0] in pile else 0
    place = next((i for i, layer in enumerate(part) if lead + i >= len(pile) or pile[lead + i] != layer), len(part) - 1)
    above = f"below '{part[place - 1]}'" if place else "at the top"
    theirs = f"'{pile[lead + place]}'" if lead + place < len(pile) else "nothing"
    return (
        f"The layers of '{other_name}' and '{name}' differ: {above} lies '{part[place]}' in '{other_name}' but "
        f"{theirs} in '{name}'. Import one of them again with the other's layers (several values may share a name)."
    )
