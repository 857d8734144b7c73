"""Slides of scanners whose formats OpenSlide knows: NDPI, SCN, BIF, MRXS, VMS, Sakura, Trestle and brightfield CZI.

OpenSlide is free software under the LGPL and a compiled library, so it is an extra of this package. OME-TIFF never
comes here: OpenSlide sees its finest level alone.
"""

from __future__ import annotations

import importlib
import math
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.slide.damage import note_damage, placeholder
from napari_medseg.io.slide.facts import APART, OBJECTIVE, RGB, apart_image
from napari_medseg.io.slide.regions import region_level
from napari_medseg.structures import Image

EXTRA = "slides"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CZI = b"ZISRAWFILE"
_SQLITE = b"SQLite format 3\0"
_INDEX_FILES = (b"[Virtual Microscope Specimen]", b"[Uncompressed Virtual Microscope Specimen]")
#: Trestle's scanner writes overlapping tiles, which only OpenSlide puts where they belong.
_TRESTLE = "MedScan"


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        return False
    if head.startswith(_TIFF):
        return _is_scanners_tiff(path)
    if head.startswith(_SQLITE):
        return path.suffix.lower() == ".svslide"
    # A MIRAX slide's own file is a small JPEG; the slide lies in the folder of the same name.
    is_mirax = path.suffix.lower() == ".mrxs" and (path.with_suffix("") / "Slidedat.ini").is_file()
    return is_mirax or head.startswith(_CZI) or any(mark in head for mark in _INDEX_FILES)


def _is_scanners_tiff(path: Path) -> bool:
    """TIFF files whose tiles overlap, or whose overview lies among the images.

    tifffile reads NDPI too, so it comes here only where OpenSlide is installed, which reads it faster.
    """
    try:
        with tifffile.TiffFile(path) as tif:
            if tif.is_ome:
                return False
            needed = tif.is_scn or tif.is_bif or str(tif.pages.first.software).startswith(_TRESTLE)
            return bool(needed or (tif.is_ndpi and _library() is not None))
    except Exception:
        # Damaged files are the TIFF reader's, which says what is wrong with them.
        return False


def _library() -> ModuleType | None:
    try:
        return importlib.import_module("openslide")
    except (ImportError, OSError):
        # OSError: the Python part is there, the compiled library is not.
        return None


class OpenSlideReader:
    """Opens the slide when it is first read, and anew in another process; OpenSlide itself is safe to share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._process = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenSlideReader, (self.path,)

    @property
    def slide(self) -> Any:
        """The open slide.

        Raises
        ------
        ReadError
            OpenSlide is not installed, or cannot open the file.
        """
        with self._lock:
            if self._process != os.getpid():
                self._slide, self._process = _opened(self.path), os.getpid()
                properties = self._slide.properties
                self._background = _color(properties.get("openslide.background-color", ""))
            return self._slide

    def read(self, level: int, top: int, left: int, height: int, width: int) -> npt.NDArray[Any]:
        """Colours of a region, in pixels of its level; what was not scanned has the slide's background colour."""
        slide = self.slide
        # OpenSlide wants the corner in pixels of the finest level.
        factor = slide.level_downsamples[level]
        corner = (round(left * factor), round(top * factor))
        region = self._region(slide, corner, level, (width, height))
        if region is None:
            note_damage(self.path, (level, top, left))
            return placeholder(height, width)
        return _on_background(region, self._background)

    def _region(
        self, slide: Any, corner: tuple[int, int], level: int, size: tuple[int, int]
    ) -> npt.NDArray[Any] | None:
        """A region in colours with transparency; None where the file is damaged there."""
        error: type[Exception] = importlib.import_module("openslide").OpenSlideError
        try:
            return np.asarray(slide.read_region(corner, level, size))
        except error:
            # After one error a slide refuses everything, whoever asks: that error may be another thread's.
            with self._lock:
                if slide is self._slide:
                    self._process = 0
        try:
            with _opened(self.path) as alone:
                return np.asarray(alone.read_region(corner, level, size))
        except error:
            return None


