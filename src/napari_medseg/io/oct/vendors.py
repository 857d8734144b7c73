"""Topcon's, Zeiss', Optovue's and Bioptigen's own files, through the optional package oct-converter.

It brings OpenCV and matplotlib (200 MB), so it is no dependency of this package but an extra of it.
"""

from __future__ import annotations

import contextlib
import importlib
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import MedsegError, ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.oct.grey import to_grey
from napari_medseg.io.oct.heidelberg import laterality_of
from napari_medseg.io.oct.scan import check_size, oct_image
from napari_medseg.structures import Image, OctScan

EXTRA = "oct-vendors"
#: Rows and columns of Cirrus cubes by the bytes of a ``.img``, which has no header: 512 × 128 and 200 × 200 A-scans.
_CIRRUS: Mapping[int, tuple[int, int]] = {1024 * 512 * 128: (1024, 512), 1024 * 200 * 200: (1024, 200)}
#: A Bioptigen header's first key, behind a number, a version and the key's length.
_BIOPTIGEN = (slice(10, 21), b"FRAMEHEADER")


def _is_topcon(path: Path, head: bytes) -> bool:
    return head.startswith(b"FOCT")


def _is_bioptigen(path: Path, head: bytes) -> bool:
    return head[_BIOPTIGEN[0]] == _BIOPTIGEN[1]


def _is_optovue(path: Path, head: bytes) -> bool:
    """Raw numbers; the text file of the same name, without which they mean nothing, is what tells."""
    if path.suffix.lower() != ".oct" or path.is_dir():
        return False
    text = path.with_suffix(".txt")
    return text.is_file() and "Window Height" in text.read_text("iso-8859-1")


def _is_cirrus(path: Path, head: bytes) -> bool:
    """Raw bytes of a size that only these have; Analyze images of that ending have a ``.hdr`` beside them."""
    return (
        path.suffix.lower() == ".img"
        and not path.with_suffix(".hdr").exists()
        and not path.is_dir()
        and path.stat().st_size in _CIRRUS
    )


def _read_topcon(path: Path, series: int | None) -> Image:
    choose_series(path, series, ("",))
    with path.open("rb") as file:
        kind = file.read(7)[4:]
    name = "fds" if kind == b"FDS" else "fda"
    found = _converted(path, name, name.upper(), "read_oct_volume")
    spacing = found.pixel_spacing
    step = (spacing[1], spacing[2], spacing[0]) if spacing is not None and len(spacing) == 3 else (None, None, None)
    scan = OctScan(laterality=laterality_of(found.laterality or ""), device="Topcon", surfaces=found.contours or {})
    return _image(path, found.volume, scan, step)


def _read_cirrus(path: Path, series: int | None) -> Image:
    choose_series(path, series, ("",))
    rows, columns = _CIRRUS[path.stat().st_size]
    found = _converted(path, "img", "IMG", "read_oct_volume", rows=rows, cols=columns)
    warning = "Its size alone says how many A-scans it has: check that the B-scans look right."
    scan = OctScan(laterality=laterality_of(found.laterality or ""), device="Zeiss Cirrus")
    return _image(path, found.volume, scan, (None, None, None), warnings=(warning,))


def _read_many(module: str, name: str, device: str) -> Callable[[Path, int | None], Image]:
    """A reader of files that hold several volumes; none of them has a spacing that can be believed."""

    def read(path: Path, series: int | None) -> Image:
        volumes = _converted(path, module, name, "read_oct_volume")
        names = tuple(f"{number + 1}: {len(one.volume)} B-scans" for number, one in enumerate(volumes))
        number = choose_series(path, series, names or ("",))
        if not volumes:
            raise ReadError(f"{path} holds no B-scan: it is damaged, copy it again from its source.")
        scan = OctScan(laterality=laterality_of(volumes[number].laterality or ""), device=device)
        shown = {"series": number, "series_names": names if len(names) > 1 else ("",)}
        return _image(path, volumes[number].volume, scan, (None, None, None), **shown)

    return read


def _image(
    path: Path, volume: Any, scan: OctScan, step: tuple[float | None, float | None, float | None], **keywords: Any
) -> Image:
    bscans = [np.asarray(one) for one in volume]
    bscans = [to_grey(one) if one.ndim == 3 else one for one in bscans]
    if not bscans or len({one.shape for one in bscans}) > 1 or bscans[0].ndim != 2:
        raise ReadError(f"{path} holds B-scans of different sizes: export it as pictures instead.")
    check_size(path, len(bscans), *bscans[0].shape)
    return oct_image(path, np.stack(bscans), scan, step=step, **keywords)


def _converted(path: Path, module: str, name: str, method: str, **keywords: Any) -> Any:
    """What a reader of oct-converter returns.

    Raises
    ------
    ReadError
        The package is not installed, or it cannot read the file.
    """
    try:
        readers = importlib.import_module(f"oct_converter.readers.{module}")
    except ImportError:
        raise ReadError(
            f"{path} is a scanner's own file that needs the optional package oct-converter: run "
            f"'pip install \"napari-medseg[{EXTRA}]\"' and try again, or export it as DICOM or pictures."
        ) from None
    try:
        # It prints what it finds, to where a JSON document may be expected.
        with contextlib.redirect_stdout(io.StringIO()), _old_numpy(readers):
            return getattr(getattr(readers, name)(path), method)(**keywords)
    except MedsegError:
        raise
    except Exception:
        # Its parser raises whatever it meets, and its words may quote the header.
        raise ReadError(f"{path} cannot be read by oct-converter: it may be damaged, export it again.") from None


class _OldNumpy:
    """NumPy with the binary ``fromstring`` that oct-converter 0.7 still calls and NumPy 2.3 took away."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def fromstring(text: bytes, dtype: npt.DTypeLike = float) -> npt.NDArray[Any]:
        """Numbers from bytes."""
        return np.frombuffer(text, dtype)


@contextlib.contextmanager
def _old_numpy(module: ModuleType) -> Iterator[None]:
    """Let one module of oct-converter see `_OldNumpy`."""
    before = vars(module).get("np")
    vars(module)["np"] = _OldNumpy()
    try:
        yield
    finally:
        vars(module)["np"] = before


FORMATS = (
    Format(name="a Topcon file", recognises=_is_topcon, read=_read_topcon),
    Format(name="a Bioptigen file", recognises=_is_bioptigen, read=_read_many("boct", "BOCT", "Bioptigen")),
    Format(name="an Optovue file", recognises=_is_optovue, read=_read_many("poct", "POCT", "Optovue")),
    Format(name="a Zeiss Cirrus file", recognises=_is_cirrus, read=_read_cirrus),
)
