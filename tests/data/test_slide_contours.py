"""What contours say of a slide's pixels, against filling them one by one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from napari_medseg.data.slide_contours import REGION, SlideContours, contours_path
from napari_medseg.errors import ReadError
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.structures import MaskClass

CLASSES = (MaskClass(value=3, name="Tumor", color="#e69f00"), MaskClass(value=7, name="Stroma", color="#56b4e9"))


def rectangle(y0: float, y1: float, x0: float, x1: float) -> np.ndarray:
    return np.array([(y0, x0), (y0, x1), (y1, x1), (y1, x0)], np.float64)


def contour(*names: str, outer: np.ndarray, holes=()) -> Contour:
    return Contour(parts=(Part(outer=outer, holes=tuple(holes)),), class_names=names)


def read_back(tmp_path: Path, *contours: Contour) -> SlideContours:
    path = contours_path(tmp_path, "slide")
    SlideContours(contours=contours).write(path)
    return SlideContours.read(path)


def test_regions_classes_holes_and_what_nobody_looked_at(tmp_path: Path) -> None:
    found = read_back(
        tmp_path,
        contour("Tumor", outer=rectangle(10, 50, 10, 50), holes=[rectangle(20, 30, 20, 30)]),
        contour("Stroma", outer=rectangle(40, 70, 40, 70)),
        contour("Ignore*", outer=rectangle(60, 65, 60, 65)),
        contour(outer=rectangle(0, 100, 0, 100)),
        # Drawn last, yet below everything.
        contour(REGION, outer=rectangle(5, 60, 5, 60)),
    )
    expected = np.full((100, 100), 255, np.uint8)
    expected[5:60, 5:60] = 0
    expected[10:50, 10:50] = 3
    expected[20:30, 20:30] = 0
    expected[40:70, 40:70] = 7
    expected[60:65, 60:65] = 255
    np.testing.assert_array_equal(found.labels(((0, 100), (0, 100)), 1, CLASSES), expected)
    np.testing.assert_array_equal(found.labels(((15, 75), (0, 90)), 1, CLASSES), expected[15:75, :90])
    np.testing.assert_array_equal(found.labels(((0, 100), (0, 100)), 5, CLASSES), expected[2::5, 2::5])
    assert found.class_values(CLASSES).tolist() == [3, 7, 255, -1, 0]


def test_a_part_beyond_the_slide_is_not_looked_at_and_sizes_need_not_divide(tmp_path: Path) -> None:
    found = read_back(tmp_path, contour("Tumor", outer=rectangle(0, 40, 0, 40)))
    labels = found.labels(((-10, 30), (20, 120)), 2.5, CLASSES)
    assert labels.shape == (16, 40)
    assert (labels[4:, :8] == 3).all()
    assert (labels == 255).sum() == labels.size - 12 * 8
    assert found.labels(((0, 1), (0, 1)), 64, CLASSES).shape == (1, 1)


def test_a_derived_class_counts_as_the_one_it_derives_from_unless_it_is_a_class_itself(tmp_path: Path) -> None:
    found = read_back(
        tmp_path,
        contour("Tumor", "Positive", outer=rectangle(0, 1, 0, 1)),
        contour("Tumor: Negative: 2+", outer=rectangle(0, 1, 0, 1)),
        contour("Immune cells", "Stroma", outer=rectangle(0, 1, 0, 1)),
    )
    assert found.class_values(CLASSES).tolist() == [3, 3, 255]
    own = (*CLASSES, MaskClass(value=9, name="Tumor: Positive", color="#009e73"))
    assert found.class_values(own).tolist() == [9, 3, 255]


@st.composite
def blobs(draw) -> Contour:
    """Star-shaped areas of one or two parts, with a hole in the middle; corners off the pixels' centres."""
    parts = []
    for _ in range(draw(st.integers(1, 2))):
        middle = np.array(draw(st.tuples(st.integers(0, 60), st.integers(0, 60)))) + 0.217
        count = draw(st.integers(3, 12))
        angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + 0.1
        radius = np.array(draw(st.lists(st.integers(6, 25), min_size=count, max_size=count)))
        star = middle + np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=1)
        holes = (middle + (star - middle) / 3,) if draw(st.booleans()) else ()
        parts.append(Part(outer=star, holes=holes))
    return Contour(parts=tuple(parts), class_names=draw(st.sampled_from([("Tumor",), ("Stroma",), (REGION,)])))


