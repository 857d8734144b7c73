"""Label images: read from whatever people have, written as TIFF or OME-Zarr with their classes."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import MedsegError, ReadError, WriteError
from napari_medseg.io import ome_zarr, raster, tiff
from napari_medseg.io.halving import halved_by_choice
from napari_medseg.io.lazy import LazyArray, first_line
from napari_medseg.io.oct.dicom import sop_class_of
from napari_medseg.io.ome_tiff import write_ome_tiff
from napari_medseg.io.pyramid import write_pyramid
from napari_medseg.io.reading import EAGER_BYTES, recognise
from napari_medseg.io.volume import dicom, nifti, nrrd
from napari_medseg.io.volume.dicom_seg import SEG_CLASSES, read_seg
from napari_medseg.io.volume.nifti_writer import is_nifti_name, write_nifti
from napari_medseg.io.writing import is_zarr_name
from napari_medseg.structures import ArrayLike, Image, MaskClass

#: Keys of what OME-TIFF has no word for.
_CLASSES_KEY = "classes"
_SOURCE_KEY = "source"
_VOLUMES = {one.name: one for one in (nifti.FORMAT, nrrd.FORMAT)}
_AXES = {2: "yx", 3: "zyx", 4: "tzyx"}


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelImage:
    """Labels as a file holds them.

    Parameters
    ----------
    labels
        Integer array of axes `axes`, in the file's own type; lazy when it is large.
    axes
        ``"yx"`` or ``"zyx"`` (``"tyx"``, ``"tzyx"``).
    spacing, units
        As in `structures.Image`; None where the file does not say.
    classes
        What values mean; empty where the file does not say.
    affine
        Where voxels lie, as in `structures.Image`; None where the file does not say.
    orientation
        Where the axes of a NIfTI file point; empty for other files.
    """

    labels: ArrayLike
    axes: str
    spacing: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    classes: tuple[MaskClass, ...] = ()
    affine: npt.NDArray[np.float64] | None = None
    orientation: str = ""


def read_labels(path: str | os.PathLike[str]) -> LabelImage:
    """Read a label image: the stored numbers, also of palette pictures.

    Parameters
    ----------
    path
        PNG, BMP, TIFF, OME-Zarr, NIfTI or NRRD. The latter two are turned as images are, so that both lie alike.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ReadError
        It cannot be read, is a JPEG (which changes values), holds colours, fractions or several channels.
    """
    place = Path(path)
    found = recognise(place)
    try:
        image = _read_numbers(place, found.name)
        image = _without_grey_channels(place, image)
        labels = _integers(place, image.data)
        classes = classes_of(image)
    except MedsegError:
        raise
    except Exception as error:
        # As in `reading.read`: parsers of damaged files raise whatever they like.
        raise ReadError(
            f"{place} looks like {found.name} but cannot be read ({first_line(error)}): it may be damaged."
        ) from error
    return LabelImage(
        labels=labels,
        axes=image.axes,
        spacing=image.spacing,
        units=image.units,
        classes=classes,
        affine=image.affine,
        orientation=orientation_of(image),
    )


def _read_numbers(path: Path, format_name: str) -> Image:
    if format_name == tiff.FORMAT.name:
        return tiff.read_tiff(path, None, indices=True)
    if format_name == ome_zarr.FORMAT.name:
        return ome_zarr.read_ome_zarr(path, None)
    if format_name in _VOLUMES:
        return _VOLUMES[format_name].read(path, None)
    if format_name == dicom.FORMAT.name and not path.is_dir():
        if sop_class_of(path) not in SEG_CLASSES:
            raise ReadError(f"{path} is a DICOM picture, not labels: name a DICOM SEG or another label file.")
        return read_seg(path)
    if format_name != raster.FORMAT.name:
        raise ReadError(f"{path} is a folder of files, not one label image: name a file or an OME-Zarr folder.")
    with path.open("rb") as file:
        if file.read(3) == raster.JPEG_MAGIC:
            raise ReadError(f"{path} is a JPEG, which changes the values of labels: save labels as PNG or TIFF.")
    return raster.read_raster(path, None, indices=True)


def _without_grey_channels(path: Path, image: Image) -> Image:
    """Masks saved as RGB are read where their three channels are the same."""
    if "c" not in image.axes:
        return image
    pixels = np.asarray(image.data[...])
    channels = np.moveaxis(pixels, image.axes.index("c"), 0)
    if not np.all(channels == channels[0]):
        raise ReadError(f"{path} holds colours, not labels: save it with one number per pixel.")
    return replace(image, levels=(channels[0],), axes=image.axes.replace("c", ""), channels=(), rgb=False)


def _integers(path: Path, labels: ArrayLike) -> ArrayLike:
    size = math.prod(labels.shape) * np.dtype(labels.dtype).itemsize
    kind = np.dtype(labels.dtype).kind
    if kind in "iu" and size > EAGER_BYTES and isinstance(labels, LazyArray):
        return labels
    pixels = np.asarray(labels[...])
    if kind == "b":
        return pixels.astype(np.uint8)
    if kind == "f":
        if not np.all(np.isfinite(pixels)) or np.any(pixels != np.round(pixels)):
            raise ReadError(f"{path} holds fractions, not labels: save it with whole numbers.")
        return pixels.astype(np.int32)
    return pixels


def classes_of(image: Image) -> tuple[MaskClass, ...]:
    """The classes that a label file names: OME-Zarr's ``image-label``, or our annotation in OME-XML."""
    described = image.metadata.get("image-label")
    if isinstance(described, Mapping):
        return _classes_from_zarr(described)
    try:
        return tuple(MaskClass(**entry) for entry in json.loads(image.metadata.get(_CLASSES_KEY, "[]")))
    except (json.JSONDecodeError, TypeError):
        # Edited by another program: the labels are still good.
        return ()


