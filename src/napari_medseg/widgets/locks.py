"""Classes that cannot be painted over.

A stroke is corrected when it is committed, in the layer and in napari's history of it, so that undo and redo give
exactly what was on screen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

Mask = npt.NDArray[np.bool_]


class ClassLocks:
    """Keeps the pixels of locked classes in a Labels layer.

    Parameters
    ----------
    layer
        Where people draw.
    on_kept
        Called with the number of pixels that a stroke wanted to change and could not.
    """

    def __init__(self, layer: Labels, on_kept: Callable[[int], None]) -> None:
        self._layer = layer
        self._on_kept = on_kept
        self.locked: frozenset[int] = frozenset()
        layer.events.paint.connect(self._restore_locked)

    def stop(self) -> None:
        """Let everything be painted over again."""
        self._layer.events.paint.disconnect(self._restore_locked)

    def _restore_locked(self, event: Any) -> None:
        """Take the locked pixels out of the step that was just added to the history."""
        if not self.locked:
            return
        step: list[Any] = event.value
        kept = 0
        remaining = []
        # Backwards: what an earlier part of the stroke covered must win over what a later part found there.
        for atom in reversed(step):
            atom, count = self._without_locked(atom)
            kept += count
            if atom is not None:
                remaining.append(atom)
        if kept:
            # The event carries the history's own list.
            step[:] = reversed(remaining)
            if step:
                self._layer.refresh()
            else:
                # A step of nothing is taken off the history, so that the next undo is one that people see.
                self._layer.undo()
            self._on_kept(kept)

    def _without_locked(self, atom: Any) -> tuple[Any, int]:
        """An atom of napari's history without its locked pixels, which are put back; None when nothing remains."""
        is_masked = hasattr(atom, "slice_key")
        place, old = (atom.slice_key, atom.old_values) if is_masked else (atom[0], atom[1])
        locked = np.isin(old, list(self.locked))
        count = int(locked.sum())
        if not count:
            return atom, 0
        if not is_masked:
            indices, old, new = atom
            self._layer.data[tuple(i[locked] for i in indices)] = old[locked]
            rest = ~locked
            new = new[rest] if isinstance(new, np.ndarray) and new.ndim else new
            return ((tuple(i[rest] for i in indices), old[rest], new) if rest.any() else None), count
        mask = np.ones(old.shape, bool) if atom.mask is None else atom.mask
        lock_mask = np.zeros(mask.shape, bool)
        lock_mask[mask] = locked.ravel()
        region = np.asarray(self._layer.data[place])
        before = np.zeros(mask.shape, old.dtype)
        before[mask] = old.ravel()
        region[lock_mask] = before[lock_mask]
        self._layer.data[place] = region
        rest = mask & ~lock_mask
        return (atom._replace(mask=rest, old_values=before[rest]) if rest.any() else None), count
