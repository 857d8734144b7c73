"""Ultrasound as a new DICOM file that holds pixels, machine, time and distances, and nothing else.

What a file holds is listed here; whatever else the source held (names, numbers, dates, private elements, overlays,
curves) has no way in. Letters in the picture are pixels: cut to the scan before (`napari_medseg.data.cropping`). The
file does not call itself free of the patient's identity, as nobody has looked at its pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_medseg.errors import WriteError
from napari_medseg.io.atomic import replacing
from napari_medseg.io.units import millimeters
from napari_medseg.structures import Image, Progress

if TYPE_CHECKING:
    from pydicom import Dataset

ENDING = ".dcm"
#: DICOM counts bytes of pixels with 32 bits.
_MOST_BYTES = 2**32 - 2
#: Elements that must be there and may be empty (PS3.3 C.7.1 to C.7.3).
_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "SeriesNumber",
    "InstanceNumber",
    "PatientOrientation",
)


def write_ultrasound(path: Path, image: Image, *, progress: Progress | None = None) -> Path:
    """Write a frame or cine as DICOM ultrasound, uncompressed.

    Parameters
    ----------
    path
        ``name.dcm``.
    image
        Of kind ``"ultrasound"``, 8 or 16 bits of grey, or 8 bits of red, green, blue.
    progress
        Called with (frames done, frames, text).

    Returns
    -------
    the path

    Raises
    ------
    WriteError
        The image is none of these or larger than DICOM allows; or the file cannot be written.
    """
    import pydicom

    lead = image.shape[0] if "t" in image.axes else 1
    is_plain = image.axes in ("yx", "tyx") and image.dtype in (np.uint8, np.uint16)
    is_colored = image.axes in ("yxc", "tyxc") and image.rgb and image.dtype == np.uint8
    if image.kind != "ultrasound" or not (is_plain or is_colored):
        raise WriteError(
            f"'{image.name}' cannot be written as DICOM ultrasound ({image.kind}, {image.axes}, {image.dtype}): write "
            ".zarr or .tif instead."
        )
    size = int(np.prod(image.shape, dtype=np.int64)) * image.dtype.itemsize
    if size > _MOST_BYTES:
        raise WriteError(f"'{image.name}' holds {size / 2**30:.1f} GiB, more than DICOM allows: write .zarr instead.")
    dataset = _described(image)
    pixels = np.empty(image.shape, image.dtype.newbyteorder("<"))
    frames: Any = pixels if "t" in image.axes else pixels[np.newaxis]
    source: Any = image.data
    for index in range(lead):
        frames[index] = np.asarray(source[index] if "t" in image.axes else source[...])
        if progress is not None:
            progress(index + 1, lead, "Writing frames")
    raw = pixels.tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    with replacing(path) as temporary:
        pydicom.dcmwrite(temporary, dataset, enforce_file_format=True)
    return path


def _described(image: Image) -> Dataset:
    """All elements but the pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import (
        ExplicitVRLittleEndian,
        UltrasoundImageStorage,
        UltrasoundMultiFrameImageStorage,
        generate_uid,
    )

    is_cine = "t" in image.axes
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if is_cine else UltrasoundImageStorage
    # New numbers at random: old ones lead back to the patient's other files.
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (generate_uid() for _ in range(3))
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for name in _EMPTY:
        setattr(dataset, name, None)
    dataset.Modality, dataset.ImageType = "US", ["DERIVED", "SECONDARY"]
    dataset.Manufacturer = image.ultrasound.device if image.ultrasound is not None else ""
    shape = image.spatial_shape
    dataset.Rows, dataset.Columns = shape[-2:]
    bits = image.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits, bits - 1, 0
    dataset.SamplesPerPixel = image.num_channels
    dataset.PhotometricInterpretation = "RGB" if image.rgb else "MONOCHROME2"
    if image.rgb:
        dataset.PlanarConfiguration = 0
    if is_cine:
        dataset.NumberOfFrames = shape[0]
        if image.ultrasound is not None and image.ultrasound.frame_ms is not None:
            dataset.FrameTime = f"{image.ultrasound.frame_ms:.6g}"
            dataset.FrameIncrementPointer = 0x00181063
    if (step := _step(image)) is not None:
        dataset.PixelSpacing = [f"{value:.8g}" for value in step]
    return dataset


def _step(image: Image) -> tuple[float, float] | None:
    """Millimetres per pixel along (y, x)."""
    if image.spacing is None or image.units is None:
        return None
    factors = [millimeters(unit) for unit in image.units[-2:]]
    if any(factor is None for factor in factors):
        return None
    down, across = (step * (factor or 1.0) for step, factor in zip(image.spacing[-2:], factors, strict=True))
    return down, across
