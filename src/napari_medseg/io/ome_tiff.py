"""Writing OME-TIFF: one level, compressed without loss, distances and classes in its XML."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_medseg.io.atomic import replacing
from napari_medseg.io.lazy import LazyArray, with_axes, wrapped
from napari_medseg.io.ome_xml import OWN_PREFIX
from napari_medseg.io.units import PIXEL
from napari_medseg.structures import ArrayLike, Progress

#: Larger arrays are written tile by tile; smaller ones in strips, which every program reads.
_WHOLE_BYTES = 64 * 2**20
_TILE = 512
_OME_UNITS = {
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
    "angstrom": "Å",
    "second": "s",
    "millisecond": "ms",
    "minute": "min",
}


def write_ome_tiff(
    path: Path,
    data: ArrayLike,
    *,
    axes: str,
    rgb: bool = False,
    spacing: tuple[float, ...] | None = None,
    units: tuple[str, ...] | None = None,
    name: str = "",
    channels: tuple[str, ...] = (),
    facts: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write an array as OME-TIFF in one step.

    Parameters
    ----------
    path
        File to write or replace.
    data
        numpy, zarr or lazy array with the axes `axes`; large ones are read and written tile by tile.
    rgb
        Whether the last axis holds red, green, blue.
    spacing, units
        Per axis without the channel axis, or None.
    name, channels
        Of the image and its channels.
    facts
        Text by key, kept as a map annotation and given back in `Image.metadata`.
    progress
        Called with (tiles done, tiles, text) for large arrays; raises `Cancelled` to stop.

    Raises
    ------
    WriteError
        The disk is full or the folder read-only.
    """
    order = "".join(axis for axis in ("tzyxc" if rgb else "tzcyx") if axis in axes)
    source = with_axes(wrapped(data, path.name), axes, order)
    metadata: dict[str, Any] = {"axes": order.upper().replace("C", "S" if rgb else "C"), "Name": name or path.stem}
    metadata |= _distances(axes.replace("c", ""), spacing, units)
    if channels and not rgb:
        metadata["Channel"] = {"Name": list(channels)}
    if facts:
        metadata["MapAnnotation"] = {OWN_PREFIX + key: text for key, text in facts.items()}
    options: dict[str, Any] = {
        "photometric": "rgb" if rgb else "minisblack",
        "compression": "zlib",
        "metadata": metadata,
    }
    with replacing(path) as temporary:
        if source.nbytes <= _WHOLE_BYTES:
            tifffile.imwrite(temporary, np.asarray(source[...]), ome=True, **options)
        else:
            tifffile.imwrite(
                temporary,
                _reported(_tiles(source, 3 if rgb else 2), _number_of_tiles(source, 3 if rgb else 2), progress),
                shape=source.shape,
                dtype=source.dtype,
                tile=(_TILE, _TILE),
                ome=True,
                bigtiff=source.nbytes > 2**31,
                **options,
            )


def _tiles(source: LazyArray, plane_axes: int) -> Iterator[npt.NDArray[Any]]:
    """Tiles in the order of the file, row by row and plane by plane, padded to full size with zeros."""
    lead, (height, width, *_) = source.shape[:-plane_axes], source.shape[-plane_axes:]
    planes = itertools.product(*(range(n) for n in lead)) if lead else [()]
    for plane in planes:
        for y, x in itertools.product(range(0, height, _TILE), range(0, width, _TILE)):
            tile = source[(*plane, slice(y, min(y + _TILE, height)), slice(x, min(x + _TILE, width)))]
            missing = [(0, _TILE - tile.shape[0]), (0, _TILE - tile.shape[1]), (0, 0)]
            yield np.pad(tile, missing[: tile.ndim])


def _number_of_tiles(source: LazyArray, plane_axes: int) -> int:
    height, width = source.shape[-plane_axes:][:2]
    return math.prod(source.shape[:-plane_axes]) * -(-height // _TILE) * -(-width // _TILE)


def _reported(tiles: Iterator[npt.NDArray[Any]], number: int, progress: Progress | None) -> Iterator[npt.NDArray[Any]]:
    for done, tile in enumerate(tiles):
        if progress is not None:
            progress(done, number, "tiles")
        yield tile


def _distances(axes: str, spacing: tuple[float, ...] | None, units: tuple[str, ...] | None) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if spacing is None or units is None:
        return found
    for axis, value, unit in zip(axes, spacing, units, strict=True):
        if unit == PIXEL or not math.isfinite(value):
            continue
        key = "TimeIncrement" if axis == "t" else f"PhysicalSize{axis.upper()}"
        found[key] = value
        found[f"{key}Unit"] = _OME_UNITS.get(unit, unit)
    return found
