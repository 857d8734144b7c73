"""`write_image`: any image to OME-Zarr or TIFF, ultrasound to DICOM too."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from napari_medseg.errors import WriteError
from napari_medseg.io.halving import halved_by_mean
from napari_medseg.io.ome_tiff import write_ome_tiff
from napari_medseg.io.pyramid import write_pyramid
from napari_medseg.io.slide.facts import OBJECTIVE
from napari_medseg.io.ultrasound.writer import ENDING, write_ultrasound
from napari_medseg.structures import Image, Progress

_RGB_COLORS = ("FF0000", "00FF00", "0000FF")
#: Counts up whenever the files of a pyramid would come out differently.
_LAYOUT = 1
_TIFF_ENDINGS = (".tif", ".tiff")


def is_zarr_name(path: Path, *, endings: str = ".zarr or .tif") -> bool:
    """Whether a name asks for OME-Zarr (``.zarr``) rather than TIFF (``.tif``, ``.tiff``).

    Parameters
    ----------
    path
        Name of a file to write.
    endings
        What the sentence on another ending offers.

    Raises
    ------
    WriteError
        The name ends differently.
    """
    ending = path.suffix.lower()
    if ending == ".zarr":
        return True
    if ending in _TIFF_ENDINGS:
        return False
    raise WriteError(f"{path.name} says no format that can be written: let the name end in {endings}.")


def write_image(
    path: str | os.PathLike[str], image: Image, *, progress: Progress | None = None, resumable: bool = False
) -> Path:
    """Write an image, piece by piece when it is large.

    Parameters
    ----------
    path
        ``name.zarr``: OME-Zarr 0.5 with levels each half the size of the one before (mean of four pixels);
        ``name.tif``: OME-TIFF with one level; ``name.dcm``: ultrasound as DICOM, without personal data.
    image
        What to write; its spacing, units and channel names are kept.
    progress
        Called with (pieces done, pieces, text) while a large image is written; raises `Cancelled` to stop.
    resumable
        Whether an OME-Zarr that was not finished stays beside `path` (``.name.zarr.unfinished``), so that the next call
        for the same file goes on from there.

    Returns
    -------
    the path.

    Raises
    ------
    WriteError
        The name says no format, the disk is full or read-only; what was at `path` is then as it was.
    ReadError
        The image's pixels cannot be read.
    """
    place = Path(path)
    if place.suffix.lower() == ENDING:
        return write_ultrasound(place, image, progress=progress)
    known: dict[str, Any] = {"axes": image.axes, "spacing": image.spacing, "units": image.units, "name": image.name}
    if is_zarr_name(place):
        facts = {"kind": image.kind} | ({OBJECTIVE: power} if (power := image.metadata.get(OBJECTIVE)) else {})
        write_pyramid(
            place,
            image.data,
            halve=halved_by_mean,
            attributes=_omero(image),
            own_facts=facts,
            progress=progress,
            identity=_identity(image) if resumable else None,
            **known,
        )
    else:
        facts = {"kind": image.kind}
        write_ome_tiff(
            place, image.data, rgb=image.rgb, channels=image.channels, facts=facts, progress=progress, **known
        )
    return place


def _identity(image: Image) -> str:
    """What an image is and how it is written, so that work that was begun for another file is not taken over."""
    source = None
    if image.path is not None:
        state = image.path.stat()
        source = [str(image.path.resolve()), state.st_size, state.st_mtime_ns]
    described = {"shape": image.shape, "axes": image.axes, "dtype": str(image.dtype), "series": image.series}
    return json.dumps({"layout": _LAYOUT, "source": source, "kind": image.kind, **described})


def _omero(image: Image) -> dict[str, Any]:
    """Names of channels, and the colours by which red, green and blue are known again."""
    if not image.channels:
        return {}
    colors = _RGB_COLORS if image.rgb else ("FFFFFF",) * len(image.channels)
    channels = [
        {"label": name, "color": color, "active": True} for name, color in zip(image.channels, colors, strict=True)
    ]
    return {"omero": {"channels": channels}}
