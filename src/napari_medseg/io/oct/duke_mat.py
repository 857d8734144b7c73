"""MATLAB files of the Duke data sets: age-related macular degeneration (2013) and diabetic macular edema (2014).

Both hold ``images`` (depth, width, bscan). The former has ``layerMaps`` (bscan, width, 3), the latter two graders' and
two programs' ``manualLayers1`` ... (8, width, bscan). None states its spacing, which varies from scan to scan; what the
papers give over all scans (Chiu et al., Biomed. Opt. Express 2015: 3.87 µm along the depth, 10.94 to 11.98 along the
width, 118 to 128 between B-scans) is no fact of a file and not filled in.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.format import Format, choose_series
from napari_medseg.io.oct.mat5 import read_arrays
from napari_medseg.io.oct.scan import check_size, oct_image
from napari_medseg.structures import Image, OctScan

_MAGIC = b"MATLAB 5.0 MAT-file"
_MAGIC_HDF5 = b"MATLAB 7.3 MAT-file"
_AMD_SURFACES = ("ILM", "IBRPE", "BM")
_DME_SURFACES = ("ILM", "NFL/GCL", "IPL/INL", "INL/OPL", "OPL/ONL", "ISM/ISE", "OS/RPE", "BM")
#: Who drew them, the most trusted first; the others' are told in a warning.
_DME_GRADERS = ("manualLayers1", "manualLayers2", "automaticLayersDME", "automaticLayersNormal")
_WANTED = ("images", "layerMaps", *_DME_GRADERS)


def _recognises(path: Path, head: bytes) -> bool:
    return head.startswith((_MAGIC, _MAGIC_HDF5))


def read_mat(path: Path, series: int | None) -> Image:
    """Read a volume of the Duke data sets.

    Parameters
    ----------
    path
        The ``.mat`` file.
    series
        For files with several graders' layers: whose (0 the first one that is there).

    Returns
    -------
    image of axes ``"zyx"`` or ``"yx"`` as stored, without spacing

    Raises
    ------
    ReadError
        The file is of MATLAB's newer kind, damaged, or holds no B-scans.
    """
    contents = _load(path)
    stored = contents.get("images")
    if stored is None or stored.ndim not in (2, 3) or stored.dtype.kind not in "uif":
        raise ReadError(f"{path} is a MATLAB file without a stack 'images': only those of the Duke data sets are read.")
    bscans = np.moveaxis(np.atleast_3d(stored), -1, 0)  # (bscan, y, x)
    check_size(path, *bscans.shape)
    graders = [name for name in _DME_GRADERS if name in contents]
    number = choose_series(path, series, tuple(graders) or ("",))
    surfaces = _dme_surfaces(contents[graders[number]], bscans.shape) if graders else {}
    if "layerMaps" in contents:
        surfaces = _named(np.moveaxis(np.atleast_3d(contents["layerMaps"]), -1, 0), _AMD_SURFACES, bscans.shape)
    return oct_image(
        path,
        _as_grey(bscans),
        OctScan(surfaces=surfaces),
        step=(None, None, None),
        series=number,
        series_names=tuple(graders) if len(graders) > 1 else ("",),
    )


def _load(path: Path) -> Mapping[str, npt.NDArray[Any]]:
    with path.open("rb") as file:
        if file.read(len(_MAGIC_HDF5)) == _MAGIC_HDF5:
            raise ReadError(f"{path} is a MATLAB file of version 7.3: save it in MATLAB with the option '-v7' first.")
    try:
        return read_arrays(path, _WANTED)
    except ValueError as error:
        raise ReadError(f"{path} is damaged or cut short ({error}): copy it again from its source.") from error


def _as_grey(bscans: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers 0..255 that MATLAB stored as floats are uint8 again; others stay as they are."""
    if bscans.dtype.kind == "f":
        # Values beyond float32 become infinite, which the reader tells as it tells all that are no numbers.
        with np.errstate(over="ignore"):
            whole = bscans.astype(np.uint8, casting="unsafe") if _fits_bytes(bscans) else bscans.astype(np.float32)
        return np.ascontiguousarray(whole)
    return np.ascontiguousarray(bscans)


def _fits_bytes(values: npt.NDArray[Any]) -> bool:
    finite = bool(np.isfinite(values).all())
    return finite and bool(((values >= 0) & (values <= 255) & (values == np.floor(values))).all())


def _dme_surfaces(layers: npt.NDArray[Any], shape: tuple[int, ...]) -> dict[str, npt.NDArray[np.float32]]:
    """From (surface, x, bscan)."""
    return _named(np.moveaxis(np.atleast_3d(layers), -1, 1), _DME_SURFACES, shape)


def _named(
    layers: npt.NDArray[Any], names: tuple[str, ...], shape: tuple[int, ...]
) -> dict[str, npt.NDArray[np.float32]]:
    """(surface, bscan, x) by name; nothing where they do not fit the B-scans. MATLAB counts rows from 1."""
    if layers.shape != (len(names), shape[0], shape[2]) or layers.dtype.kind not in "uif":
        return {}
    with np.errstate(over="ignore"):
        return {name: rows.astype(np.float32) - 1 for name, rows in zip(names, layers, strict=True)}


FORMAT = Format(name="a MATLAB file", recognises=_recognises, read=read_mat)
