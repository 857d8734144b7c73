"""Label images in the files where they are kept, and what they hold."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.address import address_of
from napari_medseg.io.lazy import first_line
from napari_medseg.structures import NOT_LOOKED_AT, ArrayLike

#: Pixels that are held at once while a label image is judged.
_BAND_PIXELS = 1 << 24

#: Path, size and modification time of every file of a file or folder: changes when its content does.
Signature = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelFacts:
    """What a label image holds.

    Parameters
    ----------
    shape
        Of the whole image.
    values
        The values that occur.
    pixel_hash
        Of shape and pixels, whatever the file format.
    """

    shape: tuple[int, ...]
    values: frozenset[int]
    pixel_hash: str

    @property
    def is_looked_at(self) -> bool:
        """Whether any pixel was looked at."""
        return self.values != {NOT_LOOKED_AT}


def open_labels(path: Path) -> ArrayLike:
    """A label image of the data set, lazily where its format allows it; uint8.

    Raises
    ------
    InputNotFoundError, ReadError
        The file is missing or cannot be read as labels.
    """
    if not path.exists():
        raise InputNotFoundError(f"Label image {path} does not exist: restore it or empty the cell that names it.")
    array = _open_zarr(path) if (path / "zarr.json").exists() else _open_imported(path)
    if array.dtype != np.uint8:
        raise ReadError(f"Label image {path} is {array.dtype} instead of uint8: import it with 'dataset import'.")
    return array


def file_signature(path: Path) -> Signature:
    """What tells that a file, or any file of a folder, was changed."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return tuple((str(file), (stat := file.stat()).st_size, stat.st_mtime_ns) for file in files)


def label_facts(path: Path) -> LabelFacts:
    """What a label image of the data set holds; remembered until its file changes.

    Raises
    ------
    InputNotFoundError, ReadError
        As `open_labels`.
    """
    return _label_facts(path, file_signature(path))


def file_hash(path: Path) -> str:
    """Hash of a file's content, or of all files of a folder with their names; remembered until a file changes.

    For a web address see `napari_medseg.io.slide.remote_zarr.address_hash`.
    """
    if (address := address_of(path)) is not None:
        from napari_medseg.io.slide.remote_zarr import address_hash

        return address_hash(address)
    return _file_hash(path, file_signature(path))


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape for people, e.g. ``522 x 775``."""
    return " x ".join(str(n) for n in shape)


@functools.lru_cache(maxsize=65536)
def _label_facts(path: Path, signature: Signature) -> LabelFacts:
    array = open_labels(path)
    counts = np.zeros(256, np.int64)
    digest = hashlib.blake2b(repr(array.shape).encode(), digest_size=16)
    for band in bands(array):
        counts += np.bincount(band.reshape(-1), minlength=256)
        digest.update(band.data)
    return LabelFacts(
        shape=tuple(array.shape),
        values=frozenset(int(value) for value in np.flatnonzero(counts)),
        pixel_hash=digest.hexdigest(),
    )


def bands(array: ArrayLike) -> Iterator[npt.NDArray[Any]]:
    """An array along its first axis, in contiguous pieces of bounded size that begin at chunk borders."""
    row = max(1, int(np.prod(array.shape[1:])))
    step = max(1, _BAND_PIXELS // row)
    chunks = getattr(array, "chunks", None)
    if chunks and chunks[0] < array.shape[0]:
        step = max(chunks[0], step // chunks[0] * chunks[0])
    for start in range(0, array.shape[0], step):
        yield np.ascontiguousarray(array[start : start + step])


@functools.lru_cache(maxsize=65536)
def _file_hash(path: Path, signature: Signature) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, size, _ in signature:
        if path.is_dir():
            digest.update(f"{os.path.relpath(name, path)}\0{size}\0".encode())
        with open(name, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _open_imported(path: Path) -> ArrayLike:
    # The parsers of image files take longer to import than a data set takes to open.
    from napari_medseg.io import read_labels

    return read_labels(path).labels


def _open_zarr(path: Path) -> ArrayLike:
    import zarr

    try:
        array: Any = zarr.open_array(path / "0", mode="r")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReadError(
            f"Label image {path} cannot be read ({first_line(error)}): run 'napari-medseg dataset check --repair'."
        ) from error
    return array  # type: ignore[no-any-return]  # zarr's array has shape, dtype and __getitem__
