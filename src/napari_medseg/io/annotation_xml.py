"""Contours that other slide viewers write as XML: ASAP and Aperio ImageScope. Read only.

Sources: ASAP's ``XmlRepository.cpp`` and ``ImageScopeRepository.cpp``
(https://github.com/computationalpathologygroup/ASAP). ImageScope gives colours as Windows does: blue, green, red.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import numpy as np

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.contour_file import Contour, Part, Ring

#: Types of ASAP's annotations that enclose something. The corners of a spline are taken for those of a polygon.
_ASAP_AREAS = ("polygon", "spline", "rectangle")
#: ASAP's word for an annotation in no group.
_NO_GROUP = "None"
#: Types of ImageScope's regions that enclose something: freehand, rectangle, ellipse.
_FREEHAND, _RECTANGLE, _ELLIPSE = "0", "1", "2"
#: Corners that stand for an ellipse.
_ELLIPSE_CORNERS = 72
_WHITE = "#ffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotations:
    """What a file of another program holds.

    Parameters
    ----------
    contours
        Areas.
    left_out
        Number of objects that are no areas: points, rulers, lines.
    """

    contours: tuple[Contour, ...]
    left_out: int = 0


def read_annotation_xml(path: Path) -> Annotations:
    """Read ASAP's or ImageScope's XML, told apart by what is in it.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ReadError
        It is neither, or damaged.
    """
    try:
        root = _parsed(path.read_bytes())
    except FileNotFoundError:
        raise InputNotFoundError(f"{path} does not exist: check the path.") from None
    except (OSError, ValueError, expat.ExpatError) as error:
        raise ReadError(f"{path} is no XML that can be read ({error}): export it again.") from error
    readers = {"ASAP_Annotations": _asap, "Annotations": _imagescope}
    if root.tag not in readers:
        raise ReadError(f"{path} begins with '{root.tag}': it is neither ASAP's nor ImageScope's XML of annotations.")
    try:
        return readers[root.tag](root)
    except (KeyError, ValueError) as error:
        raise ReadError(f"{path}: an annotation cannot be read ({error}): correct or remove it.") from error


def _parsed(content: bytes) -> Element:
    """The root element; a file that declares anything of its own, with which XML can be made to explode, is refused."""
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.StartDoctypeDeclHandler = _refuse_declaration
    parser.Parse(content, True)
    return builder.close()


def _refuse_declaration(*_: object) -> None:
    raise ValueError("it declares a document type, which annotations do not need")


def _asap(root: Element) -> Annotations:
    groups = {group.get("Name", ""): group.get("Color", _WHITE) for group in root.iter("Group")}
    contours, left_out = [], 0
    for annotation in root.iter("Annotation"):
        if annotation.get("Type", "").lower() not in _ASAP_AREAS:
            left_out += 1
            continue
        corners = sorted(annotation.iter("Coordinate"), key=lambda corner: int(float(corner.get("Order", "0"))))
        group = annotation.get("PartOfGroup", _NO_GROUP)
        contours.append(
            Contour(
                parts=(Part(outer=_ring(corners)),),
                class_names=() if group == _NO_GROUP else (group,),
                color=_color(groups.get(group, annotation.get("Color", _WHITE))),
                properties={"objectType": "annotation"} | _named(annotation.get("Name", "")),
            )
        )
    return Annotations(contours=tuple(contours), left_out=left_out)


def _imagescope(root: Element) -> Annotations:
    contours: list[Contour] = []
    left_out = 0
    for annotation in root.iter("Annotation"):
        name = annotation.get("Name") or f"Layer {annotation.get('Id', '1')}"
        bgr = int(annotation.get("LineColor", "0"))
        color = f"#{bgr & 255:02x}{bgr >> 8 & 255:02x}{bgr >> 16 & 255:02x}"
        holes: list[Ring] = []
        drawn: list[Contour] = []
        for region in annotation.iter("Region"):
            ring = _region_ring(region)
            if ring is None:
                left_out += 1
            elif region.get("NegativeROA") == "1":
                holes.append(ring)
            else:
                text = {"objectType": "annotation"} | _named(region.get("Text", ""))
                drawn.append(Contour(parts=(Part(outer=ring),), class_names=(name,), color=color, properties=text))
        contours += _with_holes(drawn, holes)
    return Annotations(contours=tuple(contours), left_out=left_out)


def _region_ring(region: Element) -> Ring | None:
    """The outline of a region; None where it is a line, an arrow or a ruler."""
    kind = region.get("Type", _FREEHAND)
    if kind not in (_FREEHAND, _RECTANGLE, _ELLIPSE):
        return None
    corners = list(region.iter("Vertex"))
    if kind == _FREEHAND:
        return _ring(corners) if len(corners) >= 3 else None
    # Rectangles and ellipses come as all four corners of their box, or as two that lie opposite.
    points = np.array([_place(corner) for corner in corners], np.float64).reshape(-1, 2)
    if len(points) < 2:
        return None
    if kind == _RECTANGLE and len(points) >= 4:
        return _ring(corners)
    low, high = points.min(axis=0), points.max(axis=0)
    if kind == _RECTANGLE:
        return np.array([(low[0], low[1]), (low[0], high[1]), (high[0], high[1]), (high[0], low[1])])
    angle = np.linspace(0, 2 * np.pi, _ELLIPSE_CORNERS, endpoint=False)
    ring: Ring = (low + high) / 2 + np.stack([np.sin(angle), np.cos(angle)], axis=1) * (high - low) / 2
    return ring


def _with_holes(contours: Sequence[Contour], holes: Sequence[Ring]) -> Iterator[Contour]:
    """Contours with those holes that lie in them, by the middle of each hole's box."""
    boxes = [(c.parts[0].outer.min(axis=0), c.parts[0].outer.max(axis=0)) for c in contours]
    for contour, (low, high) in zip(contours, boxes, strict=True):
        inside = [ring for ring in holes if (ring.min(axis=0) >= low).all() and (ring.max(axis=0) <= high).all()]
        yield replace(contour, parts=(Part(outer=contour.parts[0].outer, holes=tuple(inside)),))


def _ring(corners: Sequence[Element]) -> Ring:
    ring = np.array([_place(corner) for corner in corners], np.float64).reshape(-1, 2)
    if len(ring) > 1 and (ring[0] == ring[-1]).all():
        ring = ring[:-1]
    if len(ring) < 3 or not np.isfinite(ring).all():
        raise ValueError("a ring of fewer than three corners")
    return ring


def _place(corner: Element) -> tuple[float, float]:
    # Some countries' programs write a comma.
    y, x = (float(corner.attrib[axis].replace(",", ".")) for axis in "YX")
    return y, x


def _named(name: str) -> dict[str, str]:
    return {"name": name} if name else {}


def _color(text: str) -> str:
    """``#rrggbb`` of ASAP's ``#RRGGBB`` or a colour's name, which counts as white."""
    digits = text.lower().removeprefix("#")
    return f"#{digits[-6:]}" if len(digits) in (6, 8) and not set(digits) - set("0123456789abcdef") else _WHITE
