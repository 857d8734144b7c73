"""Writing OME-Zarr 0.5: a pyramid of levels, made block by block so that memory stays bounded.

Source: https://ngff.openmicroscopy.org/0.5/.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import zarr

from napari_medseg.errors import WriteError
from napari_medseg.io.atomic import replacing_folder, resumable_folder
from napari_medseg.io.halving import halved_by_mean
from napari_medseg.io.lazy import Block, with_axes, wrapped
from napari_medseg.io.ome_zarr import OWN_KEY, is_ome_zarr
from napari_medseg.io.units import PIXEL
from napari_medseg.structures import ArrayLike, Progress

#: The order that OME-Zarr prescribes.
_ORDER = "tczyx"
_AXIS_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_CHUNK = {"z": 16, "y": 512, "x": 512}
_VOLUME_CHUNK = {"z": 16, "y": 128, "x": 128}
#: Chunks of large images are stored this many to a file along y and x, or a slide becomes tens of thousands of files.
_SHARD_FACTOR = 4
#: Levels are added until both sides are at most this long.
_COARSEST = 512

Pixels = npt.NDArray[Any]


def write_pyramid(
    path: Path,
    data: ArrayLike,
    *,
    axes: str,
    halve: Callable[[Pixels], Pixels],
    spacing: tuple[float, ...] | None = None,
    units: tuple[str, ...] | None = None,
    name: str = "",
    attributes: Mapping[str, Any] | None = None,
    own_facts: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    identity: str | None = None,
) -> None:
    """Write an array as OME-Zarr 0.5, halved along y and x until it is small.

    Memory is bounded by one file of the result (at most 4 × 4 chunks of 512 × 512 pixels) and what is read for it.

    Parameters
    ----------
    path
        Folder to write; an OME-Zarr folder of that name is replaced when the new one is complete.
    data
        numpy, zarr or lazy array with the axes `axes`.
    halve
        `halved_by_mean` or `halved_by_choice`.
    spacing, units
        Per axis without the channel axis, or None.
    name
        Of the image.
    attributes
        Further OME metadata ("omero", "image-label").
    own_facts
        What OME-Zarr has no word for, such as the image's kind; kept beside the OME metadata.
    progress
        Called with (blocks done, blocks, text); raises `Cancelled` to stop.
    identity
        Says what `data` is. With it, what was written stays after an error, a stop or a kill, and the next call with
        the same identity goes on from there; the result is the same to the last bit. None: nothing is left behind.

    Raises
    ------
    WriteError
        Something else is at `path`, or the disk is full or read-only.
    """
    if path.exists() and not is_ome_zarr(path):
        raise WriteError(f"{path} exists and is no OME-Zarr folder, so it is not replaced: choose another name.")
    order = "".join(axis for axis in _ORDER if axis in axes)
    source = with_axes(wrapped(data, path.name), axes, order)
    with replacing_folder(path) if identity is None else resumable_folder(path, identity) as folder:
        group = zarr.open_group(folder, mode="a", zarr_format=3)
        levels = [
            _level(group, number, shape, source.dtype, order) for number, shape in enumerate(_shapes(source.shape))
        ]
        blocks = [(number, block) for number, level in enumerate(levels) for block in blocks_of(level)]
        for done, (number, block) in enumerate(blocks):
            if progress is not None:
                progress(done, len(blocks), f"level {number}")
            if not _is_written(folder, levels[number], block):
                finer = source if number == 0 else wrapped(levels[number - 1], path.name)
                levels[number][block] = finer[block] if number == 0 else halve(finer[_doubled(block, finer.shape)])
        centred = halve is halved_by_mean
        multiscale = _multiscale(order, _per_axis(order, axes, spacing), units, axes, len(levels), name, centred)
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **(attributes or {})}
        if own_facts:
            group.attrs[OWN_KEY] = dict(own_facts)


def _shapes(finest: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Shapes of the levels: rows and columns halved, rounded up, until both are small."""
    height, width = finest[-2:]
    yield finest
    while max(height, width) > _COARSEST:
        height, width = (height + 1) // 2, (width + 1) // 2
        yield (*finest[:-2], height, width)


def _level(group: zarr.Group, index: int, shape: tuple[int, ...], dtype: Any, axes: str) -> zarr.Array[Any]:
    """A level as an earlier run left it, else a new one."""
    found = group.get(str(index))
    return found if isinstance(found, zarr.Array) else _create_level(group, index, shape, dtype, axes)


