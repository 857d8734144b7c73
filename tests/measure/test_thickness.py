"""Thickness against loops over single columns, and against surfaces."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_medseg.annotation.surfaces import labels_of_surfaces, surfaces_of_labels
from napari_medseg.data.dataset_file import mask_classes
from napari_medseg.data.retina import surfaces_of_pile
from napari_medseg.errors import ConfigError
from napari_medseg.measure.targets import pile_values, targets_of
from napari_medseg.measure.thickness import bscan_thickness, summarize, thickness_maps, thickness_of_rows

LAYERS = ("RNFL", "GCL", "RPE")
CLASSES = mask_classes([*LAYERS, "fluid"])
SURFACES = surfaces_of_pile(["background", *LAYERS, "background"])
PILE = pile_values(CLASSES, SURFACES)
TARGETS = targets_of(CLASSES, SURFACES)
WHOLE, FLUID = TARGETS[0], TARGETS[-1]


def column(*values: int) -> dict[str, float]:
    """Thickness by name of one column."""
    found = bscan_thickness(np.array([values], np.uint8).T, PILE, TARGETS)[:, 0]
    return {target.name: float(value) for target, value in zip(TARGETS, found, strict=True)}


def loop_thickness(values: list[int], first: int, last: int) -> float:
    """The definition, pixel by pixel, for one column in order: background, layers 1 to 3, background; 4 is fluid."""
    own = [y for y, v in enumerate(values) if first <= v <= last]
    layers = [y for y, v in enumerate(values) if v in (1, 2, 3)]
    if not layers:
        return np.nan
    if own:
        top, bottom = own[0], own[-1]
        if top == 0 or bottom == len(values) - 1:
            return np.nan
        if values[top - 1] in (4, 255) or values[bottom + 1] in (4, 255) or 255 in values[top:bottom]:
            return np.nan
        return sum(1 for v in values[top : bottom + 1] if first <= v <= last or v == 4)
    upper = [y for y, v in enumerate(values) if (v == 0 and y < layers[0]) or 0 < v < first]
    lower = [y for y, v in enumerate(values) if (v == 0 and y > layers[-1]) or last < v <= 3]
    if not upper or not lower:
        return np.nan
    return 0.0 if lower[0] == upper[-1] + 1 else np.nan


def test_targets_are_the_whole_retina_then_layers_then_areas() -> None:
    assert [(t.name, t.role) for t in TARGETS] == [
        ("ILM to BM", "span"),
        ("RNFL", "layer"),
        ("GCL", "layer"),
        ("RPE", "layer"),
        ("fluid", "area"),
    ]
    extra = targets_of(CLASSES, SURFACES, [("ILM", "GCL/RPE")])[4]
    assert (extra.name, extra.first, extra.last) == ("ILM to GCL/RPE", 1, 2)
    with pytest.raises(ConfigError, match="no surface 'BMO'"):
        targets_of(CLASSES, SURFACES, [("ILM", "BMO")])
    with pytest.raises(ConfigError, match="name the upper one first"):
        targets_of(CLASSES, SURFACES, [("BM", "ILM")])


def test_fluid_counts_into_the_layer_around_it_and_on_its_own() -> None:
    found = column(0, 1, 2, 4, 4, 2, 3, 0)
    assert found == {"ILM to BM": 6, "RNFL": 1, "GCL": 4, "RPE": 1, "fluid": 2}


def test_surface_under_an_area_is_not_known() -> None:
    found = column(0, 1, 2, 4, 3, 0)
    assert found["ILM to BM"] == 4
    assert found["RNFL"] == 1
    assert np.isnan(found["GCL"])
    assert np.isnan(found["RPE"])


def test_layer_that_is_not_there_is_zero_between_its_neighbours() -> None:
    assert column(0, 1, 3, 0)["GCL"] == 0
    assert np.isnan(column(0, 1, 255, 3, 0)["GCL"])
    assert np.isnan(column(0, 0, 0, 0)["GCL"])


def test_not_looked_at_far_away_does_not_matter() -> None:
    found = column(0, 1, 2, 3, 0, 255, 255)
    assert found["ILM to BM"] == 3
    assert found["fluid"] == 0
    assert np.isnan(column(0, 1, 2, 3, 255, 255)["RPE"])
    assert np.isnan(column(0, 1, 255, 2, 3, 0)["fluid"])


def test_layer_cut_off_by_the_picture_is_not_known() -> None:
    assert np.isnan(column(1, 1, 2, 3, 0)["RNFL"])
    assert np.isnan(column(0, 1, 2, 3, 3)["RPE"])


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_counts_equal_a_loop_over_columns_in_order(data: st.DataObject) -> None:
    width, height = 6, 14
    bscan = np.zeros((height, width), np.uint8)
    for x in range(width):
        cuts = sorted(data.draw(st.lists(st.integers(0, height), min_size=4, max_size=4)))
        for value in (1, 2, 3):
            bscan[cuts[value - 1] : cuts[value], x] = value
        start, size = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, 4))
        bscan[start : start + size, x] = data.draw(st.sampled_from([4, 255]))
    found = bscan_thickness(bscan, PILE, TARGETS)
    for x in range(width):
        values = bscan[:, x].tolist()
        for target, value in zip(TARGETS, found[:, x], strict=True):
            if target.role != "area":
                np.testing.assert_equal(float(value), float(loop_thickness(values, target.first, target.last)))


@settings(max_examples=60, deadline=None)
@given(rows=arrays.arrays(np.int8, (4, 7), elements=st.integers(1, 18)))
def test_labels_and_surfaces_give_the_same_thickness(rows: np.ndarray) -> None:
    surfaces = np.sort(rows, axis=0).astype(np.float32) - 0.5
    found = bscan_thickness(labels_of_surfaces(surfaces, 20, PILE), PILE, TARGETS)
    by_name = {s.name: row for s, row in zip(SURFACES, surfaces, strict=True)}
    visible = surfaces[3] > surfaces[0]
    whole = thickness_of_rows(by_name, "ILM", "BM")
    np.testing.assert_array_equal(found[0, visible], whole[visible])
    np.testing.assert_array_equal(found[2, visible], (surfaces[2] - surfaces[1])[visible])
    again = surfaces_of_labels(labels_of_surfaces(surfaces, 20, PILE), PILE)
    np.testing.assert_array_equal((again[3] - again[0])[visible], found[0, visible])


def test_classes_without_surfaces_are_plain_counts() -> None:
    volume = np.random.default_rng(0).choice(np.array([0, 1, 2, 255], np.uint8), (3, 9, 5), p=[0.5, 0.2, 0.28, 0.02])
    targets = targets_of(mask_classes(["a", "b"]), ())
    maps = thickness_maps(volume, (), targets, 0.004)
    for value, found in enumerate(maps, start=1):
        expected = (volume == value).sum(axis=1).astype(float)
        expected[(volume == 255).any(axis=1)] = np.nan
        np.testing.assert_array_equal(found.pixels, expected)
        np.testing.assert_allclose(found.values, 4 * expected, rtol=1e-6)
        assert found.unit == "µm"


def test_rows_keep_fractions_and_gaps() -> None:
    rows = {"a": np.array([[1.25, np.nan, 5.0, -0.5]]), "b": np.array([[3.5, 4.0, 4.0, 9.0]])}
    np.testing.assert_array_equal(thickness_of_rows(rows, "a", "b"), [[2.25, np.nan, np.nan, 9.5]])
    np.testing.assert_array_equal(thickness_of_rows(rows, "a", "b", height=20), [[2.25, np.nan, np.nan, np.nan]])


def test_summary_of_nothing_is_nan_with_no_coverage() -> None:
    found = summarize(np.full((2, 3), np.nan))
    assert np.isnan(found.mean)
    assert (found.coverage, found.columns) == (0.0, 0)


def test_numbers_beyond_the_classes_are_not_known() -> None:
    labels = np.zeros((8, 3), np.uint16)
    labels[2:4], labels[4:6], labels[3, 2] = 1, 3, 257
    whole = thickness_maps(labels, PILE, TARGETS, None)[0].pixels
    np.testing.assert_array_equal(whole, [[4, 4, np.nan]])
