"""`write_image`: any image to OME-Zarr or TIFF."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from napari_medseg.errors import WriteError
from napari_medseg.io.halving import halved_by_mean
from napari_medseg.io.ome_tiff import write_ome_tiff
from napari_medseg.io.pyramid import write_pyramid
from napari_medseg.structures import Image

_RGB_COLORS = ("FF0000", "00FF00", "0000FF")
_TIFF_ENDINGS = (".tif", ".tiff")


def is_zarr_name(path: Path) -> bool:
    """Whether a name asks for OME-Zarr (``.zarr``) rather than TIFF (``.tif``, ``.tiff``).

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
    raise WriteError(f"{path.name} says no format that can be written: let the name end in .zarr or .tif.")


def write_image(path: str | os.PathLike[str], image: Image) -> Path:
    """Write an image, piece by piece when it is large.

    Parameters
    ----------
    path
        ``name.zarr``: OME-Zarr 0.5 with levels each half the size of the one before (mean of four pixels);
        ``name.tif``: OME-TIFF with one level.
    image
        What to write; its spacing, units and channel names are kept.

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
    known: dict[str, Any] = {"axes": image.axes, "spacing": image.spacing, "units": image.units, "name": image.name}
    if is_zarr_name(place):
        write_pyramid(place, image.data, halve=halved_by_mean, attributes=_omero(image), kind=image.kind, **known)
    else:
        write_ome_tiff(place, image.data, rgb=image.rgb, channels=image.channels, facts={"kind": image.kind}, **known)
    return place


def _omero(image: Image) -> dict[str, Any]:
    """Names of channels, and the colours by which red, green and blue are known again."""
    if not image.channels:
        return {}
    colors = _RGB_COLORS if image.rgb else ("FFFFFF",) * len(image.channels)
    channels = [
        {"label": name, "color": color, "active": True} for name, color in zip(image.channels, colors, strict=True)
    ]
    return {"omero": {"channels": channels}}
