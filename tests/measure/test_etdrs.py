"""The ETDRS grid against formulas and against a loop over fine points."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_medseg.errors import ConfigError
from napari_medseg.measure.etdrs import Frame, field_names, find_fovea, frame_of, measure_grid

#: A Spectralis volume: 49 B-scans 0.12 mm apart, 512 columns 0.0117 mm apart, about 6 mm x 6 mm.
BETWEEN, LATERAL = 0.1226, 0.01172
SHAPE = (61, 620)
MIDDLE = (30.0, 309.5)


def radius() -> np.ndarray:
    z, x = np.indices(SHAPE)
    return np.hypot((z - MIDDLE[0]) * BETWEEN, (x - MIDDLE[1]) * LATERAL)


def test_even_thickness_gives_the_volume_of_a_cylinder() -> None:
    fields = measure_grid(np.full(SHAPE, 290.26), Frame(between=BETWEEN, lateral=LATERAL), MIDDLE, "R")
    assert [f.mean for f in fields] == pytest.approx([290.26] * 10)
    assert all(f.coverage == pytest.approx(1, abs=2e-3) for f in fields)
    assert fields[-1].volume == pytest.approx(math.pi * 9 * 0.29026)  # 8.207 mm3
    assert sum(f.volume for f in fields[:-1]) == pytest.approx(fields[-1].volume)


def test_bowl_equals_its_integral() -> None:
    """Thickness 200 + 20 r² µm: its mean between the radii a and b is 200 + 10 (a² + b²)."""
    fields = measure_grid(200 + 20 * radius() ** 2, Frame(between=BETWEEN, lateral=LATERAL), MIDDLE, "L")
    for f in fields[:-1]:
        inner, outer = [(0, 0.5), (0.5, 1.5), (1.5, 3.0)][f.ring]
        assert f.mean == pytest.approx(200 + 10 * (inner**2 + outer**2), rel=2e-3)
    exact = math.pi * 9 * (200 + 10 * 9) / 1000
    assert fields[-1].volume == pytest.approx(exact, rel=1e-3)


def test_fields_equal_a_loop_over_points() -> None:
    rng = np.random.default_rng(3)
    shape, between, lateral, fovea = (9, 14), 0.71, 0.5, (4.3, 6.1)
    values = rng.uniform(100, 400, shape)
    values[rng.random(shape) < 0.2] = np.nan
    fields = measure_grid(values, Frame(between=between, lateral=lateral), fovea)
    sums, known, areas = np.zeros(9), np.zeros(9), np.zeros(9)
    step = 0.02
    for down in np.arange(-3, 3, step) + step / 2:
        for right in np.arange(-3, 3, step) + step / 2:
            r = math.hypot(down, right)
            if r >= 3:
                continue
            if r < 0.5:
                index = 0
            else:
                angle = math.degrees(math.atan2(-down, right))  # counter-clockwise from the right
                quadrant = 1 if -45 < angle < 45 else 0 if 45 <= angle <= 135 else 2 if -135 <= angle <= -45 else 3
                index = (1 if r < 1.5 else 5) + quadrant
            areas[index] += 1
            z, x = round(fovea[0] + down / between), round(fovea[1] + right / lateral)
            if 0 <= z < shape[0] and 0 <= x < shape[1] and not np.isnan(values[z, x]):
                sums[index] += values[z, x]
                known[index] += 1
    np.testing.assert_allclose([f.mean for f in fields[:-1]], sums / known, rtol=0.01)
    np.testing.assert_allclose([f.coverage for f in fields[:-1]], known / areas, atol=0.02)


def test_what_lies_outside_the_scan_is_not_covered() -> None:
    fields = measure_grid(np.full(SHAPE, 300.0), Frame(between=BETWEEN, lateral=LATERAL), (30.0, 0.0), "R")
    by_name = {f.name: f for f in fields}
    assert by_name["center"].coverage == pytest.approx(0.5, abs=0.02)
    assert by_name["outer temporal"].coverage == 0
    assert math.isnan(by_name["outer temporal"].mean)
    assert math.isnan(fields[-1].volume)
    assert by_name["inner nasal"].coverage == pytest.approx(1, abs=0.01)
    assert by_name["center"].is_doubtful
    assert not by_name["inner nasal"].is_doubtful


def test_sides_follow_the_eye() -> None:
    right_half = np.where(np.arange(SHAPE[1]) > MIDDLE[1], 400.0, 100.0) * np.ones(SHAPE)
    frame = Frame(between=BETWEEN, lateral=LATERAL)
    for eye, thick in (("R", "inner nasal"), ("L", "inner temporal"), ("", "inner right")):
        by_name = {f.name: f.mean for f in measure_grid(right_half, frame, MIDDLE, eye)}
        assert by_name[thick] == pytest.approx(400)
    assert len(set(field_names("R"))) == 9


def positions(first: tuple[float, float], last: tuple[float, float], reach: tuple[float, float]) -> np.ndarray:
    starts = np.linspace(first, last, SHAPE[0])
    return np.stack([starts, starts + np.array(reach)], axis=1)


def test_places_on_the_fundus_turn_the_grid() -> None:
    late = np.where(np.arange(SHAPE[0])[:, None] > MIDDLE[0], 400.0, 100.0) * np.ones(SHAPE)
    downwards = frame_of(BETWEEN, LATERAL, positions((0, 0), (700, 0), (0, 700)))
    upwards = frame_of(BETWEEN, LATERAL, positions((700, 0), (0, 0), (0, 700)))
    upright = frame_of(BETWEEN, LATERAL, positions((700, 0), (700, 700), (-700, 0)))  # B-scans run upwards
    assert not downwards.is_assumed
    for frame, thick in ((downwards, "inner inferior"), (upwards, "inner superior"), (upright, "inner nasal")):
        by_name = {f.name: f.mean for f in measure_grid(late, frame, MIDDLE, "R")}
        assert by_name[thick] == pytest.approx(400, rel=0.02)
    assert frame_of(BETWEEN, LATERAL, None).is_assumed
    assert frame_of(BETWEEN, LATERAL, np.zeros((5, 2, 2))).is_assumed


def test_fovea_is_found_in_noise_and_gaps() -> None:
    pit = (33.0, 280.0)
    z, x = np.indices(SHAPE)
    distance = np.hypot((z - pit[0]) * BETWEEN, (x - pit[1]) * LATERAL)
    rng = np.random.default_rng(1)
    whole = 320 - 100 * np.exp(-((distance / 0.5) ** 2)) + rng.normal(0, 8, SHAPE)
    whole[rng.random(SHAPE) < 0.3] = np.nan
    whole[0, 0] = 1.0  # thinner, but not in the centre
    found = find_fovea(whole, BETWEEN, LATERAL)
    assert found is not None
    assert math.hypot((found[0] - pit[0]) * BETWEEN, (found[1] - pit[1]) * LATERAL) < 0.15
    assert find_fovea(np.full(SHAPE, np.nan), BETWEEN, LATERAL) is None


def test_fovea_outside_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="lies outside the scan of 61 B-scans"):
        measure_grid(np.ones(SHAPE), Frame(between=BETWEEN, lateral=LATERAL), (70.0, 3.0))
