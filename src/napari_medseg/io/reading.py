"""`read`: one function for every image, whatever the file is called."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_medseg.errors import InputNotFoundError, MedsegError, ReadError
from napari_medseg.io import folder, ome_zarr, raster, tiff
from napari_medseg.io.address import address_of
from napari_medseg.io.format import HEAD_BYTES, Format
from napari_medseg.io.lazy import first_line
from napari_medseg.io.oct import dicom, duke_mat, heidelberg_e2e, heidelberg_vol, heidelberg_xml, vendors
from napari_medseg.io.oct.normalizing import as_oct
from napari_medseg.io.plausibility import implausible_spacing
from napari_medseg.io.slide import dicom as dicom_slide
from napari_medseg.io.slide import openslide, remote_zarr
from napari_medseg.io.slide.facts import APART, OBJECTIVE
from napari_medseg.io.ultrasound import dicom as dicom_ultrasound
from napari_medseg.io.ultrasound import video
from napari_medseg.io.ultrasound.cine import as_ultrasound
from napari_medseg.io.volume import dicom as dicom_series
from napari_medseg.io.volume import nifti, nrrd
from napari_medseg.structures import KINDS, Image, Kind, OctScan, UltrasoundScan

#: What can be read, most specific first; the first format that recognises the content reads it.
FORMATS: tuple[Format, ...] = (
    ome_zarr.FORMAT,
    heidelberg_vol.FORMAT,
    heidelberg_xml.FORMAT,
    heidelberg_e2e.FORMAT,
    # DICOM files may begin as TIFF files do.
    dicom.FORMAT,
    dicom_ultrasound.FORMAT,
    dicom_slide.FORMAT,
    dicom_series.FORMAT,
    nifti.FORMAT,
    nrrd.FORMAT,
    duke_mat.FORMAT,
    *vendors.FORMATS,
    openslide.FORMAT,
    tiff.FORMAT,
    raster.FORMAT,
    video.FORMAT,
    folder.FORMAT,
)

#: What a kind expects of every image of it, whatever format it came in.
_NORMALIZERS = {"oct": as_oct, "ultrasound": as_ultrasound}

#: Images that are no slides and have no pyramid are loaded at once up to this size, which also proves the file whole.
EAGER_BYTES = 64 * 2**20
_SAMPLE_PIXELS = 512


def read(path: str | os.PathLike[str], *, kind: Kind | None = None, series: int | None = None) -> Image:
    """Read an image.

    Parameters
    ----------
    path
        A file (PNG, JPEG, BMP, TIFF, OME-TIFF, SVS, DICOM, NIfTI, NRRD, an OCT scanner's) or folder (OME-Zarr, DICOM
        series, a Heidelberg XML export, or images of one size that become a stack). One file of a DICOM series stands
        for all of it. Or the address of an OME-Zarr folder: ``https://...``, ``s3://...``.
    kind
        What sort of image it is, where the file does not tell. As ``"oct"``, grey pictures stored as colours become
        grey and spacing is in millimetres.
    series
        Which of the file's images, from 0; None for the main one.

    Returns
    -------
    image whose pixels are loaded piece by piece when asked for; small ones are loaded already.

    Raises
    ------
    InputNotFoundError
        There is no such file or folder.
    ReadError
        It cannot be read; the sentence says why and what to do.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import tifffile
    >>> path = Path(tempfile.mkdtemp()) / "cells.tif"
    >>> size = {"axes": "YX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    >>> tifffile.imwrite(path, np.zeros((20, 30), np.uint8), ome=True, metadata=size)
    >>> image = read(path)
    >>> image.axes, image.shape, image.spacing, image.units[0]
    ('yx', (20, 30), (0.5, 0.5), 'micrometer')
    """
    if kind is not None and kind not in KINDS:
        raise ReadError(f"There is no kind of image '{kind}': choose one of {', '.join(KINDS)}.")
    place = Path(path)
    found = recognise(place)
    try:
        image = found.read(place, series)
        image = image if found.is_lazy else _loaded(image)
        image = replace(image, kind=kind or image.kind)
        image = _NORMALIZERS[image.kind](image) if image.kind in _NORMALIZERS else image
        warnings = (*image.warnings, *_faults_of_values(image), *implausible_spacing(image).values())
    except MedsegError:
        raise
    except Exception as error:
        # Parsers of damaged files raise whatever they like, MemoryError and RecursionError included.
        raise ReadError(
            f"{place} looks like {found.name} but cannot be read ({first_line(error)}): "
            "it may be damaged or cut short, copy it again from its source."
        ) from error
    return replace(image, warnings=warnings)


def read_apart(path: str | os.PathLike[str], name: str) -> Image:
    """Read a picture that a file keeps apart from its images: a slide's label, macro or thumbnail.

    Labels often show a patient's name; nothing of this package reads them unless a person asks.

    Parameters
    ----------
    name
        One of ``Image.metadata["apart"]``.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ReadError
        It keeps no such picture.
    """
    place = Path(path)
    found = recognise(place)
    if found.apart is None:
        raise ReadError(f"{place} is {found.name}, which keeps no pictures apart.")
    return found.apart(place, name)


def recognise(path: Path) -> Format:
    """The format that a file or folder has, by content.

    Raises
    ------
    InputNotFoundError, ReadError
        It does not exist, may not be read, is empty, or is of no known format.
    """
    if address_of(path) is not None:
        return remote_zarr.FORMAT
    head = _head(path)
    found = next((candidate for candidate in FORMATS if candidate.recognises(path, head)), None)
    if found is None:
        raise ReadError(
            f"{path} is not an image that can be read, whatever its name says: open a PNG, JPEG, BMP, TIFF, SVS, "
            "OME-Zarr, DICOM, NIfTI, NRRD or an OCT scanner's file, or a folder of such images."
        )
    return found


def _head(path: Path) -> bytes:
    try:
        if path.is_dir():
            os.listdir(path)
            return b""
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} does not exist: check the path.") from None
    except PermissionError:
        raise ReadError(f"{path} may not be read: ask its owner for permission.") from None
    except (OSError, ValueError) as error:
        raise ReadError(f"{path} cannot be opened ({first_line(error)}): check the path.") from error
    if not head:
        raise ReadError(f"{path} is empty (0 bytes): copy it again from its source.")
    return head


def _loaded(image: Image) -> Image:
    pixels = image.data
    size = math.prod(image.shape) * image.dtype.itemsize
    if len(image.levels) > 1 or image.kind == "slide" or size > EAGER_BYTES:
        return image
    return replace(image, levels=(np.asarray(pixels[...]),))


def _faults_of_values(image: Image) -> tuple[str, ...]:
    """Sentences about values that are no numbers, judged by the middle of the coarsest level."""
    if image.dtype.kind != "f":
        return ()
    pixels = image.levels[-1]
    middle = tuple(slice(max(n // 2 - _SAMPLE_PIXELS, 0), n // 2 + _SAMPLE_PIXELS) for n in pixels.shape)
    sample = np.asarray(pixels if isinstance(pixels, np.ndarray) else pixels[middle])
    bad = int(np.size(sample) - np.count_nonzero(np.isfinite(sample)))
    return (f"{bad} of its values are not numbers (NaN or infinite).",) if bad else ()


def describe(path: str | os.PathLike[str], *, kind: Kind | None = None, series: int | None = None) -> dict[str, Any]:
    """What `read` sees, as a JSON document.

    Returns
    -------
    ``path, kind, axes, shape, dtype, channels, spacing`` (list or null), ``units`` (list or null), ``levels`` (the
    shape of each), ``series`` (the name of each), ``warnings``; for files of OCT scanners also ``laterality, pattern,
    device, surfaces`` (names of the device's own) and ``localizer`` (its shape or null); for ultrasound ``device,
    regions`` (the file's own, as ``[[y0, y1], [x0, x1]]``), ``frame_ms`` (or null) and ``color_doppler``; for slides
    ``magnification`` (of the objective, or null) and ``apart`` (names of the label, macro, ..., which are not read).

    Raises
    ------
    InputNotFoundError, ReadError
        As `read`.
    """
    image = read(path, kind=kind, series=series)
    document = {
        "path": str(path),
        "kind": image.kind,
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "channels": list(image.channels),
        "spacing": None if image.spacing is None else list(image.spacing),
        "units": None if image.units is None else list(image.units),
        "levels": [list(level.shape) for level in image.levels],
        "series": list(image.series_names),
        "warnings": list(image.warnings),
    }
    document |= _slide_facts(image) if image.kind == "slide" else {}
    document |= {} if image.oct is None else _scan_facts(image.oct)
    return document | ({} if image.ultrasound is None else _ultrasound_facts(image.ultrasound))


def _slide_facts(image: Image) -> dict[str, Any]:
    return {"magnification": image.metadata.get(OBJECTIVE), "apart": list(image.metadata.get(APART, ()))}


def _scan_facts(scan: OctScan) -> dict[str, Any]:
    return {
        "laterality": scan.laterality,
        "pattern": scan.pattern,
        "device": scan.device,
        "surfaces": list(scan.surfaces),
        "localizer": None if scan.localizer is None else list(scan.localizer.shape),
    }


def _ultrasound_facts(scan: UltrasoundScan) -> dict[str, Any]:
    return {
        "device": scan.device,
        "regions": [[list(span) for span in box] for box in scan.regions],
        "frame_ms": scan.frame_ms,
        "color_doppler": scan.color_doppler,
    }


def image_files(path: Path) -> list[Path]:
    """The images in a folder, in natural order ("2" before "10"); a folder that is one image itself is the only one.

    Folders inside count where they are images themselves: OME-Zarr, a DICOM series, a Heidelberg XML export. Pictures
    of an export belong to it; where several exports share a folder, each ``.xml`` is an image. So it is with DICOM
    slices: the folder of a series is one image, and of several series in a folder one file each stands for all.

    Raises
    ------
    InputNotFoundError, ReadError
        The folder does not exist, or holds no image.
    """
    if ome_zarr.FORMAT.recognises(path, b""):
        return [path]
    # Whether a folder may be read at all is said, where it may not, by what follows.
    exports = heidelberg_xml.exports_in(path) if path.is_dir() and os.access(path, os.R_OK | os.X_OK) else []
    if exports:
        return [path] if len(exports) == 1 else exports
    found = folder.image_files(path, FORMATS)
    # A folder that holds the folder of one series keeps its name for it.
    is_series = len(found) == 1 and not found[0].is_dir() and dicom_series.FORMAT.recognises(path, b"")
    return [path] if is_series else found
