"""The pixels of image layers as whole arrays, for what cuts through all slices: decoded once, in a thread."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image

from napari_medseg.structures import Progress


class VolumePixels:
    """Pixels of one volume.

    Parameters
    ----------
    data
        An array (z, y, x), or one that decodes a slice when it is asked for.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._lock = threading.Lock()

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(int(n) for n in self._data.shape)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to decode."""
        return isinstance(self._data, np.ndarray)

    def part(self, place: tuple[Any, ...]) -> npt.NDArray[Any]:
        """A part of the volume, as numpy indexes it."""
        return np.asarray(self._data[place])

    def whole(self, progress: Progress | None = None) -> npt.NDArray[Any]:
        """All of it; slice by slice, where it must be decoded. Raises `Cancelled` where `progress` does."""
        with self._lock:
            if not self.is_whole:
                count = self._data.shape[0]
                pixels = np.empty(self._data.shape, self._data.dtype)
                for z in range(count):
                    if progress is not None:
                        progress(z, count, "reading the volume")
                    pixels[z] = self._data[z]
                self._data = pixels
            whole: npt.NDArray[Any] = self._data
            return whole


_known: WeakKeyDictionary[Image, VolumePixels] = WeakKeyDictionary()


def pixels_of(layer: Image) -> VolumePixels:
    """The pixels of a layer (of its finest level), kept as long as the layer."""
    if layer not in _known:
        _known[layer] = VolumePixels(layer.data[0] if layer.multiscale else layer.data)
    return _known[layer]
