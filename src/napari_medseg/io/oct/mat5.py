"""Numbers from MATLAB files of version 5 to 7, read without a parser in C.

scipy's reader crashes the whole process on some damaged files; this one knows arrays of numbers alone and ends in an
exception. Layout: 128 bytes of header, then elements of a tag (type, bytes) and data padded to 8 bytes; an array is an
element of elements (flags, dimensions, name, numbers), mostly inside a zlib stream ("MAT-File Format", MathWorks).
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

_HEADER_BYTES = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
#: Type of the array's values by its class; the numbers may be stored in a smaller one.
_CLASSES = {
    6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
}  # fmt: skip
_COMPLEX = 0x08
#: Most bytes that one stream may unfold to: more than any scan, less than a bomb needs.
_MOST_BYTES = 4 * 2**30


def read_arrays(path: Path, names: Collection[str]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of these names that the file holds and that are plain real numbers.

    Raises
    ------
    ValueError
        The file is cut short, or says something that cannot be.
    OSError
        It cannot be read.
    """
    data = path.read_bytes()
    order = {b"IM": "<", b"MI": ">"}.get(data[126:_HEADER_BYTES])
    if order is None:
        raise ValueError("the header does not say in which order bytes lie")
    found: dict[str, npt.NDArray[Any]] = {}
    for kind, content in _elements(memoryview(data)[_HEADER_BYTES:], order):
        if kind == _COMPRESSED:
            content = _unfolded(content)
            kind, content = next(_elements(content, order), (0, memoryview(b"")))
        if kind == _MATRIX:
            name, array = _array(content, order, names)
            if array is not None:
                found[name] = array
    return found


def _unfolded(content: memoryview) -> memoryview:
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(content, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"a compressed part is damaged ({error})") from None
    if not stream.eof:
        raise ValueError("a compressed part is cut short or too large")
    return memoryview(data)


def _elements(data: memoryview, order: str) -> Iterator[tuple[int, memoryview]]:
    """Type and content of one element after the other."""
    position = 0
    while position + 8 <= len(data):
        kind, size = struct.unpack_from(f"{order}II", data, position)
        if kind >> 16:
            # Up to four bytes lie inside the tag itself.
            kind, size, start, step = kind & 0xFFFF, kind >> 16, position + 4, 8
            if size > 4:
                raise ValueError("a short element is longer than its place")
        else:
            start = position + 8
            # Streams are not padded.
            step = 8 + (size if kind == _COMPRESSED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError("an element is cut short")
        yield kind, data[start : start + size]
        position += step


def _array(content: memoryview, order: str, names: Collection[str]) -> tuple[str, npt.NDArray[Any] | None]:
    """Name and numbers of an array; None for those not wanted and for what is no array of real numbers."""
    parts = _elements(content, order)
    try:
        (_, flags), (_, dimensions), (_, label) = next(parts), next(parts), next(parts)
    except StopIteration:
        return "", None
    name = bytes(label).decode("latin-1")
    if name not in names:
        return name, None
    if len(flags) < 4 or len(dimensions) % 4:
        raise ValueError(f"array {name} is not described")
    (described,) = struct.unpack_from(f"{order}I", flags)
    dtype = _CLASSES.get(described & 0xFF)
    kind, numbers = next(parts, (0, memoryview(b"")))
    if dtype is None or described >> 8 & _COMPLEX or kind not in _TYPES:
        return name, None
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    stored = np.dtype(order + _TYPES[kind])
    if min(shape, default=-1) < 0 or math.prod(shape) * stored.itemsize != len(numbers):
        raise ValueError(f"array {name} of shape {shape} does not have as many numbers")
    with np.errstate(invalid="ignore"):
        return name, np.frombuffer(numbers, stored).reshape(shape, order="F").astype(dtype)