@settings(max_examples=40, deadline=None)
@given(st.lists(blobs(), max_size=5))
def test_filling_one_by_one_gives_the_same(drawn: list[Contour]) -> None:
    shape = (64, 64)
    expected = np.full(shape, 255, np.uint8)
    for is_region in (True, False):
        for each in drawn:
            if (each.class_name == REGION) is not is_region:
                continue
            value = {"Tumor": 3, "Stroma": 7, REGION: 0}[each.class_name]
            for part in each.parts:
                inside = polygon2mask(shape, part.outer - 0.5)
                for hole in part.holes:
                    inside &= ~polygon2mask(shape, hole - 0.5)
                expected[inside] = value
    found = SlideContours(contours=tuple(drawn))
    np.testing.assert_array_equal(found.labels(((0, 64), (0, 64)), 1, CLASSES), expected)
    for each, (y0, y1, x0, x1) in zip(drawn, found.boxes(), strict=True):
        corners = np.concatenate([part.outer for part in each.parts])
        assert (y0, x0, y1, x1) == (*corners.min(axis=0), *corners.max(axis=0))


def test_many_cells_are_filled_at_any_resolution() -> None:
    rng = np.random.default_rng(0)
    cells = [
        contour("Tumor", outer=rectangle(y, y + 6, x, x + 6))
        for y, x in zip(*(rng.integers(0, 3000, 4000) * 8 for _ in "yx"), strict=True)
    ]
    found = SlideContours(contours=tuple(cells))
    coarse = found.labels(((0, 24000), (0, 24000)), 24, CLASSES)
    corners = np.array([cell.parts[0].outer[0] for cell in cells])
    # A coarse pixel is of the class where a cell lies over its centre.
    expected = np.full((1000, 1000), 255, np.uint8)
    for y, x in corners:
        i, j = int(y // 24), int(x // 24)
        if y < i * 24 + 12 < y + 6 and x < j * 24 + 12 < x + 6:
            expected[i, j] = 3
    np.testing.assert_array_equal(coarse, expected)


def test_no_file_holds_no_contours_and_a_broken_one_is_a_sentence(tmp_path: Path) -> None:
    none = SlideContours.read(tmp_path / "none.geojson")
    assert none.contours == ()
    assert none.boxes().shape == (0, 4)
    assert (none.labels(((0, 4), (0, 4)), 1, CLASSES) == 255).all()
    (tmp_path / "broken.geojson").write_text('{"type":"FeatureCollection","features":[', "utf-8")
    with pytest.raises(ReadError, match="broken"):
        SlideContours.read(tmp_path / "broken.geojson")


def test_what_other_programs_keep_in_the_file_survives(tmp_path: Path) -> None:
    point = {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}, "properties": {"name": "here"}}
    cell = {
        "type": "Feature",
        "id": "9",
        "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [4.25, 0], [4, 4], [0, 0]]], "plane": {"c": -1}},
        "nucleusGeometry": {"type": "Polygon", "coordinates": [[[1, 1], [2, 1], [2, 2], [1, 1]]]},
        "properties": {
            "objectType": "cell",
            "measurements": {"Area": 8.5},
            "classification": {"name": "Tumor", "color": [200, 0, 0]},
        },
    }
    path = tmp_path / "a.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [point, cell]}), "utf-8")
    SlideContours.read(path).write(path)
    assert json.loads(path.read_text("utf-8"))["features"] == [point, cell]
