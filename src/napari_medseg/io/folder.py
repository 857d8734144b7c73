"""A folder of images of one size, read as a stack."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io import ome_zarr, raster, tiff
from napari_medseg.io.format import HEAD_BYTES, Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.volume.dicom import one_per_series
from napari_medseg.structures import Image

_SLICE_FORMATS = (tiff.FORMAT, raster.FORMAT)
#: Files of these names were images once, whatever they hold now.
_ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".svs")
#: Decoded slices that are kept, so that reading a slice in parts decodes it once.
_KEPT_SLICES = 4


def _recognises(path: Path, head: bytes) -> bool:
    return path.is_dir()


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sorting key by which numbers in names count as numbers.

    >>> sorted(["b10", "b9", "a"], key=natural_key)
    ['a', 'b9', 'b10']
    """
    parts = re.split(r"(\d+)", name.lower())
    return tuple((0, int(part), "") if part.isdigit() and part.isascii() else (1, 0, part) for part in parts)


def image_files(path: Path, formats: Sequence[Format]) -> list[Path]:
    """Images directly inside a folder, in natural order; hidden ones left out, a DICOM series named by its first file.

    An image is what one of `formats` recognises. A file that is empty or of other content but has an image's name
    counts too: reading it says what is wrong, where leaving it out would lose a mask or a slice unnoticed.

    Raises
    ------
    InputNotFoundError, ReadError
        The folder does not exist or may not be read; or no image is in it.
    """
    try:
        names = sorted(os.listdir(path), key=natural_key)
    except FileNotFoundError:
        raise InputNotFoundError(f"Folder {path} does not exist: check the path.") from None
    except OSError as error:
        raise ReadError(f"Folder {path} may not be read ({error.strerror}): ask its owner for permission.") from None
    files = [path / name for name in names if not name.startswith(".")]
    found = [file for file in files if _is_image(file, formats)]
    if not found:
        folders = sum(file.is_dir() for file in files)
        hint = "open one of the folders in it" if folders else "choose the folder in which the images are"
        if (path / "dataset.json").is_file():
            hint = "it is a data set, which 'napari-medseg dataset info' describes"
        raise ReadError(f"Folder {path} holds no image that can be read: {hint}.")
    return one_per_series(found)


def _is_image(file: Path, formats: Sequence[Format]) -> bool:
    """Whether a format other than a plain folder recognises it."""
    if file.is_dir():
        return any(one.recognises(file, b"") for one in formats if one.recognises is not _recognises)
    try:
        with file.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        # A broken link or a file of another person: not an image for us, and no reason to refuse the others.
        return False
    if file.suffix.lower() in _ENDINGS:
        return True
    return any(candidate.recognises(file, head) for candidate in formats if candidate is not ome_zarr.FORMAT)


class _Slices:
    """Decodes the slices that a block touches, and keeps the last few."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._files = files
        self._slice = lru_cache(maxsize=_KEPT_SLICES)(_pixels_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Slices, (self._files,)

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        first, rest = block[0], block[1:]
        return np.stack([self._slice(file)[rest] for file in self._files[first]])


def _pixels_of(file: Path) -> npt.NDArray[Any]:
    return np.asarray(read_slice(file).data[...])


def read_slice(file: Path) -> Image:
    """One picture of a stack, lazily; raises `ReadError`, which names it."""
    with file.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    found = next((candidate for candidate in _SLICE_FORMATS if candidate.recognises(file, head)), None)
    if found is None:
        raise ReadError(f"{file} is not an image that can be read, whatever its name says: repair or remove it.")
    try:
        return found.read(file, None)
    except ReadError:
        raise
    except Exception as error:
        # As in `reading.read`; here the sentence has to name the one file among many.
        raise ReadError(f"{file} looks like {found.name} but cannot be read: it may be damaged.") from error


def read_folder(path: Path, series: int | None) -> Image:
    """Read the images of a folder as a stack, slice by slice when asked for.

    Parameters
    ----------
    path
        Folder with at least one image; other files in it are left out.
    series
        0 or None: a folder is one stack.

    Returns
    -------
    image of axes ``"zyx"`` or ``"zyxc"`` in the natural order of the names; a single image as it is.

    Raises
    ------
    ReadError
        There is no image, the images differ in size or type, or they are stacks themselves.
    """
    choose_series(path, series, ("",))
    files = image_files(path, _SLICE_FORMATS)
    first = read_slice(files[0])
    if len(files) == 1:
        return first
    for file in files:
        other = read_slice(file)
        _check_same(path, first, files[0], other, file)
    slices = LazyArray(
        (len(files), *first.shape),
        first.dtype,
        _Slices(tuple(files)),
        source=str(path),
        chunks=(1, *first.shape),
    )
    warnings = list(first.warnings)
    if first.spacing is not None:
        warnings.append("The distance between the slices is not known, so sizes are counted in pixels.")
    return Image(
        levels=(slices,),
        axes="z" + first.axes,
        name=path.name,
        path=path,
        channels=first.channels,
        rgb=first.rgb,
        warnings=tuple(warnings),
        metadata={"files": tuple(file.name for file in files)},
    )


def _check_same(path: Path, first: Image, first_file: Path, other: Image, file: Path) -> None:
    if (other.axes, other.shape, other.dtype) != (first.axes, first.shape, first.dtype):
        sizes = [
            f"{f.name} is {' × '.join(map(str, i.shape))} {i.dtype}" for f, i in ((first_file, first), (file, other))
        ]
        raise ReadError(f"Folder {path} holds images that differ ({', '.join(sizes)}): open them one by one.")
    if "z" in first.axes or "t" in first.axes:
        raise ReadError(f"{first_file} is a stack itself: open the files of {path} one by one.")


FORMAT = Format(name="a folder of images", recognises=_recognises, read=read_folder)
