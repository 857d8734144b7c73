"""How far pixels are apart, from what TIFF files say about it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import tifffile

from napari_medseg.io.ome_xml import OmeXml
from napari_medseg.io.units import PIXEL, unit_name

#: Dots per inch that programs write into files without knowing anything about the object.
_PRINTER_DPI = (50, 72, 75, 90, 96, 100, 120, 144, 150, 180, 200, 220, 240, 250, 300, 350, 360, 400, 500, 600, 720)
_PRINTER_DPI_HIGH = (1000, 1200, 2400, 4800)
_MICROMETERS = {"INCH": 25400.0, "CENTIMETER": 10000.0, "MILLIMETER": 1000.0, "MICROMETER": 1.0}


@dataclass(frozen=True, slots=True)
class AxisSpacing:
    """Distance and unit per axis letter, as far as known."""

    of: Mapping[str, tuple[float, str]] = field(default_factory=dict)

    def along(self, axes: str) -> tuple[tuple[float, ...], tuple[str, ...]] | None:
        """Spacing and units for `axes`; None where one of z, y, x is unknown (an unknown t is counted in frames)."""
        if not self.of or any(axis not in self.of for axis in axes if axis != "t"):
            return None
        known = [self.of.get(axis, (1.0, PIXEL)) for axis in axes]
        return tuple(value for value, _ in known), tuple(unit for _, unit in known)


def spacing_of(series: tifffile.TiffPageSeries, index: int, tif: tifffile.TiffFile) -> AxisSpacing:
    """What a TIFF file says about distances, the most specific source first: OME, Aperio, ImageJ, resolution tags."""
    page = series.keyframe
    if tif.is_ome and tif.ome_metadata:
        return _from_ome(OmeXml(tif.ome_metadata).pixels_attributes(index))
    if tif.is_svs:
        mpp = tifffile.tifffile.svs_description_metadata(page.description).get("MPP")
        return _in_plane(mpp, mpp, "micrometer")
    if tif.is_imagej and tif.imagej_metadata:
        return _from_imagej(tif.imagej_metadata, page)
    return _from_tags(page)


def _positive(value: object) -> float | None:
    """A distance that can be one: finite and above zero."""
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever the file held, text included
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def _in_plane(y: object, x: object, unit: str | None) -> AxisSpacing:
    dy, dx = _positive(y), _positive(x)
    if dy is None or dx is None or unit is None:
        return AxisSpacing()
    return AxisSpacing({"y": (dy, unit), "x": (dx, unit)})


def _from_ome(attributes: Mapping[str, str]) -> AxisSpacing:
    """Attributes of OME's `Pixels`; the unit of lengths is micrometer unless said otherwise."""
    found: dict[str, tuple[float, str]] = {}
    sources = (("z", "PhysicalSizeZ", "µm"), ("y", "PhysicalSizeY", "µm"), ("x", "PhysicalSizeX", "µm"))
    for axis, key, default in (*sources, ("t", "TimeIncrement", "s")):
        value, unit = _positive(attributes.get(key)), unit_name(attributes.get(f"{key}Unit", default))
        if value is not None and unit is not None:
            found[axis] = (value, unit)
    return AxisSpacing(found)


def _from_imagej(metadata: Mapping[str, Any], page: tifffile.TiffPage) -> AxisSpacing:
    """ImageJ: the resolution tags count pixels per `unit`; `spacing` is the distance of slices in that unit."""
    unit = unit_name(metadata.get("unit"))
    x, y = _resolution(page)
    if unit is None or x is None or y is None:
        return AxisSpacing()
    found = {"y": (1.0 / y, unit), "x": (1.0 / x, unit)}
    if (z := _positive(metadata.get("spacing"))) is not None:
        found["z"] = (z, unit)
    if (t := _positive(metadata.get("finterval"))) is not None:
        found["t"] = (t, unit_name(metadata.get("tunit", "s")) or "second")
    return AxisSpacing(found)


def _from_tags(page: tifffile.TiffPage) -> AxisSpacing:
    """Resolution tags, unless they hold what programs write for want of knowledge."""
    x, y = _resolution(page)
    unit = page.tags.valueof("ResolutionUnit")
    micrometers = _MICROMETERS.get(getattr(unit, "name", ""))
    if micrometers is None or x is None or y is None or x <= 1 or y <= 1:
        return AxisSpacing()
    dpi = x * 25400.0 / micrometers
    if any(math.isclose(dpi, usual, rel_tol=2e-3) for usual in _PRINTER_DPI + _PRINTER_DPI_HIGH):
        return AxisSpacing()
    return _in_plane(micrometers / y, micrometers / x, "micrometer")


def _resolution(page: tifffile.TiffPage) -> tuple[float | None, float | None]:
    """Pixels per unit along x and y."""
    values = []
    for tag in ("XResolution", "YResolution"):
        fraction = page.tags.valueof(tag)
        usable = isinstance(fraction, tuple) and len(fraction) == 2 and fraction[1]
        values.append(_positive(fraction[0] / fraction[1]) if usable else None)
    return values[0], values[1]
