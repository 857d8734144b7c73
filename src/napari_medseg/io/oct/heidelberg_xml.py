"""Heidelberg Engineering's XML export: one ``.xml`` that describes the pictures beside it.

Of the file only the series' own elements are read; those of the patient and of the study are never looked at.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.folder import natural_key, read_slice
from napari_medseg.io.format import HEAD_BYTES, Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.oct.grey import to_grey
from napari_medseg.io.oct.heidelberg import Pattern, distance_between, laterality_of
from napari_medseg.io.oct.scan import MILLIMETER, check_size, oct_image
from napari_medseg.structures import Image, OctScan

_MAGIC = b"<HEDX"
_PATTERN_WORDS: tuple[tuple[str, Pattern], ...] = (
    ("volume", "raster"),
    ("raster", "raster"),
    ("circle", "circle"),
    ("star", "star"),
    ("radial", "star"),
    ("line", "line"),
)
_KEPT_SLICES = 4


def _recognises(path: Path, head: bytes) -> bool:
    return bool(exports_in(path)) if path.is_dir() else _MAGIC in head


def exports_in(folder: Path) -> list[Path]:
    """XML exports directly inside a folder, in natural order."""
    found = []
    for path in folder.iterdir():
        if path.suffix.lower() == ".xml" and path.is_file():
            with path.open("rb") as file:
                if _MAGIC in file.read(HEAD_BYTES):
                    found.append(path)
    return sorted(found, key=lambda path: natural_key(path.name))


class _Slices:
    """Decodes the pictures that a block touches, as grey."""

    def __init__(self, files: tuple[Path, ...]) -> None:
        self._files = files
        self._slice = lru_cache(maxsize=_KEPT_SLICES)(_grey_of)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Slices, (self._files,)

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        return np.stack([self._slice(file)[block[1:]] for file in self._files[block[0]]])


def _grey_of(file: Path) -> npt.NDArray[Any]:
    image = read_slice(file)
    pixels = np.asarray(image.data[...])
    return to_grey(pixels) if image.rgb else pixels


def read_xml(path: Path, series: int | None) -> Image:
    """Read an export by its ``.xml`` or by the folder that holds it.

    Parameters
    ----------
    path
        File or folder.
    series
        Which of the exported series that have B-scans.

    Returns
    -------
    image of axes ``"zyx"`` or ``"yx"``, grey as exported, B-scans in the export's order

    Raises
    ------
    ReadError
        The XML is damaged, holds no B-scan, or a picture is missing or of another size.
    """
    file = path
    if path.is_dir():
        exports = exports_in(path)
        if len(exports) > 1:
            raise ReadError(f"Folder {path} holds {len(exports)} XML exports: open one of the .xml files.")
        file = exports[0]
    found = [(one, scans) for one in _parsed(file).iter("Series") if (scans := _images(one, "OCT"))]
    if not found:
        raise ReadError(f"{file} describes no B-scan: export the OCT images together with the XML.")
    names = tuple(_name_of(number, one, len(scans)) for number, (one, scans) in enumerate(found))
    chosen = choose_series(file, series, names)
    return _read_series(file, *found[chosen], number=chosen, names=names if len(names) > 1 else ("",))


def _parsed(path: Path) -> ElementTree.Element:
    try:
        # Exports declare UTF-8 but hold names in the computer's own encoding, which are of no interest.
        return ElementTree.fromstring(path.read_bytes().decode("utf-8", "replace"))
    except ElementTree.ParseError as error:
        line = error.position[0]
        raise ReadError(f"{path} is damaged or cut short at line {line}: export it again.") from None


def _images(series: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [image for image in series.iter("Image") if _text(image, "ImageType/Type") == kind]


def _name_of(number: int, series: ElementTree.Element, count: int) -> str:
    """What a series is called: its scan type and eye, never what somebody typed."""
    words = [_pattern_of(series) or "scan", laterality_of(_text(series, "Laterality"))]
    return f"{number + 1}: {' '.join(word for word in words if word)}, {count} B-scan{'s'[: count != 1]}"


def _read_series(
    path: Path,
    series: ElementTree.Element,
    scans: Sequence[ElementTree.Element],
    *,
    number: int,
    names: tuple[str, ...],
) -> Image:
    files = tuple(_picture(path, scan) for scan in scans)
    first = read_slice(files[0])
    for file in files:
        other = read_slice(file)
        if (other.spatial_shape, other.dtype) != (first.spatial_shape, first.dtype) or len(other.spatial_shape) != 2:
            raise ReadError(f"{file} and {files[0].name} differ in size or type: export the series again.")
    size = first.spatial_shape
    check_size(path, len(files), *size)
    pixels = LazyArray((len(files), *size), first.dtype, _Slices(files), source=str(path), chunks=(1, *size))
    pattern = _pattern_of(series)
    starts, ends = (np.array([_point(scan, which) for scan in scans]) for which in ("Start", "End"))
    between = distance_between(starts, ends) if pattern in ("", "raster") else None
    warnings = []
    if between is None and len(scans) > 1 and pattern in ("", "raster"):
        warnings.append("Its B-scans are not evenly spaced, so the distance between them is not known.")
    localizer = _localizer(path, series)
    scan = OctScan(
        laterality=laterality_of(_text(series, "Laterality")),
        pattern=pattern,
        device=_device(series),
        surfaces=_surfaces(scans, size[1]),
        localizer=localizer,
        positions=_positions(starts, ends, localizer),
    )
    step = (between, _number(scans[0], "ScaleY"), _number(scans[0], "ScaleX"))
    return oct_image(path, pixels, scan, step=step, series=number, series_names=names, warnings=warnings)


def _picture(path: Path, image: ElementTree.Element) -> Path:
    """The picture's file; the export names the place where it was first written, the name alone counts."""
    name = re.split(r"[\\/]", _text(image, "ImageData/ExamURL"))[-1]
    file = path.parent / name
    if not name or not file.is_file():
        raise ReadError(f"{path} names the picture '{name}', which is not beside it: copy the whole export.")
    return file


