"""How far surfaces that nobody drew give way to a click on another one."""

from __future__ import annotations

import numpy as np

from napari_medseg.annotation.surfaces import Rows

#: How far they are pushed: a share of the picture's height, and at least so many rows. A click further off is more
#: likely one for another surface, and would squeeze all the layers between into one row.
MOST_SHARE, LEAST_ROWS = 0.05, 8.0
#: Columns beside the click in which they give way at all.
REACH = 80

Limits = tuple[Rows, Rows]


def most_pushed(height: int) -> float:
    """Rows by which a click may lie beyond a surface that nobody drew, in a picture of some height."""
    return max(MOST_SHARE * height, LEAST_ROWS)


def yielding(limits: Limits, firm: Limits, x: int, push: float) -> Limits:
    """Limits of a curve for which its neighbours give way around a column, the less the further off.

    Parameters
    ----------
    limits, firm
        Lowest and highest row per column (x,): those of all neighbours, and of those that a person drew, which stay.
    x, push
        The column, and by how many rows they give way in it.

    Examples
    --------
    >>> neighbours = np.full(5, 2, np.float32), np.full(5, 6, np.float32)
    >>> firm = np.full(5, 0, np.float32), np.full(5, 9, np.float32)
    >>> [round(float(row), 2) for row in yielding(neighbours, firm, 0, 1.6)[1]]
    [7.6, 7.58, 7.56, 7.54, 7.52]
    """
    near = np.clip(1 - np.abs(np.arange(len(limits[0])) - x) / REACH, 0, 1)
    given = (push * near).astype(np.float32)
    return np.maximum(limits[0] - given, firm[0]), np.minimum(limits[1] + given, firm[1])
