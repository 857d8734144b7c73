"""Ids, file names and paths of a data set."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import DatasetError
from napari_medseg.io.address import address_of
from napari_medseg.structures import Image

#: Images in memory above this size are saved as OME-Zarr instead of TIFF.
LARGE_BYTES = 256 << 20
#: How many folders up an image may lie and still be named relative to the data set.
_NEAR = 2
_DOUBLE_SUFFIXES = (".nii.gz", ".ome.tif", ".ome.tiff", ".ome.zarr")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def stem_of(path: Path) -> str:
    """A file's name without its ending, double endings included.

    Examples
    --------
    >>> stem_of(Path("scans/p1.nii.gz")), stem_of(Path("v1.2 left.png"))
    ('p1', 'v1.2 left')
    """
    double = next((suffix for suffix in _DOUBLE_SUFFIXES if path.name.lower().endswith(suffix)), None)
    return path.name[: -len(double)] if double and len(path.name) > len(double) else path.stem


def unique_id(path: Path, taken: Collection[str]) -> str:
    """An id from a file's name that no other case has, capitals aside."""
    used = {name.lower() for name in taken}
    stem = stem_of(path).strip() or "case"
    number = 1
    name = stem
    while name.lower() in used:
        number += 1
        name = f"{stem}-{number}"
    return name


def file_name(case_id: str) -> str:
    """A file name, without ending, that every file system accepts; different for different ids.

    Examples
    --------
    >>> file_name("testA_12"), file_name("a/b")
    ('testA_12', 'a_b-9a159f8121')
    """
    safe = re.sub(r"[^\w.\- ]", "_", case_id).strip(". ")[:100] or "case"
    if safe == case_id and not _RESERVED.fullmatch(case_id):
        return safe
    return f"{safe}-{hashlib.blake2b(case_id.encode('utf-8', 'surrogatepass'), digest_size=5).hexdigest()}"


def free_path(folder: Path, name: str, suffix: str) -> Path:
    """A path in a folder where nothing lies yet, named after a case."""
    stem = file_name(name)
    path, number = folder / f"{stem}{suffix}", 1
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}{suffix}"
    return path


def image_cell(path: Path, folder: Path) -> str:
    """An image's path as the table keeps it: relative when in or near the data set, else absolute; or its address."""
    if (address := address_of(path)) is not None:
        return address
    absolute = Path(os.path.abspath(path))
    try:
        relative = Path(os.path.relpath(absolute, folder))
    except ValueError:
        # Another drive of Windows.
        return absolute.as_posix()
    near = relative.parts.count("..") <= _NEAR
    return relative.as_posix() if near else absolute.as_posix()


def resolve(cell: str, folder: Path) -> Path:
    """The path that a cell of the table means; backslashes are understood everywhere, addresses are kept."""
    if (address := address_of(cell)) is not None:
        return Path(address)
    path = Path(os.path.normpath(folder / cell))
    if "\\" in cell and not path.exists():
        return Path(os.path.normpath(folder / PurePosixPath(cell.replace("\\", "/"))))
    return path


def image_of_array(array: npt.NDArray[Any], name: str) -> Image:
    """An array (y, x), (z, y, x) or uint8 (y, x, 3) as image; raises `DatasetError` for others."""
    pixels = np.asarray(array)
    rgb = pixels.ndim == 3 and pixels.shape[-1] == 3 and pixels.dtype == np.uint8
    if rgb:
        return Image(levels=(pixels,), axes="yxc", rgb=True, channels=("red", "green", "blue"), name=name)
    if pixels.ndim not in (2, 3) or pixels.dtype.kind not in "uif":
        raise DatasetError(f"'{name}' is {pixels.dtype} with {pixels.ndim} axes: add a grey, RGB or stack image.")
    return Image(levels=(pixels,), axes="zyx"[-pixels.ndim :], name=name)
