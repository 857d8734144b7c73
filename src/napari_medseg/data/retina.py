"""The structures of a retina in OCT, and the surfaces between them, as data sets declare them by default."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from napari_medseg.structures import DatasetInfo, Edge, MaskClass, Surface

#: Structures from the vitreous outwards (the optic disc lies across them), with a colour each. A data set may use any
#: subset, merged as it likes (``"GCL+IPL"``).
STRUCTURES: Mapping[str, str] = {
    "vitreous": "#35506b",
    "RNFL": "#e69f00",
    "GCL": "#56b4e9",
    "IPL": "#009e73",
    "INL": "#f0e442",
    "OPL": "#0072b2",
    "ONL": "#d55e00",
    "ELM": "#cc79a7",
    "MZ": "#8dd3c7",
    "EZ": "#b15928",
    "RPE": "#fb8072",
    "choroid": "#6a3d9a",
    "sclera": "#b2df8a",
    "optic disc": "#a6761d",
}

#: The word for the background in a pile of layers.
BACKGROUND_WORD = "background"

#: Structures that reflect little: crossing into them goes from bright to dark, out of them from dark to bright.
_DARK = ("", "vitreous", "GCL", "INL", "ONL", "MZ")
_BRIGHT = ("RNFL", "IPL", "OPL", "ELM", "EZ", "RPE", "GCL+IPL")
#: Surfaces with a name of their own, by the first structure below or the last above.
_TOP, _BOTTOM = "ILM", "BM"


def surfaces_of_pile(pile: Sequence[str]) -> tuple[Surface, ...]:
    """The surfaces between neighbouring layers of a pile.

    Parameters
    ----------
    pile
        Names of mask classes from top to bottom; `BACKGROUND_WORD` or an empty string at an end is the background.

    Returns
    -------
    One surface per pair of neighbours, named ``"upper/lower"``, but ``"ILM"`` above the nerve fibre layer and ``"BM"``
    between the pigment epithelium and what lies under it.

    Examples
    --------
    >>> [surface.name for surface in surfaces_of_pile(["background", "RNFL", "GCL", "background"])]
    ['ILM', 'RNFL/GCL', 'GCL/background']
    """
    names = ["" if name.strip() in ("", BACKGROUND_WORD) else name.strip() for name in pile]
    return tuple(
        Surface(name=_surface_name(above, below), above=above, below=below, edge=_edge(above, below))
        for above, below in itertools.pairwise(names)
    )


def known_surfaces(info: DatasetInfo, classes: Sequence[MaskClass]) -> tuple[Surface, ...]:
    """A data set's surfaces, where all the classes that they lie between are among `classes`; else none."""
    known = {"", *(c.name for c in classes)}
    return info.surfaces if all({s.above, s.below} <= known for s in info.surfaces) else ()


def _surface_name(above: str, below: str) -> str:
    if below.startswith("RNFL") and above in ("", "vitreous"):
        return _TOP
    if above.endswith("RPE") and below in ("", "choroid"):
        return _BOTTOM
    return f"{above or BACKGROUND_WORD}/{below or BACKGROUND_WORD}"


def _edge(above: str, below: str) -> Edge:
    if above in _BRIGHT and below in _DARK:
        return "bright-to-dark"
    if above in _DARK and below in _BRIGHT:
        return "dark-to-bright"
    if (above.endswith("RPE") and below in ("choroid", "")) or (above == "RNFL" and below.startswith("GCL")):
        return "bright-to-dark"
    if above == "EZ" and below == "RPE":
        # Between the two lies the dark gap that the outer segments' tips leave.
        return "dark-to-bright"
    return "any"
