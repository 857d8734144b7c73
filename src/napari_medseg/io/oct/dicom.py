"""DICOM ophthalmic tomography images: B-scans as frames of one file, with spacing and side in its functional groups.

Only the elements named here are read. Those of patient, study and dates are in the file and stay there.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.io.oct.grey import to_grey
from napari_medseg.io.oct.heidelberg import distance_between, laterality_of
from napari_medseg.io.oct.scan import check_size, oct_image
from napari_medseg.structures import Image, OctScan

if TYPE_CHECKING:
    from pydicom import Dataset

#: Ophthalmic Tomography Image Storage.
OPT_CLASS = "1.2.840.10008.5.1.4.1.1.77.1.5.4"
_PREAMBLE = slice(128, 132)
_KEPT_FRAMES = 4


def is_dicom(head: bytes) -> bool:
    """Whether a file begins as DICOM files do."""
    return head[_PREAMBLE] == b"DICM"


def _recognises(path: Path, head: bytes) -> bool:
    return is_dicom(head) and not path.is_dir() and sop_class_of(path) == OPT_CLASS


def sop_class_of(path: Path) -> str:
    """What sort of DICOM object a file holds; empty where its header cannot be read."""
    from pydicom import dcmread

    try:
        with quiet():
            meta = dcmread(path, specific_tags=["SOPClassUID"], stop_before_pixels=True)
            return str(meta.get("SOPClassUID", "") or meta.file_meta.get("MediaStorageSOPClassUID", ""))
    except Exception:
        # Parsers of damaged files raise whatever they like; a file of no known class is not ours.
        return ""


class _Quiet:
    """Settings of warnings and logs belong to all threads: who comes first sets them, who leaves last restores them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._settings = ExitStack()

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._settings.enter_context(_ignoring_oddities())
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._settings.close()


_QUIET = _Quiet()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep values of odd elements, names among them, out of warnings and logs; in several threads at once too."""
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


@contextmanager
def _ignoring_oddities() -> Iterator[None]:
    from pydicom import config

    logger = logging.getLogger("pydicom")
    level, mode = logger.level, config.settings.reading_validation_mode
    logger.setLevel(logging.CRITICAL + 1)
    config.settings.reading_validation_mode = config.IGNORE
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        config.settings.reading_validation_mode = mode


class _Frames:
    """Decodes the frames that a block touches, and keeps the last few."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._frame = lru_cache(maxsize=_KEPT_FRAMES)(self._decode)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Frames, (self._path,)

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        return np.stack([self._frame(index)[block[1:]] for index in range(block[0].start, block[0].stop)])

    def _decode(self, index: int) -> npt.NDArray[Any]:
        """One frame (y, x), dark where little light came back."""
        from pydicom.pixels.utils import pixel_array

        try:
            with quiet():
                frame = pixel_array(self._path, index=index)
        except Exception:
            # Decoders raise whatever they like, and their words may quote the header.
            raise _undecodable(self._path, index) from None
        return to_grey(frame) if frame.ndim == 3 else np.asarray(frame)


def _undecodable(path: Path, index: int) -> ReadError:
    return ReadError(
        f"{path} holds pixels that cannot be decoded (frame {index + 1}): it is damaged, or its maker hid them (Zeiss "
        "does so with JPEG 2000); export it again as plain DICOM or as pictures."
    )


def read_opt(path: Path, series: int | None) -> Image:
    """Read an ophthalmic tomography image.

    Parameters
    ----------
    path
        The file.
    series
        0 or None: a file holds one scan.

    Returns
    -------
    image of axes ``"zyx"`` or ``"yx"``; frames are decoded when asked for

    Raises
    ------
    ReadError
        The file is cut short, its pixels are obfuscated by its maker, or cannot be decoded.
    """
    from pydicom import dcmread

    choose_series(path, series, ("",))
    try:
        with quiet():
            header = dcmread(path, stop_before_pixels=True)
            frames = int(header.get("NumberOfFrames") or 1)
            size = (int(header.Rows), int(header.Columns))
            scan = _scan(header)
            step = _step(header)
            is_inverted = header.get("PhotometricInterpretation") == "MONOCHROME1"
    except Exception:
        # As above: the parser's own words may quote a name.
        raise ReadError(
            f"{path} has a DICOM header that cannot be read: it is damaged or cut short, copy it again from its source."
        ) from None
    check_size(path, frames, *size)
    load = _Frames(path)
    # The first frame tells the type of pixels, and at once whether they can be read at all.
    first = load((slice(0, 1), slice(0, size[0]), slice(0, size[1])))
    if first.shape[1:] != size or not _has_frame(load, frames - 1):
        raise _undecodable(path, frames - 1)
    pixels = LazyArray((frames, *size), first.dtype, load, source=str(path), chunks=(1, *size))
    told = ["Its maker says that dark means bright (MONOCHROME1); it is shown as stored."] if is_inverted else []
    return oct_image(path, pixels, scan, step=step, warnings=told)


def _has_frame(load: _Frames, index: int) -> bool:
    """Whether the last frame is there, which a file that was cut short lacks."""
    return load((slice(index, index + 1), slice(0, 1), slice(0, 1))).size == 1


def _scan(header: Dataset) -> OctScan:
    maker, model = (str(header.get(key) or "").strip() for key in ("Manufacturer", "ManufacturerModelName"))
    side = str(_first(header, "ImageLaterality", "Laterality", "FrameLaterality") or "")
    if not side:
        group = _group(header, "FrameAnatomySequence")
        side = str(_first(group, "FrameLaterality") or "") if group is not None else ""
    return OctScan(laterality=laterality_of(side), device=f"{maker} {model}".strip())


def _step(header: Dataset) -> tuple[float | None, float | None, float | None]:
    """Distance between frames, along depth and along width, in millimetres; None where the file does not say."""
    measures = _group(header, "PixelMeasuresSequence")
    source = measures if measures is not None else header
    spacing = source.get("PixelSpacing")
    axial, lateral = (float(spacing[0]), float(spacing[1])) if spacing is not None else (None, None)
    between = _distance_of_frames(header)
    if between is None and (given := _first(source, "SpacingBetweenSlices")) is not None:
        between = float(given)
    return between, axial, lateral


def _distance_of_frames(header: Dataset) -> float | None:
    """From the frames' places on the fundus picture, or their positions, where those are lines side by side."""
    starts, ends = [], []
    for frame in header.get("PerFrameFunctionalGroupsSequence") or []:
        position = _item(frame, "PlanePositionSequence")
        if position is None or position.get("ImagePositionPatient") is None:
            return None
        x, _, z = (float(value) for value in position.ImagePositionPatient)
        starts.append((x, z))
        ends.append((x + 1.0, z))
    return distance_between(np.array(starts), np.array(ends)) if len(starts) > 1 else None


def _group(header: Dataset, name: str) -> Dataset | None:
    """The first item of a functional group, shared by all frames or of the first one."""
    for where in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        outer = _item(header, where)
        found = None if outer is None else _item(outer, name)
        if found is not None:
            return found
    return None


def _item(dataset: Dataset, name: str) -> Dataset | None:
    items = dataset.get(name)
    return items[0] if items else None


def _first(dataset: Dataset, *names: str) -> Any:
    return next((dataset.get(name) for name in names if dataset.get(name) not in (None, "")), None)


FORMAT = Format(name="a DICOM file of an OCT scanner", recognises=_recognises, read=read_opt)
