"""Ultrasound cut to its scan, as files that leave the house should be."""

from __future__ import annotations

from typing import get_args

from napari_medseg.data.cropping import crop
from napari_medseg.data.rows import format_region, parse_region
from napari_medseg.data.scan_region import METHODS, ScanRegion, ScanRegionMethod, find_scan_region
from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.structures import Image


def cut_to_scan(image: Image, how: str) -> tuple[Image, list[str]]:
    """An ultrasound image cut to its scan, and sentences about what was done.

    Parameters
    ----------
    how
        A method of `find_scan_region`, or a box ``"y0:y1,x0:x1"``.

    Raises
    ------
    ConfigError
        `how` is none of these, or the box does not lie in the image.
    """
    found = _region(image, how)
    notes = [f"Cut to {format_region(found.box)} ({found.source}); what is written in there stays.", *found.notes]
    if found.source == "whole image":
        notes = [*found.notes, "Nothing was cut off: names and findings in the picture stay, look at it first."]
    try:
        return crop(image, found.box), notes
    except DatasetError as error:
        raise ConfigError(str(error)) from None


def _region(image: Image, how: str) -> ScanRegion:
    for method in get_args(ScanRegionMethod):
        if how == method:
            return find_scan_region(image, method)
    try:
        box = parse_region(how)
    except DatasetError:
        box = None
    if box is None or len(box) != 2:
        raise ConfigError(f"'{how}' is no way to cut: choose one of {', '.join(METHODS)}, or give y0:y1,x0:x1.")
    return ScanRegion(box=box, source="given")
