"""Saving labels while they are drawn.

What was drawn is found by comparing the layer with a copy of what is on the disk, chunk by chunk. So it does not
matter which tool changed the labels, nor that napari is silent about some changes: an undo, for one, only announces
that the picture must be drawn anew.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.errors import ConflictError, MedsegError, WriteError
from napari_medseg.structures import Box

#: Seconds without a further change after which labels are saved.
QUIET_SECONDS = 0.5
#: Most seconds that a change waits while the person draws on.
MOST_SECONDS = 5.0
#: Seconds until a failed save is tried again; doubled at each failure, up to the second number.
RETRY_SECONDS = (2.0, 60.0)

Part = tuple[Box, npt.NDArray[np.uint8]]


class Store(Protocol):
    """Where labels are saved, as `LabelStore`: part by part."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the layer's data."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Pieces that are compared and written."""

    def write_box(self, box: Box, pixels: npt.ArrayLike, /) -> int:
        """Save a part; see `LabelStore.write_box`."""

    def together(self) -> AbstractContextManager[None]:
        """Write several parts quickly; see `LabelStore.together`."""

    def flush(self) -> None:
        """Wait until all is on the disk itself."""


class Autosave(QObject):
    """Writes a Labels layer to its store, a little after each change, in a thread.

    Parameters
    ----------
    layer
        Its data are a uint8 numpy array of the store's shape.
    store
        Where the labels go; its present content equals `layer.data`.
    """

    #: Labels were written: local time, e.g. ``"12:03:41"``.
    saved = Signal(str)
    #: They could not be written, or were refused: one sentence.
    failed = Signal(str)
    _written = Signal(object, object)

    def __init__(self, layer: Labels, store: Store, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer = layer
        self._store = store
        self._on_disk = np.array(layer.data, np.uint8)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="save-labels")
        self._under_way: tuple[Future[None], list[Part]] | None = None
        self._waiting_since: float | None = None
        self._retry_seconds = RETRY_SECONDS[0]
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._save_in_thread)
        self._written.connect(self._on_written)
        # `paint` alone would miss undo and redo (`set_data`) and new arrays (`data`).
        for event in (layer.events.paint, layer.events.set_data, layer.events.data):
            event.connect(self._note_change)

    def is_saved(self) -> bool:
        """Whether the disk holds what the layer shows."""
        return self._under_way is None and next(self._changed_parts(), None) is None

    def flush(self) -> None:
        """Save now and wait until it is done.

        Raises
        ------
        WriteError, LockedError
            It could not be saved; the labels stay in memory.
        """
        self._timer.stop()
        if self._under_way is not None:
            # The outcome of the thread does not matter: whatever it did not write is found again below.
            self._under_way[0].exception()
            self._under_way = None
        try:
            self._save_here()
        except Exception:
            # Whoever asked may go on with the layer.
            self._retry_later()
            raise

    def _save_here(self) -> None:
        self._check_shape()
        parts = list(self._changed_parts())
        if not parts:
            return
        try:
            self._write(parts)
        except ConflictError as error:
            self._accept(parts)
            self.failed.emit(str(error))
        else:
            self._accept(parts)
            self.saved.emit(_clock())

    def begin_anew(self) -> None:
        """The layer shows another part of the slide now, as it is on disk; all was saved before (`flush`)."""
        self._timer.stop()
        self._waiting_since = None
        self._on_disk = np.array(self._layer.data, np.uint8)

    def stop(self) -> None:
        """Listen no longer. What is not saved by now is not saved: call `flush` before."""
        self._timer.stop()
        for event in (self._layer.events.paint, self._layer.events.set_data, self._layer.events.data):
            event.disconnect(self._note_change)
        self._writer.shutdown(wait=True)

    def _note_change(self) -> None:
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        wait = min(QUIET_SECONDS, self._waiting_since + MOST_SECONDS - now)
        self._timer.start(max(0, round(wait * 1000)))

    def _save_in_thread(self) -> None:
        if self._under_way is not None:
            # `_on_written` starts the next round.
            return
        self._waiting_since = None
        try:
            self._check_shape()
        except WriteError as error:
            self.failed.emit(str(error))
            return
        parts = list(self._changed_parts())
        if parts:
            self._under_way = (self._writer.submit(self._write_and_tell, parts), parts)

    def _write_and_tell(self, parts: list[Part]) -> None:
        try:
            self._write(parts)
        except Exception as error:  # handed to the window's thread, which tells the person
            self._written.emit(parts, error)
        else:
            self._written.emit(parts, None)

    def _write(self, parts: list[Part]) -> None:
        refused: ConflictError | None = None
        with self._store.together():
            for box, pixels in parts:
                try:
                    self._store.write_box(box, pixels)
                except ConflictError as error:
                    refused = error
        self._store.flush()
        if refused is not None:
            raise refused

    def _on_written(self, parts: list[Part], error: Exception | None) -> None:
        if self._under_way is None or self._under_way[1] is not parts:
            # `flush` came between and has done it all.
            return
        self._under_way = None
        if error is not None and not isinstance(error, ConflictError):
            self._retry_later()
            self.failed.emit(_sentence(error))
            return
        # What was refused lies in the folder for conflicts; writing it again would be refused again.
        self._accept(parts)
        if self._waiting_since is not None:
            self._note_change()
        if error is None:
            self.saved.emit(_clock())
        else:
            self.failed.emit(str(error))

    def _retry_later(self) -> None:
        self._timer.start(round(self._retry_seconds * 1000))
        self._retry_seconds = min(self._retry_seconds * 2, RETRY_SECONDS[1])

    def _accept(self, parts: list[Part]) -> None:
        for box, pixels in parts:
            self._on_disk[_slices(box)] = pixels
        self._retry_seconds = RETRY_SECONDS[0]

    def _changed_parts(self) -> Iterator[Part]:
        """Chunks that differ from the disk, as copies that later strokes leave alone."""
        data = np.asarray(self._layer.data)
        starts = [range(0, n, size) for n, size in zip(self._store.shape, self._store.chunks, strict=True)]
        for corner in itertools.product(*starts):
            box = tuple(
                (start, min(start + size, n))
                for start, size, n in zip(corner, self._store.chunks, self._store.shape, strict=True)
            )
            if not np.array_equal(data[_slices(box)], self._on_disk[_slices(box)]):
                yield box, data[_slices(box)].copy()

    def _check_shape(self) -> None:
        data = self._layer.data
        if data.shape != self._on_disk.shape or data.dtype != np.uint8:
            raise WriteError(
                f"The layer '{self._layer.name}' now holds {data.dtype} labels of shape {data.shape}, which do not fit "
                f"its image of {self._on_disk.shape}: undo the change, or put the new labels into a layer of their own."
            )


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(start, stop) for start, stop in box)


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _sentence(error: Exception) -> str:
    if isinstance(error, MedsegError):
        return str(error)
    return f"Labels could not be saved ({type(error).__name__}: {error}); they stay in memory and are tried again."
