"""TIFF: pictures, stacks, OME-TIFF, Aperio SVS and other pyramids, read lazily tile by tile."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray, with_axes
from napari_medseg.io.ome_xml import OmeXml
from napari_medseg.io.slide.facts import APART, OBJECTIVE, apart_image
from napari_medseg.io.slide.tiff_tiles import TiffTiles, has_readable_tiles
from napari_medseg.io.spacing import spacing_of
from napari_medseg.io.tiff_colors import ColorPlan, plan_colors
from napari_medseg.structures import KINDS, Image, Kind

_MAGICS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
#: Pictures beside the slide that may show a patient's name, or are only there for preview; never offered.
_HIDDEN = {"label", "macro", "thumbnail", "label image", "macro image", "thumbnail image", "overview", "map"}
#: A strip or tile above this would be decoded as a whole for every pixel in it.
_LARGEST_PIECE_BYTES = 2**30
#: Tiled colour pictures from here on are slides; cameras write strips.
_LEAST_SLIDE_PIXELS = 50_000_000
#: What tifffile logs when a page is said to lie beyond the file's end.
_BROKEN_CHAIN = "invalid page offset"
#: tifffile's axis letters; its further ones all mean "one image after another".
_SPATIAL = {"Y": "y", "X": "x", "Z": "z", "T": "t", "C": "c", "S": "c"}


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGICS)


class _Notes(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = f"The file is not quite in order ({record.getMessage().splitlines()[0][:200]})."
        if text not in self.texts:
            self.texts.append(text)


@contextmanager
def _noted() -> Iterator[list[str]]:
    """What tifffile logs while a file is opened; it speaks of odd files in its log only."""
    notes = _Notes()
    logger = logging.getLogger("tifffile")
    logger.addHandler(notes)
    try:
        yield notes.texts
    finally:
        logger.removeHandler(notes)


class _Source:
    """Pixels of one series; the file is opened when the first pixel is asked for, and anew in another process.

    A file position cannot be shared between processes, so nothing that is open travels to a worker.
    """

    def __init__(self, path: Path, series: int) -> None:
        self._path = path
        self._series = series
        self._process = 0
        self._lock = threading.Lock()
        self._file: tifffile.TiffFile | None = None
        self._arrays: dict[int, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _Source, (self._path, self._series)

    def __del__(self) -> None:
        if self._file is not None:
            self._file.close()

    def load(self, level: int, block: Block) -> npt.NDArray[Any]:
        """Pixels of a block of a level, axes as in the file."""
        with self._lock:
            if self._process != os.getpid():
                self._arrays, self._process = {}, os.getpid()
                self._file = None
            if level not in self._arrays:
                # What is odd about the file was told when its header was read.
                with _noted():
                    self._arrays[level] = self._open(level)
        return np.asarray(self._arrays[level][block])

    def _open(self, level: int) -> Any:
        self._file = self._file or tifffile.TiffFile(self._path)
        series = self._file.series[self._series]
        part = series.levels[level]
        if _is_plain(part):
            dtype = part.dtype.newbyteorder(self._file.byteorder)
            return np.memmap(self._path, dtype, mode="r", offset=part.dataoffset or 0, shape=part.shape)
        if has_readable_tiles(part):
            return TiffTiles(self._path, part)
        return zarr.open_array(series.aszarr(level=level), mode="r")


def _is_plain(series: tifffile.TiffPageSeries) -> bool:
    """Whether the pixels lie in the file as they are, one after another."""
    return bool(series.keyframe.is_memmappable and series.dataoffset is not None)


def read_tiff(path: Path, series: int | None, *, indices: bool = False) -> Image:
    """Read a TIFF file lazily.

    Parameters
    ----------
    path
        The file; its content counts, not its name.
    series
        Which of the file's images; None for the first. Labels and overviews of slides are not counted.
    indices
        Give stored numbers instead of colours (palette, white-is-zero, bilevel), as label images need it.

    Returns
    -------
    image of axes ``"yx"``, ``"yxc"``, ``"zyx"``, ``"cyx"``, ``"tzyxc"``, ...: axes in the file's order, colours last;
    several levels when the file has a pyramid.

    Raises
    ------
    ReadError
        The file is cut short, promises what it cannot hold, or stores pixels in a way that cannot be shown.
    """
    with _noted() as notes, tifffile.TiffFile(path) as tif:
        shown = _shown_series(path, tif, notes)
        names = tuple(offered.name for offered in shown.values())
        chosen = choose_series(path, series, names)
        index, found = list(shown.items())[chosen]
        for level in found.levels:
            _check_promise(path, level)
        axes, order = _axes(path, found)
        colors = plan_colors(path, found, axes, indices=indices)
        distances = spacing_of(found, index, tif).along(colors.axes.replace("c", ""))
        warnings = [*notes, *colors.warnings, *_orientation_warning(found)]
        channels = colors.channels or _channel_names(tif, index, found, colors)
        source = _Source(path, index)
        levels = tuple(
            colors.apply(with_axes(_lazy(path, source, i, level), order, axes)) for i, level in enumerate(found.levels)
        )
        metadata = _metadata(tif, index) | _names_apart(tif)
        kind = _kind(tif, found, colors, metadata.pop("kind", None))
    spacing, units = distances if distances is not None else (None, None)
    return Image(
        levels=levels,
        axes=colors.axes,
        spacing=spacing,
        units=units,
        kind=kind,
        name=path.name.removesuffix(path.suffix).removesuffix(".ome"),
        path=path,
        channels=channels,
        rgb=colors.rgb,
        series=chosen,
        series_names=names,
        warnings=tuple(warnings),
        metadata=metadata,
    )


def _shown_series(path: Path, tif: tifffile.TiffFile, notes: list[str]) -> dict[int, tifffile.TiffPageSeries]:
    """The series that are images, by their number in the file.

    Raises
    ------
    ReadError
        Pages are missing, or there is no image.
    """
    # Looking at the series makes tifffile follow the chain of pages to its end.
    shown = {i: series for i, series in enumerate(tif.series) if not _is_hidden(tif, series)}
    if any(_BROKEN_CHAIN in note for note in notes):
        raise ReadError(f"{path} is cut short: pages are missing at its end, copy it again from its source.")
    if not shown:
        raise ReadError(f"{path} holds no image: it may be cut short, copy it again from its source.")
    return shown


def _kind(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, colors: ColorPlan, own: object) -> Kind:
    """The kind that we wrote into the file; slides are known by their scanner, or by colours and a pyramid or size."""
    written = next((kind for kind in KINDS if kind == own), None)
    page = series.keyframe
    large = page.is_tiled and page.imagewidth * page.imagelength >= _LEAST_SLIDE_PIXELS
    colored = colors.rgb and (len(series.levels) > 1 or large)
    scanned = tif.is_svs or tif.is_ndpi or tif.is_scn or tif.is_bif or tif.is_philips
    return written or ("slide" if scanned or colored else "image")


def _lazy(path: Path, source: _Source, index: int, level: tifffile.TiffPageSeries) -> LazyArray:
    page = level.keyframe
    chunks = (1,) * (len(level.shape) - len(page.chunks)) + tuple(page.chunks)
    chunks = chunks[-len(level.shape) :]
    return LazyArray(level.shape, level.dtype, partial(source.load, index), source=str(path), chunks=chunks)


def _is_hidden(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> bool:
    scanner = tif.is_svs or tif.is_ndpi or tif.is_scn or tif.is_bif or tif.is_philips or tif.is_qpi or tif.is_ome
    return bool(scanner and series.name.strip().lower() in _HIDDEN)


def _check_promise(path: Path, level: tifffile.TiffPageSeries) -> None:
    """Refuse, before anything is allocated, what the file cannot hold.

    Raises
    ------
    ReadError
        Pixels of an unknown type, pieces that are missing, beyond the file's end, or too large to decode.
    """
    page = level.keyframe
    shown = " × ".join(str(n) for n in level.shape)
    if level.dtype is None or np.dtype(level.dtype).kind not in "buif":
        raise ReadError(f"{path} stores numbers of a type that is no pixel: convert it to 8 or 16 bits.")
    if 0 in level.shape:
        raise ReadError(f"{path} holds an image without pixels ({shown}): it may be damaged.")
    size = path.stat().st_size
    for checked in {id(p): p for p in (page, level.pages[0], level.pages[-1]) if p is not None}.values():
        ends = [o + n for o, n in zip(checked.dataoffsets, checked.databytecounts, strict=False) if n]
        if ends and max(ends) > size:
            raise ReadError(f"{path} is cut short: it names pixels beyond its end, copy it again from its source.")
    if _is_plain(level):
        if (level.dataoffset or 0) + math.prod(level.shape) * level.dtype.itemsize > size:
            raise ReadError(f"{path} is cut short ({shown} pixels promised): copy it again from its source.")
        return
    if len(page.dataoffsets) < math.prod(page.chunked):
        raise ReadError(f"{path} promises {shown} pixels but lacks most of them: it is damaged, copy it again.")
    if math.prod(page.chunks) * level.dtype.itemsize > _LARGEST_PIECE_BYTES:
        raise ReadError(
            f"{path} stores {shown} pixels in pieces too large to read: convert it to a tiled TIFF or OME-Zarr."
        )


def _axes(path: Path, series: tifffile.TiffPageSeries) -> tuple[str, str]:
    """Our axes, colours last, and one letter per stored axis (``_`` and digits for those of length 1).

    Raises
    ------
    ReadError
        More axes than x, y, z, time and channel.
    """
    stored: list[str] = []
    for position, (letter, length) in enumerate(zip(series.axes, series.shape, strict=True)):
        if length == 1 and letter not in "YX":
            stored.append(str(position))
            continue
        ours = _SPATIAL.get(letter) or next((free for free in "zt" if free not in _taken(series, stored)), "?")
        stored.append(ours)
    kept = [axis for axis in stored if not axis.isdigit()]
    if "?" in kept or len(set(kept)) != len(kept) or not {"y", "x"} <= set(kept):
        raise ReadError(
            f"{path} has the axes {series.axes} ({' × '.join(map(str, series.shape))}), more than x, y, z, time and "
            "one channel axis: export the part you need."
        )
    if "S" in series.axes and "c" in kept:
        kept.remove("c")
        kept.append("c")
    return "".join(kept), "".join(stored)


def _taken(series: tifffile.TiffPageSeries, stored: list[str]) -> set[str]:
    named = {_SPATIAL[a] for a, n in zip(series.axes, series.shape, strict=True) if a in _SPATIAL and n > 1}
    return named | set(stored)


def _orientation_warning(series: tifffile.TiffPageSeries) -> list[str]:
    orientation = series.keyframe.tags.valueof("Orientation", 1)
    return [] if orientation in (0, 1) else ["Its orientation tag asks for a turn, which was not made."]


def _channel_names(
    tif: tifffile.TiffFile, index: int, series: tifffile.TiffPageSeries, colors: ColorPlan
) -> tuple[str, ...]:
    """One name per channel: the file's own where it has them."""
    if "c" not in colors.axes:
        return ()
    count = series.shape[series.axes.index("C")] if "C" in series.axes else colors.samples
    names: list[str] = []
    if tif.is_ome:
        names = OmeXml(tif.ome_metadata).channel_names(index)
    elif tif.is_imagej and tif.imagej_metadata:
        names = [str(label) for label in tif.imagej_metadata.get("Labels", ())]
    if len(names) != count or not all(names):
        names = [f"channel {i}" for i in range(count)]
    return tuple(names)


