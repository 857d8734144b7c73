"""Classes, and reviewed pixels, that cannot be painted over.

napari announces a change before or after it is made, depending on the tool, so a change cannot be corrected when it
is announced. Instead the layer's two ways to write pixels are narrowed: what is locked never changes, not for a moment,
and napari's history of undo and redo is right by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_medseg.structures import BACKGROUND, Box


class ClassLocks:
    """Keeps the pixels of locked classes in a Labels layer.

    Parameters
    ----------
    layer
        Where people draw. Its methods `data_setitem` and `_apply_mask_to_data` (brush, eraser, fill and polygon, in
        napari 0.9) are wrapped.
    on_kept
        Called when a stroke met locked pixels.
    """

    def __init__(self, layer: Labels, on_kept: Callable[[], None]) -> None:
        self.locked: frozenset[int] = frozenset()
        #: Whether the case is reviewed: nothing changes.
        self.closed = False
        #: Pixels that were reviewed and stay as they are, bool of the labels' shape; None for none.
        self.area: npt.NDArray[np.bool_] | None = None
        #: Where classes may be painted, for a part of the volume as napari indexes it; None for everywhere. The eraser
        #: is not held back.
        self.allowed: Callable[[tuple[Any, ...]], npt.NDArray[np.bool_]] | None = None
        self._layer = layer
        self._on_kept = on_kept
        self._paint_mask: Callable[..., Any] = layer._apply_mask_to_data
        self._set_items: Callable[..., None] = layer.data_setitem
        layer._apply_mask_to_data = self._paint_unlocked
        layer.data_setitem = self._set_unlocked

    def set_box(self, box: Box, values: npt.NDArray[np.uint8]) -> int:
        """Replace a box of the labels where nothing is locked, in one step that can be undone.

        For volumes: napari's `data_setitem` would remember three indices of eight bytes for every pixel.

        Parameters
        ----------
        box
            Part of the labels.
        values
            uint8, the box's shape: all of its labels, changed or not.

        Returns
        -------
        number of pixels that changed.
        """
        place = tuple(slice(*side) for side in box)
        present = self._layer.data[place]
        changed = values != present
        if self._holds:
            kept = changed & self._is_locked(present, place)
            if kept.any():
                self._on_kept()
                changed &= ~kept
        inner = tuple(_extent(changed, axis) for axis in range(changed.ndim))
        count = int(np.count_nonzero(changed))
        if count:
            # An entry is whatever `layer.data[place] = values` takes, so a box will do.
            within = tuple(slice(p.start + i.start, p.start + i.stop) for p, i in zip(place, inner, strict=True))
            mask = changed[inner]
            before, after = (BoxPixels(self._layer, within, mask, full[inner]) for full in (present, values))
            self._layer._save_history((within, before, after))
            self._layer.data[within][mask] = values[inner][mask]
            self._layer.refresh()
        return count

    def stop(self) -> None:
        """Let everything be painted over again."""
        self._layer._apply_mask_to_data = self._paint_mask
        self._layer.data_setitem = self._set_items

    def _paint_unlocked(
        self, data: npt.NDArray[Any], mask: npt.NDArray[np.bool_], new_label: int, *place: Any
    ) -> npt.NDArray[np.bool_] | None:
        """Paint where `mask` is true and nothing is locked."""
        if self._holds:
            free = ~self._is_locked(data, *place)
            if (mask & ~free & (data != new_label)).any():
                self._on_kept()
            mask = mask & free
        if self.allowed is not None and new_label != BACKGROUND:
            mask = mask & self.allowed(*place)
        painted: npt.NDArray[np.bool_] | None = self._paint_mask(data, mask, new_label, *place)
        return painted

    def _set_unlocked(self, indices: tuple[npt.NDArray[np.intp], ...], value: Any, refresh: bool = True) -> None:
        """Set those of the pixels that are not locked."""
        if self._holds:
            free = ~self._is_locked(self._layer.data[indices], indices)
            if not free.all():
                self._on_kept()
            indices = tuple(axis[free] for axis in indices)
            value = np.asarray(value)[free] if np.ndim(value) else value
        self._set_items(indices, value, refresh)

    @property
    def _holds(self) -> bool:
        """Whether anything is locked."""
        return bool(self.locked) or self.closed or self.area is not None

    def _is_locked(self, values: npt.NDArray[Any], place: tuple[Any, ...]) -> npt.NDArray[np.bool_]:
        """Which of the values at a place of the labels stay as they are."""
        if self.closed:
            return np.ones(values.shape, bool)
        locked: npt.NDArray[np.bool_] = np.isin(values, list(self.locked))
        return locked if self.area is None else locked | self.area[place]


class BoxPixels:
    """Some pixels of a box, for napari's history: a hundred steps of a whole volume would fill the memory.

    Parameters
    ----------
    layer, place
        The box of a layer's labels.
    mask
        bool, the box's shape: which pixels are meant.
    values
        The box's shape: what they hold.
    """

    def __init__(
        self, layer: Labels, place: tuple[slice, ...], mask: npt.NDArray[np.bool_], values: npt.NDArray[np.uint8]
    ) -> None:
        self._layer, self._place, self._shape = layer, place, mask.shape
        self._mask = np.packbits(mask)
        self._values = values[mask]

    def moved(self, by: Sequence[int]) -> BoxPixels:
        """The same pixels of a layer whose first pixel lies elsewhere now.

        Parameters
        ----------
        by
            What to add to their place, per axis.
        """
        place = tuple(slice(p.start + step, p.stop + step) for p, step in zip(self._place, by, strict=True))
        other = copy(self)
        other._place = place
        return other

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """The box as it is now, with these pixels in it: numpy asks when it is put back."""
        box: npt.NDArray[Any] = np.array(self._layer.data[self._place], dtype)
        mask = np.unpackbits(self._mask, count=box.size).astype(bool).reshape(self._shape)
        box[mask] = self._values
        return box


def _extent(mask: npt.NDArray[np.bool_], axis: int) -> slice:
    """From the first to the last place along an axis where anything is true."""
    others = tuple(other for other in range(mask.ndim) if other != axis)
    found = np.flatnonzero(mask.any(axis=others))
    return slice(int(found[0]), int(found[-1]) + 1) if found.size else slice(0, 0)
