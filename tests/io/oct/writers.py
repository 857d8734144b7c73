"""Small files of OCT scanners, written as their descriptions say, with a person's data planted where they keep it."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from napari_medseg.io.oct.dicom import OPT_CLASS

#: What must never leave a file.
SECRETS = ("Mustermann", "Erika", "PID-4711", "19640812", "1964-08-12")
MISSING = np.finfo(np.float32).max


def write_vol(
    path: Path,
    bscans: np.ndarray,
    layers: np.ndarray,
    *,
    pattern: int = 3,
    step: tuple[float, float, float] = (0.12, 0.0039, 0.0115),
    slo: np.ndarray | None = None,
    slo_step: float = 0.0118,
    side: bytes = b"OS",
    points: np.ndarray | None = None,
) -> Path:
    """A ``.vol`` of float32 reflectance (bscan, y, x) and rows (bscan, surface, x)."""
    slo = np.arange(48, dtype=np.uint8).reshape(6, 8) if slo is None else slo
    count, height, width = bscans.shape
    header = bytearray(2048)
    header[:12] = b"HSF-OCT-103\0"
    struct.pack_into("<3I3d", header, 12, width, count, height, step[2], step[0], step[1])
    struct.pack_into("<2I2d", header, 48, slo.shape[1], slo.shape[0], slo_step, slo_step)
    header[84:86] = side
    struct.pack_into("<i", header, 96, pattern)
    secret = b"Mustermann Erika PID-4711".ljust(60, b"\0")
    header[104:164] = secret
    header[300:360] = secret
    points = np.zeros((count, 4)) if points is None else points
    parts = [bytes(header), slo.tobytes()]
    size = 256 + layers[0].nbytes + 64
    for pixels, rows, place in zip(bscans, layers, points, strict=True):
        head = bytearray(size)
        head[:11] = b"HSF-BS-103\0"
        struct.pack_into("<I4d2I", head, 12, size, *place, len(rows), 256)
        head[256 : 256 + rows.nbytes] = rows.astype("<f4").tobytes()
        parts += [bytes(head), pixels.astype("<f4").tobytes()]
    path.write_bytes(b"".join(parts))
    return path


def write_opt(path: Path, frames: np.ndarray, *, step: Sequence[float | None] = (0.1, 0.004, 0.012)) -> Path:
    """An ophthalmic tomography image (frame, y, x), uint8, after the DICOM standard's multi-frame groups."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = OPT_CLASS
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID, dataset.SOPInstanceUID = OPT_CLASS, dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = "Mustermann^Erika", "PID-4711", "19640812"
    dataset.StudyDate, dataset.SeriesDescription = "19640812", "Mustermann left"
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "OPT", "Maker", "Model 1"
    dataset.ImageLaterality = "L"
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    measures = Dataset()
    if step[0] is not None:
        measures.SpacingBetweenSlices = step[0]
    if step[1] is not None:
        measures.PixelSpacing = list(step[1:])
    shared = Dataset()
    shared.PixelMeasuresSequence = Items([measures])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    dataset.PixelData = frames.astype(np.uint8).tobytes()
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def write_xml(
    folder: Path, bscans: np.ndarray, layers: Mapping[str, np.ndarray], *, pattern: str = "Volume", gap: float = 0.12
) -> Path:
    """An XML export with pictures (bscan, y, x) and rows (bscan, x) by name; B-scans lie side by side."""
    from PIL import Image as Picture

    folder.mkdir(parents=True, exist_ok=True)
    images = []
    for number, pixels in enumerate(bscans):
        Picture.fromarray(np.stack([pixels] * 3, axis=-1)).save(folder / f"B{number + 1}.tif")
        lines = "".join(
            f"<SegLine><Name>{name}</Name><Array>{' '.join(f'{row:g}' for row in rows[number])}</Array></SegLine>"
            for name, rows in layers.items()
        )
        context = (
            "<ScaleX>0.0115</ScaleX><ScaleY>0.0039</ScaleY>"
            f"<Start><Coord><X>1</X><Y>{3 - gap * number}</Y></Coord></Start>"
            f"<End><Coord><X>7</X><Y>{3 - gap * number}</Y></Coord></End>"
        )
        images.append(_image("OCT", context, f"B{number + 1}.tif", lines))
    Picture.fromarray(np.zeros((9, 9), np.uint8)).save(folder / "slo.tif")
    images.append(_image("LOCALIZER", "<ScaleX>0.5</ScaleX><ScaleY>0.25</ScaleY>", "slo.tif", ""))
    text = (
        "<HEDX><BODY><Patient><PatientID>PID-4711</PatientID><LastName>Mustermann</LastName>"
        "<FirstNames>Erika</FirstNames><Study><Operator>Mustermann</Operator><Series>"
        f"<Type>{pattern}</Type><Laterality>L</Laterality>{''.join(images)}"
        "</Series></Study></Patient></BODY></HEDX>"
    )
    path = folder / "export.xml"
    path.write_text(text, "utf-8")
    return path


