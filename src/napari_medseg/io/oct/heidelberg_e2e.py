"""Heidelberg Engineering's ``.e2e``: a copy of a patient's records, with every series that was exported.

The maker has not described the format; eyepy parses it. Of what it finds, pixels, surfaces, scan pattern and side are
taken, series by series; its `EyeVolume` refuses circles and stars and copies names and dates.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.oct.heidelberg import LAYER_NAMES, PATTERNS, Pattern, distance_between
from napari_medseg.io.oct.scan import check_size, grey_of_reflectance, oct_image
from napari_medseg.structures import Image, OctScan

if TYPE_CHECKING:
    from eyepy.io.he.e2e_reader import E2EFolder, E2ESeriesStructure, E2ESliceStructure

_MAGIC = b"CMDb\0"
#: Types of records, and of the pictures in records of pixels.
_LATERALITY, _BSCAN_META, _LAYER, _PIXELS = 11, 10004, 10019, 1073741824
_FUNDUS_PICTURE, _BSCAN_PICTURE = 33620481, 35652097
#: Bytes before a record's content; its second number says what sort of picture it is.
_RECORD_HEADER_BYTES = 60
#: Micrometres per degree in an eye of average length, as the maker's software assumes without a measured length.
_MICROMETERS_PER_DEGREE = 289.6


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith(_MAGIC)


@dataclass(frozen=True, slots=True)
class _Series:
    """One series that has B-scans, in their order."""

    structure: E2ESeriesStructure
    bscans: tuple[E2ESliceStructure, ...]
    meta: tuple[Any, ...]

    @property
    def pattern(self) -> Pattern:
        """How the B-scans lie."""
        return PATTERNS.get(int(self.meta[0]["scan_pattern"]), "")

    @property
    def laterality(self) -> Literal["", "R", "L"]:
        """The eye."""
        folders = self.structure.folders.get(_LATERALITY, [])
        code = int(folders[0].data.laterality) if folders else 0
        return "R" if code == ord("R") else "L" if code == ord("L") else ""

    def name(self, number: int) -> str:
        """What it is called in a list."""
        words = [self.pattern or "scan", self.laterality]
        count = len(self.bscans)
        return f"{number + 1}: {' '.join(word for word in words if word)}, {count} B-scan{'s'[: count != 1]}"


def read_e2e(path: Path, series: int | None) -> Image:
    """Read one series of an ``.e2e``.

    Parameters
    ----------
    path
        The file.
    series
        Which of the series that have B-scans, volumes, circles and stars alike.

    Returns
    -------
    image of axes ``"zyx"`` or ``"yx"``, uint8 as of `grey_of_reflectance`. It has no spacing: the file states the depth
    of a pixel, but the width in degrees; what that is in an eye of average length is suggested in the metadata

    Raises
    ------
    ReadError
        The file is damaged or holds no B-scan.
    """
    try:
        with _reader(path) as reader:
            found = [one for structure in reader.series if (one := _series(structure)) is not None]
            if not found:
                raise ReadError(f"{path} holds no B-scan: it was exported without OCT images, or is cut short.")
            names = tuple(one.name(number) for number, one in enumerate(found))
            number = choose_series(path, series, names)
            return _read_series(path, found[number], number, names if len(names) > 1 else ("",))
    except MedsegError:
        raise
    except Exception:
        # construct raises whatever it meets in damaged records, and its words may quote them.
        raise ReadError(f"{path} is damaged or cut short: export it again.") from None


@contextlib.contextmanager
def _reader(path: Path) -> Iterator[Any]:
    from eyepy.io.he.e2e_reader import HeE2eReader

    with HeE2eReader(path) as reader:
        yield reader


def _series(structure: E2ESeriesStructure) -> _Series | None:
    """A series' slices that hold a B-scan, by the number that each states; None when there is none."""
    slices = [one for one in structure.slices.values() if _pictures(one.folders.get(_PIXELS, []), _BSCAN_PICTURE)]
    slices = [one for one in slices if _BSCAN_META in one.folders]
    if not slices:
        return None
    numbered = sorted(
        ((one._get_bscanmeta_data(), one) for one in slices), key=lambda pair: (pair[0].aktImage, pair[1].id)
    )
    return _Series(structure, tuple(one for _, one in numbered), tuple(meta for meta, _ in numbered))


