"""OCT layers pixel by pixel, for drawing, or in true millimetres.

A pixel of a B-scan is about three times as wide as it is deep. Shown truly, a B-scan is a flat strip and a round brush
covers more rows than columns; so they are shown pixel by pixel at first. All measuring reads the true spacing, which is
kept in ``layer.metadata["medseg"]`` (`napari_medseg.widgets._layers.true_space`), never the layer's scale.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Layer

_PIXEL = "pixel"


class _Space(NamedTuple):
    """How one axis after the other is shown: steps and the names of units."""

    scale: tuple[float, ...]
    units: tuple[str, ...]

    def last(self, count: int) -> _Space:
        """Of the last axes alone."""
        return _Space(self.scale[-count:], self.units[-count:])


def is_scan(layer: Layer) -> bool:
    """Whether a layer shows B-scans whose true spacing is known."""
    facts = layer.metadata.get("medseg", {})
    return facts.get("kind") == "oct" and facts.get("spacing") is not None


def is_true_aspect(layers: Iterable[Layer]) -> bool:
    """Whether OCT layers are shown in millimetres; False where there are none."""
    scans = [layer for layer in layers if is_scan(layer)]
    return bool(scans) and all(_space_now(layer).units[-1] != _PIXEL for layer in scans)


def set_true_aspect(layers: Iterable[Layer], on: bool) -> None:
    """Show OCT layers in true millimetres, or pixel by pixel.

    Parameters
    ----------
    layers
        All layers of a viewer. Those without spacing of their own that lie on an OCT image (labels, curves,
        predictions) go with it; what belongs to a scan but lies in another plane (the fundus picture) says in
        ``metadata["medseg"]["places"]`` where it goes. Others stay as they are.
    on
        True: millimetres; False: pixels.
    """
    everything = list(layers)
    moves = {_space_now(layer): _wanted(layer, on) for layer in everything if is_scan(layer)}
    for layer in everything:
        if (places := _places_of(layer)) is not None:
            place = places["true" if on else "pixel"]
            _show(layer, _Space(tuple(place["scale"]), tuple(place["units"])))
            layer.translate = place["translate"]
        elif is_scan(layer):
            _show(layer, _wanted(layer, on))
        elif not {"path", "medseg"} & layer.metadata.keys() or layer.metadata.get("medseg") == {}:
            # Made here, not read from a file of its own.
            _follow(layer, moves)


def switch_aspect(viewer: napari.Viewer, on: bool) -> None:
    """`set_true_aspect` for a viewer, which goes on to show the same B-scan, as large as it fits.

    A fundus picture beside it stays in view unless it is hidden.
    """
    step = viewer.dims.current_step
    set_true_aspect(viewer.layers, on)
    viewer.dims.current_step = step
    shown = [layer for layer in viewer.layers if is_scan(layer) or (layer.visible and _places_of(layer) is not None)]
    if shown:
        viewer.fit_to_view(layers=shown)


def _places_of(layer: Layer) -> dict[str, dict[str, Any]] | None:
    places: dict[str, dict[str, Any]] | None = layer.metadata.get("medseg", {}).get("places")
    return places


def _space_now(layer: Layer) -> _Space:
    return _Space(tuple(float(step) for step in layer.scale), tuple(str(unit) for unit in layer.units))


def _wanted(layer: Layer, on: bool) -> _Space:
    facts = layer.metadata["medseg"]
    if on:
        return _Space(tuple(facts["spacing"]), tuple(facts["units"]))
    return _Space((1.0,) * layer.ndim, (_PIXEL,) * layer.ndim)


def _follow(layer: Layer, moves: dict[_Space, _Space]) -> None:
    """Move a layer that has no spacing of its own along with the scan on which it lies."""
    now = _space_now(layer)
    for before, after in moves.items():
        if layer.ndim <= len(before.scale) and _is_same(now, before.last(layer.ndim)):
            _show(layer, after.last(layer.ndim))
            return


def _is_same(one: _Space, other: _Space) -> bool:
    return one.units == other.units and bool(np.allclose(one.scale, other.scale))


def _show(layer: Layer, space: _Space) -> None:
    """Give a layer its scale and units; it stays on the same pixels of the scan."""
    moved: npt.NDArray[Any] = np.asarray(layer.translate) / np.asarray(layer.scale) * np.asarray(space.scale)
    layer.scale, layer.units, layer.translate = space.scale, space.units, moved