def _opened(path: Path) -> Any:
    library = _library()
    if library is None:
        raise ReadError(
            f"{path} is a scanner's own file that needs the optional package OpenSlide: run "
            f"'pip install \"napari-medseg[{EXTRA}]\"' and try again, or export it as OME-TIFF."
        )
    try:
        return library.OpenSlide(path)
    except Exception as error:
        # Its words may quote the header, but their type tells a foreign variant from a damaged file.
        known = isinstance(error, library.OpenSlideUnsupportedFormatError)
        reason = "a variant that OpenSlide does not know" if known else "damaged, or a file beside it is missing"
        raise ReadError(f"{path} is {reason}: copy it again from its source, or export it as OME-TIFF.") from None


def read_openslide(path: Path, series: int | None) -> Image:
    """Read a slide lazily through OpenSlide.

    Returns
    -------
    image of axes ``"yxc"``, in colours, with the file's levels; label and overview are left out, and named in
    ``metadata["apart"]``.

    Raises
    ------
    ReadError
        OpenSlide is not installed, or cannot read the file.
    """
    choose_series(path, series, ("",))
    reader = OpenSlideReader(path)
    slide = reader.slide
    properties = slide.properties
    levels = []
    for number, (width, height) in enumerate(slide.level_dimensions):
        tile = properties.get(f"openslide.level[{number}].tile-width", "0")
        levels.append(region_level(reader, number, (height, width), int(tile), source=str(path)))
    spacing = _spacing(properties)
    power = _number(properties.get("openslide.objective-power"))
    return Image(
        levels=tuple(levels),
        axes="yxc",
        spacing=spacing,
        units=None if spacing is None else ("micrometer", "micrometer"),
        kind="slide",
        name=path.stem,
        path=path,
        channels=RGB,
        rgb=True,
        metadata={APART: tuple(slide.associated_images)} | ({} if power is None else {OBJECTIVE: power}),
    )


def read_apart(path: Path, name: str) -> Image:
    """The slide's label, overview or thumbnail.

    Raises
    ------
    ReadError
        It has no picture of that name.
    """
    slide = _opened(path)
    try:
        picture = slide.associated_images.get(name)
        return apart_image(path, name, None if picture is None else np.asarray(picture), list(slide.associated_images))
    except MedsegError:
        raise
    except Exception:
        raise ReadError(f"{path} holds a picture '{name}' that cannot be read: it may be damaged.") from None
    finally:
        slide.close()


def _spacing(properties: Any) -> tuple[float, float] | None:
    y, x = (_number(properties.get(f"openslide.mpp-{axis}")) for axis in "yx")
    return None if y is None or x is None else (y, x)


def _number(text: object) -> float | None:
    """A finite number above zero, or None."""
    try:
        number = float(str(text))
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


def _color(text: str) -> tuple[int, int, int]:
    """Red, green, blue of ``RRGGBB``; white where the file names no colour."""
    return tuple(bytes.fromhex(text))[:3] if len(text) == 6 else (255, 255, 255)  # type: ignore[return-value]  # 3 bytes


def _on_background(pixels: npt.NDArray[Any], background: tuple[int, int, int]) -> npt.NDArray[Any]:
    """Red, green, blue of pixels (y, x, rgba) that were laid on a colour."""
    alpha = pixels[..., 3:]
    if (alpha == 255).all():
        return np.ascontiguousarray(pixels[..., :3])
    share = alpha.astype(np.uint16)
    mixed = (pixels[..., :3] * share + np.array(background, np.uint16) * (255 - share) + 127) // 255
    return mixed.astype(np.uint8)


FORMAT = Format(name="a scanner's slide", recognises=_recognises, read=read_openslide, is_lazy=True, apart=read_apart)
"""Read after formats of their own (DICOM) and before TIFF, which would take the TIFF files among these."""
