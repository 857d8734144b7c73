"""Maps on the fundus picture against the places that B-scans are said to have."""

from __future__ import annotations

import numpy as np
import pytest

from napari_medseg.measure.enface import on_fundus, on_squares


@pytest.mark.parametrize("angle", [0.0, 12.0, 90.0, 180.0])
def test_columns_come_to_lie_where_their_bscan_lies(angle: float) -> None:
    values = np.random.default_rng(0).uniform(100, 400, (7, 30)).astype(np.float32)
    turn = np.deg2rad(angle)
    along, across = np.array([np.sin(turn), np.cos(turn)]), np.array([np.cos(turn), -np.sin(turn)])
    centre, step, length = np.array([100.0, 110.0]), 15.0, 120.0
    starts = centre + (np.arange(7) - 3)[:, None] * step * across - length / 2 * along
    picture = on_fundus(values, np.stack([starts, starts + length * along], axis=1), (200, 220))
    for bscan in range(7):
        for column in range(30):
            row, x = np.rint(starts[bscan] + (column + 0.5) / 30 * length * along).astype(int)
            assert picture[row, x] == values[bscan, column]
    assert np.isnan(picture[0, 0])
    assert np.isfinite(picture).mean() == pytest.approx(7 * step * length / (200 * 220), rel=0.02)


def test_places_on_one_spot_give_no_picture() -> None:
    assert np.isnan(on_fundus(np.ones((3, 4), np.float32), np.zeros((3, 2, 2)), (5, 6))).all()


def test_square_pixels_keep_the_mean_and_the_order() -> None:
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    squares = on_squares(values, 0.5, 0.1)
    assert squares.shape == (15, 4)
    np.testing.assert_array_equal(squares[::5], values)
    assert squares.mean() == values.mean()
