"""Outlines against the pixels they come from, filled by brute force."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage

from napari_medseg.annotation.outlines import outlines
from napari_medseg.io.contour_file import class_contour, write_contours
from napari_medseg.structures import MaskClass

MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def filled(ring: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Pixels with an odd number of the ring's vertical edges to their left."""
    crossed = np.zeros((shape[0], shape[1] + 1), int)
    for (y0, x0), (y1, x1) in pairwise([*ring, ring[0]]):
        assert (y0 == y1) != (x0 == x1), "edges are horizontal or vertical, and not empty"
        crossed[min(y0, y1) : max(y0, y1), x0] += 1
    return crossed.cumsum(axis=1)[:, :-1] % 2 == 1


@settings(max_examples=200, deadline=None)
@given(MASKS)
def test_filling_outlines_gives_the_pixels_back_piece_by_piece(mask: np.ndarray) -> None:
    pieces, count = ndimage.label(mask)
    found = list(outlines(mask))
    assert len(found) == count
    for number, outline in enumerate(found, start=1):
        area = filled(outline.outer, mask.shape)
        for hole in outline.holes:
            inside = filled(hole, mask.shape)
            assert area[inside].all()
            area &= ~inside
        np.testing.assert_array_equal(area, pieces == number)


@settings(max_examples=100, deadline=None)
@given(MASKS, st.integers(2, 9))
def test_small_pieces_are_left_out_and_small_holes_filled(mask: np.ndarray, least: int) -> None:
    pieces, count = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)[1:]
    found = list(outlines(mask, least=least))
    assert len(found) == (sizes >= least).sum()
    for outline in found:
        assert all(filled(hole, mask.shape).sum() >= least for hole in outline.holes)


def test_the_file_is_what_qupath_reads(tmp_path: Path) -> None:
    mask = np.ones((4, 5), bool)
    mask[1:3, 1:3] = False
    (ring,) = outlines(mask)
    contour = class_contour(MaskClass(value=1, name="Drüse", color="#0072b2"), ring.outer, ring.holes)
    assert write_contours(tmp_path / "a.geojson", [contour, contour]) == 2
    document = json.loads((tmp_path / "a.geojson").read_text("utf-8"))
    assert document["type"] == "FeatureCollection"
    feature, _ = document["features"]
    assert feature["properties"]["classification"] == {"name": "Drüse", "color": [0, 0x72, 0xB2]}
    outer, hole = feature["geometry"]["coordinates"]
    assert outer == [[0, 0], [5, 0], [5, 4], [0, 4], [0, 0]]
    assert hole[0] == hole[-1] == [1, 1]


def test_no_contour_is_a_valid_file(tmp_path: Path) -> None:
    assert write_contours(tmp_path / "a.geojson", []) == 0
    assert json.loads((tmp_path / "a.geojson").read_text())["features"] == []
