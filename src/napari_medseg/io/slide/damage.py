"""Tiles of slides that cannot be decoded: shown as a chequerboard, told once per file, counted for those who ask.

One bad tile of a hundred thousand is no reason to lose the view or the prediction of the others.
"""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Hashable

import numpy as np
import numpy.typing as npt

#: Two greys that no stained tissue shows, in squares of so many pixels.
_GREYS, _SQUARE = (176, 208), 32

_lock = threading.Lock()
_found: dict[str, set[Hashable]] = {}


class DamagedTileWarning(UserWarning):
    """Part of a slide is shown as a chequerboard because it cannot be decoded."""


def placeholder(height: int, width: int) -> npt.NDArray[np.uint8]:
    """What is shown for a tile that cannot be decoded: uint8 (height, width, 3)."""
    y, x = np.ogrid[:height, :width]
    squares = np.where((y // _SQUARE + x // _SQUARE) % 2, *map(np.uint8, _GREYS))
    return np.repeat(squares[..., np.newaxis], 3, axis=2)


def note_damage(source: str | os.PathLike[str], tile: Hashable) -> None:
    """Remember a damaged tile, and warn of the first of its file.

    Parameters
    ----------
    source
        The file.
    tile
        Names the tile among those of the file.
    """
    with _lock:
        known = _found.setdefault(os.fspath(source), set())
        is_first = not known
        known.add(tile)
    if is_first:
        warnings.warn(
            f"A tile of {source} is damaged and shown as a grey chequerboard: copy the slide again from its source.",
            DamagedTileWarning,
            stacklevel=2,
        )


def damaged_tiles(source: str | os.PathLike[str] | None) -> int:
    """How many damaged tiles of a file this process has met."""
    with _lock:
        return 0 if source is None else len(_found.get(os.fspath(source), ()))


def damage_notes(source: str | os.PathLike[str] | None) -> tuple[str, ...]:
    """A sentence on the damaged tiles of a file, for what is told of a prediction; none where there are none."""
    count = damaged_tiles(source)
    if not count:
        return ()
    tiles = "1 tile" if count == 1 else f"{count} tiles"
    return (f"{tiles} of the slide could not be decoded, and what was predicted there means nothing: copy it again.",)
