"""What Heidelberg Engineering's three formats share: names of layers, scan patterns, sides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

Pattern = Literal["", "line", "raster", "star", "circle", "repeat"]

#: Scan patterns by the number that ``.vol`` and ``.e2e`` store.
PATTERNS: Mapping[int, Pattern] = {1: "line", 2: "circle", 3: "raster", 4: "raster", 5: "star"}

#: Slots of the device's layers. 9 to 13 are not documented as surfaces of the retina.
LAYER_NAMES = (
    "ILM",
    "BM",
    "RNFL",
    "GCL",
    "IPL",
    "INL",
    "OPL",
    "ONL",
    "ELM",
    "IOS",
    "OPT",
    "CHO",
    "VIT",
    "ANT",
    "PR1",
    "PR2",
    "RPE",
)
#: The first three slots mean the same in every version of the format.
_ALWAYS = 3

#: Unit vectors that differ by less are parallel; gaps that differ by a smaller share of their mean are even.
_PARALLEL, _EVEN = 0.02, 0.1


def laterality_of(text: str) -> Literal["", "R", "L"]:
    """The eye as R or L, however a file writes it; empty where it does not say.

    >>> laterality_of("OD "), laterality_of("L"), laterality_of("")
    ('R', 'L', '')
    """
    word = text.strip("\0 ").upper()
    if word in ("OD", "R", "RIGHT"):
        return "R"
    return "L" if word in ("OS", "L", "LEFT") else ""


def named_layers(layers: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    """Layers by the name of their slot.

    Files of older versions have fewer slots than the list of names, and their meaning is then known for ILM, BM and
    RNFL alone; those are believed where ILM lies above BM. Others are called by their number.

    Parameters
    ----------
    layers
        (surface, bscan, x) rows, 3.4e38 or NaN where missing.
    """
    trusted = len(layers) if len(layers) >= len(LAYER_NAMES) else _ALWAYS
    if len(layers) >= 2 and not _lies_above(layers[0], layers[1]):
        trusted = 0
    return {
        LAYER_NAMES[index] if index < min(trusted, len(LAYER_NAMES)) else f"surface {index + 1}": rows
        for index, rows in enumerate(layers)
    }


def _lies_above(upper: npt.NDArray[np.float32], lower: npt.NDArray[np.float32]) -> bool:
    """Whether one lies above the other in most columns that have both (or no column has)."""
    both = (np.abs(upper) < 1e9) & (np.abs(lower) < 1e9)
    return not both.any() or float(np.mean(upper[both] <= lower[both])) > 0.5


def distance_between(starts: npt.NDArray[np.float64], ends: npt.NDArray[np.float64]) -> float | None:
    """How far parallel B-scans lie apart; None where they are not parallel or not evenly spaced.

    Parameters
    ----------
    starts, ends
        (bscan, 2) points of the fundus in one unit, which the result has too.
    """
    along = ends - starts
    length = np.hypot(*along.T)
    if len(starts) < 2 or not np.isfinite(along).all() or length.min() <= 0:
        return None
    direction = along / length[:, None]
    if np.abs(direction - direction[0]).max() > _PARALLEL:
        return None
    gaps = np.diff(starts @ np.array([-direction[0, 1], direction[0, 0]]))
    gap = float(np.mean(gaps))
    even = gap != 0 and np.abs(gaps - gap).max() <= _EVEN * abs(gap)
    return abs(gap) if even else None