def _localizer(path: Path, series: ElementTree.Element) -> Image | None:
    images = _images(series, "LOCALIZER")
    if not images:
        return None
    pixels = _grey_of(_picture(path, images[0]))
    steps = (_number(images[0], "ScaleY"), _number(images[0], "ScaleX"))
    known = tuple(step for step in steps if np.isfinite(step) and step > 0)
    has_space = len(known) == 2
    units = (MILLIMETER, MILLIMETER) if has_space else None
    return Image(levels=(pixels,), axes="yx", spacing=known if has_space else None, units=units, name="localizer")


def _positions(
    starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64], localizer: Image | None
) -> npt.NDArray[np.float64] | None:
    """(bscan, 2, 2): start and end as (y, x) in pixels of the localizer."""
    points = np.stack([starts, ends], axis=1)[..., ::-1]
    if localizer is None or localizer.spacing is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        found = np.asarray(points / np.asarray(localizer.spacing))
    return found if np.isfinite(found).all() else None


def _surfaces(scans: Sequence[ElementTree.Element], width: int) -> dict[str, npt.NDArray[np.float32]]:
    surfaces: dict[str, npt.NDArray[np.float32]] = {}
    for number, scan in enumerate(scans):
        for line in scan.iter("SegLine"):
            name, values = _text(line, "Name"), _text(line, "Array").split()
            rows = surfaces.setdefault(name, np.full((len(scans), width), np.nan, np.float32))
            if len(values) == width:
                rows[number] = [_as_number(value) for value in values]
    return surfaces


def _pattern_of(series: ElementTree.Element) -> Pattern:
    word = _text(series, "Type").lower()
    return next((pattern for known, pattern in _PATTERN_WORDS if known in word), "")


def _device(series: ElementTree.Element) -> str:
    maker, model = (_text(series, f"GeneralEquipment/{key}") for key in ("Manufacturer", "ManufacturerModelName"))
    return f"{maker} {model}".strip()


def _point(image: ElementTree.Element, which: str) -> tuple[float, float]:
    x, y = (_number(image, f"{which}/Coord/{axis}") for axis in "XY")
    return x, y


def _number(image: ElementTree.Element, key: str) -> float:
    return _as_number(_text(image, f"OphthalmicAcquisitionContext/{key}"))


def _as_number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()


FORMAT = Format(name="a Heidelberg XML export", recognises=_recognises, read=read_xml)
