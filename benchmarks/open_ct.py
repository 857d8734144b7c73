"""How long opening a CT takes: headers, the first slice, every voxel; beside SimpleITK's series reader.

Writes a generated series of DICOM files, uncompressed and as JPEG 2000 (lossless), and reads each in turn with both, a
few times, alternating; the fastest of each counts. SimpleITK has no first slice before the whole.

    python benchmarks/open_ct.py --slices 300
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import SimpleITK as sitk
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, generate_uid

from napari_medseg.data.synthetic_ct import abdomen
from napari_medseg.io import read

SIDE = 512


def write_series(folder: Path, voxels: np.ndarray, *, compressed: bool) -> None:
    series, study = generate_uid(), generate_uid()
    for index, plane in enumerate(voxels):
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless if compressed else ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, generate_uid()
        dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.Modality = study, series, "CT"
        dataset.InstanceNumber, dataset.Rows, dataset.Columns = index + 1, *plane.shape
        dataset.ImagePositionPatient = [0.0, 0.0, float(index)]
        dataset.ImageOrientationPatient, dataset.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
        dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
        dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
        stored = np.ascontiguousarray(np.clip(plane + 1024, 0, 4095).astype(np.uint16))
        if compressed:
            frame = imagecodecs.jpeg2k_encode(stored, level=0, codecformat="j2k", reversible=True, bitspersample=12)
            dataset.PixelData = encapsulate([frame])
            dataset["PixelData"].VR = "OB"
        else:
            dataset.PixelData = stored.tobytes()
        pydicom.dcmwrite(folder / f"{index:04d}.dcm", dataset, enforce_file_format=True)


def timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def with_simpleitk(folder: Path) -> np.ndarray:
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    return sitk.GetArrayFromImage(sitk.ReadImage(names))


def compare(folder: Path, repeats: int) -> tuple[float, float, float, float]:
    """Seconds to headers, first slice and all voxels here, and to all voxels in SimpleITK."""
    assert np.array_equal(np.asarray(read(folder).data), with_simpleitk(folder))
    rows = []
    for _ in range(repeats):
        image = None

        def header() -> None:
            nonlocal image
            image = read(folder)

        headers = timed(header)
        first = headers + timed(lambda: image.data[0])  # noqa: B023 - called at once
        rows.append(
            (headers, first, timed(lambda: np.asarray(read(folder).data)), timed(lambda: with_simpleitk(folder)))
        )
    return tuple(np.min(rows, axis=0).tolist())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    base, _ = abdomen(8, SIDE, SIDE, seed=0)
    noise = np.random.default_rng(0).normal(0, 12, (args.slices, SIDE, SIDE)).astype(np.int16)
    voxels = base[np.arange(args.slices) % len(base)].astype(np.int16) + noise
    print(f"| {args.slices} slices of {SIDE} × {SIDE} | headers | first slice | all voxels | SimpleITK | ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    for compressed in (False, True):
        with tempfile.TemporaryDirectory() as name:
            write_series(Path(name), voxels, compressed=compressed)
            headers, first, whole, other = compare(Path(name), args.repeats)
        kind = "JPEG 2000" if compressed else "uncompressed"
        print(
            f"| {kind} | {headers:.2f} s | {first:.2f} s | {whole:.2f} s | {other:.2f} s | {whole / other:.2f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
