"""What undo remembers when the painting window moves: the strokes that lie in the new place of the window.

napari's history holds places in the layer's pixels, so they have to move with it. A step of which a part would lie
outside cannot be taken back any more, and neither can what was done before it: that would bring back pixels that later
steps had changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
from napari.layers import Labels

from napari_medseg.widgets.locks import BoxPixels

Shift = Sequence[int]


def move_history(layer: Labels, by: Shift, shape: Sequence[int]) -> None:
    """Keep those steps of undo and redo that still lie in a layer.

    Parameters
    ----------
    layer
        Its pixels are about to move.
    by
        What is added to the place of every pixel, per axis.
    shape
        Of the layer afterwards.
    """
    names: tuple[Literal["_undo_history", "_redo_history"], ...] = ("_undo_history", "_redo_history")
    for name in names:
        history = getattr(layer, name)
        kept: list[list[Any]] = []
        for item in reversed(history):
            moved = [_moved(atom, by) for atom in item]
            if not all(_is_inside(atom, shape) for atom in moved):
                break
            kept.append(moved)
        history.clear()
        history.extend(reversed(kept))


def _moved(atom: Any, by: Shift) -> Any:
    """An entry of napari's history at another place; its kinds are told in `Labels._save_history`."""
    place, *rest = atom
    if isinstance(place[0], slice):
        place = tuple(slice(part.start + step, part.stop + step) for part, step in zip(place, by, strict=True))
    else:
        place = tuple(np.asarray(index) + step for index, step in zip(place, by, strict=True))
    values = [value.moved(by) if isinstance(value, BoxPixels) else value for value in rest]
    # napari tells its own entries by their type.
    return type(atom)(place, *values) if hasattr(atom, "_fields") else (place, *values)


def _is_inside(atom: Any, shape: Iterable[int]) -> bool:
    return all(_first(part) >= 0 and _last(part) < n for part, n in zip(atom[0], shape, strict=True))


def _first(part: Any) -> int:
    return int(part.start if isinstance(part, slice) else part.min())


def _last(part: Any) -> int:
    return int(part.stop - 1 if isinstance(part, slice) else part.max())
