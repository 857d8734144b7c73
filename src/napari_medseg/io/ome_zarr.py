"""OME-Zarr 0.4 and 0.5 (and what is close enough): levels, axes, distances, channel colours.

The metadata are read here, without the reference library, whose dependencies (web clients, servers) are many. Source:
https://ngff.openmicroscopy.org/0.5/ and /0.4/.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import LazyArray, with_axes, wrapped
from napari_medseg.io.slide.facts import OBJECTIVE
from napari_medseg.io.units import PIXEL, unit_name
from napari_medseg.structures import KINDS, Image, Kind

_MARKS = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
#: Axes of versions before 0.3, which did not name them.
_OLD_AXES = ("t", "c", "z", "y", "x")
#: Attribute, beside the OME metadata, that keeps what OME-Zarr has no word for.
OWN_KEY = "napari-medseg"
#: A chunk above this would be decoded as a whole for every pixel in it.
_LARGEST_CHUNK_BYTES = 2**31
_RGB_COLORS = ("FF0000", "00FF00", "0000FF")


def _recognises(path: Path, head: bytes) -> bool:
    return path.is_dir() and any((path / mark).is_file() for mark in _MARKS)


def is_ome_zarr(path: Path) -> bool:
    """Whether a folder is a zarr group or array."""
    return _recognises(path, b"")


@dataclass(frozen=True, slots=True)
class Multiscale:
    """One multiscale image of a group, as its metadata describe it.

    Parameters
    ----------
    arrays
        Levels, finest first.
    axes
        A letter per axis of the arrays.
    scale
        Distance between pixels of the finest level, per axis.
    units
        Unit per axis; None where the file names none.
    """

    arrays: tuple[Any, ...]
    axes: str
    scale: tuple[float, ...]
    units: tuple[str | None, ...]


def attributes_of(group: zarr.Group) -> Mapping[str, Any]:
    """The OME metadata of a group: under ``ome`` since 0.5, bare before."""
    attributes = dict(group.attrs)
    ome = attributes.get("ome")
    return ome if isinstance(ome, Mapping) else attributes


def read_ome_zarr(path: Path, series: int | None) -> Image:
    """Read an OME-Zarr image lazily.

    Parameters
    ----------
    path
        Folder of a multiscale image, of several (as bioformats2raw writes them), or of a bare zarr array.
    series
        Which image, None for the first.

    Returns
    -------
    image of axes as stored, without axes of length 1 (y and x stay) and with red, green, blue moved to the end.

    Raises
    ------
    ReadError
        The metadata are broken, name arrays that are missing, or describe something that is not an image.
    """
    if (path / ".zarray").is_file() or _node_type(path) == "array":
        return read_node(path, zarr.open_array(path, mode="r"), series)
    return read_node(path, zarr.open_group(path, mode="r", use_consolidated=False), series)


def read_node(path: Path | str, node: zarr.Group | zarr.Array[Any], series: int | None) -> Image:
    """As `read_ome_zarr`, of an open group or array, wherever it is stored; `path` is a folder or a web address."""
    if isinstance(node, zarr.Array):
        choose_series(path, series, ("",))
        return _from_array(path, node)
    owner, multiscale, names, chosen = _choose(path, node, series)
    found = _parse(path, owner, multiscale)
    image = _to_image(path, found, attributes_of(owner), names, chosen)
    own = owner.attrs.get(OWN_KEY)
    own = own if isinstance(own, Mapping) else {}
    kind = own.get("kind")
    power = own.get(OBJECTIVE)
    facts = {OBJECTIVE: power} if isinstance(power, int | float) else {}
    return replace(image, kind=kind if kind in KINDS else image.kind, metadata={**image.metadata, **facts})


def _name(path: Path | str) -> str:
    return str(path).rstrip("/").rpartition("/")[2] if isinstance(path, str) else path.name


def _node_type(path: Path) -> str:
    document = path / "zarr.json"
    if not document.is_file():
        return "group"
    return str(json.loads(document.read_text("utf-8")).get("node_type", "group"))


def _choose(
    path: Path | str, group: zarr.Group, wanted: int | None
) -> tuple[zarr.Group, Mapping[str, Any], tuple[str, ...], int]:
    """The group and multiscale of the wanted series, and what the series are called."""
    attributes = attributes_of(group)
    if "plate" in attributes:
        raise ReadError(f"{path} is a plate of many wells: open one image inside it, such as {_name(path)}/A/1/0.")
    multiscales = attributes.get("multiscales")
    if isinstance(multiscales, Sequence) and multiscales:
        names = tuple(str(m.get("name") or "") for m in multiscales)
        chosen = choose_series(path, wanted, names)
        return group, multiscales[chosen], names, chosen
    children = [name for name, _ in _numbered(group)]
    if not children:
        raise ReadError(f"{path} is a zarr group without OME image metadata: open the image inside it.")
    chosen = choose_series(path, wanted, tuple(children))
    child = dict(_numbered(group))[children[chosen]]
    return child, attributes_of(child)["multiscales"][0], tuple(children), chosen


def _numbered(group: zarr.Group) -> list[tuple[str, zarr.Group]]:
    """Images of a bioformats2raw layout: groups named 0, 1, 2, ..."""
    found = [
        (name, child) for name, child in group.groups() if name.isdigit() and "multiscales" in attributes_of(child)
    ]
    return sorted(found, key=lambda item: int(item[0]))


def _parse(path: Path | str, group: zarr.Group, multiscale: Mapping[str, Any]) -> Multiscale:
    datasets = multiscale["datasets"]
    arrays = []
    for dataset in datasets:
        node = group.get(str(dataset["path"]))
        if not isinstance(node, zarr.Array):
            raise ReadError(f"{path} names a level '{dataset['path']}' that is not there: copy the whole folder again.")
        arrays.append(node)
    axes = _axis_letters(path, multiscale.get("axes"), arrays[0].ndim)
    if any(array.ndim != len(axes) for array in arrays):
        raise ReadError(f"{path} has levels of different numbers of axes: its metadata are broken.")
    order = sorted(range(len(arrays)), key=lambda i: -math.prod(arrays[i].shape))
    scale = np.ones(len(axes))
    finest = datasets[order[0]].get("coordinateTransformations")
    for transformation in [*(finest or ()), *(multiscale.get("coordinateTransformations") or ())]:
        if transformation.get("type") == "scale":
            scale *= np.asarray(transformation["scale"], float)
    named = multiscale.get("axes") or [None] * len(axes)
    units = tuple(unit_name(axis.get("unit")) if isinstance(axis, Mapping) else None for axis in named)
    return Multiscale(tuple(arrays[i] for i in order), axes, tuple(float(s) for s in scale), units)


def _axis_letters(path: Path | str, axes: Any, ndim: int) -> str:
    """A letter per axis, from objects (since 0.4), names (0.3) or nothing at all (before)."""
    named = list(axes) if axes else list(_OLD_AXES[-ndim:])
    letters = ""
    for axis in named:
        name = str(axis.get("name", "") if isinstance(axis, Mapping) else axis).lower()
        kind = str(axis.get("type", "") if isinstance(axis, Mapping) else "").lower()
        letters += {"channel": "c", "time": "t"}.get(kind, name[:1])
    if (
        len(letters) != ndim
        or len(set(letters)) != ndim
        or not {"y", "x"} <= set(letters)
        or set(letters) - set("tczyx")
    ):
        raise ReadError(f"{path} has the axes {named} for {ndim} dimensions: only t, c, z, y and x can be shown.")
    return letters


def _to_image(
    path: Path | str, found: Multiscale, attributes: Mapping[str, Any], names: tuple[str, ...], chosen: int
) -> Image:
    kept = "".join(a for a, n in zip(found.axes, found.arrays[0].shape, strict=True) if n > 1 or a in "yx")
    warnings: list[str] = []
    omero = attributes.get("omero")
    channels = _channel_names(omero, found, kept)
    label = "image-label" in attributes
    rgb = not label and _is_rgb(omero, found, kept)
    if rgb:
        kept = kept.replace("c", "") + "c"
        channels = ("red", "green", "blue")
        if not omero:
            warnings.append("Its three channels were taken for red, green and blue, which the file does not say.")
    levels = tuple(_level(path, array, found.axes, kept) for array in found.arrays)
    spacing, units = _spacing(found, kept.replace("c", ""))
    kind: Kind = "slide" if rgb and len(levels) > 1 else "image"
    return Image(
        levels=levels,
        axes=kept,
        spacing=spacing,
        units=units,
        kind=kind,
        name=_name(path).removesuffix(".zarr").removesuffix(".ome"),
        path=path if isinstance(path, Path) else None,
        channels=channels if "c" in kept else (),
        rgb=rgb,
        series=chosen,
        series_names=names,
        warnings=tuple(warnings),
        metadata={"image-label": dict(attributes["image-label"])} if label else {},
    )


def _level(path: Path | str, array: Any, axes: str, kept: str) -> LazyArray:
    if np.dtype(array.dtype).kind not in "buif":
        raise ReadError(f"{path} stores numbers of the type {array.dtype}, which is no pixel: convert it first.")
    if math.prod(array.chunks) * np.dtype(array.dtype).itemsize > _LARGEST_CHUNK_BYTES:
        raise ReadError(f"{path} stores pixels in chunks too large to read ({array.chunks}): convert it first.")
    # A level may be one pixel thin where the finest is not (z halved once too often): it keeps that axis.
    return with_axes(wrapped(array, str(path)), axes, kept)


def _channel_names(omero: Any, found: Multiscale, kept: str) -> tuple[str, ...]:
    if "c" not in kept:
        return ()
    count = found.arrays[0].shape[found.axes.index("c")]
    listed = omero.get("channels", ()) if isinstance(omero, Mapping) else ()
    names = [str(channel.get("label") or "") for channel in listed if isinstance(channel, Mapping)]
    return tuple(names) if len(names) == count and all(names) else tuple(f"channel {i}" for i in range(count))


def _is_rgb(omero: Any, found: Multiscale, kept: str) -> bool:
    """Three channels coloured red, green, blue; or three of uint8 of which the file says nothing."""
    if "c" not in kept or found.arrays[0].shape[found.axes.index("c")] != 3:
        return False
    listed = omero.get("channels", ()) if isinstance(omero, Mapping) else ()
    if listed:
        colors = tuple(str(channel.get("color", "")).upper().lstrip("#") for channel in listed)
        return colors == _RGB_COLORS
    return bool(np.dtype(found.arrays[0].dtype) == np.uint8)


def _spacing(found: Multiscale, axes: str) -> tuple[tuple[float, ...] | None, tuple[str, ...] | None]:
    """Distances along `axes`; None where z, y or x has no unit (an unknown t is counted in frames)."""
    at = [found.axes.index(axis) for axis in axes]
    scale, units = [found.scale[i] for i in at], [found.units[i] for i in at]
    known = all(unit for unit, axis in zip(units, axes, strict=True) if axis != "t")
    if not known or not all(math.isfinite(s) and s > 0 for s in scale):
        return None, None
    return tuple(scale), tuple(unit or PIXEL for unit in units)


def _from_array(path: Path | str, array: zarr.Array[Any]) -> Image:
    """A zarr array without OME metadata: its dimension names if they are ours, else by its number of axes."""
    named = getattr(array.metadata, "dimension_names", None)
    letters = "".join(str(n)[:1].lower() for n in named) if named and all(named) else ""
    if len(set(letters)) != array.ndim or set(letters) - set("tczyx") or not {"y", "x"} <= set(letters):
        color = array.ndim == 3 and array.shape[-1] == 3 and np.dtype(array.dtype) == np.uint8
        letters = "yxc" if color else {2: "yx", 3: "zyx"}.get(array.ndim, "")
    if not letters:
        raise ReadError(f"{path} is an array of {array.ndim} axes without names: store it as OME-Zarr.")
    found = Multiscale((array,), letters, (1.0,) * array.ndim, (None,) * array.ndim)
    return _to_image(path, found, {}, ("",), 0)


FORMAT = Format(name="an OME-Zarr folder", recognises=_recognises, read=read_ome_zarr)
