"""Labels from one grid of voxels to another: moved without a loss where the grids share their voxels, else resampled.

What resampling did to the labels is counted, for people to judge: nearest-neighbour resampling keeps values whole, but
volumes change, and thin things may vanish.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.io.volume.space import Affine, is_usable
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, ArrayLike

#: Voxels of two grids are the same where they lie nearer to each other than this share of a voxel.
_SAME = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Regridded:
    """Labels on another grid.

    Parameters
    ----------
    labels
        (z, y, x) on the grid that was asked for; background where the labels did not reach.
    is_exact
        Whether every voxel was moved as it is.
    outside
        Share of the drawn voxels that lie outside the grid and are lost.
    changed
        Share of the drawn voxels inside whose value the result does not give back at their place: what was too thin.
    before, after
        Volume in mm³ of each value, on the grid it had and on the one it has.
    """

    labels: npt.NDArray[np.integer]
    is_exact: bool
    outside: float
    changed: float
    before: Mapping[int, float]
    after: Mapping[int, float]

    @property
    def summary(self) -> str:
        """What happened, in one sentence."""
        lost = f"{100 * self.outside:.2g} % of what is drawn lies outside the image" if self.outside else ""
        if self.is_exact:
            return f"Moved onto the image's grid voxel by voxel{'; ' + lost if lost else ''}."
        volumes = ", ".join(
            f"value {value} from {volume / 1000:.4g} to {self.after.get(value, 0.0) / 1000:.4g} ml"
            for value, volume in list(self.before.items())[:4]
        )
        more = f" and {len(self.before) - 4} more" if len(self.before) > 4 else ""
        told = [f"{100 * self.changed:.2g} % of the drawn voxels changed", *([lost] if lost else [])]
        return f"Resampled onto the image's grid (nearest voxel): {', '.join([*told, volumes])}{more}."


def onto_grid(labels: ArrayLike, affine: Affine, target: Affine, shape: Sequence[int]) -> Regridded:
    """Bring labels onto the grid of an image.

    Parameters
    ----------
    labels
        Integer (z, y, x) or (y, x).
    affine, target
        Where the labels' and the image's voxels lie, as `structures.Image.affine`.
    shape
        Of the image, (z, y, x) or (y, x).

    Raises
    ------
    ReadError
        One of the affines has no numbers or voxels without a size.
    """
    if not is_usable(affine) or not is_usable(target):
        raise ReadError("Labels without a place in the body cannot be resampled: save them on the image's own grid.")
    values = np.asarray(labels[...])
    source = values.reshape((1,) * (3 - values.ndim) + values.shape)
    wide = (1,) * (3 - len(shape)) + tuple(shape)
    there = np.asarray(np.linalg.solve(affine, target), np.float64)
    moved = _sampled(source, there, wide)
    back = _sampled(moved, np.asarray(np.linalg.inv(there), np.float64), source.shape, outside=-1)
    drawn = (source != BACKGROUND) & (source != NOT_LOOKED_AT)
    count = max(1, int(np.count_nonzero(drawn)))
    left = drawn & (back == -1)
    return Regridded(
        labels=moved.reshape(tuple(shape)),
        is_exact=_is_whole(there),
        outside=np.count_nonzero(left) / count,
        changed=np.count_nonzero(drawn & ~left & (back != source)) / count,
        before=_volumes(source, affine),
        after=_volumes(moved, target),
    )


def _is_whole(there: Affine) -> bool:
    """Whether an index map only shifts, swaps and flips whole voxels."""
    # A drift of the directions adds up over an axis; a thousand voxels are a long one.
    turns = there[:3, :3]
    return bool(
        np.abs(turns - np.round(turns)).max() < _SAME / 1000
        and np.abs(np.abs(turns).sum(axis=0) - 1).max() < _SAME
        and np.abs(there[:3, 3] - np.round(there[:3, 3])).max() < _SAME
    )


def _sampled(
    source: npt.NDArray[np.integer], there: Affine, shape: tuple[int, ...], outside: int = BACKGROUND
) -> npt.NDArray[np.integer]:
    """The nearest voxel of `source` for each voxel of a grid of `shape`, slice by slice."""
    dtype = source.dtype if outside == BACKGROUND else np.promote_types(source.dtype, np.int16)
    result = np.full(shape, outside, dtype)
    rows, columns = np.meshgrid(np.arange(shape[1]), np.arange(shape[2]), indexing="ij")
    for plane in range(shape[0]):
        places = [
            there[axis, 0] * plane + there[axis, 1] * rows + there[axis, 2] * columns + there[axis, 3]
            for axis in range(3)
        ]
        # Rounding first to six digits lets ties fall to the same side wherever a voxel lies.
        index = [np.floor(np.round(place, 6) + 0.5).astype(np.intp) for place in places]
        inside = np.logical_and.reduce([(i >= 0) & (i < size) for i, size in zip(index, source.shape, strict=True)])
        result[plane][inside] = source[tuple(i[inside] for i in index)]
    return result


def _volumes(labels: npt.NDArray[np.integer], affine: Affine) -> dict[int, float]:
    """mm³ of each value that is drawn."""
    voxel = abs(float(np.linalg.det(affine[:3, :3])))
    values, counts = np.unique(labels, return_counts=True)
    return {
        int(value): int(count) * voxel
        for value, count in zip(values, counts, strict=True)
        if value not in (BACKGROUND, NOT_LOOKED_AT)
    }
