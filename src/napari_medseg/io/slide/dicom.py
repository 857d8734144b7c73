"""DICOM whole-slide images: one series of files, a level or more in each, through the package wsidicom.

Only sizes, spacing and the objective's power are read from the headers; those of patient, study and dates stay there.
"""

from __future__ import annotations

import importlib
import os
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import HEAD_BYTES, Format, choose_series
from napari_medseg.io.oct.dicom import is_dicom, quiet, sop_class_of
from napari_medseg.io.slide.facts import APART, OBJECTIVE, RGB, apart_image
from napari_medseg.io.slide.regions import region_level
from napari_medseg.io.volume.dicom import dicom_files
from napari_medseg.structures import Image

EXTRA = "dicom-slides"
#: VL Whole Slide Microscopy Image Storage.
SLIDE_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.6"
_APART = {"label": "labels", "overview": "overviews"}


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        first = next(dicom_files(path), None)
        return first is not None and sop_class_of(first) == SLIDE_CLASS
    return is_dicom(head) and sop_class_of(path) == SLIDE_CLASS


def _library(path: Path) -> ModuleType:
    try:
        return importlib.import_module("wsidicom")
    except ImportError:
        raise ReadError(
            f"{path} is a DICOM slide that needs the optional package wsidicom: run "
            f"'pip install \"napari-medseg[{EXTRA}]\"' and try again."
        ) from None


def _files_by_series(path: Path) -> dict[str, list[Path]]:
    """The slide files of a folder, or those beside a file that belong to its series."""
    from pydicom import dcmread

    candidates = list(dicom_files(path)) if path.is_dir() else [path, *_beside(path)]
    found: dict[str, list[Path]] = {}
    for file in candidates:
        try:
            with quiet():
                header = dcmread(file, specific_tags=["SOPClassUID", "SeriesInstanceUID"], stop_before_pixels=True)
        except Exception:
            # Parsers of damaged files raise whatever they like; what is missing then, wsidicom says.
            continue
        if header.get("SOPClassUID") == SLIDE_CLASS:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(file)
    return found if path.is_dir() else dict(list(found.items())[:1])


def _beside(path: Path) -> list[Path]:
    files = (file for file in sorted(path.parent.iterdir()) if file != path and file.is_file())
    return [file for file in files if is_dicom(_head(file))]


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""


class DicomSlideReader:
    """Opens the files when they are first read, and anew in another process; one region is read at a time."""

    def __init__(self, path: Path, files: tuple[Path, ...]) -> None:
        self._path, self._files = path, files
        self._process = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return DicomSlideReader, (self._path, self._files)

    def opened(self) -> Any:
        """The open slide; to be used under this reader's lock."""
        if self._process != os.getpid():
            library = _library(self._path)
            try:
                with quiet():
                    self._slide = library.WsiDicom.open(self._files)
            except Exception:
                # Its words may quote the header.
                raise ReadError(
                    f"{self._path} is a DICOM slide that cannot be read: files of its series are missing or damaged, "
                    "copy the whole folder again."
                ) from None
            self._process = os.getpid()
        return self._slide

    def read(self, level: int, top: int, left: int, height: int, width: int) -> npt.NDArray[Any]:
        """Colours of a region, in pixels of its level."""
        with self._lock, quiet():
            region = np.asarray(self.opened().read_region((left, top), level, (width, height), as_array=True))
        return region if region.ndim == 3 else np.repeat(region[..., np.newaxis], 3, axis=2)

    def apart(self, name: str) -> npt.NDArray[Any] | None:
        """The label or overview picture; None where there is none."""
        with self._lock, quiet():
            slide = self.opened()
            if name not in _APART or not getattr(slide, _APART[name]):
                return None
            return np.asarray(slide.read_label() if name == "label" else slide.read_overview())


def read_dicom_slide(path: Path, series: int | None) -> Image:
    """Read a DICOM slide lazily.

    Parameters
    ----------
    path
        A folder with slides, or one file, which stands for all of its series in the same folder.
    series
        Which slide of a folder, None for the first.

    Returns
    -------
    image of axes ``"yxc"``, in colours, with the series' levels; label and overview are left out.

    Raises
    ------
    ReadError
        wsidicom is not installed, files are missing, or the slide is not in colours of 8 bits.
    """
    found = list(_files_by_series(path).values())
    chosen = choose_series(path, series, tuple(str(i) for i in range(len(found))))
    reader = DicomSlideReader(path, tuple(found[chosen]))
    slide = reader.opened()
    levels = [
        region_level(
            reader, level.level, (level.size.height, level.size.width), level.tile_size.width, source=str(path)
        )
        for level in slide.levels
    ]
    mpp = slide.levels.base_level.mpp
    spacing = None if mpp is None else (float(mpp.height), float(mpp.width))
    apart = tuple(name for name, attribute in _APART.items() if getattr(slide, attribute))
    power = _objective_power(found[chosen][0])
    return Image(
        levels=tuple(levels),
        axes="yxc",
        spacing=spacing,
        units=None if spacing is None else ("micrometer", "micrometer"),
        kind="slide",
        name=path.name.removesuffix(path.suffix) if path.is_file() else path.name,
        path=path,
        channels=RGB,
        rgb=True,
        series=chosen,
        series_names=tuple(f"slide {i + 1}: {len(files)} files" for i, files in enumerate(found)),
        metadata={APART: apart} | ({} if power is None else {OBJECTIVE: power}),
    )


def _objective_power(file: Path) -> float | None:
    from pydicom import dcmread

    with quiet():
        paths = dcmread(file, specific_tags=["OpticalPathSequence"], stop_before_pixels=True)
        first = next(iter(paths.get("OpticalPathSequence") or ()), None)
        power = None if first is None else first.get("ObjectiveLensPower")
    return None if power is None else float(power)


def read_apart(path: Path, name: str) -> Image:
    """The slide's label or overview picture; raises `ReadError` where there is none."""
    found = list(_files_by_series(path).values())
    reader = DicomSlideReader(path, tuple(found[0]))
    there = [known for known in _APART if reader.apart(known) is not None]
    return apart_image(path, name, reader.apart(name), there)


FORMAT = Format(name="a DICOM slide", recognises=_recognises, read=read_dicom_slide, is_lazy=True, apart=read_apart)
