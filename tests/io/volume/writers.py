"""DICOM series as scanners write them, with a person's data planted where it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import CTImageStorage, EnhancedCTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid

#: What must never leave a file.
SECRETS = ("Mustermann", "Erika", "PID-4711", "19640812", "Hausarzt")
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def voxels(count: int = 6, rows: int = 5, columns: int = 4) -> np.ndarray:
    """Different everywhere: HU from -1000, (z, y, x)."""
    return (np.arange(count * rows * columns).reshape(count, rows, columns) - 1000).astype(np.int32)


def header(series: str, *, modality: str = "CT") -> Dataset:
    """Patient, study and series, without geometry and pixels."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = CTImageStorage if modality == "CT" else MRImageStorage
    dataset.SOPInstanceUID = generate_uid()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Mustermann^Erika", "PID-4711", "19640812"
    dataset.ReferringPhysicianName, dataset.StudyDate, dataset.StudyDescription = "Hausarzt", "19640812", "Mustermann"
    dataset.SeriesInstanceUID, dataset.Modality, dataset.SeriesNumber = series, modality, 3
    dataset.SeriesDescription = "Abdomen portal venous"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.WindowCenter, dataset.WindowWidth = [50, -600], [350, 1500]
    return dataset


def write_series(
    folder: Path,
    pixels: np.ndarray,
    *,
    series: str | None = None,
    positions: Sequence[Sequence[float]] | None = None,
    orientation: Sequence[float] = AXIAL,
    step: Sequence[float] = (0.0, 0.0, 1.25),
    spacing: Sequence[float] = (0.75, 0.5),
    intercept: float = -1024.0,
    slope: float | Sequence[float] = 1.0,
    signed: bool = False,
    bits: int = 16,
    prefix: str = "",
    modality: str = "CT",
    **elements: Any,
) -> Path:
    """One file per slice, names and instance numbers in reversed order of the places.

    Parameters
    ----------
    pixels
        Values (z, y, x) that a reader should return: stored as (value - intercept) / slope.
    positions
        (x, y, z) of each slice; from (-10, -20, 30) by `step` where not given.
    elements
        Further elements of every slice; a list gives each slice its own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = series or generate_uid()
    places = positions or [np.array([-10.0, -20.0, 30.0]) + i * np.asarray(step) for i in range(len(pixels))]
    slopes = [slope] * len(pixels) if isinstance(slope, float) else slope
    for index, (values, place) in enumerate(zip(pixels, places, strict=True)):
        dataset = header(uid, modality=modality)
        dataset.Rows, dataset.Columns = values.shape
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [float(p) for p in place], list(orientation)
        dataset.PixelSpacing, dataset.SliceThickness = list(spacing), 2.5
        dataset.InstanceNumber = len(pixels) - index
        dataset.RescaleSlope, dataset.RescaleIntercept = slopes[index], intercept
        _describe_pixels(dataset, bits, signed)
        for name, value in elements.items():
            setattr(dataset, name, value[index] if isinstance(value, list) else value)
        stored = np.round((values - intercept) / slopes[index])
        dataset.PixelData = stored.astype(np.int16 if signed else np.uint16).tobytes()
        pydicom.dcmwrite(folder / f"{prefix}{len(pixels) - index:03d}", dataset, enforce_file_format=True)
    return folder


def _describe_pixels(dataset: Dataset, bits: int, signed: bool) -> None:
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
    dataset.PixelRepresentation = int(signed)


def write_enhanced(path: Path, pixels: np.ndarray, *, step: float = 1.25) -> Path:
    """One enhanced CT file whose frames lie from the head down."""
    dataset = header(generate_uid())
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = pixels.shape
    _describe_pixels(dataset, 16, False)
    dataset.SharedFunctionalGroupsSequence = Items([Dataset()])
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = Items([Dataset()]), Items([Dataset()])
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence[0].PixelSpacing, shared.PixelMeasuresSequence[0].SliceThickness = [0.75, 0.5], 1.0
    frames = []
    for index in range(len(pixels)):
        frame = Dataset()
        frame.PlanePositionSequence, frame.PixelValueTransformationSequence = Items([Dataset()]), Items([Dataset()])
        frame.PlanePositionSequence[0].ImagePositionPatient = [-10.0, -20.0, 30.0 + (len(pixels) - 1 - index) * step]
        values = frame.PixelValueTransformationSequence[0]
        values.RescaleSlope, values.RescaleIntercept = 1.0, -1024.0
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = Items(frames)
    dataset.PixelData = (pixels[::-1] + 1024).astype(np.uint16).tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path
