"""Small pictures of cases, made in threads and remembered."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_medseg.errors import MedsegError
from napari_medseg.structures import Image

#: Longest side of a thumbnail, in pixels.
SIZE = 96
#: Pictures that are remembered; at 96 pixels about 30 MB.
REMEMBERED = 800
#: Waiting requests that are kept while a person scrolls past.
WAITING = 40


def thumbnail(image: Image, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """A small picture of an image: the coarsest level that suffices, its middle slice, its first three channels.

    Returns
    -------
    uint8 (y, x, 3), the longer side at most `size` pixels; grey images from their 1st to their 99th percentile.
    """
    plane = image.spatial_axes[-2:]
    sides = [max(level.shape[image.axes.index(a)] for a in plane) for level in image.levels]
    level = max((i for i, side in enumerate(sides) if side >= size), default=0)
    step = -(-sides[level] // size)
    key = tuple(
        slice(None, None, step) if axis in plane else slice(None, 3) if axis == "c" else n // 2
        for axis, n in zip(image.axes, image.levels[level].shape, strict=True)
    )
    pixels = np.asarray(image.levels[level][key])
    if "c" in image.axes:
        axes = [axis for axis in image.axes if axis in plane or axis == "c"]
        pixels = np.moveaxis(pixels, axes.index("c"), -1)
    else:
        pixels = pixels[..., np.newaxis]
    if not (image.rgb and pixels.dtype == np.uint8):
        pixels = _stretch(pixels)
    picture = np.zeros((*pixels.shape[:2], 3), np.uint8)
    picture[...] = pixels if pixels.shape[-1] in (1, 3) else pixels[..., :1]
    return picture


def _stretch(pixels: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    values = np.nan_to_num(pixels.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = np.percentile(values, (1, 99))
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-12), 0, 1) * 255, np.uint8)


class ThumbnailLoader(QObject):
    """Makes thumbnails of cases when they are asked for; the latest request first.

    Parameters
    ----------
    read
        Gives the image of a case id; called in a thread, may raise `MedsegError`.
    """

    #: The thumbnail of this case can be had now.
    ready = Signal(str)
    _made = Signal(str, object)

    def __init__(self, read: Callable[[str], Image], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._read = read
        self._pictures: OrderedDict[str, QPixmap | None] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._guard = threading.Lock()
        self._stopped = False
        # One thread: the window and the training next door need the others.
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="thumbnails")
        self._made.connect(self._keep)

    def get(self, case_id: str) -> QPixmap | None:
        """The picture, or None while it is not there (or cannot be made); `ready` follows."""
        if case_id in self._pictures:
            self._pictures.move_to_end(case_id)
            return self._pictures[case_id]
        with self._guard:
            is_new = case_id not in self._waiting
            self._waiting[case_id] = None
            self._waiting.move_to_end(case_id)
            if len(self._waiting) > WAITING:
                self._waiting.popitem(last=False)
        if is_new and not self._stopped:
            self._pool.submit(self._make_latest)
        return None

    def stop(self) -> None:
        """Make no more; one that is being made is finished unseen, for reading a large image may take seconds."""
        with self._guard:
            self._stopped = True
            self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _make_latest(self) -> None:
        with self._guard:
            if not self._waiting:
                return
            case_id, _ = self._waiting.popitem(last=True)
        try:
            picture: npt.NDArray[np.uint8] | None = thumbnail(self._read(case_id))
        except (MedsegError, OSError, MemoryError):
            # The list shows an empty frame; opening the case says in a sentence what is wrong.
            picture = None
        # With the guard, nothing is said by a loader that is stopped and may be deleted.
        with self._guard:
            if not self._stopped:
                self._made.emit(case_id, picture)

    def _keep(self, case_id: str, picture: npt.NDArray[np.uint8] | None) -> None:
        self._pictures[case_id] = None if picture is None else _pixmap(picture)
        if len(self._pictures) > REMEMBERED:
            self._pictures.popitem(last=False)
        self.ready.emit(case_id)


def _pixmap(picture: npt.NDArray[np.uint8]) -> QPixmap:
    pixels = np.ascontiguousarray(picture)
    height, width, _ = pixels.shape
    return QPixmap.fromImage(QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888))
