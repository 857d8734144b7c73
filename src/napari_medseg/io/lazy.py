"""Arrays whose pixels are read when they are asked for."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from functools import partial
from types import EllipsisType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.structures import ArrayLike

#: One ``slice(start, stop)`` per axis: step 1, never empty, inside the array.
Block = tuple[slice, ...]
Pixels = npt.NDArray[Any]


class LazyArray:
    """An array of known shape and type that loads blocks on demand; what goes wrong then is a `ReadError`.

    Parameters
    ----------
    shape, dtype
        Of the whole array; blocks are converted to this type (files may store another byte order).
    load
        Returns the pixels of a `Block`. It can be pickled, so that worker processes can read too.
    source
        The file's name, for messages.
    chunks
        Shape of the pieces that the file stores, where reading along them is cheaper.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike,
        load: Callable[[Block], Pixels],
        *,
        source: str,
        chunks: tuple[int, ...] | None = None,
    ) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
        self.chunks = chunks or self.shape
        self.source = source
        self._load = load

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the whole array when loaded."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"LazyArray(shape={self.shape}, dtype={self.dtype}, source={self.source!r})"

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Pixels:
        return np.asarray(self[...], dtype=dtype)

    def __getitem__(self, key: Any, /) -> Any:
        """Pixels of a basic index (integers, slices, ``...``), as numpy array."""
        block, rest, empty = _split_index(key, self.shape)
        if empty:
            return np.empty(tuple(s.stop - s.start for s in block), self.dtype)[rest]
        return self._checked(block)[rest]

    def take(self, indices: int, axis: int, out: None = None, mode: str = "raise") -> LazyArray:
        """One entry of an axis, still lazy; `numpy.take` calls this, and napari so splits channels."""
        axis = axis % self.ndim
        shape, chunks = (sizes[:axis] + sizes[axis + 1 :] for sizes in (self.shape, self.chunks))
        load = partial(_take_one, self, axis, operator.index(indices))
        return LazyArray(shape, self.dtype, load, source=self.source, chunks=chunks)

    def _checked(self, block: Block) -> Pixels:
        try:
            pixels = self._load(block)
        except MedsegError:
            raise
        except Exception as error:
            # Decoders raise whatever they like on damaged data, MemoryError included.
            raise ReadError(
                f"Pixels of {self.source} cannot be read ({first_line(error)}): "
                "the file may be damaged or cut short, copy it again from its source."
            ) from error
        if pixels.shape != tuple(part.stop - part.start for part in block):
            raise ReadError(f"{self.source} holds another number of pixels than it says: the file may be damaged.")
        return np.asarray(pixels, dtype=self.dtype)


def first_line(error: BaseException) -> str:
    """An error's first line, or its type where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".: ") if lines else type(error).__name__


def _split_index(key: Any, shape: tuple[int, ...]) -> tuple[Block, tuple[Any, ...], bool]:
    """Split a basic index into the block to load, the index into that block, and whether the block is empty."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(isinstance(k, EllipsisType) for k in keys) == 0:
        keys.append(...)
    at = next(i for i, k in enumerate(keys) if isinstance(k, EllipsisType))
    missing = len(shape) - (len(keys) - 1)
    if missing < 0:
        raise IndexError(f"An array of {len(shape)} axes has no {len(keys) - 1} indices.")
    keys[at : at + 1] = [slice(None)] * missing
    block: list[slice] = []
    rest: list[Any] = []
    for k, n in zip(keys, shape, strict=True):
        if isinstance(k, slice):
            steps = range(*k.indices(n))
            low, high = (min(steps[0], steps[-1]), max(steps[0], steps[-1]) + 1) if steps else (0, 0)
            block.append(slice(low, high))
            rest.append(slice(None, None, steps.step))
        else:
            i = operator.index(k)
            if not -n <= i < n:
                raise IndexError(f"Index {i} is outside an axis of length {n}.")
            block.append(slice(i % n, i % n + 1))
            rest.append(0)
    return tuple(block), tuple(rest), any(s.start == s.stop for s in block)


def wrapped(array: ArrayLike, source: str) -> LazyArray:
    """A zarr array whose reading errors are sentences."""
    chunks = getattr(array, "chunks", None)
    return LazyArray(array.shape, array.dtype, partial(_take, array), source=source, chunks=chunks)


def _take(array: ArrayLike, block: Block) -> Pixels:
    return np.asarray(array[block])


def _take_one(array: LazyArray, axis: int, index: int, block: Block) -> Pixels:
    return np.asarray(array[(*block[:axis], index, *block[axis:])])


def with_axes(array: LazyArray, axes: str, wanted: str) -> LazyArray:
    """Reorder axes by their letters; axes that are not wanted must have length 1 and are dropped.

    >>> a = LazyArray((1, 2, 3), int, lambda b: np.arange(6).reshape(1, 2, 3)[b], source="")
    >>> with_axes(a, "tyx", "xy")[:].tolist()
    [[0, 3], [1, 4], [2, 5]]
    """
    if axes == wanted:
        return array
    order = tuple(axes.index(letter) for letter in wanted)
    return LazyArray(
        tuple(array.shape[i] for i in order),
        array.dtype,
        partial(_take_reordered, array, order),
        source=array.source,
        chunks=tuple(array.chunks[i] for i in order),
    )


def _take_reordered(array: LazyArray, order: tuple[int, ...], block: Block) -> Pixels:
    whole: list[slice] = [slice(0, 1)] * array.ndim
    for i, part in zip(order, block, strict=True):
        whole[i] = part
    dropped = tuple(i for i in range(array.ndim) if i not in order)
    return np.asarray(array[tuple(whole)]).transpose(order + dropped).reshape([s.stop - s.start for s in block])


def with_colors(
    array: LazyArray,
    convert: Callable[[Pixels], Pixels],
    *,
    dtype: npt.DTypeLike,
    channels_in: int | None,
    channels_out: int | None,
) -> LazyArray:
    """Convert colours piece by piece; the channels, where there are any, are the last axis.

    Parameters
    ----------
    convert
        Maps (..., channels_in) to (..., channels_out) elementwise in the leading axes.
    channels_in, channels_out
        Length of the channel axis before and after; None: there is none.
    """
    lead = array.shape if channels_in is None else array.shape[:-1]
    lead_chunks = array.chunks if channels_in is None else array.chunks[:-1]
    tail = () if channels_out is None else (channels_out,)
    load = partial(_take_converted, array, convert, channels_in is not None, channels_out is not None)
    return LazyArray(lead + tail, dtype, load, source=array.source, chunks=lead_chunks + tail)


def _take_converted(
    array: LazyArray, convert: Callable[[Pixels], Pixels], channels_in: bool, channels_out: bool, block: Block
) -> Pixels:
    lead, tail = (block[:-1], block[-1:]) if channels_out else (block, ())
    pixels = array[(*lead, slice(None))] if channels_in else array[lead]
    converted = convert(pixels)
    return np.asarray(converted[..., tail[0]] if tail else converted)
