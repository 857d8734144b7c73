"""NRRD volumes (``.nrrd``; ``.nhdr`` with its data beside it), as 3D Slicer writes them."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block
from napari_medseg.io.units import millimeters, unit_name
from napari_medseg.io.volume.space import Affine, ArrayView, is_usable, nearest_view
from napari_medseg.io.volume.volume import LARGEST_VOXELS, as_lazy, short_name, volume_image
from napari_medseg.structures import Image

_MAGIC = b"NRRD000"
#: The ends of a body's axes by first letter: axis (left, posterior, superior) and direction.
_ENDS = {"l": (0, 1), "r": (0, -1), "p": (1, 1), "a": (1, -1), "s": (2, 1), "i": (2, -1)}
#: numpy's codes of NRRD's types.
_TYPES = {
    "int8": "i1", "uint8": "u1", "uchar": "u1", "unsigned char": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "unsigned short": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4",
    "longlong": "i8", "long long": "i8", "int64": "i8", "ulonglong": "u8", "unsigned long long": "u8", "uint64": "u8",
    "float": "f4", "double": "f8",
}  # fmt: skip
#: Kinds of axes along which a picture does not extend.
_NOT_SPACE = ("list", "vector", "color", "matrix", "quaternion", "complex", "time", "normal", "gradient", "stub")


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


class _Voxels:
    """Reads the stored volume, all of it when first asked for: it is packed as one piece."""

    def __init__(self, path: Path, chosen: tuple[int | None, ...], view: ArrayView, dtype: np.dtype[Any]) -> None:
        self._arguments = (path, chosen, view, dtype)
        self._whole = lru_cache(maxsize=1)(self._read)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Voxels, self._arguments

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        return self._whole()[block].copy()

    def _read(self) -> npt.NDArray[Any]:
        import nrrd

        path, chosen, view, dtype = self._arguments
        stored, _ = nrrd.read(str(path), index_order="F")
        values = stored[tuple(slice(None) if index is None else index for index in chosen)]
        values = values.reshape(values.shape + (1,) * (3 - values.ndim))
        return np.ascontiguousarray(view.of(values)).astype(dtype, copy=False)


def read_nrrd(path: Path, series: int | None) -> Image:
    """Read a NRRD volume.

    Parameters
    ----------
    path
        The file, or the header of a detached one.
    series
        Which volume, where a further axis lists several (phases, segments); None: the first.

    Returns
    -------
    image of axes ``"zyx"`` in millimetres, voxels in the file's own type; swapped and flipped as NIfTI is

    Raises
    ------
    ReadError
        The file is cut short, its data is not beside it, or it has axes that cannot be shown.
    """
    import nrrd

    header = nrrd.read_header(str(path))
    sizes = [int(size) for size in header["sizes"]]
    if min(sizes) < 1 or np.prod(sizes, dtype=np.float64) > LARGEST_VOXELS:
        raise ReadError(f"{path} says it holds {' × '.join(map(str, sizes))} voxels: it is damaged.")
    spatial = _spatial_axes(header, sizes)
    others = [axis for axis in range(len(sizes)) if axis not in spatial]
    if not 2 <= len(spatial) <= 3 or len([axis for axis in others if sizes[axis] > 1]) > 1:
        raise ReadError(f"{path} holds {len(sizes)} axes, which cannot be shown: save a volume of three.")
    count = int(np.prod([sizes[axis] for axis in others], dtype=np.int64))
    names = tuple(f"volume {number} of {count}" for number in range(1, count + 1)) if count > 1 else ("",)
    number = choose_series(path, series, names)
    chosen = tuple(None if axis in spatial else min(number, sizes[axis] - 1) for axis in range(len(sizes)))
    dtype = np.dtype(_dtype(path, header))
    shape = ([sizes[axis] for axis in spatial] + [1])[:3]
    affine = _affine(header, spatial)
    view, placed = nearest_view(np.eye(4) if affine is None or not is_usable(affine) else affine, shape)
    return volume_image(
        path,
        as_lazy(path, [shape[axis] for axis in view.order], dtype, _Voxels(path, chosen, view, dtype)),
        affine if affine is None or not is_usable(affine) else placed,
        name=short_name(path),
        series=number,
        series_names=names,
        warnings=[] if "space" in header or affine is None else ["The file does not say how the body lies in it."],
    )


def _dtype(path: Path, header: dict[str, Any]) -> np.dtype[Any]:
    words = str(header["type"]).lower().removesuffix("_t").replace("short int", "short").removeprefix("signed ")
    words = "int8" if words == "char" else words
    if words not in _TYPES:
        raise ReadError(f"{path} holds '{header['type']}', which is no sort of number: save one number per voxel.")
    return np.dtype(_TYPES[words])


def _spatial_axes(header: dict[str, Any], sizes: list[int]) -> list[int]:
    """Axes along which the picture extends: those with a direction, else those whose kind is not another one."""
    directions = _directions(header, len(sizes))
    if any(vector is not None for vector in directions):
        return [axis for axis, vector in enumerate(directions) if vector is not None]
    kinds = [str(kind).lower() for kind in header.get("kinds", ())] or ["domain"] * len(sizes)
    return [axis for axis, kind in enumerate(kinds) if not any(word in kind for word in _NOT_SPACE)]


def _directions(header: dict[str, Any], count: int) -> list[npt.NDArray[np.float64] | None]:
    found = header.get("space directions")
    if found is None:
        return [None] * count
    vectors = [None if vector is None else np.asarray(vector, np.float64) for vector in found]
    # "none" is read as a vector of NaN.
    return [None if vector is None or np.all(np.isnan(vector)) else vector for vector in vectors]


def _affine(header: dict[str, Any], spatial: list[int]) -> Affine | None:
    """Index (i, j, k, 1) to millimetres (left, posterior, superior, 1); None where the file does not say."""
    sizes = len(header["sizes"])
    vectors = [vector for vector in _directions(header, sizes) if vector is not None]
    affine = np.eye(4)
    if len(vectors) == 3 and all(len(vector) == 3 for vector in vectors):
        affine[:3, :3] = np.stack(vectors, axis=1)
        affine[:3, 3] = np.asarray(header.get("space origin", np.zeros(3)), np.float64)
        units = [millimeters(unit_name(unit) or "") or 1.0 for unit in header.get("space units", ["mm"] * 3)]
        affine[:3] *= np.asarray(units)[:, None]
    elif (steps := header.get("spacings")) is not None and len(spatial) == 3:
        affine[:3, :3] = np.diag([float(steps[axis]) for axis in spatial])
    else:
        return None
    return _towards_lps(affine, str(header.get("space", "")).lower())


def _towards_lps(affine: Affine, space: str) -> Affine:
    """Turn axes round that count away from left, posterior or superior; spaces of no body stay as they are."""
    ends = [end[:1] for end in (space.split("-") if "-" in space else space)]
    known = [_ENDS[end] for end in ends[:3] if end in _ENDS]
    if sorted(axis for axis, _ in known) != [0, 1, 2] or "handed" in space:
        return affine
    turned = np.eye(4)
    turned[:3] = 0.0
    for row, (axis, sign) in enumerate(known):
        turned[axis, row] = sign
    return turned @ affine


FORMAT = Format(name="a NRRD file", recognises=_recognises, read=read_nrrd)