def _classes_from_zarr(described: Mapping[str, Any]) -> tuple[MaskClass, ...]:
    names = {p.get("label-value"): str(p.get("name", p.get("class", ""))) for p in described.get("properties") or ()}
    found = []
    for entry in described.get("colors") or ():
        value = entry.get("label-value")
        if isinstance(value, int) and 0 < value < 255:
            rgb = entry.get("rgba") or (255, 255, 255)
            color = "#{:02x}{:02x}{:02x}".format(*(int(v) & 255 for v in rgb[:3]))
            found.append(MaskClass(value=value, name=names.get(value) or f"class {value}", color=color))
    return tuple(found)


def orientation_of(image: Image) -> str:
    """Where the axes of an image's own NIfTI file point, such as ``"RAS"``; empty for images of other files."""
    return str(image.metadata.get(nifti.ORIENTATION_KEY, ""))


def write_labels(
    path: str | os.PathLike[str],
    labels: ArrayLike,
    *,
    classes: Sequence[MaskClass] = (),
    spacing: tuple[float, ...] | None = None,
    units: tuple[str, ...] | None = None,
    source: str | None = None,
    axes: str | None = None,
    affine: npt.NDArray[np.float64] | None = None,
    orientation: str = "",
) -> Path:
    """Write a label image in one step; large or lazy ones piece by piece.

    Parameters
    ----------
    path
        ``name.tif``: OME-TIFF, compressed; ``name.zarr``: OME-Zarr 0.5 label with levels each half the size;
        ``name.nii``, ``name.nii.gz``: NIfTI.
    labels
        Integer or boolean array of axes `axes`; numpy, zarr or lazy.
    classes
        What the values mean.
    spacing, units
        Of the image that the labels belong to, one per axis, or None.
    source
        The image that the labels belong to, as a path relative to `path`.
    axes
        Default: ``"yx"``, ``"zyx"`` or ``"tzyx"`` by the number of axes.
    affine
        Where the voxels lie, as in `structures.Image`; kept by NIfTI alone.
    orientation
        Where the axes of a NIfTI are to point, as `orientation_of` tells of the image.

    Returns
    -------
    the path.

    Raises
    ------
    WriteError
        The array holds no integers, the name says no format, the disk is full or read-only.

    Examples
    --------
    >>> import tempfile
    >>> gland = MaskClass(value=1, name="gland", color="#0072b2")
    >>> path = write_labels(Path(tempfile.mkdtemp()) / "a.tif", np.eye(3, dtype=np.uint8), classes=[gland])
    >>> read_labels(path).classes[0].name
    'gland'
    """
    place = Path(path)
    kind = np.dtype(labels.dtype).kind
    letters = axes or _AXES.get(len(labels.shape))
    if kind not in "iub" or letters is None:
        raise WriteError(
            f"{place.name}: labels are whole numbers along 2 to 4 axes, not {labels.dtype} {labels.shape}."
        )
    if kind == "b":
        labels = np.asarray(labels[...]).astype(np.uint8)
    if is_nifti_name(place):
        space: dict[str, Any] = {"affine": affine, "spacing": spacing, "units": units, "orientation": orientation}
        return write_nifti(place, labels, classes=classes, **space)
    if is_zarr_name(place, endings=".nii.gz, .zarr or .tif"):
        attributes = {"image-label": image_label(classes, source)}
        write_pyramid(
            place, labels, axes=letters, halve=halved_by_choice, spacing=spacing, units=units, attributes=attributes
        )
        return place
    facts = {_CLASSES_KEY: json.dumps([{"value": c.value, "name": c.name, "color": c.color} for c in classes])}
    if source is not None:
        facts[_SOURCE_KEY] = source
    write_ome_tiff(place, labels, axes=letters, spacing=spacing, units=units, facts=facts)
    return place


def image_label(classes: Sequence[MaskClass], source: str | None) -> dict[str, Any]:
    """OME-Zarr's ``image-label``: colours and names of the classes, and the image that they belong to."""
    colors = [
        {"label-value": c.value, "rgba": [*(int(c.color[i : i + 2], 16) for i in (1, 3, 5)), 255]} for c in classes
    ]
    described: dict[str, Any] = {
        "version": "0.5",
        "colors": colors,
        "properties": [{"label-value": c.value, "name": c.name} for c in classes],
    }
    if source is not None:
        described["source"] = {"image": source}
    return described
