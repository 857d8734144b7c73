"""Change contours by rings that a person draws: add to them, cut out of them, mend rings that cross themselves.

Coordinates are float64 (n, 2), (y, x) in pixels, as in `napari_medseg.io.contour_file`. Areas are brought together and
apart by GEOS through shapely, the sister of the library that QuPath computes with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import AnnotationError
from napari_medseg.io.contour_file import Contour, Part

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Ring = npt.NDArray[np.float64]

#: Pieces of fewer square pixels are slips of the hand or of arithmetic.
_LEAST_AREA = 0.5
#: What another outline would have other values of.
_OF_OUTLINE = ("measurements",)


def parts_of_ring(ring: Ring) -> tuple[Part, ...]:
    """A drawn ring as areas that do not cross themselves: everything that the line encloses.

    Parameters
    ----------
    ring
        At least three corners; it may cross itself, as freehand lines do where they meet.

    Raises
    ------
    AnnotationError
        It encloses nothing.
    """
    return _parts(_enclosed(ring))


def overlaps(contour: Contour, ring: Ring) -> bool:
    """Whether a drawn ring encloses any of a contour's area."""
    return bool(_geometry(contour).intersection(_enclosed(ring)).area >= _LEAST_AREA)


def united(contours: Iterable[Contour], ring: Ring) -> Contour:
    """The first contour with the areas of the others and of a drawn ring."""
    from shapely import union_all

    first, *others = contours
    return with_parts(first, _parts(union_all([*map(_geometry, (first, *others)), _enclosed(ring)])))


def cut_out(contour: Contour, ring: Ring) -> Contour | None:
    """A contour without what a drawn ring encloses: with a hole where it lies inside; None where nothing is left."""
    left = _geometry(contour).difference(_enclosed(ring))
    return with_parts(contour, _parts(left)) if left.area >= _LEAST_AREA else None


def with_parts(contour: Contour, parts: tuple[Part, ...]) -> Contour:
    """A contour with another outline; what was measured of the old one is dropped, all else stays."""
    properties = {key: value for key, value in contour.properties.items() if key not in _OF_OUTLINE}
    geometry = {key: value for key, value in contour.geometry.items() if key != "isEllipse"}
    return replace(contour, parts=parts, properties=properties, geometry=geometry)


def _enclosed(ring: Ring) -> BaseGeometry:
    from shapely import union_all
    from shapely.geometry import LinearRing, Polygon
    from shapely.ops import polygonize

    simple = Polygon(ring)
    if simple.is_valid and simple.area >= _LEAST_AREA:
        return simple
    # A union with itself sets a corner wherever the line crosses itself.
    faces = union_all(list(polygonize(union_all(LinearRing(ring)))))
    if faces.area < _LEAST_AREA:
        raise AnnotationError("What was drawn encloses no area: draw around something.")
    return faces


def _geometry(contour: Contour) -> BaseGeometry:
    from shapely import make_valid, union_all
    from shapely.geometry import Polygon

    return union_all([make_valid(Polygon(part.outer, list(part.holes))) for part in contour.parts])


def _parts(geometry: BaseGeometry) -> tuple[Part, ...]:
    from shapely import get_parts
    from shapely.geometry import Polygon

    polygons = [piece for piece in get_parts(geometry) if isinstance(piece, Polygon) and piece.area >= _LEAST_AREA]
    return tuple(
        Part(
            outer=_ring(polygon.exterior),
            holes=tuple(_ring(hole) for hole in polygon.interiors if Polygon(hole).area >= _LEAST_AREA),
        )
        for polygon in polygons
    )


def _ring(closed: Any) -> Ring:
    """Corners of one of shapely's rings, without the last one, which is the first again."""
    return np.ascontiguousarray(np.asarray(closed.coords, np.float64)[:-1])
