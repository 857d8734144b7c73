"""Paths are the cheapest there are, and curves follow edges within their limits."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.graph import MCP

from napari_medseg.annotation.strips import PATTERN, recorded
from napari_medseg.annotation.tracing import cheapest_path, follow, movement, runs, trace

WIDTH, HEIGHT = 90, 70


def layered(top: np.ndarray, thickness: float = 14.0, noise: float = 0.0) -> np.ndarray:
    """A B-scan (y, x): dark, bright between two surfaces, half bright below; noise as of speckle, by its deviation."""
    y = np.arange(HEIGHT)[:, None]
    picture = np.where(y <= top, 20.0, np.where(y <= top + thickness, 160.0, 70.0))
    rng = np.random.default_rng(0)
    return (picture * rng.gamma(1 / noise**2, noise**2, picture.shape) if noise else picture).astype(np.float32)


WAVE = (25 + 8 * np.sin(np.arange(WIDTH) / 12)).astype(np.float32)


@given(
    costs=hnp.arrays(np.float32, (5, 4), elements=st.integers(0, 9).map(float)),
    jump=st.integers(1, 3),
    stiffness=st.sampled_from([0.0, 0.5, 2.0]),
)
def test_no_path_is_cheaper_than_the_one_found(costs: np.ndarray, jump: int, stiffness: float) -> None:
    def price(path: tuple[int, ...]) -> float:
        steps = np.diff(path)
        if (np.abs(steps) > jump).any():
            return np.inf
        return float(costs[np.arange(5), list(path)].sum() + stiffness * (steps**2).sum())

    found = cheapest_path(costs, jump, stiffness)
    assert price(tuple(found)) == pytest.approx(min(price(p) for p in itertools.product(range(4), repeat=5)))


@given(costs=hnp.arrays(np.float64, (12, 7), elements=st.integers(1, 9).map(float)), jump=st.integers(1, 2))
def test_paths_cost_what_scikit_image_finds(costs: np.ndarray, jump: int) -> None:
    forward = [(1, step) for step in range(-jump, jump + 1)]
    totals, _ = MCP(costs, offsets=forward).find_costs([(0, entry) for entry in range(7)])
    path = cheapest_path(costs.astype(np.float32), jump, 0.0)
    assert costs[np.arange(12), path].sum() == totals[-1].min()


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_a_curve_follows_the_edge_between_two_clicks(noise: float) -> None:
    picture = layered(WAVE, noise=noise)
    for surface, edge in ((WAVE, "dark-to-bright"), (WAVE + 14, "bright-to-dark"), (WAVE, "any")):
        rows = trace(picture, {0: float(surface[0]), WIDTH - 1: float(surface[-1])}, edge)
        assert np.abs(rows - surface).max() <= 2


def test_a_curve_passes_through_its_clicks_and_ends_at_them() -> None:
    rows = trace(layered(WAVE), {10: 20.25, 40: 33.0, 41: 12.5}, "dark-to-bright")
    assert (rows[10], rows[40], rows[41]) == (20.25, 33.0, 12.5)
    assert runs(rows) == [(10, 42)]


def test_steep_layers_are_followed() -> None:
    steep = (5 + 0.6 * np.arange(WIDTH)).astype(np.float32)
    steep[45:] = steep[44]
    picture = layered(steep, thickness=8, noise=0.3)
    rows = trace(picture, {0: float(steep[0]), WIDTH - 1: float(steep[-1])}, "dark-to-bright")
    assert np.abs(rows - steep).max() <= 2


@given(low=st.floats(0, 30), room=st.floats(0, 10), data=st.data())
def test_a_curve_never_leaves_its_limits(low: float, room: float, data: st.DataObject) -> None:
    lowest = np.full(WIDTH, low, np.float32)
    highest = lowest + np.float32(room)
    ends = [data.draw(st.floats(float(lowest[0]), float(highest[0]), width=32)) for _ in range(2)]
    rows = trace(layered(WAVE), {3: ends[0], 80: ends[1]}, "dark-to-bright", low=lowest, high=highest)
    inside = rows[3:81]
    assert (inside >= lowest[3:81]).all()
    assert (inside <= highest[3:81]).all()


def test_clicks_outside_the_picture_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="columns 0 to 89"):
        trace(layered(WAVE), {90: 1.0}, "any")
    with pytest.raises(ValueError, match="columns 0 to 89"):
        trace(layered(WAVE), {}, "any")


def test_wedges_that_no_scanner_recorded_do_not_pull() -> None:
    picture = layered(WAVE, noise=0.3)
    wedged = picture.copy()
    for x in range(WIDTH):
        wedged[: x // 6, x] = 255
        wedged[HEIGHT - x // 9 :, x] = 0
    wedged[wedged > 255] = 255
    ready = recorded(wedged)
    assert (ready[0, 40:] < 200).all()
    rows = trace(ready, {0: float(WAVE[0]), WIDTH - 1: float(WAVE[-1])}, "dark-to-bright")
    assert np.abs(rows - WAVE).max() <= 2


def test_pictures_without_content_give_the_straight_course() -> None:
    for picture in (np.zeros((20, 30)), np.full((20, 30), np.nan), np.full((20, 30), 255.0)):
        rows = trace(recorded(picture), {0: 5.0, 29: 10.0}, "dark-to-bright")
        np.testing.assert_allclose(rows, np.linspace(5, 10, 30), atol=0.01)


def test_a_curve_near_another_one_is_found_and_ends_where_that_ends() -> None:
    picture = layered(WAVE, noise=0.3)
    prior = WAVE + 3
    prior[:20] = np.nan
    plain = np.zeros((2 * PATTERN, WIDTH), np.float32)
    rows = follow(picture, prior, "dark-to-bright", plain, 50.0, reach=6)
    assert runs(rows) == [(20, WIDTH)]
    assert np.abs(rows - WAVE)[20:].max() <= 2


def test_the_movement_between_bscans_is_the_one_that_costs_least() -> None:
    costs = np.ones((21, 128), np.float32)
    costs[10 + 4, :64] = 0
    costs[10 + 6, 64:] = 0
    moved = movement([costs, np.zeros_like(costs)])
    assert (moved[:40] == 4).all()
    assert (moved[-16:] == 6).all()


@pytest.mark.parametrize("width", [220, 500])
def test_wide_bscans_are_followed_as_well(width: int) -> None:
    wave = (25 + 12 * np.sin(np.arange(width) / 25)).astype(np.float32)
    rows = trace(layered(wave, noise=0.4), {0: float(wave[0]), width - 1: float(wave[-1])}, "dark-to-bright")
    assert np.abs(rows - wave).max() <= 3
    assert np.abs(rows - wave).mean() <= 1