def _image(kind: str, context: str, name: str, lines: str) -> str:
    return (
        f"<Image><ImageType><Type>{kind}</Type></ImageType>"
        f"<OphthalmicAcquisitionContext>{context}</OphthalmicAcquisitionContext>"
        f"<ImageData><ExamURL>file:///\\\\clinic\\Mustermann\\{name}</ExamURL></ImageData>"
        f"<Segmentation>{lines}</Segmentation></Image>"
    )


def write_e2e(path: Path, series: Sequence[Mapping[str, Any]]) -> Path:
    """An ``.e2e`` of one patient; per series ``bscans`` (bscan, y, x) as stored, uint16, ``layers`` and ``pattern``."""
    records: list[tuple[int, int, int, int, bytes]] = [(-1, -1, 0, 9, _patient())]
    for number, one in enumerate(series):
        bscans = one["bscans"]
        records.append((number, -1, 0, 11, bytes(14) + one.get("side", b"R") + bytes(12)))
        records.append((number, -1, 0, 1073741824, _picture(33620481, np.full((4, 5), 7, np.uint8))))
        order = range(len(bscans))
        for index in reversed(order) if one.get("reversed") else order:
            slice_id = 2 * index if len(bscans) > 1 else 2
            meta = _bscan_meta(bscans[index].shape, index, len(bscans), one.get("pattern", 3))
            records.append((number, slice_id, 1, 10004, meta))
            records.append((number, slice_id, 1, 1073741824, _picture(35652097, bscans[index])))
            for slot, rows in one.get("layers", {}).items():
                head = struct.pack("<5I", 0, slot, 0, rows.shape[1], 0)
                records.append((number, slice_id, 1, 10019, head + rows[index].astype("<f4").tobytes()))
    start = 36 + 52
    place = start + 52 + 44 * len(records)
    headers, contents = [], []
    for series_id, slice_id, ind, kind, content in records:
        ids = struct.pack("<4i2HI", 1, 1 if series_id >= 0 else -1, series_id, slice_id, ind, 0, kind)
        headers.append(struct.pack("<4I", start, place, len(content), 0) + ids + bytes(4))
        contents.append(
            b"MDbData\0\0\0\0\0" + struct.pack("<5I", 0, 0, place, len(content), 0) + ids + bytes(4) + content
        )
        place += 60 + len(content)
    head = b"MDbMDir\0\0\0\0\0" + struct.pack("<I", 100) + bytes(20)
    main = head + struct.pack("<4I", 0, start, 0, 0)
    chunk = head + struct.pack("<4I", len(records), start, 0, 0)
    path.write_bytes(
        b"CMDb".ljust(12, b"\0") + struct.pack("<I", 100) + bytes(20) + main + chunk + b"".join(headers + contents)
    )
    return path


def _patient() -> bytes:
    return b"Erika".ljust(31, b"\0") + b"Mustermann".ljust(66, b"\0") + bytes(4) + b"F" + b"PID-4711".ljust(25, b"\0")


def _picture(kind: int, pixels: np.ndarray) -> bytes:
    return struct.pack("<5I", pixels.nbytes, kind, pixels.size, *pixels.shape) + pixels.tobytes()


def _bscan_meta(shape: tuple[int, ...], index: int, count: int, pattern: int) -> bytes:
    """Ends lie 10 degrees apart, B-scans half a degree; 0.0039 mm along the depth."""
    y = 0.5 * index
    content = struct.pack("<3I4f", 0, *shape, -5.0, y, 5.0, y) + struct.pack("<Ifff", 0, 0.0, 0.0039, 0.0)
    content += struct.pack("<I2fI", 0, 0, 0, 0) + struct.pack("<4I2f", shape[1], count, index, pattern, 0, y)
    return content.ljust(428, b"\0")
