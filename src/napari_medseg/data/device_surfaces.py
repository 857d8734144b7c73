"""What scanners call their surfaces, and which of them are the surfaces of a data set.

A scanner names a surface by the layer above it (Heidelberg's ``RNFL`` ends the nerve fibre layer), by both sides
(``IPL/INL``) or by a number. Here each is told by the structure that begins below it. The borders are those of the
consensus on names APOSTEL 2.0 (Aytulun et al., Neurology 97 (2021) 68, doi:10.1212/WNL.0000000000012125), with
Heidelberg's ``RPE`` as the upper border of the pigment epithelium. Of its two in the photoreceptors, ``PR1`` and
``PR2``, files differ in which is the upper one: that one is the upper border of the ellipsoid zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_medseg.data.retina import STRUCTURES
from napari_medseg.structures import Surface

#: Structures from top to bottom.
_ORDER = tuple(name for name in STRUCTURES if name != "optic disc")
#: Other words for them, in capitals.
_ALIASES = {"NFL": "RNFL", "ISM": "MZ", "ISE": "EZ"}
#: Structure below surfaces whose names do not hold both sides.
_BELOW: Mapping[str, str] = {
    "ILM": "RNFL",
    "RNFL": "GCL",
    "GCL": "IPL",
    "IPL": "INL",
    "INL": "OPL",
    "OPL": "ONL",
    "ELM": "ELM",
    "RPE": "RPE",
    "IBRPE": "RPE",
    "BM": "choroid",
    "CSI": "sclera",
    # Topcon's contours.
    "RETINA_1": "RNFL",
    "RETINA_2": "RPE",
    "RETINA_3": "EZ",
    "RETINA_4": "choroid",
    "MULTILAYERS_1": "RNFL",
    "MULTILAYERS_2": "GCL",
    "MULTILAYERS_3": "IPL",
    "MULTILAYERS_4": "INL",
    "MULTILAYERS_5": "EZ",
    "MULTILAYERS_6": "RPE",
    "MULTILAYERS_7": "choroid",
    "MULTILAYERS_8": "OPL",
    "MULTILAYERS_9": "ELM",
    "MULTILAYERS_10": "sclera",
}
#: Surfaces of which the uppermost, and no other, begins the ellipsoid zone.
_PHOTORECEPTORS = ("PR1", "PR2")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMatch:
    """Which of a scanner's surfaces stand for those of a data set.

    Parameters
    ----------
    names
        The scanner's name by the data set's.
    missing
        Surfaces of the data set that the scanner does not have.
    unclear
        Surfaces of the data set that several of the scanner's may be, with those.
    """

    names: Mapping[str, str]
    missing: tuple[str, ...]
    unclear: Mapping[str, tuple[str, ...]]

    @property
    def is_literal(self) -> bool:
        """Whether every surface of the data set was found under its own name."""
        return not self.missing and not self.unclear and all(own == theirs for own, theirs in self.names.items())

    @property
    def text(self) -> str:
        """The whole of it for people, e.g. ``ILM; RNFL/GCL = RNFL; ONL/EZ may be ELM or PR1; without BM``."""
        parts = [own if own == theirs else f"{own} = {theirs}" for own, theirs in self.names.items()]
        parts += [f"{own} may be {' or '.join(theirs)}" for own, theirs in self.unclear.items()]
        return "; ".join([*parts, *([f"without {', '.join(self.missing)}"] if self.missing else [])])


def match_surfaces(surfaces: Sequence[Surface], device: Sequence[str]) -> DeviceMatch:
    """Find the surfaces of a data set among a scanner's: those of the same name, then those of the same meaning.

    Where a data set joins or leaves out structures, its surface may lie at several borders; it is found if the scanner
    has one of them alone.

    Parameters
    ----------
    surfaces
        Of the data set, from top to bottom.
    device
        The scanner's names, from top to bottom.

    Examples
    --------
    >>> from napari_medseg.data.retina import surfaces_of_pile
    >>> own = surfaces_of_pile(["background", "RNFL", "GCL+IPL", "INL", "ONL", "EZ", "RPE", "background"])
    >>> match_surfaces(own, ["ILM", "RNFL", "GCL", "IPL", "INL", "OPL", "ELM", "PR1", "RPE"]).text
    'ILM; RNFL/GCL+IPL = RNFL; GCL+IPL/INL = IPL; EZ/RPE = RPE; INL/ONL may be INL or OPL; ONL/EZ may be ELM or PR1; \
without BM'
    """
    begins = {name: below for name in device if (below := structure_below(name)) is not None}
    begins |= dict.fromkeys([name for name in device if name in _PHOTORECEPTORS][:1], "EZ")
    names: dict[str, str] = {}
    missing: list[str] = []
    unclear: dict[str, tuple[str, ...]] = {}
    for surface in surfaces:
        if surface.name in device:
            names[surface.name] = surface.name
            continue
        borders = _borders(surface)
        # The first of those that mean the same.
        found = {below: name for name, below in reversed(begins.items()) if below in borders}
        if len(found) == 1:
            names[surface.name] = next(iter(found.values()))
        elif found:
            unclear[surface.name] = tuple(found[below] for below in _ORDER if below in found)
        else:
            missing.append(surface.name)
    return DeviceMatch(names=names, missing=tuple(missing), unclear=unclear)


def structure_below(device_name: str) -> str | None:
    """The structure that begins below a scanner's surface; None where its name does not say.

    >>> [structure_below(name) for name in ("RNFL", "NFL/GCL", "IPL_INL", "PR2", "surface 4")]
    ['GCL', 'GCL', 'INL', None, None]
    """
    name = device_name.strip().upper()
    if name in _BELOW:
        return _BELOW[name]
    sides = re.split(r"[/_-]", name)
    return _structure(sides[1]) if len(sides) == 2 else None


def _borders(surface: Surface) -> tuple[str, ...]:
    """Structures at whose upper border a data set's surface may lie."""
    upper, lower = _structure(surface.above.split("+")[-1]), _structure(surface.below.split("+")[0])
    if lower is not None:
        # What lies between the two belongs to either, and above the first layer to the background.
        first = lower if upper is None else _ORDER[min(_ORDER.index(upper) + 1, len(_ORDER) - 1)]
        return _ORDER[_ORDER.index(first) : _ORDER.index(lower) + 1]
    if upper is not None and upper != _ORDER[-1]:
        return (_ORDER[_ORDER.index(upper) + 1],)
    return ()


def _structure(name: str) -> str | None:
    """A structure of the retina by its name or another word for it."""
    known = {structure.upper(): structure for structure in _ORDER} | _ALIASES
    return known.get(name.strip().upper())
