"""Contours on a slide as the GeoJSON that QuPath writes and reads; nothing of a file is lost.

In a file, corners are (x, y) in pixels of the finest level, counted from the upper left corner of the image; here they
are (y, x), as everywhere in this package. What this package has no word for (measurements, locks, planes, features
that are no areas) is kept as it was read and written again.

Source: QuPath's ``QuPathTypeAdapters`` and ``ROITypeAdapters`` (a classification without a colour is refused there),
https://qupath.readthedocs.io/en/stable/docs/advanced/exporting_annotations.html.
"""

from __future__ import annotations

import gzip
import io
import json
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.atomic import replacing
from napari_medseg.structures import MaskClass

Ring = npt.NDArray[np.float64]

#: QuPath joins the names of a derived class so.
_JOINT = ": "
_WHITE = "#ffffff"
#: Most bytes of a packed file: a million outlines of cells.
_MOST_BYTES = 1 << 31
_NAMESPACE = uuid.UUID("5a0f2f3c-5a7c-4f0e-9d55-6f2d4c0b8e11")


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
    geometry, properties, others
        Further keys of the feature's geometry, of its properties and of itself (the nucleus of a cell), as they were
        read.
    """

    parts: tuple[Part, ...]
    class_names: tuple[str, ...] = ()
    color: str = _WHITE
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    geometry: Mapping[str, Any] = field(default_factory=dict)
    properties: Mapping[str, Any] = field(default_factory=lambda: {"objectType": "annotation"})
    others: Mapping[str, Any] = field(default_factory=dict)

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


def class_contour(mask_class: MaskClass, outer: npt.NDArray[Any], holes: Iterable[npt.NDArray[Any]] = ()) -> Contour:
    """A contour of a class whose id follows from what is drawn, so that the same contours make the same file.

    Parameters
    ----------
    mask_class
        Its name and colour are taken.
    outer, holes
        As those of `Part`.
    """
    part = Part(outer=np.asarray(outer, np.float64), holes=tuple(np.asarray(hole, np.float64) for hole in holes))
    rings = [_closed(ring) for ring in (part.outer, *part.holes)]
    return Contour(
        parts=(part,),
        class_names=(mask_class.name,),
        color=mask_class.color,
        id=str(uuid.uuid5(_NAMESPACE, json.dumps([mask_class.name, rings]))),
    )


def read_contours(path: Path) -> ContourFile:
    """Read a feature collection, a list of features, one feature, or a bare geometry; also packed (gzip, zip).

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ReadError
        It is no GeoJSON, or a ring of it cannot be one.
    """
    try:
        document = json.loads(_unpacked(path.read_bytes()).decode("utf-8-sig"))
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} does not exist: check the path.") from None
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile) as error:
        raise ReadError(f"{path} is no GeoJSON ({type(error).__name__}): export it again.") from error
    contours: list[Contour] = []
    others: list[tuple[int, Mapping[str, Any]]] = []
    for number, feature in enumerate(_features(path, document), 1):
        try:
            contour = _contour(feature)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ReadError(
                f"{path}: object {number} cannot be read ({type(error).__name__}): correct or remove it."
            ) from error
        if contour is None:
            others.append((len(contours), feature))
        else:
            contours.append(contour)
    return ContourFile(contours=tuple(contours), others=tuple(others))


def write_contours(path: Path, drawn: ContourFile | Iterable[Contour]) -> int:
    """Write a feature collection in one step, with memory for one contour at a time.

    Returns
    -------
    the number of contours.

    Raises
    ------
    WriteError
        The disk is full or read-only; what was there is as it was.
    """
    given = drawn.contours if isinstance(drawn, ContourFile) else drawn
    others = list(drawn.others) if isinstance(drawn, ContourFile) else []
    count = 0

    def features() -> Iterator[str]:
        nonlocal count
        for contour in given:
            while others and others[0][0] <= count:
                yield _text(others.pop(0)[1])
            yield feature_text(contour)
            count += 1
        yield from (_text(feature) for _, feature in others)

    write_features(path, features())
    return count


def feature_text(contour: Contour) -> str:
    """A contour as it stands in a file, on one line."""
    return _text(_feature(contour))


def write_features(path: Path, texts: Iterable[str]) -> None:
    """Write features that are text already as one collection, in one step; raises `WriteError`."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        separator = "\n"
        file.write('{"type":"FeatureCollection","features":[')
        for text in texts:
            file.write(separator + text)
            separator = ",\n"
        file.write("\n]}\n")


def _text(feature: Mapping[str, Any]) -> str:
    # Not json.dump, which writes number by number in Python.
    return json.dumps(feature, ensure_ascii=False, separators=(",", ":"))


def _unpacked(content: bytes) -> bytes:
    """A file's bytes; those of the one file in it where it is packed.

    Raises `ValueError` for archives that hold none or several, or far more than a person draws.
    """
    if content[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            unpacked = packed.read(_MOST_BYTES + 1)
    elif content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name for name in archive.namelist() if name.lower().endswith((".geojson", ".json"))]
            if len(names) != 1:
                raise ValueError("an archive of several files")
            with archive.open(names[0]) as packed_file:
                unpacked = packed_file.read(_MOST_BYTES + 1)
    else:
        return content
    if len(unpacked) > _MOST_BYTES:
        raise ValueError("far too much in an archive")
    return unpacked


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
    raise ReadError(f"{path} is no GeoJSON of features: export the annotations of a slide, as QuPath does.")


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
    others = {key: value for key, value in feature.items() if key not in ("type", "id", "geometry", "properties")}
    return Contour(
        parts=parts, class_names=names, color=color, geometry=kept, properties=properties, others=others, **known
    )


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
        **contour.others,
    }


def _closed(ring: Ring) -> list[list[float]]:
    """Corners (x, y), the first one again at the end; whole numbers without a fraction, others to the last digit."""
    flipped = ring[:, ::-1]
    if (flipped == np.rint(flipped)).all() and np.abs(flipped).max() < 2**53:
        points: list[list[float]] = flipped.astype(np.int64).tolist()
    else:
        points = [[_short(x), _short(y)] for x, y in flipped.tolist()]
    return [*points, points[0]]


def _short(value: float) -> float:
    return int(value) if value == int(value) else value
