"""Training windows that slide along the width of B-scans (CN 115713495, claims 2 and 3).

A window holds all rows and a fixed number of columns; neighbouring windows overlap, and the last one ends at the right
edge, so that every column is covered::

    width 10, window 4, stride 3:   starts = 0, 3, 6
    |----|
       |----|
          |----|

Windows bring B-scans of every width to one size and make many samples of few. Rows are added at the bottom, up to a
height that is a power of two: the image is mirrored there, and the labels say "not looked at", so they carry no loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.intensity import Intensity, Range
from napari_medseg.data.patches import check_label_shape, index_of_values
from napari_medseg.errors import DatasetError
from napari_medseg.structures import NO_TAG, NOT_LOOKED_AT, Image, MaskClass, TrainingCase

Labels = npt.NDArray[np.uint8]

_ORDER = 0


def window_starts(length: int, window: int, stride: int) -> tuple[int, ...]:
    """First columns of the windows; the last window ends at the end, a short axis has one window.

    Examples
    --------
    >>> window_starts(10, 4, 3), window_starts(11, 4, 3), window_starts(3, 4, 3)
    ((0, 3, 6), (0, 3, 6, 7), (0,))
    """
    starts = list(range(0, max(length - window, 0) + 1, stride))
    if starts[-1] + window < length:
        starts.append(length - window)
    return tuple(starts)


def power_of_two(length: int) -> int:
    """The smallest power of two that holds a length.

    Examples
    --------
    >>> power_of_two(496), power_of_two(512)
    (512, 512)
    """
    return 1 << (length - 1).bit_length()


def labelled_bscans(labels: Labels) -> tuple[int, ...]:
    """B-scans of a volume (z, y, x) in which anybody looked at anything; a single B-scan (y, x) counts as number 0."""
    seen = (labels != NOT_LOOKED_AT).reshape(labels.shape[0] if labels.ndim == 3 else 1, -1).any(axis=1)
    return tuple(int(index) for index in np.flatnonzero(seen))


@dataclass(frozen=True, slots=True)
class _Window:
    """Which case, which of its B-scans, and the first column."""

    case: int
    bscan: int
    start: int


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A case whose pixels are in memory, or read when asked for.

    `image` has its pixels (c, [z,] y, x) in `pixels` where there was room for them.
    """

    image: Image
    pixels: npt.NDArray[Any] | None
    prepared: Range
    labels: Labels

    def bscan(self, index: int) -> tuple[npt.NDArray[Any], Labels]:
        """Pixels (c, y, x) and labels (y, x) of a B-scan."""
        if self.labels.ndim == 2:
            return (self.image.region() if self.pixels is None else self.pixels), self.labels
        if self.pixels is not None:
            return self.pixels[:, index], self.labels[index]
        _, height, width = self.image.spatial_shape
        box = ((index, index + 1), (0, height), (0, width))
        return self.image.region(box)[:, 0], self.labels[index]