def _is_written(folder: Path, level: zarr.Array[Any], block: Block) -> bool:
    """Whether the block's file is there: zarr gives a file its name when it is whole. Blocks of zeros have none."""
    steps = level.shards or level.chunks
    place = tuple(part.start // step for part, step in zip(block, steps, strict=True))
    file = folder / level.path / level.metadata.encode_chunk_key(place)
    # A file of no bytes is what a power cut may leave.
    return file.is_file() and file.stat().st_size > 0


def _doubled(block: Block, finer: tuple[int, ...]) -> Block:
    """The part of the next finer level that a block is made from."""
    plane = (slice(2 * p.start, min(2 * p.stop, n)) for p, n in zip(block[-2:], finer[-2:], strict=True))
    return (*block[:-2], *plane)


def create_pyramid(
    path: Path,
    *,
    shape: tuple[int, ...],
    dtype: npt.DTypeLike,
    axes: str,
    fill_value: int,
    centred: bool,
    shard_rows: int | None = None,
    spacing: tuple[float, ...] | None = None,
    units: tuple[str, ...] | None = None,
    name: str = "",
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Make an OME-Zarr 0.5 of all levels that holds `fill_value` everywhere and no chunk yet.

    Parameters
    ----------
    path
        A folder that does not exist.
    axes
        ``"yx"`` or ``"cyx"``.
    centred
        Whether coarser pixels will be means, which lie in the middle of what they were made from.
    shard_rows
        Rows of a file, a multiple of the chunk's 512; None for the usual number.
    shape, dtype, spacing, units, name, attributes
        As in `write_pyramid`.
    """
    group = zarr.open_group(path, mode="w-", zarr_format=3)
    level, sides = 0, shape
    while True:
        _create_level(group, level, sides, dtype, axes, fill_value, shard_rows)
        if max(sides[-2:]) <= _COARSEST:
            break
        level, sides = level + 1, (*sides[:-2], *((n + 1) // 2 for n in sides[-2:]))
    scale = _per_axis(axes, axes, spacing)
    multiscale = _multiscale(axes, scale, units, axes, level + 1, name, centred)
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], **(attributes or {})}


def _create_level(
    group: zarr.Group,
    index: int,
    shape: tuple[int, ...],
    dtype: Any,
    axes: str,
    fill_value: int = 0,
    shard_rows: int | None = None,
) -> zarr.Array[Any]:
    sizes = _VOLUME_CHUNK if "z" in axes else _CHUNK
    lengths = dict(zip(axes, shape, strict=True))
    chunk = {axis: min(n, sizes.get(axis, 3 if axis == "c" else 1)) for axis, n in lengths.items()}
    shards = None
    if "z" not in axes and min(shape[-2:]) > _SHARD_FACTOR * sizes["y"]:
        shards = tuple(chunk[axis] * (_SHARD_FACTOR if axis in "yx" else 1) for axis in axes)
        if shard_rows is not None:
            shards = (*shards[:-2], shard_rows, shards[-1])
    return group.create_array(
        str(index),
        shape=shape,
        dtype=dtype,
        chunks=tuple(chunk.values()),
        shards=shards,
        fill_value=fill_value,
        dimension_names=list(axes),
    )


def blocks_of(array: zarr.Array[Any]) -> Iterator[Block]:
    """Blocks that are written to separate files, so that none is written twice."""
    steps = array.shards or array.chunks
    starts = (range(0, n, step) for n, step in zip(array.shape, steps, strict=True))
    for corner in itertools.product(*starts):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, steps, array.shape, strict=True))


def _per_axis(order: str, axes: str, spacing: tuple[float, ...] | None) -> list[float]:
    known = dict(zip(axes.replace("c", ""), spacing or (), strict=False))
    return [known.get(axis, 1.0) for axis in order]


def _multiscale(
    order: str, scale: list[float], units: tuple[str, ...] | None, axes: str, levels: int, name: str, centred: bool
) -> dict[str, Any]:
    """The metadata of the levels; averaged pixels lie in the middle of those they were made from."""
    unit_of = dict(zip(axes.replace("c", ""), units or (), strict=False))
    described = []
    for axis in order:
        entry = {"name": axis, "type": _AXIS_TYPES[axis]}
        if unit_of.get(axis, PIXEL) != PIXEL:
            entry["unit"] = unit_of[axis]
        described.append(entry)
    datasets = []
    for level in range(levels):
        factors = [2**level if axis in "yx" else 1 for axis in order]
        steps: list[dict[str, Any]] = [{"type": "scale", "scale": [s * f for s, f in zip(scale, factors, strict=True)]}]
        if centred and level:
            shift = [s * (f - 1) / 2 for s, f in zip(scale, factors, strict=True)]
            steps.append({"type": "translation", "translation": shift})
        datasets.append({"path": str(level), "coordinateTransformations": steps})
    return {"name": name, "axes": described, "datasets": datasets}
