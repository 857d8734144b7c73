"""What headers of DICOM slices say about geometry and values; nothing of the patient leaves this file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_medseg.io.oct.dicom import OPT_CLASS, quiet

if TYPE_CHECKING:
    from pydicom import Dataset

Vector = tuple[float, ...]

_GEOMETRY = ("PlanePositionSequence", "PlaneOrientationSequence", "PixelMeasuresSequence")
_VALUES = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "FrameContentSequence",
    "CTImageFrameTypeSequence",
)
#: Elements by which scanners tell apart volumes of one place, in the order in which they are tried.
PHASE_KEYS = (
    ("TemporalPositionIdentifier", "time"),
    ("TemporalPositionIndex", "time"),
    ("AcquisitionNumber", "acquisition"),
    ("EchoNumbers", "echo"),
    ("DiffusionBValue", "b-value"),
    ("TriggerTime", "trigger"),
    ("ConvolutionKernel", "kernel"),
    ("ImageType", "image type"),
    ("AcquisitionTime", "time of day"),
)
_PEOPLE = (
    "PatientName",
    "PatientID",
    "OtherPatientNames",
    "OtherPatientIDs",
    "PatientBirthDate",
    "PatientBirthName",
    "ReferringPhysicianName",
    "PerformingPhysicianName",
    "OperatorsName",
    "NameOfPhysiciansReadingStudy",
    "AccessionNumber",
)
#: Enhanced US Volume Storage.
_ULTRASOUND_VOLUME = "1.2.840.10008.5.1.4.1.1.6.2"
#: Implicit and explicit VR, little endian.
_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")
_PIXEL_DATA = b"\xe0\x7f\x10\x00"
#: Parts of names shorter than this may be part of any word.
_LEAST_NAME = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Values:
    """What stored numbers mean: ``stored * slope + intercept``.

    Parameters
    ----------
    bits, signed
        Bits of a stored number that count, and whether it has a sign.
    padding
        (lowest, highest) stored number that stands for "no pixel"; None where there is none.
    inverted
        Whether low numbers are bright (MONOCHROME1).
    """

    bits: int
    signed: bool
    slope: float = 1.0
    intercept: float = 0.0
    padding: tuple[int, int] | None = None
    inverted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One frame of a file.

    Parameters
    ----------
    series
        The series' UID.
    number, series_number
        For the order of what has no place.
    instance
        UID and frame: equal for copies of a slice.
    rows, columns
        Its size.
    position, orientation, spacing
        As DICOM gives them: (x, y, z), two directions, millimetres between (rows, columns); None where missing.
    phases
        One text per entry of `PHASE_KEYS`, empty where the header does not say.
    description
        Of the series, for people; empty where it might name somebody.
    window
        (level, width), where the header has one.
    offset
        Where in the file this frame's numbers begin, each of `depth` bits, low byte first; None where they are packed.
    """

    path: Path
    frame: int
    series: str
    series_number: int
    number: int
    instance: tuple[str, int]
    modality: str
    rows: int
    columns: int
    values: Values
    position: Vector | None
    orientation: Vector | None
    spacing: Vector | None
    phases: tuple[str, ...]
    description: str
    window: tuple[float, float] | None
    is_localizer: bool
    is_colored: bool
    frames: int
    offset: int | None
    depth: int


def series_of(path: Path) -> str:
    """What names the series that a file is a part of; empty for damaged files and for wholes (OCT, ultrasound, SEG).

    Usually its UID. Slices that lost it to an anonymiser belong together with those beside them, as `read` takes them.
    """
    from pydicom import dcmread

    try:
        with quiet():
            tags = ["SeriesInstanceUID", "SOPClassUID", "Modality", "ImagePositionPatient"]
            header = dcmread(path, specific_tags=tags, stop_before_pixels=True)
    except Exception:
        # Parsers of damaged files raise whatever they like; a file of no series stands for itself.
        return ""
    kind = header.get("SOPClassUID")
    # Several segmentations of one scan may share a series.
    is_whole = kind == OPT_CLASS or "Segmentation" in getattr(kind, "name", "") or is_ultrasound_header(header)
    if is_whole:
        return ""
    beside = str(path.parent) if header.get("ImagePositionPatient") else ""
    return str(header.get("SeriesInstanceUID") or beside)


def is_ultrasound_header(header: Dataset) -> bool:
    """Whether a file holds ultrasound frames; volumes (which have places in space) are read as series."""
    return bool(header.get("Modality") == "US" and header.get("SOPClassUID") != _ULTRASOUND_VOLUME)


def slices_of(path: Path) -> list[Slice]:
    """The frames of a DICOM file; none when it holds no pixels.

    Raises whatever pydicom raises for a damaged header, and EOFError where pixels are missing; the words may quote the
    header and must not be passed on.
    """
    from pydicom import dcmread

    with quiet(), path.open("rb") as file:
        header = dcmread(file, stop_before_pixels=True)
        start = file.tell()
        tag = file.read(4)
        left = path.stat().st_size - start
        rows, columns = header.get("Rows"), header.get("Columns")
        if not rows or not columns:
            if "Image Storage" in getattr(header.get("SOPClassUID"), "name", ""):
                raise EOFError
            return []
        if _is_derived(header):
            return []
        count = int(header.get("NumberOfFrames") or 1)
        if left < _stored_bytes(header, count):
            raise EOFError
        description = _harmless(header)
        first = _first_byte(header, start) if tag == _PIXEL_DATA else None
        return [_slice(path, header, frame, count, description, first) for frame in range(count)]


