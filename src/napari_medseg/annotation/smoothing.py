"""Smooth the outline of a class."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
from scipy import ndimage

from napari_medseg.annotation.change import LabelChange, changed, check, grown, slices_of, spacing_of
from napari_medseg.annotation.components import Dims, find_class
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, Box

#: Where the Gaussian is cut, in standard deviations.
_TRUNCATE = 3.0


def smooth(
    labels: Labels,
    value: int,
    sigma: float,
    *,
    spacing: tuple[float, ...] | None = None,
    dims: Dims = 3,
    axis: int = 0,
    box: Box | None = None,
    protected: Collection[int] = (),
) -> LabelChange:
    """Blur a class with a Gaussian and keep where at least half is left.

    Straight edges stay where they are; spikes and gaps much thinner than `sigma` go. What the class loses becomes
    background.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x); not changed.
    value
        The class.
    sigma
        Standard deviation, in the unit of `spacing`, or voxels where that is None.
    spacing
        Distance between voxels per axis; None where unknown.
    dims, axis
        2: each slice across `axis` for itself; 3: through all slices.
    box
        Where; None for everywhere. The class beyond the box counts for its edge.
    protected
        Values that no voxel loses.

    Raises
    ------
    AnnotationError
        The class is not drawn there, or `sigma` is not above 0.
    """
    check(labels, [value], protected)
    if not sigma > 0:
        raise AnnotationError(f"The smoothing is {sigma:g}; type a length above 0.")
    sigmas = [sigma / step for step in spacing_of(spacing, labels.ndim)]
    if dims == 2 and labels.ndim == 3:
        sigmas[axis] = 0.0
    reach = [int(_TRUNCATE * s + 0.5) for s in sigmas]
    whole: Box = tuple((0, n) for n in labels.shape)
    asked = box or whole
    held, _ = find_class(labels, value, grown(asked, reach, labels.shape))
    place = grown(held, reach, labels.shape)
    part = labels[slices_of(place)]
    # The picture's own edge is no edge of the class: what is cut by it goes on beyond.
    share = ndimage.gaussian_filter((part == value).astype(np.float32), sigmas, mode="nearest", truncate=_TRUNCATE)
    after = part.copy()
    after[(part == value) & (share < 0.5)] = BACKGROUND
    after[share >= 0.5] = value
    # Beyond what was asked for, everything stays.
    within = tuple((max(a, start), min(b, stop)) for (a, b), (start, stop) in zip(asked, place, strict=True))
    cut = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(within, place, strict=True))
    return changed(labels, within, after[cut], "Outline smoothed", protected)
