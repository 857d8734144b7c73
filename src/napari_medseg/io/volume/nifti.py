"""NIfTI volumes (``.nii``, ``.nii.gz``): voxels as stored, turned so that axial slices come first."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.lazy import Block
from napari_medseg.io.volume.space import Affine, ArrayView, is_usable, nearest_view
from napari_medseg.io.volume.volume import LARGEST_VOXELS, as_lazy, short_name, volume_image
from napari_medseg.structures import Image

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Image

_GZIP = b"\x1f\x8b"
#: Where the two versions keep their magic words; the first may also lie in an ``.img`` of its own, which is not read.
_MAGIC = ((slice(344, 348), b"n+1\0"), (slice(4, 12), b"n+2\0\r\n\032\n"))
_HEADER_BYTES = 540
#: Units of length by NIfTI's code; unknown counts as millimetres, as everywhere.
_MILLIMETERS = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}
RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
#: Under which an image's metadata keeps the classes of labels as JSON, as the other formats of labels do.
CLASSES_KEY = "classes"
#: Under which it keeps where the file's own axes point, such as ``"RAS"``, so that labels can be written alike.
ORIENTATION_KEY = "nifti_orientation"
#: What a comment in the header is called that names classes.
EXTENSION_KEY = "napari-medseg-classes"


def _recognises(path: Path, head: bytes) -> bool:
    return _version(path, head) is not None


def _version(path: Path, head: bytes) -> int | None:
    """1 or 2 by the magic word, also inside gzip; None for other files."""
    if head.startswith(_GZIP):
        try:
            with gzip.open(path) as stream:
                head = stream.read(_HEADER_BYTES)
        except (OSError, EOFError, zlib.error):
            return None
    return next((number for number, (where, magic) in enumerate(_MAGIC, 1) if head[where] == magic), None)


@contextmanager
def _opened(path: Path) -> Iterator[Nifti1Image]:
    """Header and lazy data, whatever the file is called; the file is closed when the block ends."""
    from nibabel.fileholders import FileHolder
    from nibabel.nifti1 import Nifti1Image
    from nibabel.nifti2 import Nifti2Image

    with path.open("rb") as stream:
        head = stream.read(_HEADER_BYTES)
    is_packed = head.startswith(_GZIP)
    kind = Nifti2Image if _version(path, head) == 2 else Nifti1Image
    with gzip.open(path) if is_packed else path.open("rb") as file:
        yield kind.from_file_map({"image": FileHolder(fileobj=file)}, mmap=False)


class _Voxels:
    """Reads the stored volume, all of it when first asked for: gzip has no middle to begin at."""

    def __init__(self, path: Path, volume: int, view: ArrayView, dtype: np.dtype[Any]) -> None:
        self._arguments = (path, volume, view, dtype)
        self._whole = lru_cache(maxsize=1)(self._read)

    def __reduce__(self) -> tuple[Any, ...]:
        return _Voxels, self._arguments

    def __call__(self, block: Block) -> npt.NDArray[Any]:
        return self._whole()[block].copy()

    def _read(self) -> npt.NDArray[Any]:
        path, volume, view, dtype = self._arguments
        with _opened(path) as image:
            stored = image.dataobj
            index = ((slice(None),) * 3 + (volume,) + (0,) * (len(stored.shape) - 4))[: len(stored.shape)]
            # A copy, because plain slices may be views of a buffer that ends with the file.
            values = np.array(stored[index] if _is_scaled(stored) else stored.get_unscaled()[index])
        values = values.reshape(values.shape + (1,) * (3 - values.ndim))
        return np.ascontiguousarray(view.of(values)).astype(dtype, copy=False)


def _is_scaled(stored: Any) -> bool:
    return (float(stored.slope), float(stored.inter)) != (1.0, 0.0)


def read_nifti(path: Path, series: int | None) -> Image:
    """Read a NIfTI volume.

    Parameters
    ----------
    path
        The file; gzip is recognised by content.
    series
        Which volume of a file that holds several (times, phases); None: the first.

    Returns
    -------
    image of axes ``"zyx"`` in millimetres. Whole numbers that are not scaled keep their type, all others are float32.
    Axes are swapped and flipped, never resampled, until they run as near as can be towards head, back and left

    Raises
    ------
    ReadError
        The file is cut short, or its voxels are colours or complex numbers.
    """
    with _opened(path) as stored:
        return _image(path, stored, series)


def _image(path: Path, stored: Nifti1Image, series: int | None) -> Image:
    """The image of an open file; nothing but its header is read here."""
    header, shape = stored.header, stored.shape
    if len(shape) < 2 or np.prod(shape, dtype=np.float64) > LARGEST_VOXELS or min(shape) < 1:
        raise ReadError(f"{path} says it holds {' × '.join(map(str, shape))} voxels: it is damaged.")
    shape = (*shape, 1)[:3] if len(shape) < 3 else shape
    count = int(np.prod(shape[3:], dtype=np.int64))
    if count > 1 and len([n for n in shape[3:] if n > 1]) > 1:
        raise ReadError(f"{path} holds {len(shape)} axes, which cannot be shown: save three or four of them.")
    names = tuple(f"volume {number} of {count}" for number in range(1, count + 1)) if count > 1 else ("",)
    number = choose_series(path, series, names)
    if header.get_data_dtype().kind not in "iuf":
        raise ReadError(f"{path} holds colours or complex numbers, not grey values: save one value per voxel.")
    affine, warnings = _affine(stored, _unsized(path, type(stored)))
    view, placed = nearest_view(affine if is_usable(affine) else RAS_TO_LPS, shape)
    dtype = header.get_data_dtype().newbyteorder("=")
    if dtype.kind == "f" or _is_scaled(stored.dataobj):
        dtype = np.dtype(np.float32)
    sizes = [shape[axis] for axis in view.order]
    known = {CLASSES_KEY: _classes_text(header), ORIENTATION_KEY: _orientation(affine)}
    return volume_image(
        path,
        as_lazy(path, sizes, dtype, _Voxels(path, number, view, dtype)),
        placed if is_usable(affine) else affine,
        name=short_name(path),
        series=number,
        series_names=names,
        warnings=warnings,
        metadata={key: text for key, text in known.items() if text},
    )


def _orientation(affine: Affine) -> str:
    """Where the file's axes point, as nibabel names it; empty where they point nowhere."""
    from nibabel.orientations import aff2axcodes

    return "".join(aff2axcodes(RAS_TO_LPS @ affine)) if is_usable(affine) else ""