def _stored_bytes(header: Dataset, frames: int) -> int:
    """Bytes of the pixels where these are not compressed; 0 where they are, as nobody knows."""
    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None or syntax.is_compressed or syntax.is_deflated:
        return 0
    samples = frames * int(header.Rows) * int(header.Columns) * _whole(header.get("SamplesPerPixel"), 1)
    return samples * _whole(header.get("BitsAllocated"), 16) // 8


def _first_byte(header: Dataset, start: int) -> int | None:
    """Where pixels begin whose element begins at `start`; None where they need a decoder."""
    syntax = header.file_meta.get("TransferSyntaxUID")
    bits = _whole(header.get("BitsStored"))
    is_plain = (
        syntax in _PLAIN
        and header.get("BitsAllocated") in (8, 16)
        and header.get("SamplesPerPixel") == 1
        and header.get("HighBit") == bits - 1
    )
    # Tag and length, where the type is told also the type.
    return start + (8 if syntax.is_implicit_VR else 12) if is_plain else None


def _is_derived(header: Dataset) -> bool:
    """Segmentations have rows and columns but no picture."""
    return str(header.get("Modality", "")) in ("SEG", "RTDOSE")


def _slice(path: Path, header: Dataset, frame: int, count: int, description: str, first: int | None) -> Slice:
    groups = tuple(_groups(header, frame)) if count > 1 or "PerFrameFunctionalGroupsSequence" in header else ()
    found = _Lookup((*groups, header))
    return Slice(
        path=path,
        frame=frame,
        series=str(header.get("SeriesInstanceUID", "")),
        series_number=_whole(header.get("SeriesNumber")),
        number=_whole(header.get("InstanceNumber")),
        instance=(str(header.get("SOPInstanceUID", path.name)), frame),
        modality=str(header.get("Modality", "")),
        rows=int(header.Rows),
        columns=int(header.Columns),
        values=_values(header, found),
        position=found.numbers("ImagePositionPatient", 3),
        orientation=found.numbers("ImageOrientationPatient", 6),
        spacing=found.numbers("PixelSpacing", 2) or found.numbers("ImagerPixelSpacing", 2),
        phases=tuple(_text(found.get(key)) for key, _ in PHASE_KEYS),
        description=description,
        window=_window(found),
        is_localizer="LOCALIZER" in [str(part) for part in _parts(header.get("ImageType"))],
        is_colored=_whole(header.get("SamplesPerPixel"), 1) != 1,
        frames=count,
        offset=None if first is None else first + frame * (_stored_bytes(header, count) // count),
        depth=_whole(header.get("BitsAllocated"), 16),
    )


def _groups(header: Dataset, frame: int) -> Iterator[Dataset]:
    """Items of the functional groups of a frame, its own before those that all frames share."""
    own = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for outer in (*own[frame : frame + 1], *shared[:1]):
        for name in (*_GEOMETRY, *_VALUES):
            items = outer.get(name)
            if items:
                yield items[0]


class _Lookup:
    """The first of several data sets that has an element."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = datasets

    def get(self, name: str) -> Any:
        values = (dataset.get(name) for dataset in self._datasets)
        return next((value for value in values if value not in (None, "")), None)

    def numbers(self, name: str, count: int) -> Vector | None:
        """A vector of finite numbers; None for anything else."""
        try:
            values = tuple(float(value) for value in _parts(self.get(name)))
        except (TypeError, ValueError):
            return None
        return values if len(values) == count and all(map(math.isfinite, values)) else None


def _values(header: Dataset, found: _Lookup) -> Values:
    slope, intercept = found.numbers("RescaleSlope", 1), found.numbers("RescaleIntercept", 1)
    bits = _whole(header.get("BitsStored"), _whole(header.get("BitsAllocated"), 16))
    signed = _whole(header.get("PixelRepresentation")) == 1
    padding = header.get("PixelPaddingValue")
    limit = header.get("PixelPaddingRangeLimit", padding)
    ends = None
    if isinstance(padding, int) and isinstance(limit, int):
        # In some files the number is written without the sign that the pixels have.
        low, high = (value - (1 << 16) if signed and value >= 1 << (bits - 1) else value for value in (padding, limit))
        ends = (min(low, high), max(low, high))
    return Values(
        bits=bits,
        signed=signed,
        slope=slope[0] if slope and slope[0] != 0 else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        padding=ends,
        inverted=header.get("PhotometricInterpretation") == "MONOCHROME1",
    )


def _window(found: _Lookup) -> tuple[float, float] | None:
    """The first of the windows that the maker suggests."""
    try:
        level, width = (float(_parts(found.get(name))[0]) for name in ("WindowCenter", "WindowWidth"))
    except (TypeError, ValueError, IndexError):
        return None
    return (level, width) if math.isfinite(level) and math.isfinite(width) and width > 0 else None


def _harmless(header: Dataset) -> str:
    """The series' description, unless it holds a part of a name or number of a person, or a long number."""
    text = " ".join(str(header.get("SeriesDescription") or "").split())[:64]
    words = {
        part
        for name in _PEOPLE
        for part in re.split(r"[\^=\s,;\\._-]+", str(header.get(name) or "").casefold())
        if len(part) >= _LEAST_NAME
    }
    is_personal = any(word in text.casefold() for word in words) or re.search(r"\d{6}|\d{4}-\d\d-\d\d", text)
    return "" if is_personal or not text.isprintable() else text


def _parts(value: Any) -> list[Any]:
    if value is None or isinstance(value, str | bytes):
        return [value] if value else []
    try:
        return list(value)
    except TypeError:
        return [value]


def _text(value: Any) -> str:
    return "/".join(str(part) for part in _parts(value))


def _whole(value: Any, default: int = 0) -> int:
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return default
