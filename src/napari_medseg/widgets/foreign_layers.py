"""Layers that were there before a case was opened and do not share its space."""

from __future__ import annotations

from collections.abc import Iterable

from napari.layers import Layer

from napari_medseg.io.units import unit_name


def hide_other_spaces(layers: Iterable[Layer], source: Layer) -> list[str]:
    """Hide layers measured in lengths beside one counted in pixels, or the other way round.

    napari can show both at once only by taking one micrometre for one pixel, which puts them over each other at
    sizes that mean nothing. Nothing is removed or changed: the eye in the layer list shows a layer again.

    Parameters
    ----------
    layers
        What may be hidden.
    source
        Layer whose space counts.

    Returns
    -------
    names of the layers that were hidden.
    """
    others = [layer for layer in layers if layer.visible and _is_measured(layer) != _is_measured(source)]
    for layer in others:
        layer.visible = False
    return [layer.name for layer in others]


def _is_measured(layer: Layer) -> bool:
    """Whether a layer's place is given in a unit of length."""
    return all(unit_name(str(unit)) is not None for unit in layer.units)
