"""Grey values inside a structure: Hounsfield units of a CT, the image's own numbers of everything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensities:
    """What voxels inside a structure have, in the unit of the image.

    Parameters
    ----------
    mean, sd
        Mean and standard deviation of the voxels (of these, not of a population that they stand for: divided by n).
    median, p5, p95
        Median, 5th and 95th percentile, between two values linearly.
    """

    mean: float
    sd: float
    median: float
    p5: float
    p95: float


def intensities_of(values: npt.NDArray[Any]) -> Intensities | None:
    """Statistics of grey values of any shape; what is no number does not count. None where nothing is left.

    Examples
    --------
    >>> intensities_of(np.array([0, 10, 20, np.nan])).median
    10.0
    """
    known = values[np.isfinite(values)].astype(np.float64, copy=False)
    if not known.size:
        return None
    p5, median, p95 = np.percentile(known, [5, 50, 95])
    return Intensities(
        mean=float(known.mean()), sd=float(known.std()), median=float(median), p5=float(p5), p95=float(p95)
    )