def _names_apart(tif: tifffile.TiffFile) -> dict[str, tuple[str, ...]]:
    names = tuple(series.name.strip().lower() for series in tif.series if _is_hidden(tif, series))
    return {APART: names} if names else {}


def read_apart(path: Path, name: str) -> Image:
    """The slide's label, macro or thumbnail picture, read as a whole.

    Raises
    ------
    ReadError
        It has no picture of that name.
    """
    with tifffile.TiffFile(path) as tif:
        hidden = {series.name.strip().lower(): series for series in tif.series if _is_hidden(tif, series)}
        found = hidden.get(name)
        return apart_image(path, name, None if found is None else found.asarray(), list(hidden))


def _metadata(tif: tifffile.TiffFile, index: int) -> dict[str, Any]:
    """Facts worth keeping; scanner descriptions as a whole may name patients and operators."""
    if tif.is_svs:
        power = tifffile.tifffile.svs_description_metadata(tif.pages.first.description).get("AppMag")
        return {OBJECTIVE: power} if isinstance(power, int | float) else {}
    if not tif.is_ome:
        return {}
    xml = OmeXml(tif.ome_metadata)
    power = xml.magnification(index)
    return dict(xml.own_facts()) | ({} if power is None else {OBJECTIVE: power})


FORMAT = Format(name="a TIFF file", recognises=_recognises, read=read_tiff, apart=read_apart)
