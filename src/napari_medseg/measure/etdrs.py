"""The ETDRS grid: mean thickness and volume in nine fields round the fovea.

Circles of 1, 3 and 6 mm diameter; the two rings are cut at +-45 degrees into superior, nasal, inferior and temporal
fields (Early Treatment Diabetic Retinopathy Study Research Group, report 10, Ophthalmology 98:786, 1991).

A column of a B-scan stands for the rectangle of tissue from halfway to its neighbours: one step between B-scans by one
lateral step. Each rectangle is divided into points at most `_POINT` mm apart, and counts in a field with the share of
its points that lie in it; nothing is interpolated across B-scans. The mean of a field is taken over what is known of
it; its coverage is the known area as a share of the whole field (what lies outside the scan is not known); its volume
is the mean times the whole field's area.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.errors import ConfigError

Floats = npt.NDArray[np.floating]
Laterality = Literal["", "R", "L"]

#: Diameters in millimetres.
DIAMETERS = (1.0, 3.0, 6.0)
#: Below this coverage a field's figures are doubtful.
LEAST_COVERAGE = 0.95
#: Distance in millimetres between the points that a column's rectangle is divided into, at most.
_POINT = 0.01
#: The fovea is looked for within half this diameter of the middle of the scan, in millimetres.
_SEARCH = 3.0
#: Standard deviation in millimetres of the Gaussian that smooths the map before its minimum is looked for.
_SMOOTH = 0.15
_TOTAL = "total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How a map lies in the eye, looking at it as a fundus picture shows it: superior is up.

    Parameters
    ----------
    between, lateral
        Millimetres between B-scans and between columns.
    along
        Direction in which columns go, a unit vector (down, right) of the fundus picture.
    across
        Direction in which B-scans follow each other, likewise; at right angles to `along`.
    is_assumed
        Nothing is known of the directions: columns are taken to go right, and the first B-scan to be uppermost.
    """

    between: float
    lateral: float
    along: tuple[float, float] = (0.0, 1.0)
    across: tuple[float, float] = (1.0, 0.0)
    is_assumed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the grid.

    Parameters
    ----------
    name
        E.g. ``"inner superior"``.
    ring
        0: centre, 1: inner, 2: outer; -1 for the total of all nine.
    mean
        Of the map's values; NaN where nothing is known.
    coverage
        Known share of the field's area, 0 to 1.
    area
        Of the whole field, mm².
    volume
        mm³; NaN where the mean is, or the map's unit is unknown.
    """

    name: str
    ring: int
    mean: float
    coverage: float
    area: float
    volume: float

    @property
    def is_doubtful(self) -> bool:
        """Whether less is known than the figures need."""
        return self.coverage < LEAST_COVERAGE


def frame_of(
    between: float, lateral: float, positions: npt.NDArray[np.float64] | None, aspect: tuple[float, float] = (1.0, 1.0)
) -> Frame:
    """How a raster scan lies on its fundus picture.

    Parameters
    ----------
    positions
        (bscan, 2, 2): start and end of each B-scan as (y, x) on the picture, as in ``OctScan.positions``; or None.
    aspect
        Height and width of the picture's pixels, in any unit.
    """
    if positions is None or len(positions) < 2 or not np.isfinite(positions).all():
        return Frame(between=between, lateral=lateral)
    places = positions * np.asarray(aspect)
    along = (places[:, 1] - places[:, 0]).mean(axis=0)
    steps = np.diff(places.mean(axis=1), axis=0).mean(axis=0)
    length = float(np.hypot(*along))
    if length == 0:
        return Frame(between=between, lateral=lateral)
    y, x = along / length
    side = 1.0 if steps @ (x, -y) >= 0 else -1.0
    if not np.any(steps):
        return Frame(between=between, lateral=lateral)
    return Frame(
        between=between,
        lateral=lateral,
        along=(float(y), float(x)),
        across=(side * float(x), -side * float(y)),
        is_assumed=False,
    )


def find_fovea(whole: Floats, between: float, lateral: float) -> tuple[float, float] | None:
    """The thinnest place of the retina within the central 3 mm of a scan, as (bscan, x).

    The map is smoothed (what is not known does not count) before its minimum is taken; places where less than half of
    the neighbourhood is known are left out. In an eye with a swollen or missing foveal pit this is not the fovea:
    people look, and correct it.

    Parameters
    ----------
    whole
        Thickness from ILM to BM, (bscan, x).

    Returns
    -------
    None where the centre holds nothing that is known
    """
    known = np.isfinite(whole)
    sigma = (_SMOOTH / between, _SMOOTH / lateral)
    weight = ndimage.gaussian_filter(known.astype(np.float64), sigma, mode="nearest")
    total = ndimage.gaussian_filter(np.where(known, whole, 0).astype(np.float64), sigma, mode="nearest")
    z, x = np.indices(whole.shape)
    middle = [(n - 1) / 2 for n in whole.shape]
    near = np.hypot((z - middle[0]) * between, (x - middle[1]) * lateral) <= _SEARCH / 2
    usable = near & (weight >= 0.5)
    if not usable.any():
        return None
    smooth = np.where(usable, total / np.maximum(weight, 1e-9), np.inf)
    bscan, column = np.unravel_index(int(smooth.argmin()), whole.shape)
    return float(bscan), float(column)


def field_names(laterality: Laterality) -> tuple[str, ...]:
    """The nine fields: the centre, then per ring superior, right, inferior, left as the fundus picture shows them.

    Nasal and temporal where it is known which eye it is. In a fundus picture the nose is at the right of a right eye.

    >>> field_names("R")[1:5]
    ('inner superior', 'inner nasal', 'inner inferior', 'inner temporal')
    >>> field_names("")[6]
    'outer right'
    """
    right, left = {"R": ("nasal", "temporal"), "L": ("temporal", "nasal"), "": ("right", "left")}[laterality]
    quadrants = ("superior", right, "inferior", left)
    return ("center", *(f"{ring} {quadrant}" for ring in ("inner", "outer") for quadrant in quadrants))


def measure_grid(
    values: Floats, frame: Frame, fovea: tuple[float, float], laterality: Laterality = "", *, to_mm: float | None = 1e-3
) -> tuple[Field, ...]:
    """Mean thickness and volume of the nine fields, and of all of them (the last entry).

    Parameters
    ----------
    values
        Thickness (bscan, x), NaN where not known.
    frame
        How the map lies in the eye.
    fovea
        Centre of the grid as (bscan, x), fractions allowed; it must lie in the map.
    laterality
        Which eye; empty: the fields are named right and left.
    to_mm
        What turns `values` into millimetres (1e-3 for µm); None: not known, volumes are NaN.

    Returns
    -------
    ten fields; the total's mean and volume are NaN where one of the nine has none

    Raises
    ------
    ConfigError
        The fovea lies outside the map.
    """
    return measure_grids([values], frame, fovea, laterality, to_mm=to_mm)[0]


def measure_grids(
    maps: Sequence[Floats],
    frame: Frame,
    fovea: tuple[float, float],
    laterality: Laterality = "",
    *,
    to_mm: float | None = 1e-3,
) -> list[tuple[Field, ...]]:
    """The fields of several maps of one scan at once; see `measure_grid`."""
    if not maps:
        return []
    values = np.stack(maps)
    shape = values.shape[1:]
    if not all(-0.5 <= place <= n - 0.5 for place, n in zip(fovea, shape, strict=True)):
        raise ConfigError(
            f"The fovea {fovea[0]:g},{fovea[1]:g} lies outside the scan of {shape[0]} B-scans and "
            f"{shape[1]} columns: give it as B-scan,column from 0."
        )
    known = np.isfinite(values)
    filled = np.where(known, values, 0).astype(np.float64)
    total, covered = np.zeros((len(maps), 9)), np.zeros((len(maps), 9))
    for bscan in range(shape[0]):
        inside = _areas_in_fields(bscan, shape[1], frame, fovea)
        total += filled[:, bscan] @ inside.T
        covered += known[:, bscan] @ inside.T
    areas = _field_areas()
    means = np.divide(total, covered, out=np.full(total.shape, np.nan), where=covered > 0)
    # Points on a circle's rim can make a full field come out a hair above its true area.
    shares = np.minimum(covered / areas, 1.0)
    return [_fields(m, s, field_names(laterality), to_mm) for m, s in zip(means, shares, strict=True)]


def _fields(
    means: npt.NDArray[np.float64], shares: npt.NDArray[np.float64], names: Sequence[str], to_mm: float | None
) -> tuple[Field, ...]:
    """The nine fields and their total."""
    areas = _field_areas()
    volumes = means * areas * (np.nan if to_mm is None else to_mm)
    fields = [
        Field(
            name=name,
            ring=0 if i == 0 else 1 if i < 5 else 2,
            mean=float(means[i]),
            coverage=float(shares[i]),
            area=float(areas[i]),
            volume=float(volumes[i]),
        )
        for i, name in enumerate(names)
    ]
    whole = areas / areas.sum()
    everything = Field(
        name=_TOTAL,
        ring=-1,
        mean=float((means * whole).sum()),
        coverage=float((shares * whole).sum()),
        area=float(areas.sum()),
        volume=float(volumes.sum()),
    )
    return (*fields, everything)


def _field_areas() -> npt.NDArray[np.float64]:
    """Areas of the nine fields in mm²."""
    disks = [math.pi * diameter**2 / 4 for diameter in DIAMETERS]
    inner, outer = (disks[1] - disks[0]) / 4, (disks[2] - disks[1]) / 4
    return np.array([disks[0], *[inner] * 4, *[outer] * 4])


def field_of_points(down: npt.NDArray[np.float64], right: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """Field (0 to 8, in the order of `field_names`) of points given in mm from the fovea; -1 outside the grid."""
    radius = np.hypot(down, right)
    ring = np.searchsorted(np.array(DIAMETERS) / 2, radius, side="right")  # a rim belongs to what is outside it
    vertical = np.abs(down) >= np.abs(right)
    quadrant = np.where(vertical, np.where(down < 0, 0, 2), np.where(right > 0, 1, 3))
    field = np.where(ring == 0, 0, 1 + 4 * (ring - 1) + quadrant)
    return np.where(ring > 2, -1, field).astype(np.int8)


def _areas_in_fields(bscan: int, width: int, frame: Frame, fovea: tuple[float, float]) -> npt.NDArray[np.float64]:
    """How much of each field the columns of a B-scan stand for: mm², (9, x)."""
    many = [max(math.ceil(step / _POINT), 1) for step in (frame.between, frame.lateral)]
    down_scan, along_scan = ((np.arange(n) + 0.5) / n - 0.5 for n in many)
    z = (bscan + down_scan - fovea[0]) * frame.between
    x = ((np.arange(width)[:, None] + along_scan).reshape(-1) - fovea[1]) * frame.lateral
    down = frame.across[0] * z[:, None] + frame.along[0] * x
    right = frame.across[1] * z[:, None] + frame.along[1] * x
    field = field_of_points(down, right)  # (points across, x * points along)
    column = np.repeat(np.arange(width), many[1])
    counts = np.bincount((column * 10 + field + 1).reshape(-1), minlength=10 * width).reshape(width, 10)[:, 1:]
    return np.asarray(counts.T, np.float64) * (frame.between * frame.lateral / (many[0] * many[1]))
