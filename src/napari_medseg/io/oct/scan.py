"""What the readers of OCT files share: B-scans with their spacing as an image, and surfaces in order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.lazy import LazyArray
from napari_medseg.io.units import PIXEL
from napari_medseg.structures import ArrayLike, Image, OctScan

MILLIMETER = "millimeter"
Rows = npt.NDArray[np.float32]

#: Scanners write values from here on where a surface was not found (``FLT_MAX``, or 3e38 as text).
_MISSING = 3e38
#: No scanner writes more pixels than this per file; more is a damaged header.
LARGEST_PIXELS = 2**34


def oct_image(
    path: Path,
    bscans: ArrayLike,
    scan: OctScan,
    *,
    step: Sequence[float | None],
    series: int = 0,
    series_names: tuple[str, ...] = ("",),
    suggested: Sequence[float | None] = (),
    warnings: Sequence[str] = (),
) -> Image:
    """B-scans as an image of kind ``"oct"``.

    Parameters
    ----------
    bscans
        (bscan, y, x) grey values; a `LazyArray` stays lazy.
    step
        Distance in millimetres between B-scans, along the depth and along the width; None, 0 or nonsense: unknown.
    scan
        What the scanner tells.
    suggested
        Like `step`, but what the file lets one guess; kept as ``metadata["suggested_spacing"]`` for a person to judge.

    Returns
    -------
    image of axes ``"zyx"``, or ``"yx"`` for a single B-scan (whose distance to itself many files give as 0). Spacing is
    in millimetres; where only the distance between B-scans is unknown (stars, repeats) that axis counts in pixels, and
    without depth or width there is no spacing
    """
    between, axial, lateral = (_length(value) for value in step)
    axes = "zyx"
    if bscans.shape[0] == 1:
        bscans = bscans.take(0, axis=0) if isinstance(bscans, LazyArray) else bscans[0]
        axes = "yx"
    spacing: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None
    if axial is not None and lateral is not None:
        spacing, units = (axial, lateral), (MILLIMETER, MILLIMETER)
        if axes == "zyx":
            first = (PIXEL, 1.0) if between is None else (MILLIMETER, between)
            spacing, units = (first[1], *spacing), (first[0], *units)
    return Image(
        levels=(bscans,),
        axes=axes,
        spacing=spacing,
        units=units,
        kind="oct",
        name=path.stem,
        path=path,
        series=series,
        series_names=series_names,
        warnings=tuple(warnings),
        metadata={"suggested_spacing": tuple(suggested)[-len(axes) :]} if suggested else {},
        oct=replace(scan, surfaces=in_order(scan.surfaces, bscans.shape[-2])),
    )


def _length(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) and value > 0 else None


def in_order(surfaces: Mapping[str, npt.NDArray[np.floating]], height: int) -> dict[str, Rows]:
    """Surfaces from top to bottom; those that are nowhere are dropped.

    They are ordered by how far each lies below the uppermost surface of its column, the median over all columns, so
    that one that exists in a deep part of the scan alone finds its place too.

    Parameters
    ----------
    surfaces
        (bscan, x) rows by name; values of no row inside the image count as missing. Equal ones keep their order.
    height
        Rows of a B-scan.

    Examples
    --------
    >>> found = in_order({"BM": np.full((1, 4), 9.0), "ILM": np.full((1, 4), 3.0), "x": np.full((1, 4), 3.4e38)}, 20)
    >>> list(found), found["ILM"].dtype
    (['ILM', 'BM'], dtype('float32'))
    """
    cleaned = {name: _cleaned(rows, height) for name, rows in surfaces.items()}
    cleaned = {name: rows for name, rows in cleaned.items() if np.isfinite(rows).any()}
    if not cleaned:
        return {}
    top = np.fmin.reduce(list(cleaned.values()))
    depth = {name: float(np.nanmedian(rows - top)) for name, rows in cleaned.items()}
    return {name: cleaned[name] for name in sorted(cleaned, key=lambda name: depth[name])}


def _cleaned(rows: npt.NDArray[np.floating], height: int) -> Rows:
    found = np.array(rows, np.float32)
    with np.errstate(invalid="ignore"):
        found[~((found > -1) & (found < min(height + 1, _MISSING)))] = np.nan
    # Programs fill the slots of layers that were never drawn with zeros.
    return np.full_like(found, np.nan) if np.nanmax(np.abs(found), initial=0) == 0 else found


def check_size(path: Path, *sides: int) -> None:
    """Refuse sizes that no scan has; raises `ReadError`."""
    if min(sides) < 1 or math.prod(sides) > LARGEST_PIXELS:
        shown = " × ".join(map(str, sides))
        raise ReadError(f"{path} says it holds {shown} pixels: it is damaged, copy it again from its source.")


def grey_of_reflectance(reflectance: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Reflectance 0..1 as grey 0..255: the fourth root, which spreads the dark layers as scanners' own screens do.

    Values outside 0..1 (FLT_MAX where nothing was recorded) become black.
    """
    with np.errstate(invalid="ignore"):
        valid = np.where((reflectance >= 0) & (reflectance <= 1), reflectance, np.float32(0))
    return np.round(255.0 * np.sqrt(np.sqrt(valid))).astype(np.uint8)
