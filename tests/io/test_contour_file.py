"""Contours as GeoJSON: there and back without loss, in every form that QuPath writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_medseg.errors import InputNotFoundError, ReadError
from napari_medseg.io.contour_file import Contour, ContourFile, Part, read_contours, write_contours

_corner = st.tuples(*[st.one_of(st.integers(-5, 99_999), st.floats(-10, 1e5, allow_nan=False))] * 2)
_ring = st.lists(_corner, min_size=3, max_size=8).filter(lambda ring: ring[0] != ring[-1])
_names = st.lists(st.text(min_size=1, max_size=8), max_size=2).map(tuple)
_colors = st.integers(0, 0xFFFFFF).map(lambda n: f"#{n:06x}")


def array(ring) -> np.ndarray:
    return np.array(ring, np.float64)


@st.composite
def contours(draw) -> Contour:
    parts = tuple(
        Part(outer=array(draw(_ring)), holes=tuple(map(array, draw(st.lists(_ring, max_size=2)))))
        for _ in range(draw(st.integers(1, 2)))
    )
    names = draw(_names)
    color = draw(_colors) if names else "#ffffff"
    properties = {"objectType": "annotation", "isLocked": True, "measurements": {"Area": draw(st.floats(0, 9))}}
    return Contour(parts=parts, class_names=names, color=color, properties=properties)


def equal(one: Contour, other: Contour) -> bool:
    rings = [[ring for part in c.parts for ring in (part.outer, *part.holes)] for c in (one, other)]
    counts = [[len(part.holes) for part in c.parts] for c in (one, other)]
    facts = [(c.class_names, c.color, c.id, dict(c.geometry), dict(c.properties)) for c in (one, other)]
    return counts[0] == counts[1] and facts[0] == facts[1] and all(map(np.array_equal, *rings))


@given(st.lists(contours(), max_size=4))
def test_what_was_drawn_comes_back_to_the_last_digit(tmp_path_factory, drawn):
    path = tmp_path_factory.mktemp("contours") / "a.geojson"
    write_contours(path, ContourFile(contours=tuple(drawn)))
    found = read_contours(path)
    assert len(found.contours) == len(drawn)
    assert all(map(equal, found.contours, drawn))


def feature(geometry: dict, **properties) -> dict:
    return {
        "type": "Feature",
        "id": "7c1",
        "geometry": geometry,
        "properties": {"objectType": "annotation"} | properties,
    }


SQUARE = {"type": "Polygon", "coordinates": [[[0, 0], [10.25, 0], [10.25, 5], [0, 5], [0, 0]]], "plane": {"z": 2}}


@pytest.mark.parametrize(
    ("classification", "name", "color"),
    [
        ({"name": "Tumor", "color": [200, 0, 10]}, "Tumor", "#c8000a"),
        ({"names": ["Tumor", "Positive"], "color": [1, 2, 3]}, "Tumor: Positive", "#010203"),
        ({"name": "Old", "colorRGB": -3670016}, "Old", "#c80000"),
        ("Stroma", "Stroma", "#ffffff"),
        (None, "", "#ffffff"),
    ],
)
def test_every_form_of_a_class_is_read_and_written_with_its_colour(tmp_path: Path, classification, name, color) -> None:
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(feature(SQUARE, classification=classification)), "utf-8")
    found = read_contours(path)
    (contour,) = found.contours
    assert (contour.class_name, contour.color) == (name, color)
    np.testing.assert_array_equal(contour.parts[0].outer, [[0, 0], [0, 10.25], [5, 10.25], [5, 0]])
    write_contours(path, found)
    (written,) = json.loads(path.read_text("utf-8"))["features"]
    assert written["geometry"] == SQUARE
    if name:
        assert len(written["properties"]["classification"]["color"]) == 3


def test_a_file_of_qupath_is_the_same_afterwards(tmp_path: Path) -> None:
    features = [
        feature({"type": "Point", "coordinates": [4, 5]}, name="start"),
        feature(SQUARE, classification={"name": "Tumor", "color": [200, 0, 10]}, measurements={"Area": "NaN"}),
        feature({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}),
        feature(
            {
                "type": "MultiPolygon",
                "coordinates": [
                    [[[0, 0], [9, 0], [9, 9], [0, 0]], [[2, 1], [3, 1], [3, 2], [2, 1]]],
                    [[[20, 20], [29, 20], [29, 29], [20, 20]]],
                ],
            },
            isLocked=True,
            metadata={"who": "M"},
        ),
    ]
    document = {"type": "FeatureCollection", "features": features}
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps(document), "utf-8")
    found = read_contours(path)
    assert [len(part.holes) for part in found.contours[1].parts] == [1, 0]
    write_contours(path, found)
    assert json.loads(path.read_text("utf-8")) == document


def test_a_real_geometry_of_qupath_round_trips(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "path_slides" / "qupath_polygon.geojson"
    write_contours(tmp_path / "a.geojson", read_contours(source))
    (written,) = json.loads((tmp_path / "a.geojson").read_text("utf-8"))["features"]
    assert written["geometry"] == json.loads(source.read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        '{"type": "Topology"}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": [[[0, 0], [1, null], [2, 0], [0, 0]]]}',
        '{"type": "Polygon", "coordinates": []}',
        '{"type": "FeatureCollection", "features": [null]}',
    ],
)
def test_what_is_no_geojson_of_areas_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.geojson").write_text(text, "utf-8")
    with pytest.raises(ReadError, match=r"a\.geojson"):
        read_contours(tmp_path / "a.geojson")


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        read_contours(tmp_path / "a.geojson")
