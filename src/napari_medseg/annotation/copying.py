"""Take what is drawn in one slice over to another."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from napari_medseg.annotation.change import LabelChange, changed, check
from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import Box


def copy_slice(
    labels: Labels,
    values: Sequence[int],
    source: int,
    target: int,
    *,
    axis: int = 0,
    protected: Collection[int] = (),
) -> LabelChange:
    """Add the classes of one slice to another; what the other holds of them already stays.

    Parameters
    ----------
    labels
        uint8 (z, y, x); not changed.
    values
        The classes.
    source, target
        Slices across `axis`.
    protected
        Values that no voxel loses.

    Raises
    ------
    AnnotationError
        The labels are no volume, there is no such slice, or the source holds none of the classes.
    """
    check(labels, values, protected)
    if labels.ndim != 3:
        raise AnnotationError("A single slice has no next one; open a volume to copy between slices.")
    count = labels.shape[axis]
    for index in (source, target):
        if not 0 <= index < count:
            raise AnnotationError(f"There is no slice {index + 1}: the volume has {count}.")
    volume = np.moveaxis(labels, axis, 0)
    held = np.isin(volume[source], list(values))
    if not held.any():
        raise AnnotationError("Nothing is drawn in this slice to copy; draw the class here first.")
    after = volume[target].copy()
    after[held] = volume[source][held]
    sides = [(0, n) for n in labels.shape]
    sides[axis] = (target, target + 1)
    box: Box = tuple(sides)
    return changed(labels, box, np.expand_dims(after, axis), f"Copied to slice {target + 1}", protected)
