"""Annotations of other programs: what their files mean in pixels, and files that are none."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.annotations import read_annotations

ASAP = """<?xml version="1.0"?>
<ASAP_Annotations>
  <Annotations>
    <Annotation Name="A 0" Type="Polygon" PartOfGroup="Tumor" Color="#F4FA58">
      <Coordinates>
        <Coordinate Order="1" X="30.5" Y="10" /><Coordinate Order="0" X="10" Y="10" />
        <Coordinate Order="2" X="30" Y="40" /><Coordinate Order="10" X="10" Y="40,25" />
      </Coordinates>
    </Annotation>
    <Annotation Name="A 1" Type="Rectangle" PartOfGroup="None" Color="#64FE2E">
      <Coordinates>
        <Coordinate Order="0" X="0" Y="0" /><Coordinate Order="1" X="5" Y="0" />
        <Coordinate Order="2" X="5" Y="6" /><Coordinate Order="3" X="0" Y="6" />
      </Coordinates>
    </Annotation>
    <Annotation Name="A 2" Type="Dot" PartOfGroup="Tumor" Color="#F4FA58">
      <Coordinates><Coordinate Order="0" X="1" Y="2" /></Coordinates>
    </Annotation>
  </Annotations>
  <AnnotationGroups><Group Name="Tumor" PartOfGroup="None" Color="#AA0000"><Attributes /></Group></AnnotationGroups>
</ASAP_Annotations>
"""


def region(kind: int, corners, *, negative: bool = False, text: str = "") -> str:
    vertices = "".join(f'<Vertex X="{x}" Y="{y}" Z="0" />' for y, x in corners)
    return (
        f'<Region Id="1" Type="{kind}" Text="{text}" NegativeROA="{int(negative)}"><Vertices>{vertices}</Vertices>'
        "</Region>"
    )


def imagescope(*layers: tuple[str, int, str]) -> str:
    annotations = "".join(
        f'<Annotation Id="{i}" Name="{name}" LineColor="{color}"><Regions>{regions}</Regions></Annotation>'
        for i, (name, color, regions) in enumerate(layers, 1)
    )
    return f'<Annotations MicronsPerPixel="0.25">{annotations}</Annotations>'


SQUARE = [(0, 0), (0, 100), (100, 100), (100, 0)]


def read_text(tmp_path: Path, text: str, encoding: str = "utf-8"):
    path = tmp_path / "a.xml"
    path.write_bytes(text.encode(encoding))
    return read_annotations(path)


def test_asap_gives_groups_as_classes_and_leaves_points_out(tmp_path: Path) -> None:
    found = read_text(tmp_path, ASAP)
    first, second = found.contours
    assert (first.class_name, first.color, first.properties["name"]) == ("Tumor", "#aa0000", "A 0")
    assert first.parts[0].outer.tolist() == [[10, 10], [10, 30.5], [40, 30], [40.25, 10]]
    assert (second.class_names, second.color) == ((), "#64fe2e")
    assert found.left_out == 1


def test_imagescope_gives_layers_as_classes_and_negative_regions_as_holes(tmp_path: Path) -> None:
    hole = [(20, 20), (20, 40), (40, 40), (40, 20)]
    far = [(500, 500), (500, 540), (540, 540)]
    text = imagescope(
        ("Tumor", 255, region(0, SQUARE, text="big") + region(0, hole, negative=True) + region(0, far)),
        ("", 0xFF0000, region(0, far) + region(4, [(0, 0), (9, 9)])),
    )
    found = read_text(tmp_path, text)
    big, small, other = found.contours
    assert (big.class_name, big.color, big.properties["name"]) == ("Tumor", "#ff0000", "big")
    assert [ring.tolist() for ring in big.parts[0].holes] == [[list(map(float, corner)) for corner in hole]]
    assert small.parts[0].holes == ()
    assert (other.class_name, other.color) == ("Layer 2", "#0000ff")
    assert found.left_out == 1


@pytest.mark.parametrize("corners", [SQUARE, [(0, 0), (100, 100)]], ids=["four", "two"])
def test_rectangles_and_ellipses_of_imagescope_fill_their_box(tmp_path: Path, corners) -> None:
    found = read_text(tmp_path, imagescope(("a", 0, region(1, corners) + region(2, corners))))
    square, circle = (c.parts[0].outer for c in found.contours)
    assert sorted(square.tolist()) == sorted(list(map(float, corner)) for corner in SQUARE)
    np.testing.assert_allclose(np.linalg.norm(circle - 50, axis=1), 50)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_xml_is_told_by_its_content_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = imagescope(("Drüse", 255, region(0, SQUARE)))
    assert read_text(tmp_path, text, encoding).contours[0].class_name == "Drüse"


BOMB = (
    '<!DOCTYPE Annotations [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    "<Annotations><Annotation Name='&b;'/></Annotations>"
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "document type"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd"><Annotations/>', "document type"),
        ("<Annotations><Annotation>", "no XML"),
        ("<html></html>", "begins with 'html'"),
        (imagescope(("a", 0, region(0, [(0, 0), (0, "x"), (1, 1)]))), "cannot be read"),
        (ASAP.replace('X="10" Y="10"', 'X="10"'), "cannot be read"),
        ("neither", "no GeoJSON"),
    ],
)
def test_what_is_none_of_these_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ReadError, match=said) as caught:
        read_text(tmp_path, text)
    assert "a.xml" in str(caught.value)


FEATURE = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [4, 0], [4, 4], [0, 0]]]}}


def test_packed_geojson_is_read(tmp_path: Path) -> None:
    content = json.dumps({"type": "FeatureCollection", "features": [FEATURE]}).encode()
    (tmp_path / "a.geojson.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("slide.geojson", content)
    for name in ("a.geojson.gz", "a.zip"):
        (contour,) = read_annotations(tmp_path / name).contours
        assert contour.parts[0].outer.tolist() == [[0, 0], [0, 4], [4, 4]]


def test_archives_of_several_files_and_damaged_ones_are_a_sentence(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.geojson", "{}")
        archive.writestr("2.geojson", "{}")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"{}" * 1000)[:-20])
    for name in ("a.zip", "a.gz"):
        with pytest.raises(ReadError, match=name):
            read_annotations(tmp_path / name)
    with pytest.raises(InputNotFoundError):
        read_annotations(tmp_path / "none.xml")


def test_points_beside_areas_are_counted(tmp_path: Path) -> None:
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [point, FEATURE]}), "utf-8")
    found = read_annotations(path)
    assert (len(found.contours), found.left_out) == (1, 1)