def _classes_text(header: Any) -> str:
    """JSON of the classes that `nifti_writer` kept in an extension of the header; empty where there is none."""
    for extension in header.extensions:
        text = bytes(extension.get_content() or b"").rstrip(b"\0").decode("utf-8", "replace")
        if not text.startswith("{"):
            continue
        try:
            kept = json.loads(text).get(EXTENSION_KEY)
        except json.JSONDecodeError:
            # Another program's words.
            continue
        if kept is not None:
            return json.dumps(kept)
    return ""


def _unsized(path: Path, kind: type[Nifti1Image]) -> list[int]:
    """Axes along which there is more than one voxel but the header gives voxels no size."""
    with path.open("rb") as stream:
        is_packed = stream.read(len(_GZIP)) == _GZIP
    with gzip.open(path) if is_packed else path.open("rb") as file:
        header = kind.header_class.from_fileobj(file, check=False)
    count, *sizes = (int(size) for size in header["dim"])
    steps = [float(step) for step in header["pixdim"][1:]]
    return [axis for axis in range(min(count, 3)) if sizes[axis] > 1 and not steps[axis]]


def _affine(stored: Nifti1Image, unsized: Sequence[int]) -> tuple[Affine, list[str]]:
    """The file's index (i, j, k, 1) to millimetres (left, posterior, superior, 1), and what is odd about it."""
    header = stored.header
    unit = _MILLIMETERS.get(int(header["xyzt_units"]) & 7, 1.0)
    with np.errstate(invalid="ignore"):  # infinite steps give no number; the caller says what that means
        affine = RAS_TO_LPS @ np.asarray(stored.affine, np.float64)
    affine[:3] *= unit
    if not int(header["sform_code"]):
        # nibabel puts 1 where the file has 0; a column of zeros is no place, which the caller says.
        affine[:, [axis for axis in unsized if axis < 3]] = 0.0
    if int(header["qform_code"]) or int(header["sform_code"]):
        return affine, []
    return affine, ["The file does not say how the body lies in it: left and right may be exchanged."]


FORMAT = Format(name="a NIfTI file", recognises=_recognises, read=read_nifti)
