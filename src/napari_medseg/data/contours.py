"""Contours that people drew on a slide, as the GeoJSON that QuPath writes and reads; nothing of a file is lost.

``labels/<case>.geojson`` is a feature collection. Corners are (x, y) in pixels of the finest level, counted from the
upper left corner of the image; here they are (y, x), as everywhere in this package. What this package has no word for
(measurements, locks, planes, features that are no areas) is kept as it was read and written again.

Source: QuPath's ``QuPathTypeAdapters`` and ``ROITypeAdapters``: a classification without a colour is refused there.
"""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import DatasetError, InputNotFoundError
from napari_medseg.io.atomic import write_text

Ring = npt.NDArray[np.float64]

#: QuPath joins the names of a derived class so.
_JOINT = ": "
_WHITE = "#ffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One area without gaps.

    Parameters
    ----------
    outer, holes
        Rings of corners, float64 (n, 2) as (y, x) in pixels of the finest level; the first corner is not repeated.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Contour:
    """What was drawn as one object.

    Parameters
    ----------
    parts
        Usually one; several where an object consists of areas that do not touch.
    class_names
        The class; several names where QuPath derived one class from another; none for an object without a class.
    color
        Of the class, ``#rrggbb``.
    id
        Of the object, so that programs know it again.
    geometry, properties
        Further keys of the feature's geometry and properties, as they were read.
    """

    parts: tuple[Part, ...]
    class_names: tuple[str, ...] = ()
    color: str = _WHITE
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    geometry: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=lambda: {"objectType": "annotation"})

    @property
    def class_name(self) -> str:
        """The class in one text; empty for none."""
        return _JOINT.join(self.class_names)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContourFile:
    """All that a file holds.

    Parameters
    ----------
    contours
        Areas, in the file's order.
    others
        Features that are no areas (points, lines), as they were read, by the number of contours before them.
    """

    contours: tuple[Contour, ...]
    others: tuple[tuple[int, Mapping[str, Any]], ...] = ()


def read_contours(path: Path) -> ContourFile:
    """Read a feature collection, a list of features, one feature, or a bare geometry.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    DatasetError
        It is no GeoJSON, or a ring of it cannot be one.
    """
    try:
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} does not exist: check the path.") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path} is no GeoJSON ({type(error).__name__}): export it again.") from error
    contours: list[Contour] = []
    others: list[tuple[int, Mapping[str, Any]]] = []
    for number, feature in enumerate(_features(path, document), 1):
        try:
            contour = _contour(feature)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{path}: object {number} cannot be read ({type(error).__name__}): correct or remove it."
            ) from error
        if contour is None:
            others.append((len(contours), feature))
        else:
            contours.append(contour)
    return ContourFile(contours=tuple(contours), others=tuple(others))


def write_contours(path: Path, drawn: ContourFile) -> None:
    """Write a feature collection in one step; raises `WriteError`."""
    features: list[Mapping[str, Any]] = []
    others = list(drawn.others)
    for number, contour in enumerate((*drawn.contours, None)):
        while others and others[0][0] <= number:
            features.append(others.pop(0)[1])
        if contour is not None:
            features.append(_feature(contour))
    features += [feature for _, feature in others]
    lines = ",\n".join(json.dumps(feature, ensure_ascii=False, separators=(",", ":")) for feature in features)
    write_text(path, f'{{"type":"FeatureCollection","features":[\n{lines}\n]}}\n')


def _features(path: Path, document: Any) -> list[Any]:
    if isinstance(document, list):
        return document
    kind = document.get("type") if isinstance(document, Mapping) else None
    if kind == "FeatureCollection" and isinstance(document.get("features"), list):
        return list(document["features"])
    if kind == "Feature":
        return [document]
    if kind in ("Polygon", "MultiPolygon"):
        return [{"type": "Feature", "geometry": document, "properties": {"objectType": "annotation"}}]
    raise DatasetError(f"{path} is no GeoJSON of features: export the annotations of a slide, as QuPath does.")


def _contour(feature: Mapping[str, Any]) -> Contour | None:
    """The feature as contour; None where it is no area."""
    geometry = feature.get("geometry") or {}
    if geometry.get("type") not in ("Polygon", "MultiPolygon"):
        return None
    polygons = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    parts = tuple(Part(outer=_ring(rings[0]), holes=tuple(map(_ring, rings[1:]))) for rings in polygons)
    if not parts:
        raise ValueError("an area without corners")
    properties = dict(feature.get("properties") or {})
    names, color = _classification(properties.pop("classification", None))
    known = {"id": str(feature["id"])} if feature.get("id") is not None else {}
    kept = {key: value for key, value in geometry.items() if key not in ("type", "coordinates")}
    return Contour(parts=parts, class_names=names, color=color, geometry=kept, properties=properties, **known)


def _ring(corners: Any) -> Ring:
    ring: Ring = np.asarray([corner[:2] for corner in corners], np.float64).reshape(-1, 2)[:, ::-1]
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    if len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("a ring of fewer than three corners")
    return np.ascontiguousarray(ring)


def _classification(found: Any) -> tuple[tuple[str, ...], str]:
    """Names and colour, in the forms that QuPath has had: a text, a name or names with a colour, an older number."""
    if found is None:
        return (), _WHITE
    if isinstance(found, str):
        return (found,), _WHITE
    names = tuple(str(name) for name in found.get("names") or (found["name"],))
    if "color" in found:
        color = "#" + "".join(f"{int(part) & 255:02x}" for part in found["color"][:3])
    else:
        color = f"#{int(found.get('colorRGB', 0xFFFFFF)) & 0xFFFFFF:06x}"
    return names, color


def _feature(contour: Contour) -> dict[str, Any]:
    polygons = [[_closed(ring) for ring in (part.outer, *part.holes)] for part in contour.parts]
    several = len(polygons) > 1
    geometry = {"type": "MultiPolygon" if several else "Polygon", "coordinates": polygons if several else polygons[0]}
    properties = dict(contour.properties)
    if contour.class_names:
        names = contour.class_names
        color = [int(contour.color[i : i + 2], 16) for i in (1, 3, 5)]
        properties["classification"] = ({"name": names[0]} if len(names) == 1 else {"names": list(names)}) | {
            "color": color
        }
    return {
        "type": "Feature",
        "id": contour.id,
        "geometry": geometry | dict(contour.geometry),
        "properties": properties,
    }


def _closed(ring: Ring) -> list[list[float]]:
    points = [[_short(x), _short(y)] for y, x in ring.tolist()]
    return [*points, points[0]]


def _short(value: float) -> float:
    """Whole numbers without a fraction; all others to the last digit."""
    return int(value) if math.isfinite(value) and value == int(value) else value
