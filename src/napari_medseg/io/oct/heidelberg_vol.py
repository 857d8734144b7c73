"""Heidelberg Engineering's ``.vol``: a fixed header, the fundus picture, then B-scans, each behind its surfaces.

Layout after the maker's description of HSF-OCT-1xx: 2048 bytes of header, of which only the 104 bytes before the names
and dates are read; ``size_x_slo * size_y_slo`` bytes of picture; per B-scan 256 bytes, float32 surfaces from byte
``seg_offset`` and float32 reflectance behind ``bscan_hdr_size`` bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.oct.heidelberg import PATTERNS, laterality_of, named_layers
from napari_medseg.io.oct.scan import MILLIMETER, check_size, grey_of_reflectance, oct_image
from napari_medseg.structures import Image, OctScan

#: The maker's files, and those written by eyepy.
_MAGICS = (b"HSF-OCT", b"ep-v")
_HEADER_BYTES = 2048
_HEADER = np.dtype(
    [
        ("version", "S12"),
        ("size_x", "<u4"),
        ("n_bscans", "<u4"),
        ("size_y", "<u4"),
        ("scale_x", "<f8"),
        ("distance", "<f8"),
        ("scale_y", "<f8"),
        ("size_x_slo", "<u4"),
        ("size_y_slo", "<u4"),
        ("scale_x_slo", "<f8"),
        ("scale_y_slo", "<f8"),
        ("field_size_slo", "<u4"),
        ("scan_focus", "<f8"),
        ("scan_position", "S4"),
        ("exam_time", "V8"),
        ("scan_pattern", "<i4"),
    ]
)
_BSCAN_HEADER_BYTES = 256
_BSCAN_HEADER = np.dtype(
    [
        ("version", "S12"),
        ("header_bytes", "<u4"),
        ("start_x", "<f8"),
        ("start_y", "<f8"),
        ("end_x", "<f8"),
        ("end_y", "<f8"),
        ("num_seg", "<u4"),
        ("seg_offset", "<u4"),
    ]
)
#: More surfaces than any version of the format has slots for.
_MOST_SURFACES = 64
#: Values above this are no reflectance: some programs write grey values 0..255 into the same place.
_HIGHEST_REFLECTANCE = 16.0


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGICS)


@dataclass(frozen=True, slots=True)
class _Bscans:
    """Reads the B-scans that a block touches; `offsets` are where their pixels begin."""

    path: Path
    offsets: tuple[int, ...]
    size: tuple[int, int]
    is_reflectance: bool

    def __call__(self, block: Block) -> npt.NDArray[np.uint8]:
        return np.stack([self.one(offset)[block[1:]] for offset in self.offsets[block[0]]])

    def one(self, offset: int) -> npt.NDArray[np.uint8]:
        """Grey values (y, x) of one B-scan."""
        values = _values(self.path, offset, self.size)
        if self.is_reflectance:
            return grey_of_reflectance(values)
        with np.errstate(invalid="ignore"):
            return np.where((values >= 0) & (values <= 255), values, 0).astype(np.uint8)


def _values(path: Path, offset: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    return np.fromfile(path, "<f4", count=size[0] * size[1], offset=offset).reshape(size)


def read_vol(path: Path, series: int | None) -> Image:
    """Read a ``.vol``.

    Parameters
    ----------
    path
        The file.
    series
        0 or None: a file holds one scan.

    Returns
    -------
    image of axes ``"zyx"`` or ``"yx"``, uint8: the fourth root of the reflectance (`grey_of_reflectance`)

    Raises
    ------
    ReadError
        The file is cut short or its header makes no sense.
    """
    choose_series(path, series, ("",))
    total = path.stat().st_size
    with path.open("rb") as file:
        header = _record(path, file, _HEADER)
        size = (int(header["size_y"]), int(header["size_x"]))
        slo_size = (int(header["size_y_slo"]), int(header["size_x_slo"]))
        check_size(path, int(header["n_bscans"]), *size)
        start = _HEADER_BYTES + slo_size[0] * slo_size[1]
        places = _walk(path, file, start, total, int(header["n_bscans"]), size)
    offsets = tuple(offset for _, offset in places)
    first = _values(path, offsets[0], size)
    is_reflectance = not np.any((first > _HIGHEST_REFLECTANCE) & (first < np.finfo(np.float32).max))
    bscans = _Bscans(path, offsets, size, is_reflectance)
    pattern = PATTERNS.get(int(header["scan_pattern"]), "")
    pixels = LazyArray((len(offsets), *size), np.uint8, bscans, source=str(path), chunks=(1, *size))
    scan = OctScan(
        laterality=laterality_of(bytes(header["scan_position"]).decode("ascii", "replace")),
        pattern=pattern,
        device="Heidelberg Spectralis" if header["version"].startswith(b"HSF") else "",
        surfaces=named_layers(_layers(path, places, size[1])),
        localizer=_localizer(path, header, slo_size),
        positions=_positions([b for b, _ in places], header),
    )
    step = (_between(pattern, header), float(header["scale_y"]), float(header["scale_x"]))
    return oct_image(path, pixels, scan, step=step)


def _between(pattern: Literal["", "line", "raster", "star", "circle", "repeat"], header: np.void) -> float | None:
    """The distance between B-scans; those of a star or circle have none."""
    return None if pattern in ("star", "circle") else float(header["distance"])


def _record(path: Path, file: BinaryIO, dtype: np.dtype[Any]) -> np.void:
    raw = file.read(dtype.itemsize)
    if len(raw) < dtype.itemsize:
        raise ReadError(f"{path} is cut short: its header is not complete, copy it again from its source.")
    record: np.void = np.frombuffer(raw, dtype)[0]
    return record


def _walk(
    path: Path, file: BinaryIO, start: int, total: int, count: int, size: tuple[int, int]
) -> list[tuple[np.void, int]]:
    """Header of each B-scan and where its pixels begin.

    Raises
    ------
    ReadError
        One of them reaches beyond the end of the file.
    """
    places = []
    for number in range(count):
        header = None
        if start + _BSCAN_HEADER_BYTES <= total:
            file.seek(start)
            header = _record(path, file, _BSCAN_HEADER)
        offset = start + (int(header["header_bytes"]) if header is not None else 0)
        end = offset + 4 * size[0] * size[1]
        if header is None or end > total:
            raise ReadError(
                f"{path} is cut short: B-scan {number + 1} of {count} reaches beyond its end, copy it again from its "
                "source."
            )
        places.append((header, offset))
        start = end
    return places


def _layers(path: Path, places: Sequence[tuple[np.void, int]], width: int) -> npt.NDArray[np.float32]:
    """Surfaces as stored, float32 (surface, bscan, x); NaN where a B-scan has fewer of them."""
    count = min(max(int(header["num_seg"]) for header, _ in places), _MOST_SURFACES)
    layers = np.full((count, len(places), width), np.nan, np.float32)
    for index, (header, offset) in enumerate(places):
        begin = offset - int(header["header_bytes"]) + int(header["seg_offset"])
        # A header may promise more surfaces than lie before its pixels.
        here = min(int(header["num_seg"]), count, max(offset - begin, 0) // (4 * width))
        if here:
            layers[:here, index] = _values(path, begin, (here, width))
    return layers


def _localizer(path: Path, header: np.void, size: tuple[int, int]) -> Image | None:
    if 0 in size:
        return None
    pixels = np.fromfile(path, np.uint8, count=size[0] * size[1], offset=_HEADER_BYTES).reshape(size)
    spacing = (float(header["scale_y_slo"]), float(header["scale_x_slo"]))
    known = all(np.isfinite(step) and step > 0 for step in spacing)
    return Image(
        levels=(pixels,),
        axes="yx",
        spacing=spacing if known else None,
        units=(MILLIMETER, MILLIMETER) if known else None,
        name="localizer",
    )


def _positions(bscans: Sequence[np.void], header: np.void) -> npt.NDArray[np.float64] | None:
    """Start and end (for a circle, its centre) of each B-scan as (y, x) in pixels of the fundus picture."""
    scale = np.array([header["scale_y_slo"], header["scale_x_slo"]], np.float64)
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    points = np.array([[[b["start_y"], b["start_x"]], [b["end_y"], b["end_x"]]] for b in bscans], np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        found = points / scale
    return found if np.isfinite(found).all() else None


FORMAT = Format(name="a Heidelberg .vol file", recognises=_recognises, read=read_vol)
