"""Layers of a retina as a person lists them, checked against the classes of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from napari_medseg.data.dataset_file import PALETTE
from napari_medseg.data.retina import BACKGROUND_WORD, STRUCTURES, surfaces_of_pile
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, MaskClass, Surface


def surfaces_of_layers(layers: Sequence[str], classes: Sequence[MaskClass]) -> tuple[Surface, ...]:
    """The surfaces of a data set from its layers.

    Parameters
    ----------
    layers
        Names of classes from top to bottom; `BACKGROUND_WORD` at an end is the background.
    classes
        Of the data set. Those that `layers` leaves out are areas, painted over the layers.

    Returns
    -------
    One surface between each pair of neighbours; none for no layers.

    Raises
    ------
    DatasetError
        A layer is no class, stands there twice or has no name, the background lies between two others, or there is
        one layer only.
    """
    names = [name.strip() for name in layers]
    if not names:
        return ()
    known = {c.name for c in classes}
    for name in names:
        if name and name != BACKGROUND_WORD and name not in known:
            raise DatasetError(
                f"Layer '{name}' is no class of this data set, which has {', '.join(sorted(known)) or 'none'}: correct "
                "its name, or declare the class."
            )
    for place, name in enumerate(names):
        if not name:
            before = names[place - 1] if place else "the first one"
            raise DatasetError(f"A layer without a name stands beside '{before}': name it, or remove the comma.")
        if name == BACKGROUND_WORD and 0 < place < len(names) - 1:
            raise DatasetError(
                f"The background lies between '{names[place - 1]}' and '{names[place + 1]}': it can only be the first "
                "or the last layer; give what lies there a class."
            )
        if name != BACKGROUND_WORD and name in names[:place]:
            raise DatasetError(f"Layer '{name}' is listed twice: every layer lies at one place.")
    if len(names) < 2:
        raise DatasetError(f"'{names[0]}' alone has no boundary: list the layers from top to bottom.")
    return surfaces_of_pile(names)


def with_layers(info: DatasetInfo, layers: Sequence[str], areas: Sequence[str] = ()) -> DatasetInfo:
    """A description with the surfaces between layers; classes that it does not have yet are added.

    Parameters
    ----------
    info
        Its classes keep their values, names and colours; those that `layers` leaves out are areas.
    layers
        As `surfaces_of_layers` takes them, but they need not be classes yet.
    areas
        Names of classes to add that are no layers.

    Raises
    ------
    DatasetError
        As `surfaces_of_layers`.
    """
    known = {c.name for c in info.classes}
    wanted = dict.fromkeys(name.strip() for name in (*layers, *areas))
    new = [name for name in wanted if name and name != BACKGROUND_WORD and name not in known]
    first = max((c.value for c in info.classes), default=0) + 1
    used = {c.color for c in info.classes}
    free = [color for color in (*STRUCTURES.values(), *PALETTE) if color not in used] or list(PALETTE)
    fresh = [
        MaskClass(value=first + i, name=name, color=STRUCTURES.get(name, free[i % len(free)]))
        for i, name in enumerate(new)
    ]
    classes = (*info.classes, *with_structure_colors(fresh))
    return replace(info, classes=classes, surfaces=surfaces_of_layers(layers, classes))


def layer_names(surfaces: Sequence[Surface]) -> list[str]:
    """Layers from top to bottom as `surfaces_of_layers` takes them.

    Examples
    --------
    >>> layer_names([Surface(name="ILM", above="", below="RNFL"), Surface(name="x", above="RNFL", below="GCL")])
    ['background', 'RNFL', 'GCL']
    """
    if not surfaces:
        return []
    return [name or BACKGROUND_WORD for name in (surfaces[0].above, *(surface.below for surface in surfaces))]


def with_structure_colors(classes: Sequence[MaskClass]) -> tuple[MaskClass, ...]:
    """Classes with the colours of the structures of the retina whose names they have.

    Classes that join structures (``"GCL+IPL"``) get the colour of the first; all others keep theirs, or get one that
    none has.
    """
    named = {c.name: STRUCTURES[first] for c in classes if (first := c.name.split("+")[0].strip()) in STRUCTURES}
    used = set(named.values())
    colored = []
    for entry in classes:
        color = named.get(entry.name)
        if color is None:
            free = (c for c in (entry.color, *PALETTE, *STRUCTURES.values()) if c not in used)
            color = next(free, entry.color)
            used.add(color)
        colored.append(replace(entry, color=color))
    return tuple(colored)
