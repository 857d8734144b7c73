"""What is measured: labels with everything that figures depend on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_medseg.measure.etdrs import Laterality
from napari_medseg.measure.space import Space
from napari_medseg.structures import ArrayLike, Kind, MaskClass, OctScan, Segment, Surface

#: Patterns whose B-scans do not lie beside each other.
_NO_RASTER = ("star", "circle", "repeat", "line")
#: How far beyond the fundus picture B-scans may reach, as a share of its size.
_NEAR = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A label image to measure.

    Parameters
    ----------
    name
        Case id or file name; the first column of tables.
    labels
        Integer ([z,] y, x); numpy, zarr or lazy.
    classes
        What the values mean.
    space
        True distance of pixels.
    grey
        The image's grey values, of the labels' shape; None where they are not known.
    kind
        Decides what is measured.
    surfaces
        Boundaries between layers from top to bottom; empty for labels without layers.
    spans
        Further stretches to measure, each from one surface to another, by name.
    laterality, pattern
        As in `structures.OctScan`.
    positions, aspect
        Where B-scans lie on the fundus picture, and the height and width of its pixels; see `etdrs.frame_of`.
    fundus_shape
        Rows and columns of the fundus picture; None where there is none.
    fovea
        (bscan, x) that a person gave; None: to be found.
    lines
        Diameters that a person drew, with as many numbers per end as the labels have axes.
    """

    name: str
    labels: ArrayLike
    classes: tuple[MaskClass, ...]
    space: Space
    grey: ArrayLike | None = None
    kind: Kind = "image"
    surfaces: tuple[Surface, ...] = ()
    spans: tuple[tuple[str, str], ...] = ()
    laterality: Laterality = ""
    pattern: str = ""
    positions: npt.NDArray[np.float64] | None = None
    aspect: tuple[float, float] = (1.0, 1.0)
    fundus_shape: tuple[int, ...] | None = None
    fovea: tuple[float, float] | None = None
    lines: tuple[Segment, ...] = ()

    @property
    def grid_obstacle(self) -> str:
        """Why no ETDRS grid can be laid over this scan, in a sentence; empty where one can."""
        if len(self.labels.shape) < 3 or self.labels.shape[0] < 2:
            return "A map and its ETDRS grid need a volume of several B-scans."
        if self.pattern in _NO_RASTER:
            return f"The B-scans of this scan ({self.pattern}) do not lie side by side, so no ETDRS grid fits."
        if not self.space.is_known:
            return "The ETDRS grid needs the spacing along all three axes in millimetres: enter it."
        return ""


def with_scan(subject: Subject, scan: OctScan | None) -> Subject:
    """A subject with what its scanner tells; as it was without a scanner."""
    if scan is None:
        return subject
    spacing = scan.localizer.spacing if scan.localizer is not None else None
    shape = None if scan.localizer is None else scan.localizer.spatial_shape
    return replace(
        subject,
        laterality=scan.laterality,
        pattern=scan.pattern,
        positions=_trusted(scan.positions, shape),
        fundus_shape=shape,
        aspect=(1.0, 1.0) if spacing is None else (spacing[-2], spacing[-1]),
    )


def _trusted(
    positions: npt.NDArray[np.float64] | None, shape: tuple[int, ...] | None
) -> npt.NDArray[np.float64] | None:
    """Places of B-scans, unless they lie far from the fundus picture: in anonymised files the two may not match."""
    if positions is None or shape is None:
        return positions
    share = positions / np.asarray(shape, np.float64)
    return positions if bool(((share > -_NEAR) & (share < 1 + _NEAR)).all()) else None
