"""DICOM series: a folder, a tree with several series, or one file of it; also enhanced multi-frame files.

Headers are read at once, pixels when asked for. What belongs together is decided in `dicom_stack`, what numbers mean in
`dicom_pixels`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from napari_medseg.errors import ReadError
from napari_medseg.io.format import HEAD_BYTES, Format, choose_series
from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.oct.dicom import OPT_CLASS, is_dicom, sop_class_of
from napari_medseg.io.units import PIXEL
from napari_medseg.io.volume.dicom_header import Slice, series_of, slices_of
from napari_medseg.io.volume.dicom_pixels import EvenLoader, SliceLoader, common_type
from napari_medseg.io.volume.dicom_seg import SEG_CLASSES, read_seg
from napari_medseg.io.volume.dicom_stack import Stack, stacks_of
from napari_medseg.io.volume.presets import WINDOW_KEY
from napari_medseg.io.volume.space import is_usable, spacing_of
from napari_medseg.io.volume.volume import LARGEST_VOXELS, MILLIMETER, volume_image
from napari_medseg.structures import Image, Kind

_KINDS: dict[str, Kind] = {"CT": "ct", "MR": "mr", "US": "ultrasound"}
#: Folders inside folders that are looked into: patient, study, series and a few of a disc's own.
_DEPTH = 6
#: Files that are looked at before a folder counts as one without DICOM.
_LOOKED_AT = 500
#: Pictures beside which DICOM files deeper down do not count.
_PICTURES = (b"\x89PNG", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM")
#: Files whose headers are remembered: some large series.
_REMEMBERED = 6000
#: More files than any disc of one patient holds.
_MOST_FILES = 100_000
_INDEX = "DICOMDIR"


def _recognises(path: Path, head: bytes) -> bool:
    if path.is_dir():
        return _is_dicom_folder(path)
    return is_dicom(head) and sop_class_of(path) != OPT_CLASS


def _is_dicom_folder(folder: Path) -> bool:
    """Whether DICOM files lie in a folder or below it, and no pictures above them."""
    depth, has_picture = -1, False
    for looked, (file, level) in enumerate(_files(folder)):
        if looked >= _LOOKED_AT or (has_picture and level > depth):
            return False
        depth = level
        head = _head(file)
        if is_dicom(head):
            return sop_class_of(file) != OPT_CLASS
        has_picture = has_picture or head.startswith(_PICTURES)
    return False


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    """Files of a tree, the upper ones first, each with its depth; hidden ones left out."""
    level, folders = 0, [folder]
    while folders and level < _DEPTH:
        below: list[Path] = []
        for one in folders:
            try:
                entries = sorted(os.scandir(one), key=lambda entry: entry.name)
            except OSError:
                # A folder of another person among ours is no reason to refuse the others.
                continue
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            yield from ((Path(entry.path), level) for entry in shown if entry.is_file())
            below += [Path(entry.path) for entry in shown if entry.is_dir(follow_symlinks=False)]
        level, folders = level + 1, below


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return b""


def dicom_files(folder: Path) -> Iterator[Path]:
    """DICOM files of a tree, the upper ones first, without a disc's index; none where pictures lie above them."""
    if _is_dicom_folder(folder):
        files = (file for file, _ in islice(_files(folder), _MOST_FILES))
        yield from (file for file in files if file.name.upper() != _INDEX and is_dicom(_head(file)))


def one_per_series(files: Sequence[Path]) -> list[Path]:
    """Files without those DICOM slices whose series another file before them stands for already."""
    seen: set[str] = set()
    kept = []
    for file in files:
        series = series_of(file) if not file.is_dir() and is_dicom(_head(file)) else ""
        if not series or series not in seen:
            kept.append(file)
        seen.add(series)
    return kept


def read_dicom(path: Path, series: int | None) -> Image:
    """Read a DICOM series.

    Parameters
    ----------
    path
        A folder with slices, or with folders of them; or one file, which stands for the series that it belongs to.
    series
        Which of the stacks, the one with most slices being number 0; None: that one, or the file's own.

    Returns
    -------
    image of axes ``"zyx"`` or, where there is only one slice, ``"yx"``; kind by modality; slices in the order of their
    places; warnings say what was odd

    Raises
    ------
    ReadError
        There are no pictures in it, they are coloured, or their headers are damaged.
    """
    if not path.is_dir() and sop_class_of(path) in SEG_CLASSES:
        return read_seg(path)
    slices, told = _gathered(path)
    stacks = stacks_of(slices)
    number, names = _chosen(path, stacks, series)
    return _image(path, stacks, number, names, told)


def _chosen(path: Path, stacks: list[Stack], series: int | None) -> tuple[int, tuple[str, ...]]:
    """Number of the stack that is asked for, and the names of all."""
    names = tuple(_name(stack) for stack in stacks)
    number = choose_series(path, series, names)
    if series is None and not path.is_dir():
        number = next(i for i, stack in enumerate(stacks) if any(one.path == path for one in stack.present))
    return number, names


