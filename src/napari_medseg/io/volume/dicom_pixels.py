"""Stored numbers of DICOM slices as Hounsfield units or whatever they stand for, slice by slice when asked for."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.lazy import Block
from napari_medseg.io.oct.dicom import quiet
from napari_medseg.io.volume.dicom_header import Slice, Values

#: Air; scanners write lower numbers where they saw nothing.
AIR = -1024
#: Decoded volumes up to this size are kept, so that views from the side are quick after the first.
_KEPT_BYTES = 2**31
#: Threads that decode the slices of one stack.
_MOST_THREADS = 8
#: Planes this near to a slice, as a share of the distance between slices, are that slice.
_ON_SLICE = 0.01

Pixels = npt.NDArray[Any]
#: Transfer syntaxes that a codec of imagecodecs reads where pydicom has no plugin.
_CODECS = {
    "1.2.840.10008.1.2.4.51": "jpeg",
    "1.2.840.10008.1.2.4.57": "ljpeg",
    "1.2.840.10008.1.2.4.70": "ljpeg",
    "1.2.840.10008.1.2.4.80": "jpegls",
    "1.2.840.10008.1.2.4.81": "jpegls",
    "1.2.840.10008.1.2.4.90": "jpeg2k",
    "1.2.840.10008.1.2.4.91": "jpeg2k",
    "1.2.840.10008.1.2.4.201": "htj2k",
    "1.2.840.10008.1.2.4.202": "htj2k",
    "1.2.840.10008.1.2.4.203": "htj2k",
}


def common_type(slices: Sequence[Slice]) -> np.dtype[Any]:
    """The smallest type that holds every value of the slices exactly; float32 where slopes are fractions."""
    ranges = [_range(one) for one in slices]
    if any(ends is None for ends in ranges):
        return np.dtype(np.float32)
    low = min(ends[0] for ends in ranges if ends is not None)
    high = max(ends[1] for ends in ranges if ends is not None)
    for candidate in (np.uint8, np.int16, np.uint16, np.int32):
        if np.iinfo(candidate).min <= low and high <= np.iinfo(candidate).max:
            return np.dtype(candidate)
    return np.dtype(np.float32)


def _range(one: Slice) -> tuple[int, int] | None:
    """Lowest and highest value that a slice may hold; None where values are no whole numbers."""
    values = one.values
    if not values.slope.is_integer() or not values.intercept.is_integer():
        return None
    ends = [int(values.slope) * stored + int(values.intercept) for stored in stored_range(values)]
    low, high = min(ends), max(ends)
    return (max(low, AIR), max(high, AIR)) if one.modality == "CT" else (low, high)


def stored_range(values: Values) -> tuple[int, int]:
    """Lowest and highest number that can be stored.

    >>> stored_range(Values(bits=12, signed=False)), stored_range(Values(bits=16, signed=True))
    ((0, 4095), (-32768, 32767))
    """
    if values.signed:
        return -(1 << (values.bits - 1)), (1 << (values.bits - 1)) - 1
    return 0, (1 << values.bits) - 1


def empty_value(slices: Sequence[Slice]) -> int:
    """What stands for "no pixel": air in CT, 0 elsewhere."""
    return AIR if slices[0].modality == "CT" else 0


def rescaled(stored: Pixels, one: Slice, dtype: np.dtype[Any]) -> Pixels:
    """Stored numbers (y, x) as values.

    - Unsigned numbers become int32 before anything is added: most CT has an intercept of -1024.
    - In CT, padding and all below -1024 become -1024. Elsewhere padding becomes the lowest value that is none.
    - MONOCHROME1 is turned round, except in CT, where numbers mean Hounsfield units however they are shown.
    """
    values = one.values
    is_ct = one.modality == "CT"
    padded = None
    if values.padding is not None:
        padded = (stored >= values.padding[0]) & (stored <= values.padding[1])
    if values.inverted and not is_ct:
        stored = sum(stored_range(values)) - stored.astype(np.int32)
    found: Pixels = stored.astype(np.float32 if dtype.kind == "f" else np.int32)
    if values.slope != 1.0:
        found *= found.dtype.type(values.slope)
    found += found.dtype.type(values.intercept)
    if is_ct:
        np.maximum(found, AIR, out=found)
    if padded is not None and padded.any():
        found[padded] = AIR if is_ct else found[~padded].min(initial=found.max())
    return found.astype(dtype, copy=False)


class SliceLoader:
    """Decodes the slices that a block touches, and keeps them.

    Parameters
    ----------
    slices
        In order; None: a missing one.
    dtype
        Of the values.
    """

    def __init__(self, slices: tuple[Slice | None, ...], dtype: np.dtype[Any]) -> None:
        self._slices = slices
        self._dtype = dtype
        present = [one for one in slices if one is not None]
        self._shape = (len(slices), present[0].rows, present[0].columns)
        self._empty = empty_value(present)
        self._kept: Pixels | None = None
        self._is_kept = np.zeros(len(slices), bool)
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return SliceLoader, (self._slices, self._dtype)

    def __call__(self, block: Block) -> Pixels:
        """Values of a block (z, y, x)."""
        if np.prod(self._shape, dtype=np.int64) * self._dtype.itemsize > _KEPT_BYTES:
            return np.stack([self._decode(index)[block[1:]] for index in range(block[0].start, block[0].stop)])
        with self._lock:
            if self._kept is None:
                self._kept = np.empty(self._shape, self._dtype)
        missing = [index for index in range(block[0].start, block[0].stop) if not self._is_kept[index]]
        for index, pixels in zip(missing, self._decoded(missing), strict=True):
            self._kept[index] = pixels
            self._is_kept[index] = True
        # A copy: what a caller does with its pixels must not change what others will read.
        return self._kept[block].copy()

    def _decoded(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """Slices in turn; compressed ones by several threads.

        No lock is held meanwhile: a slice that is asked for alone, to be shown, must not wait for a whole stack. Two
        who want the same slice at once both decode it, to the same numbers.
        """
        compressed = sum(one is not None and one.offset is None for one in (self._slices[i] for i in indices))
        threads = min(os.cpu_count() or 1, _MOST_THREADS, compressed)
        if threads < 2:
            yield from map(self._decode, indices)
            return
        with ThreadPoolExecutor(threads, thread_name_prefix="decode-slices") as pool:
            yield from pool.map(self._decode, indices)

    def _decode(self, index: int) -> Pixels:
        one = self._slices[index]
        if one is None:
            return np.full(self._shape[1:], self._empty, self._dtype)
        stored = decoded(one)
        if stored.shape != self._shape[1:]:
            raise ReadError(f"{one.path} holds another number of pixels than it says: it may be damaged.")
        return rescaled(stored, one, self._dtype)


class EvenLoader:
    """Planes at even distances, each mixed of the two slices next to it by how near they are.

    Parameters
    ----------
    slices
        Loads blocks of the slices as they are.
    places
        Where each slice lies, in planes from 0, increasing.
    """

    def __init__(self, slices: SliceLoader, places: Sequence[float]) -> None:
        self._slices = slices
        self._places = np.asarray(places, np.float64)

    def __call__(self, block: Block) -> Pixels:
        """Values of a block (z, y, x)."""
        return np.stack([self._plane(plane, block[1:]) for plane in range(block[0].start, block[0].stop)])

    def _plane(self, plane: int, inside: Block) -> Pixels:
        last = len(self._places) - 1
        above = int(np.clip(np.searchsorted(self._places, plane), 1, last))
        low, high = self._places[above - 1 : above + 1]
        share = float(np.clip((plane - low) / (high - low), 0.0, 1.0))
        # Rounded places are no reason to mix a slice with its neighbour.
        share = round(share) if min(share, 1 - share) < _ON_SLICE else share
        if share in (0.0, 1.0):
            index = above if share else above - 1
            pixels: Pixels = self._slices((slice(index, index + 1), *inside))[0]
            return pixels
        pair = self._slices((slice(above - 1, above + 1), *inside))
        mixed = (1 - share) * pair[0] + share * pair[1].astype(np.float64)
        between: Pixels = (np.rint(mixed) if pair.dtype.kind in "iu" else mixed).astype(pair.dtype)
        return between


def decoded(one: Slice) -> Pixels:
    """Stored numbers (y, x) of a slice.

    Raises
    ------
    ReadError
        Pixels are cut short, damaged or of a codec that is not there.
    """
    from pydicom.pixels.utils import pixel_array

    if one.offset is not None:
        return _plain(one, one.offset)
    # Several threads decode at a time there, while pydicom's plugins wait for each other.
    with contextlib.suppress(ReadError):  # pydicom may know the codec; what neither knows is said below
        pixels = codec_frame(one.path, one.frame, one.frames)
        if pixels.dtype.kind == ("i" if one.values.signed else "u"):
            return pixels
    try:
        with quiet():
            return np.asarray(pixel_array(one.path, index=one.frame, raw=True))
    except Exception:
        # Decoders raise whatever they like, and their words may quote the header.
        return _decoded_by_imagecodecs(one)


def _plain(one: Slice, offset: int) -> Pixels:
    """Numbers that lie in the file as they are, without looking at its header again."""
    values = one.values
    dtype = np.dtype(f"<{'i' if values.signed else 'u'}{one.depth // 8}")
    try:
        stored = np.fromfile(one.path, dtype, count=one.rows * one.columns, offset=offset)
    except OSError:
        raise _damaged(one.path) from None
    if stored.size != one.rows * one.columns:
        raise _damaged(one.path)
    # Bits above those that count may hold overlays, or lack the sign.
    unused = one.depth - values.bits
    stored = (stored << unused) >> unused if unused else stored
    return stored.reshape(one.rows, one.columns)


def _decoded_by_imagecodecs(one: Slice) -> Pixels:
    return _signed(codec_frame(one.path, one.frame, one.frames), one.values)


def codec_frame(path: Path, frame: int, frames: int) -> Pixels:
    """A frame of a compressed DICOM file, (y, x) or (y, x, samples), by a codec of imagecodecs.

    Parameters
    ----------
    frame, frames
        Which frame, from 0, and how many the file holds.

    Raises
    ------
    ReadError
        It is damaged, or of a codec that is not there.
    """
    import imagecodecs
    from pydicom import dcmread
    from pydicom.encaps import get_frame

    try:
        with quiet():
            dataset = dcmread(path)
        syntax = dataset.file_meta.TransferSyntaxUID
    except Exception:
        raise _damaged(path) from None
    if str(syntax) not in _CODECS:
        if syntax.is_compressed:
            raise ReadError(
                f"{path} holds pixels compressed as '{syntax.name}', which are damaged or cannot be decoded here: "
                "export the series uncompressed."
            )
        raise _damaged(path)
    try:
        stored = get_frame(dataset.PixelData, frame, number_of_frames=frames)
        return np.asarray(getattr(imagecodecs, f"{_CODECS[str(syntax)]}_decode")(stored))
    except Exception:
        raise _damaged(path) from None


def _signed(pixels: Pixels, values: Values) -> Pixels:
    """Codecs return bit patterns; where these have a sign, its bit is the highest of those that count."""
    if not values.signed or pixels.dtype.kind == "i":
        return pixels
    turned = pixels.astype(np.int32)
    return np.where(turned >= 1 << (values.bits - 1), turned - (1 << values.bits), turned)


def _damaged(path: Path) -> ReadError:
    return ReadError(
        f"{path} holds pixels that cannot be decoded: it is damaged or cut short, copy it again from its source."
    )