def _pictures(folders: Sequence[E2EFolder], kind: int) -> list[E2EFolder]:
    """Records that hold one sort of picture, told without decoding it."""
    found = []
    for folder in folders:
        folder.file_object.seek(folder.start + _RECORD_HEADER_BYTES)
        head = folder.file_object.read(8)
        if len(head) == 8 and struct.unpack("<II", head)[1] == kind:
            found.append(folder)
    return found


def _read_series(path: Path, series: _Series, number: int, names: tuple[str, ...]) -> Image:
    pixels = [_bscan(one) for one in series.bscans]
    if len({one.shape for one in pixels}) > 1:
        raise ReadError(f"{path} holds B-scans of different sizes in series {number}: export it as pictures instead.")
    check_size(path, len(pixels), *pixels[0].shape)
    scan = OctScan(
        laterality=series.laterality,
        pattern=series.pattern,
        device="Heidelberg Spectralis",
        surfaces=_surfaces(series.bscans, pixels[0].shape[1]),
        localizer=_localizer(series),
    )
    suggested = _suggested(series, pixels[0].shape[1])
    warning = f"The file states {suggested[1]:.4g} mm per pixel along the depth but the width in degrees alone"
    if suggested[2] is not None:
        warning += f", {suggested[2]:.4g} mm per pixel in an eye of average length"
    return oct_image(
        path,
        np.stack(pixels),
        scan,
        step=(None, suggested[1], None),
        suggested=suggested,
        series=number,
        series_names=names,
        warnings=[f"{warning}: type the spacing where sizes matter."],
    )


def _bscan(one: E2ESliceStructure) -> npt.NDArray[np.uint8]:
    values = np.asarray(_pictures(one.folders[_PIXELS], _BSCAN_PICTURE)[0].data.data, np.float32)
    return grey_of_reflectance(values)


def _surfaces(bscans: Sequence[E2ESliceStructure], width: int) -> dict[str, npt.NDArray[np.float32]]:
    """Surfaces by the slot that each record states."""
    surfaces: dict[str, npt.NDArray[np.float32]] = {}
    for index, one in enumerate(bscans):
        for folder in one.folders.get(_LAYER, []):
            slot, values = int(folder.data.id), np.asarray(folder.data.data, np.float32)
            name = LAYER_NAMES[slot] if slot < len(LAYER_NAMES) else f"surface {slot + 1}"
            rows = surfaces.setdefault(name, np.full((len(bscans), width), np.nan, np.float32))
            if values.shape == (width,):
                rows[index] = values
    return surfaces


def _localizer(series: _Series) -> Image | None:
    """The fundus picture of the series, or of its only slice; in pixels, for the file does not state its field."""
    folders = [*series.structure.folders.get(_PIXELS, [])]
    folders += [folder for one in series.structure.slices.values() for folder in one.folders.get(_PIXELS, [])]
    pictures = _pictures(folders, _FUNDUS_PICTURE)
    if not pictures:
        return None
    return Image(levels=(np.array(pictures[0].data.data),), axes="yx", name="localizer")


def _suggested(series: _Series, width: int) -> tuple[float | None, float, float | None]:
    """Millimetres between B-scans, along the depth (which the file states) and the width, in an eye of average length.

    How a circle's points are stored is not known, so nothing is suggested for its width.
    """
    names = ("start_x", "start_y", "end_x", "end_y")
    points = np.array([[meta[name] for name in names] for meta in series.meta], np.float64).reshape(-1, 2, 2)
    millimeters = points * _MICROMETERS_PER_DEGREE / 1000
    between = distance_between(millimeters[:, 0], millimeters[:, 1]) if series.pattern in ("", "raster") else None
    length = float(np.hypot(*(millimeters[0, 1] - millimeters[0, 0])))
    return between, float(series.meta[0]["scale_y"]), None if series.pattern == "circle" else length / width


FORMAT = Format(name="a Heidelberg .e2e file", recognises=_recognises, read=read_e2e)
