"""Maps as pictures seen from above: on the pixels of the fundus picture, or on square pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


def on_fundus(values: Floats, positions: npt.NDArray[np.float64], shape: tuple[int, int]) -> Floats:
    """A map on the pixels of the fundus picture: each pixel takes the value of the nearest column.

    One affine map from (B-scan, column) to (row, column) of the picture is fitted to where all B-scans start and end
    (least squares), so that the raster may be turned, but not bent.

    Parameters
    ----------
    values
        (bscan, x)
    positions
        (bscan, 2, 2): start and end of each B-scan as (y, x) on the picture.
    shape
        Rows and columns of the picture.

    Returns
    -------
    float32 of `shape`; NaN outside the raster
    """
    count, width = values.shape
    bscans = np.arange(count, dtype=np.float64)
    starts = np.stack([bscans, np.full(count, -0.5), np.ones(count)], axis=1)
    ends = np.stack([bscans, np.full(count, width - 0.5), np.ones(count)], axis=1)
    affine, *_ = np.linalg.lstsq(np.concatenate([starts, ends]), np.concatenate([positions[:, 0], positions[:, 1]]))
    turn, origin = affine[:2], affine[2]  # (bscan, column) @ turn + origin = (row, column)
    if abs(np.linalg.det(turn)) < 1e-9:
        return np.full(shape, np.nan, np.float32)
    rows, columns = np.indices(shape).reshape(2, -1)
    places = (np.stack([rows, columns], axis=1) - origin) @ np.linalg.inv(turn)
    z, x = np.floor(places + 0.5).astype(int).T
    inside = (z >= 0) & (z < count) & (x >= 0) & (x < width)
    picture = np.full(rows.size, np.nan, np.float32)
    picture[inside] = values[z[inside], x[inside]]
    return picture.reshape(shape)


def on_squares(values: Floats, between: float, lateral: float) -> Floats:
    """A map on square pixels as wide as a column: B-scans are repeated, or left out where they lie closer.

    >>> on_squares(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), 0.2, 0.1)[:, 0].tolist()
    [1.0, 1.0, 3.0, 3.0]
    """
    rows = max(round(len(values) * between / lateral), 1)
    places = np.minimum((np.arange(rows) + 0.5) * len(values) / rows, len(values) - 1).astype(int)
    squares: Floats = values[places]
    return squares
