"""Adding to contours and cutting out of them, against the same done pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from napari_medseg.annotation.contour_editing import cut_out, overlaps, parts_of_ring, united
from napari_medseg.annotation.one_line import one_line, parts_of_line
from napari_medseg.errors import AnnotationError
from napari_medseg.io.contour_file import Contour, Part

SHAPE = (60, 60)


def square(y: float, x: float, side: float) -> np.ndarray:
    return np.array([(y, x), (y, x + side), (y + side, x + side), (y + side, x)], np.float64)


def mask(parts) -> np.ndarray:
    out = np.zeros(SHAPE, bool)
    for part in parts:
        inside = polygon2mask(SHAPE, part.outer - 0.5)
        for hole in part.holes:
            inside &= ~polygon2mask(SHAPE, hole - 0.5)
        out |= inside
    return out


@st.composite
def stars(draw) -> np.ndarray:
    """Rings that do not cross themselves, with corners off the pixels' centres."""
    middle = np.array(draw(st.tuples(st.integers(15, 45), st.integers(15, 45)))) + 0.217
    count = draw(st.integers(3, 10))
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False) + 0.1
    radius = np.array(draw(st.lists(st.integers(5, 15), min_size=count, max_size=count)))
    return middle + np.stack([np.sin(angle) * radius, np.cos(angle) * radius], axis=1)


@settings(max_examples=60, deadline=None)
@given(stars(), stars())
def test_union_and_difference_are_those_of_the_pixels(one: np.ndarray, other: np.ndarray) -> None:
    contour = Contour(parts=parts_of_ring(one), class_names=("Tumor",))
    first, second = mask(contour.parts), mask(parts_of_ring(other))
    np.testing.assert_array_equal(first, polygon2mask(SHAPE, one - 0.5))
    np.testing.assert_array_equal(mask(united([contour], other).parts), first | second)
    left = cut_out(contour, other)
    np.testing.assert_array_equal(mask(left.parts if left is not None else ()), first & ~second)
    if (first & second).any():
        assert overlaps(contour, other)


def test_a_ring_inside_becomes_a_hole_and_a_ring_across_two_pieces_of_one_contour() -> None:
    contour = Contour(parts=parts_of_ring(square(10, 10, 30)), class_names=("Tumor",), id="a")
    holed = cut_out(contour, square(20, 20, 5))
    assert holed is not None
    assert (holed.id, len(holed.parts), len(holed.parts[0].holes)) == ("a", 1, 1)
    split = cut_out(contour, np.array([(0, 20), (0, 25), (59, 25), (59, 20)], np.float64))
    assert split is not None
    assert len(split.parts) == 2
    assert cut_out(contour, square(0, 0, 59)) is None


def test_a_line_that_crosses_itself_encloses_both_loops() -> None:
    eight = np.array([(10, 10), (30, 30), (10, 30), (30, 10)], np.float64)
    parts = parts_of_ring(eight)
    assert len(parts) == 2
    assert mask(parts).sum() == pytest.approx(200, abs=25)


def test_a_line_without_area_is_refused() -> None:
    with pytest.raises(AnnotationError, match="encloses no area"):
        parts_of_ring(np.array([(1, 1), (5, 5), (9, 9)], np.float64))


def test_what_was_measured_of_the_old_outline_is_dropped_and_all_else_stays() -> None:
    properties = {"objectType": "annotation", "name": "T1", "measurements": {"Area": 900}}
    contour = Contour(parts=parts_of_ring(square(10, 10, 30)), properties=properties, geometry={"plane": {"z": 1}})
    changed = united([contour], square(30, 30, 20))
    assert dict(changed.properties) == {"objectType": "annotation", "name": "T1"}
    assert dict(changed.geometry) == {"plane": {"z": 1}}


PARTS = (
    Part(outer=square(5, 5, 40), holes=(square(10, 10, 8), square(25, 25.3, 9)[:3])),
    Part(outer=square(50, 50, 6)),
)


@pytest.mark.parametrize("parts", [PARTS[1:], PARTS[:1], PARTS], ids=["ring", "holes", "pieces"])
def test_one_line_fills_as_its_rings_do_and_gives_them_back(parts: tuple[Part, ...]) -> None:
    line = one_line(parts)
    np.testing.assert_array_equal(polygon2mask(SHAPE, line - 0.5), mask(parts))
    found = parts_of_line(line.copy(), line, parts)
    assert found is not None
    np.testing.assert_array_equal(one_line(found), line)


def rings(parts) -> list[list[list[float]]]:
    return [ring.tolist() for part in parts for ring in (part.outer, *part.holes)]


@pytest.mark.parametrize("place", range(len(one_line(PARTS))))
def test_a_corner_that_is_dragged_moves_in_its_ring(place: int) -> None:
    line = one_line(PARTS)
    moved = line.copy()
    moved[place] += (0.25, -0.5)
    found = parts_of_line(moved, line, PARTS)
    assert found is not None
    before, after = rings(PARTS), rings(found)
    differ = [(i, k) for i, ring in enumerate(before) for k, corner in enumerate(ring) if corner != after[i][k]]
    assert len(differ) == 1
    i, k = differ[0]
    assert before[i][k] == line[place].tolist()
    assert after[i][k] == moved[place].tolist()


def test_a_corner_is_added_to_the_ring_it_lies_in_and_taken_from_it() -> None:
    line = one_line(PARTS)
    # Between the second and the third corner of the first hole.
    place = len(PARTS[0].outer) + 1 + 2
    longer = np.insert(line, place, (12.0, 19.0), axis=0)
    found = parts_of_line(longer, line, PARTS)
    assert found is not None
    assert found[0].holes[0].tolist() == np.insert(PARTS[0].holes[0], 2, (12.0, 19.0), axis=0).tolist()
    shorter = parts_of_line(line, longer, found)
    assert shorter is not None
    assert rings(shorter) == rings(PARTS)


def test_the_ends_of_ways_between_rings_and_corners_of_a_triangle_stay() -> None:
    line = one_line(PARTS)
    assert parts_of_line(np.delete(line, len(PARTS[0].outer), axis=0), line, PARTS) is None
    triangle = one_line(PARTS[:1])
    assert parts_of_line(triangle[:-2], triangle, PARTS[:1]) is None
