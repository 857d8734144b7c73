"""Contours of classes as GeoJSON that QuPath reads: one annotation per piece, written one by one.

Source: https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html and QuPath's own readers: a
classification has to have both a name and a colour, coordinates are (x, y) in pixels of the finest level.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from napari_medseg.io.atomic import replacing
from napari_medseg.structures import MaskClass

#: Ids follow from what is drawn, so that the same contours make the same file.
_NAMESPACE = uuid.UUID("5a0f2f3c-5a7c-4f0e-9d55-6f2d4c0b8e11")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassContour:
    """An area of a class.

    Parameters
    ----------
    mask_class
        The class.
    outer, holes
        Rings of corners (n, 2), (y, x) in pixels of the finest level, counted from the upper left corner of the image;
        not closed.
    """

    mask_class: MaskClass
    outer: npt.NDArray[Any]
    holes: tuple[npt.NDArray[Any], ...] = ()


def write_contours(path: Path, contours: Iterable[ClassContour]) -> int:
    """Write a feature collection; memory for one contour at a time.

    Returns
    -------
    the number of contours.

    Raises
    ------
    WriteError
        The disk is full or read-only.
    """
    count = 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for contour in contours:
            file.write(",\n" if count else "\n")
            # Not json.dump, which writes number by number in Python.
            file.write(json.dumps(_feature(contour), ensure_ascii=False, separators=(",", ":")))
            count += 1
        file.write("\n]}\n")
    return count


def _feature(contour: ClassContour) -> dict[str, Any]:
    rings = [_closed(ring) for ring in (contour.outer, *contour.holes)]
    mask_class = contour.mask_class
    color = [int(mask_class.color[i : i + 2], 16) for i in (1, 3, 5)]
    return {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, json.dumps([mask_class.name, rings]))),
        "geometry": {"type": "Polygon", "coordinates": rings},
        "properties": {"objectType": "annotation", "classification": {"name": mask_class.name, "color": color}},
    }


def _closed(ring: npt.NDArray[Any]) -> list[list[int | float]]:
    points: list[list[int | float]] = ring[:, ::-1].tolist()
    return [*points, points[0]]
