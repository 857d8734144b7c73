"""What thickness is measured of: layers of a pile, spans of several layers, and areas painted over them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_medseg.data.retina import BACKGROUND_WORD, STRUCTURES, surfaces_of_pile
from napari_medseg.errors import ConfigError
from napari_medseg.structures import BACKGROUND, MaskClass, Surface

Role = Literal["layer", "span", "area"]
#: Colour of what is made of several classes.
_SPAN_COLOR = "#9e9e9e"
_TOP, _BOTTOM = "ILM", "BM"
#: Structures that lie across layers, and words for what fills them.
_AREAS = ("optic disc", "fluid")
#: Structures above and below which nothing is labelled.
_OUTERMOST = ("vitreous", "sclera")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Something whose thickness is measured.

    Parameters
    ----------
    name, color
        As people see it.
    role
        ``"layer"``: one layer of the pile; ``"span"``: several layers that lie on each other; ``"area"``: a class that
        no surface bounds.
    first, last
        Places of its first and last layer in the pile; both -1 for an area.
    value
        Label value of an area; -1 for layers.
    """

    name: str
    color: str
    role: Role
    first: int = -1
    last: int = -1
    value: int = -1


def pile_values(classes: Sequence[MaskClass], surfaces: Sequence[Surface]) -> tuple[int, ...]:
    """Label values of the layers from top to bottom; empty without surfaces.

    Raises
    ------
    ConfigError
        A surface names a class that is not there.
    """
    if not surfaces:
        return ()
    if missing := missing_layers(classes, surfaces):
        raise ConfigError(f"There is no class '{missing[0]}' in the labels: name the layers as the classes are named.")
    value_of = {"": BACKGROUND, **{c.name: c.value for c in classes}}
    names = [surfaces[0].above, *(surface.below for surface in surfaces)]
    return tuple(value_of[name] for name in names)


def targets_of(
    classes: Sequence[MaskClass], surfaces: Sequence[Surface], spans: Sequence[tuple[str, str]] = ()
) -> tuple[Target, ...]:
    """Everything that can be measured: the whole retina first, then layers from top to bottom, spans, areas.

    The uppermost and the lowest layer of the pile have no surface on one side, hence no thickness.

    Parameters
    ----------
    classes
        Of the labels.
    surfaces
        From top to bottom; empty for labels without layers, whose classes all count as areas.
    spans
        Further spans, each from one surface to another, by name.

    Raises
    ------
    ConfigError
        A span names a surface that is not there, or runs upwards.
    """
    pile = pile_values(classes, surfaces)
    by_value = {c.value: c for c in classes}
    layers = [
        Target(name=by_value[value].name, color=by_value[value].color, role="layer", first=rank, last=rank)
        for rank, value in enumerate(pile[1:-1], start=1)
        if value != BACKGROUND
    ]
    whole = whole_of(surfaces)
    areas = [Target(name=c.name, color=c.color, role="area", value=c.value) for c in classes if c.value not in pile]
    named = [_span(surfaces, upper, lower) for upper, lower in spans]
    # A retina of one layer is that layer.
    several = [whole] if whole is not None and whole.last > whole.first else []
    return (*several, *layers, *named, *areas)


def surfaces_of_names(layers: Sequence[str]) -> tuple[Surface, ...]:
    """Surfaces between layers that are named from top to bottom.

    Background lies above the first and below the last, unless that is the vitreous or the sclera; a list that begins or
    ends with the word ``background`` is taken as it is.

    Raises
    ------
    ConfigError
        There is no layer between two others.

    Examples
    --------
    >>> [surface.name for surface in surfaces_of_names(["RNFL", "GCL"])]
    ['ILM', 'RNFL/GCL', 'GCL/background']
    >>> [surface.name for surface in surfaces_of_names(["background", "RNFL", "the rest"])]
    ['ILM', 'RNFL/the rest']
    """
    pile = list(layers)
    if BACKGROUND_WORD not in (layers[0], layers[-1]):
        upper = [] if layers[0] == _OUTERMOST[0] else [BACKGROUND_WORD]
        lower = [] if layers[-1] == _OUTERMOST[1] else [BACKGROUND_WORD]
        pile = [*upper, *layers, *lower]
    if len(pile) < 3:
        raise ConfigError("Layers are named from top to bottom, and one of them lies between two others: name more.")
    return surfaces_of_pile(pile)


def surfaces_of_known_names(classes: Sequence[MaskClass]) -> tuple[Surface, ...]:
    """Surfaces between classes that are called like the structures of a retina (`data.retina.STRUCTURES`).

    Merged ones (``"GCL+IPL"``) are understood. A class of another name could be a layer as well as an area, so that
    nothing is known then, and the result is empty.
    """
    order = [name for name in STRUCTURES if name not in _AREAS]
    parts = {c.name: c.name.split("+") for c in classes if c.name not in _AREAS}
    if len(parts) < 2 or not all(part in order for names in parts.values() for part in names):
        return ()
    return surfaces_of_names(sorted(parts, key=lambda name: order.index(parts[name][0])))


def fitting_surfaces(classes: Sequence[MaskClass], *declared: Sequence[Surface]) -> tuple[Surface, ...]:
    """The surfaces between the classes of labels: what decides thickness, whichever way labels are measured.

    Parameters
    ----------
    classes
        Of the labels.
    declared
        What a model, a data set or a scanner says of its own classes, what counts most first. The first that is not
        empty and whose classes are all among those of the labels is taken; without one, `surfaces_of_known_names`.
    """
    for surfaces in declared:
        if surfaces and not missing_layers(classes, surfaces):
            return tuple(surfaces)
    return surfaces_of_known_names(classes)


def missing_layers(classes: Sequence[MaskClass], surfaces: Sequence[Surface]) -> list[str]:
    """Names that surfaces lie between and that are no class."""
    known = {"", *(c.name for c in classes)}
    return [name for name in dict.fromkeys(n for s in surfaces for n in (s.above, s.below)) if name not in known]


def whole_of(surfaces: Sequence[Surface]) -> Target | None:
    """The retina, from ILM to BM where surfaces have these names, else from the first to the last; None without."""
    names = [surface.name for surface in surfaces]
    upper = names.index(_TOP) if _TOP in names else 0
    lower = names.index(_BOTTOM) if _BOTTOM in names else len(names) - 1
    return _span(surfaces, names[upper], names[lower]) if lower > upper else None


def _span(surfaces: Sequence[Surface], upper: str, lower: str) -> Target:
    names = [surface.name for surface in surfaces]
    for name in (upper, lower):
        if name not in names:
            known = ", ".join(names) or "none"
            raise ConfigError(f"There is no surface '{name}': choose two of {known}.")
    first, last = names.index(upper), names.index(lower)
    if last <= first:
        raise ConfigError(f"The surface '{lower}' does not lie below '{upper}': name the upper one first.")
    return Target(name=f"{upper} to {lower}", color=_SPAN_COLOR, role="span", first=first + 1, last=last)
