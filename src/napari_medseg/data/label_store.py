"""The working form of a case's labels: an OME-Zarr label that is written chunk by chunk while a person draws.

Every chunk is replaced in one step (zarr's local store writes a temporary file and renames it), and a new store is
made under another name and renamed when complete, so that a program that dies at any moment leaves whole chunks.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.history import writer_name
from napari_medseg.data.label_files import bands, open_labels, shape_text
from napari_medseg.data.label_layout import (
    OWN_KEY,
    axis_names,
    chunk_shape,
    lock_path,
    ome_attributes,
    own_attributes,
    partial_path,
    relative,
    slices,
)
from napari_medseg.data.locking import FileLock
from napari_medseg.errors import ConflictError, DatasetError, MedsegError, WriteError
from napari_medseg.io.lazy import first_line
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, MaskClass

Labels = npt.NDArray[np.uint8]


class LabelStore:
    """Labels of one case on disk; nothing is written before the first `write_box`.

    Parameters
    ----------
    path
        The zarr folder, ``labels/<name>.zarr``.
    shape
        Of the image without channels: ``([z,] y, x)``.
    case
        Id of the case, kept inside for repairs.
    classes
        Their names and colours are kept inside, for other programs.
    imported
        A label image in another format that is converted by the first edit, and read until then; it stays.
    spacing, units
        Of the image, per axis; None where not known.
    offset
        Where the case's region begins in its image, in pixels.
    conflicts
        Folder for pixels that could not be written because another program changed the same chunk; beside `path` when
        None.
    closed
        Asked before every write: why the labels must stay as they are, a sentence; empty where they need not.
    """

    def __init__(
        self,
        path: Path,
        shape: Sequence[int],
        *,
        case: str,
        classes: Sequence[MaskClass] = (),
        imported: Path | None = None,
        spacing: Sequence[float] | None = None,
        units: Sequence[str] | None = None,
        offset: Sequence[int] | None = None,
        conflicts: Path | None = None,
        closed: Callable[[], str] = str,
    ) -> None:
        self.path = path
        self.shape = tuple(int(n) for n in shape)
        self.case = case
        self.classes = tuple(classes)
        self.imported = imported
        self.spacing = spacing
        self.units = units
        self.offset = tuple(offset) if offset is not None else (0,) * len(self.shape)
        self.conflicts = conflicts or path.parent / "conflicts"
        self._closed = closed
        self.chunks = chunk_shape(self.shape)
        self._known: dict[tuple[int, ...], int] = {}
        self._unflushed: set[tuple[int, ...]] = set()
        #: Whether several boxes are written together, and the array that is open meanwhile.
        self._is_locked, self._open_array = False, None
        self._mutex = threading.RLock()
        self._check_shape()

    @property
    def name(self) -> str:
        """What the column ``label`` of the table says."""
        return self.path.name

    @property
    def exists(self) -> bool:
        """Whether the working form has been made."""
        return (self.path / "zarr.json").exists()

    @property
    def complete_regions(self) -> tuple[Box, ...]:
        """Boxes that were marked complete."""
        boxes = self._own_attributes().get("complete_regions", []) if self.exists else []
        return tuple(tuple((int(start), int(stop)) for start, stop in box) for box in boxes)

    def read(self) -> Labels:
        """All labels; 255 everywhere when nothing has been drawn."""
        return self.read_box(tuple((0, n) for n in self.shape))

    def read_box(self, box: Box) -> Labels:
        """Labels of a box, as a new array.

        Raises
        ------
        ReadError
            A chunk is damaged.
        """
        if not self.exists:
            if self.imported is None:
                return np.full([stop - start for start, stop in box], NOT_LOOKED_AT, np.uint8)
            return np.array(open_labels(self.imported)[slices(box)])
        array = self._array()
        labels = np.empty([stop - start for start, stop in box], np.uint8)
        for index, chunk_box, overlap in self._chunks_of(box):
            chunk = np.asarray(array[slices(chunk_box)])
            self._known[index] = _checksum(chunk)
            labels[slices(relative(overlap, box))] = chunk[slices(relative(overlap, chunk_box))]
        return labels

    def write_box(self, box: Box, pixels: npt.ArrayLike) -> int:
        """Save the labels of a box; chunks that stay the same are not touched.

        Parameters
        ----------
        box
            Where the pixels belong, inside the image.
        pixels
            uint8, of the box's shape.

        Returns
        -------
        number of chunks that were written.

        Raises
        ------
        WriteError
            The disk is full or the folder read-only; chunks written so far are whole, nothing else was changed, and
            the same call may be tried again.
        ConflictError
            Another program changed a chunk since this store read or wrote it, or the labels were closed: what is there
            stays, these pixels are kept in the folder `conflicts`.
        """
        pixels = self._checked(box, pixels)
        refused: list[Box] = []
        written = 0
        with self._writing():
            closed = self._closed()
            array = self._array()
            for index, chunk_box, overlap in self._chunks_of(box):
                chunk = np.asarray(array[slices(chunk_box)])
                merged = chunk.copy()
                merged[slices(relative(overlap, chunk_box))] = pixels[slices(relative(overlap, box))]
                found = _checksum(chunk)
                if np.array_equal(merged, chunk):
                    self._known[index] = found
                elif closed or self._known.get(index, found) != found:
                    refused.append(overlap)
                else:
                    self._put(array, chunk_box, merged)
                    self._known[index] = _checksum(merged)
                    self._unflushed.add(index)
                    written += 1
        if refused:
            self._keep_refused(refused, box, pixels, closed)
        return written

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write several boxes under one lock: quicker than one by one.

        Raises
        ------
        WriteError, LockedError
            As `write_box`.
        """
        with self._writing():
            self._is_locked = True
            try:
                yield
            finally:
                self._is_locked, self._open_array = False, None

    def flush(self) -> None:
        """Wait until everything written is on the disk itself, safe from a power cut; raises `WriteError`."""
        try:
            while self._unflushed:
                index = next(iter(self._unflushed))
                _sync(self.path / "0" / "c" / "/".join(map(str, index)))
                self._unflushed.discard(index)
        except OSError as error:
            raise self._write_error(error) from error

    def fill_not_looked_at(self, box: Box | None = None, mask: npt.ArrayLike | None = None) -> int:
        """Turn 255 into 0, in all of the image, in a box, or where a mask of the box is true.

        Returns
        -------
        number of chunks that were written.

        Raises
        ------
        WriteError, ConflictError
            As `write_box`.
        """
        whole = box or tuple((0, n) for n in self.shape)
        chosen = None if mask is None else np.asarray(mask, bool)
        written = 0
        for band in self.bands(whole):
            labels = self.read_box(band)
            change = labels == NOT_LOOKED_AT
            if chosen is not None:
                change &= chosen[slices(relative(band, whole))]
            if change.any():
                labels[change] = BACKGROUND
                written += self.write_box(band, labels)
        return written

    def bands(self, box: Box | None = None) -> Iterator[Box]:
        """A box, or the whole image, in pieces along the first axis that end where chunks end."""
        (first, last), *others = box or tuple((0, n) for n in self.shape)
        for start in range(first // self.chunks[0] * self.chunks[0], last, self.chunks[0]):
            yield ((max(first, start), min(last, start + self.chunks[0])), *others)

    def add_complete_region(self, box: Box) -> None:
        """Remember that a box was marked complete; raises `WriteError`."""
        regions = [[list(side) for side in known] for known in self.complete_regions]
        new = [[int(start), int(stop)] for start, stop in box]
        if new in regions:
            return
        with self._writing():
            self._group().attrs[OWN_KEY] = {**self._own_attributes(), "complete_regions": [*regions, new]}

    def _put(self, array: Any, chunk_box: Box, chunk: Labels) -> None:
        """Replace one whole chunk, while the lock is held."""
        array[slices(chunk_box)] = chunk

    def _own_attributes(self) -> dict[str, Any]:
        return own_attributes(self.path)

    def _array(self) -> Any:
        if self._open_array is not None:
            return self._open_array
        array = self._group()["0"]
        if self._is_locked:
            self._open_array = array
        return array

    def _group(self) -> Any:
        import zarr

        return zarr.open_group(self.path, mode="r+")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Keep other threads out, and other programs unless `together` does so already."""
        with self._mutex:
            if self._is_locked:
                yield
            else:
                with self._locked():
                    yield

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the label's own lock, make the store if need be, and turn failures into sentences."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(lock_path(self.path)):
                if not self.exists:
                    self._create()
                yield
        except MedsegError as error:
            if isinstance(error, WriteError) and isinstance(error.__cause__, OSError):
                # The lock could not be made: the same disk, but the person is told about the labels.
                raise self._write_error(error.__cause__) from error
            raise
        except OSError as error:
            raise self._write_error(error) from error

    def _create(self) -> None:
        """Make the zarr under another name, converting an imported image, and rename it when it is complete."""
        import zarr

        partial = partial_path(self.path)
        shutil.rmtree(partial, ignore_errors=True)
        self._make_arrays(zarr.open_group(partial, mode="w", zarr_format=3, attributes=self._attributes()))
        for path in partial.rglob("*"):
            if path.is_file():
                _sync(path)
        os.replace(partial, self.path)

    def _make_arrays(self, group: Any) -> None:
        """Make what a new store holds, with the pixels of an imported image."""
        array = new_level(group, 0, self.shape, self.chunks)
        if self.imported is not None:
            start = 0
            for band in bands(open_labels(self.imported)):
                array[start : start + len(band)] = band
                start += len(band)

    def _attributes(self) -> dict[str, Any]:
        ome = ome_attributes(self.shape, self.classes, self.case, self.spacing, self.units, self.offset)
        own = {"case": self.case, "from": self.imported.name if self.imported is not None else ""}
        return {"ome": ome, OWN_KEY: own}

    def _chunks_of(self, box: Box) -> Iterator[tuple[tuple[int, ...], Box, Box]]:
        """Index, box, and overlap with `box` of every chunk that the box touches."""
        ranges = [
            range(start // size, math.ceil(stop / size)) for (start, stop), size in zip(box, self.chunks, strict=True)
        ]
        for index in itertools.product(*ranges):
            chunk_box = tuple(
                (i * size, min((i + 1) * size, n)) for i, size, n in zip(index, self.chunks, self.shape, strict=True)
            )
            overlap = tuple((max(a, c), min(b, d)) for (a, b), (c, d) in zip(chunk_box, box, strict=True))
            yield index, chunk_box, overlap

    def _keep_refused(self, refused: Sequence[Box], box: Box, pixels: Labels, closed: str) -> None:
        path = self.conflicts / f"{self.path.stem}.{writer_name(os.getpid())}.zarr"
        other = LabelStore(path, self.shape, case=self.case, classes=self.classes)
        for part in refused:
            other.write_box(part, pixels[slices(relative(part, box))])
        other.flush()
        if closed:
            raise ConflictError(f"{closed} What you drew meanwhile is kept in {path}.")
        raise ConflictError(
            f"The labels of case '{self.case}' were changed by another program at the same place: its drawing stays, "
            f"yours is kept in {path}; open the case again and draw what is missing."
        )

    def _checked(self, box: Box, pixels: npt.ArrayLike) -> Labels:
        array = np.asarray(pixels)
        shape = tuple(stop - start for start, stop in box)
        inside = len(box) == len(self.shape) and all(
            0 <= start <= stop <= n for (start, stop), n in zip(box, self.shape, strict=True)
        )
        if not inside or array.shape != shape or array.dtype != np.uint8:
            raise ValueError(
                f"Labels of box {box} must be uint8 of its shape and inside {shape_text(self.shape)}, "
                f"got {array.dtype} {shape_text(array.shape)}."
            )
        return array

    def _check_shape(self) -> None:
        source = self.path if self.exists else self.imported
        if source is None:
            return
        found = tuple(open_labels(source).shape)
        if found != self.shape:
            raise DatasetError(
                f"Case '{self.case}': its labels {source.name} are {shape_text(found)} pixels but its image is "
                f"{shape_text(self.shape)}: restore the image that was labelled, or correct 'region'."
            )

    def _write_error(self, error: OSError) -> WriteError:
        reason = error.strerror or first_line(error)
        return WriteError(
            f"The labels of case '{self.case}' could not be saved in {self.path} ({reason}): free space or make the "
            "folder writable; they are still in memory and can be saved again."
        )


def new_level(group: Any, level: int, shape: Sequence[int], chunks: Sequence[int]) -> Any:
    """A level of a label store in which nothing was looked at; chunks that stay so have no file."""
    return group.create_array(
        str(level),
        shape=tuple(shape),
        chunks=tuple(chunks),
        dtype="uint8",
        fill_value=NOT_LOOKED_AT,
        dimension_names=axis_names(len(shape)),
    )


def _checksum(chunk: Labels) -> int:
    return zlib.crc32(np.ascontiguousarray(chunk).data)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        # A chunk that is all 255 again has no file.
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