class WidthWindows:
    """Windows of B-scans and volumes of them, a `training.stage.PatchSource`.

    One pass draws every window once, in an order of its own. Windows in which nobody looked at anything are left out,
    so are the B-scans of a volume that nobody has labelled.

    Parameters
    ----------
    cases
        Training cases with labels; at least one. Axes ``"yx"`` or ``"zyx"``.
    classes
        Mask classes in the channel order of the network; class ``i`` of it becomes label ``i + 1``.
    width, stride
        Columns of a window, and between the starts of neighbours.
    height
        Rows of a window; B-scans with more rows are refused.
    intensity
        Maps pixels to network input.
    cache_bytes
        Most memory for pixels; cases that find no room are read again each time.

    Raises
    ------
    DatasetError
        There is no window, a case has other axes, is taller than `height`, or its labels do not fit its image.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        *,
        classes: Sequence[MaskClass],
        width: int,
        stride: int,
        height: int,
        intensity: Intensity,
        cache_bytes: int = 2 << 30,
    ) -> None:
        self._cases = tuple(cases)
        self._width, self._height = width, height
        self._intensity = intensity
        self._index_of_value = index_of_values(classes)
        self._room = cache_bytes
        self._kept: dict[int, _Loaded] = {}
        self._read_again = lru_cache(maxsize=4)(self._read)
        self._windows = tuple(
            window
            for number, case in enumerate(self._cases)
            for window in self._windows_of(number, stride) * case.repeats
        )
        if not self._windows:
            raise DatasetError("No training case has labels to cut windows from: finish one of the training split.")
        self._order = lru_cache(maxsize=4)(self._make_order)

    def __len__(self) -> int:
        """Number of windows of one pass."""
        return len(self._windows)

    def draw(
        self, positions: Sequence[int], seed: int
    ) -> tuple[npt.NDArray[np.float32], Labels, npt.NDArray[np.int64]]:
        """Windows at positions of the endless sequence, a pure function of its arguments.

        Returns
        -------
        images (b, c, y, x) float32, labels (b, y, x) uint8, tags (b,) int64, all `NO_TAG`
        """
        images = np.empty((len(positions), self._intensity.channels, self._height, self._width), np.float32)
        labels = np.full((len(positions), self._height, self._width), NOT_LOOKED_AT, np.uint8)
        n = len(self._windows)
        for row, position in enumerate(positions):
            images[row], labels[row] = self.window(int(self._order(position // n, seed)[position % n]))
        return images, labels, np.full(len(positions), NO_TAG, np.int64)

    def window(self, index: int) -> tuple[npt.NDArray[np.float32], Labels]:
        """A window by its number: image (c, height, width), labels (height, width), 255 outside of the B-scan."""
        window = self._windows[index]
        loaded = self._load(window.case)
        pixels, truth = loaded.bscan(window.bscan)
        columns = slice(window.start, window.start + self._width)
        pixels, truth = pixels[..., columns], truth[:, columns]
        rows, width = truth.shape
        margins = ((0, 0), (0, self._height - rows), (0, self._width - width))
        image = self._intensity.normalise(np.pad(pixels, margins, mode="reflect"), loaded.prepared)
        labels = np.full((self._height, self._width), NOT_LOOKED_AT, np.uint8)
        labels[:rows, :width] = truth
        return image, labels

    def _make_order(self, number: int, seed: int) -> npt.NDArray[np.int64]:
        return np.random.default_rng((seed, _ORDER, number)).permutation(len(self._windows))

    def _windows_of(self, number: int, stride: int) -> list[_Window]:
        loaded = self._load(number)
        found = []
        for bscan in labelled_bscans(loaded.labels):
            labels = loaded.labels if loaded.labels.ndim == 2 else loaded.labels[bscan]
            known = (labels != NOT_LOOKED_AT).any(axis=0)
            for start in window_starts(len(known), self._width, stride):
                if known[start : start + self._width].any():
                    found.append(_Window(number, bscan, start))
        return found

    def _load(self, number: int) -> _Loaded:
        return self._kept[number] if number in self._kept else self._read_again(number)

    def _read(self, number: int) -> _Loaded:
        case = self._cases[number]
        image = case.load_image()
        values = case.load_labels()
        if len(image.spatial_axes) not in (2, 3) or image.spatial_axes[-2:] != "yx":
            raise DatasetError(
                f"Case '{case.case}' has the axes '{image.spatial_axes}', but windows are cut from B-scans and volumes "
                "of them: remove the case, or import its B-scans as images."
            )
        if values is None:
            raise DatasetError(f"Case '{case.case}' has lost its labels: restore them, or take its row back to 'todo'.")
        check_label_shape(case, values, image)
        if image.spatial_shape[-2] > self._height:
            raise DatasetError(
                f"Case '{case.case}' is {image.spatial_shape[-2]} pixels high, more than the {self._height} of the "
                "windows: set a larger 'height', or leave it empty."
            )
        size = int(np.prod(image.shape)) * image.dtype.itemsize
        keep = size <= self._room
        loaded = _Loaded(
            image, image.region() if keep else None, self._intensity.prepare(image), self._index_of_value[values]
        )
        if keep:
            self._room -= size
            self._kept[number] = loaded
        return loaded
