"""DICOM ultrasound: single frames and cines, grey or in colours.

Every file is an image of its own, as machines put the frames of one examination into one series. Only the elements that
`header` and `frames` name are read into images; those of patient, study and dates are in the file and stay there.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.oct.dicom import is_dicom, quiet
from napari_medseg.io.oct.scan import check_size
from napari_medseg.io.ultrasound.cine import cine_image
from napari_medseg.io.ultrasound.frames import FrameLoader
from napari_medseg.io.ultrasound.header import device_of, frame_ms_of, regions_of
from napari_medseg.io.volume.dicom import dicom_files
from napari_medseg.io.volume.dicom_header import is_ultrasound_header
from napari_medseg.structures import Image, UltrasoundScan

_TOLD = ["Modality", "SOPClassUID", "Rows"]


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        first = next(dicom_files(path), None)
        return first is not None and _is_ultrasound(first)
    return is_dicom(head) and _is_ultrasound(path)


def _is_ultrasound(path: Path) -> bool:
    from pydicom import dcmread

    try:
        with quiet():
            return is_ultrasound_header(dcmread(path, specific_tags=_TOLD, stop_before_pixels=True))
    except Exception:
        # Parsers of damaged files raise whatever they like; a file of no known sort is not ours.
        return False


def read_ultrasound(path: Path, series: int | None) -> Image:
    """Read an ultrasound frame or cine.

    Parameters
    ----------
    path
        The file, or a folder of such files.
    series
        Of a folder: which of its files, in the order of their names. None: the first.

    Returns
    -------
    image of axes ``"yx"``, ``"yxc"`` (red, green, blue), ``"tyx"`` or ``"tyxc"``, whose frames are decoded when asked
    for; bright is bright

    Raises
    ------
    ReadError
        The file is damaged, cut short, or holds no frames.
    """
    if not path.is_dir():
        choose_series(path, series, ("",))
        return _read_file(path)
    files = [file for file in dicom_files(path) if _is_ultrasound(file)]
    names = tuple(file.relative_to(path).as_posix() for file in files)
    number = choose_series(path, series, names)
    return replace(_read_file(files[number]), series=number, series_names=names)


def _read_file(path: Path) -> Image:
    from pydicom import dcmread

    try:
        with quiet():
            header = dcmread(path, stop_before_pixels=True)
            size = (int(header.get("NumberOfFrames") or 1), int(header.Rows), int(header.Columns))
            regions, step, told = regions_of(header, size[1:])
            frame_ms, uneven = frame_ms_of(header)
            scan = UltrasoundScan(device=device_of(header), regions=regions, frame_ms=frame_ms)
    except Exception:
        # As above: the parser's own words may quote a name.
        raise ReadError(
            f"{path} is DICOM ultrasound without frames (a report, perhaps), or its header is damaged: open another "
            "file of the examination, or copy it again from its source."
        ) from None
    check_size(path, *size)
    load = FrameLoader(path)
    # The first frame tells type and colours of pixels, and the last whether the file is whole.
    first = load((slice(0, 1), slice(0, size[1]), slice(0, size[2])))
    last = load((slice(size[0] - 1, size[0]), slice(0, size[1]), slice(0, size[2])))
    if first.shape[1:3] != size[1:] or last.shape != first.shape:
        raise ReadError(f"{path} holds another number of pixels than it says: copy it again from its source.")
    frames = LazyArray((size[0], *first.shape[1:]), first.dtype, load, source=str(path), chunks=first.shape)
    return cine_image(path, frames, scan, step, [*told, *(uneven if size[0] > 1 else [])])


FORMAT = Format(name="a DICOM ultrasound file", recognises=_recognises, read=read_ultrasound)
