"""DICOM ultrasound as machines write it, with a person's data planted where it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage, UltrasoundMultiFrameImageStorage, generate_uid

#: What must never leave a file.
SECRETS = ("Mustermann", "Erika", "PID-4711", "19640812", "Hausarzt", "Station7")


def header(*, cine: bool = False) -> Dataset:
    """Patient, study and machine, without pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = UltrasoundMultiFrameImageStorage if cine else UltrasoundImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Mustermann^Erika", "PID-4711", "19640812"
    dataset.ReferringPhysicianName, dataset.StudyDate, dataset.StudyDescription = "Hausarzt", "19640812", "Mustermann"
    dataset.StationName, dataset.SeriesDescription = "Station7", "Mustermann Hals"
    dataset.SeriesInstanceUID, dataset.Modality = "1.2.3", "US"
    dataset.Manufacturer, dataset.ManufacturerModelName = "Acme  Medical", "Echo 7"
    return dataset


def region(box: Sequence[int], *, delta: float = 0.005, kind: int = 1, units: int = 3) -> Dataset:
    """An item of the regions: (x0, y0, x1, y1), the last two inside, `delta` per pixel in `units`."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = kind, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0, item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta, delta * 2
    return item


def write_ultrasound(
    path: Path,
    stored: np.ndarray,
    *,
    photometric: str = "MONOCHROME2",
    cine: bool = False,
    regions: Sequence[Dataset] = (),
    planar: bool = False,
    bits: int = 0,
    **elements: Any,
) -> Path:
    """Write numbers as they are to be stored.

    Parameters
    ----------
    stored
        (y, x), (y, x, 3), or with a first axis of frames where `cine`.
    elements
        Further elements; None takes one away.
    """
    dataset = header(cine=cine)
    colors = stored.ndim == (4 if cine else 3)
    frames = stored if cine else stored[None]
    if cine:
        dataset.NumberOfFrames = len(frames)
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3 if colors else 1, photometric
    size = stored.dtype.itemsize * 8
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = size, bits or size, (bits or size) - 1
    dataset.PixelRepresentation = 0
    if colors:
        dataset.PlanarConfiguration = int(planar)
    if regions:
        dataset.SequenceOfUltrasoundRegions = Items(regions)
    for name, value in elements.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    raw = (np.moveaxis(frames, -1, 1) if planar else frames).tobytes()
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def palette(entries: int = 256, *, deep: bool = True) -> dict[str, Any]:
    """Elements of a palette: red rises, green falls, blue is a third of red; in 16 bits, or 8 bits kept in 16."""
    ramp = np.arange(entries)
    high = 257 if deep else 1
    tables = {"Red": ramp * high, "Green": (entries - 1 - ramp) * high, "Blue": ramp // 3 * high}
    found: dict[str, Any] = {}
    for color, table in tables.items():
        found[f"{color}PaletteColorLookupTableDescriptor"] = [entries, 0, 16]
        found[f"{color}PaletteColorLookupTableData"] = table.astype("<u2").tobytes()
    return found