def series_slices(path: Path, series: int | None) -> tuple[Slice | None, ...]:
    """Where each slice of the image comes from that `read_dicom` returns; None for a missing one.

    Raises
    ------
    ReadError
        As `read_dicom`; and where the image was resampled, so that its slices are none of the series.
    """
    head = _head(path) if not path.is_dir() else b""
    if not (_is_dicom_folder(path) if path.is_dir() else is_dicom(head)):
        raise ReadError(f"{path} is no DICOM series, which a DICOM SEG must refer to: name the series' folder.")
    slices, _ = _gathered(path)
    stacks = stacks_of(slices)
    stack = stacks[_chosen(path, stacks, series)[0]]
    if stack.is_resampled:
        raise ReadError(f"{path} was resampled, so its slices are none of the series: export NIfTI instead.")
    return stack.slices


def _gathered(path: Path) -> tuple[list[Slice], list[str]]:
    """Slices of all files of a folder, or of a file and those beside it that are of its series."""
    if path.is_dir():
        files = [file for file, _ in _files(path)][:_MOST_FILES]
    else:
        files = [path, *(file for file in sorted(path.parent.iterdir()) if file != path and file.is_file())]
    slices: list[Slice] = []
    damaged = []
    for file in files:
        if file.name.upper() == _INDEX:
            continue
        try:
            state = file.stat()
            found = _slices_in(file, state.st_mtime_ns, state.st_size)
        except Exception:
            # Parsers of damaged headers raise whatever they like, and their words may quote a name.
            found = ()
            damaged.append(file)
        if found is None:
            continue
        if file == path and not found:
            raise _nothing(path, damaged)
        if path.is_dir() or not slices or (found and found[0].series == slices[0].series):
            slices += found
    if not slices:
        raise _nothing(path, damaged)
    if any(one.is_colored for one in slices):
        slices = [one for one in slices if not one.is_colored]
        if not slices:
            raise ReadError(f"{path} holds coloured DICOM pictures, which cannot be read yet: export them as PNG.")
    return slices, _left_out(damaged)


@lru_cache(maxsize=_REMEMBERED)
def _slices_in(file: Path, changed: int, size: int) -> tuple[Slice, ...] | None:
    """Slices of a file as it is since `changed`; None where it is no DICOM. Raises as `slices_of`.

    Remembered, so that a series that has been looked at once, or whose thumbnail has been made, opens at once.
    """
    return tuple(slices_of(file)) if is_dicom(_head(file)) else None


def _nothing(path: Path, damaged: list[Path]) -> ReadError:
    if damaged:
        return ReadError(
            f"{damaged[0]} is a DICOM file without its pixels, damaged or cut short: copy it again from its source."
        )
    return ReadError(
        f"{path} is DICOM but holds no pictures (a segmentation, plan or report, perhaps): open the series."
    )


def _left_out(damaged: list[Path]) -> list[str]:
    if not damaged:
        return []
    shown = ", ".join(file.name for file in damaged[:3]) + (f" and {len(damaged) - 3} more" if len(damaged) > 3 else "")
    return [f"{len(damaged)} DICOM file{'s are' if len(damaged) > 1 else ' is'} damaged and left out: {shown}."]


def _name(stack: Stack) -> str:
    """Description, size, distances and phase, for a person to choose by."""
    first = stack.present[0]
    parts = [first.description or f"{first.modality or 'Series'} {first.series_number}".strip()]
    parts.append(" × ".join(map(str, (first.columns, first.rows, stack.count))))
    if stack.affine is not None and is_usable(stack.affine):
        # A single slice has no distance to others.
        steps = spacing_of(stack.affine)[1 if stack.count == 1 else 0 :][::-1]
        parts.append(" × ".join(f"{step:.3g}" for step in steps) + " mm")
    return ", ".join([*parts, *([stack.variant] if stack.variant else [])])


def _image(path: Path, stacks: list[Stack], number: int, names: tuple[str, ...], told: list[str]) -> Image:
    stack = stacks[number]
    present = stack.present
    first = present[0]
    shape = (stack.count, first.rows, first.columns)
    if shape[0] * shape[1] * shape[2] > LARGEST_VOXELS:
        raise ReadError(f"{first.path} says it holds {' × '.join(map(str, shape))} voxels: it is damaged.")
    dtype = common_type(present)
    slices = SliceLoader(stack.slices, dtype)
    load = EvenLoader(slices, stack.depths) if stack.is_resampled else slices
    voxels = LazyArray(shape, dtype, load, source=str(path), chunks=(1, *shape[1:]))
    image = volume_image(
        path,
        voxels,
        stack.affine,
        name=f"{path.name} (resampled)" if stack.is_resampled else path.name,
        kind=_KINDS.get(first.modality, "image"),
        series=number,
        series_names=names,
        warnings=(*told, *stack.warnings),
        metadata={} if first.window is None else {WINDOW_KEY: first.window},
    )
    return image if stack.in_plane is None else _counted_in_slices(image, stack.in_plane)


def _counted_in_slices(image: Image, in_plane: tuple[float, ...]) -> Image:
    """An image whose slices have a size but no known distance."""
    rows, columns = in_plane
    if not (rows > 0 and columns > 0):
        return image
    is_stack = "z" in image.axes
    return replace(
        image,
        spacing=(1.0, rows, columns) if is_stack else (rows, columns),
        units=(PIXEL, MILLIMETER, MILLIMETER) if is_stack else (MILLIMETER, MILLIMETER),
    )


FORMAT = Format(name="a DICOM series", recognises=_recognises, read=read_dicom, is_lazy=True)
