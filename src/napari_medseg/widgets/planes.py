"""The three planes of a volume and how each is held up to the eye.

As radiologists look: axial slices with the patient's back below and the left side at the right, coronal ones with the
head above, sagittal ones with the head above and the back at the right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import numpy.typing as npt

#: Names of the planes across the world's axes z (to the head), y (to the back), x (to the left).
NAMES = ("axial", "coronal", "sagittal")


@dataclass(frozen=True, slots=True)
class Plane:
    """One way to cut a volume.

    Parameters
    ----------
    name
        One of `NAMES`.
    across
        Axis of the array across the plane.
    rows, columns
        Axes of the array that run down and to the right.
    flip_rows, flip_columns
        Whether they run the other way, up or to the left.
    """

    name: str
    across: int
    rows: int
    columns: int
    flip_rows: bool
    flip_columns: bool

    def picture(self, slab: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A slice of the array (its two axes in their order) as it is held up: (row, column)."""
        turned = slab if self.rows < self.columns else slab.T
        down, right = -1 if self.flip_rows else 1, -1 if self.flip_columns else 1
        return turned[::down, ::right]

    def place_of(self, point: Sequence[float], shape: Sequence[int]) -> tuple[float, float]:
        """Row and column of the picture where a voxel (z, y, x) is cut."""
        return self._turned(point[self.rows], point[self.columns], shape)

    def voxel_at(
        self, place: tuple[float, float], point: Sequence[float], shape: Sequence[int]
    ) -> tuple[float, float, float]:
        """The voxel (z, y, x) at a row and column of the picture, in the same slice as another voxel."""
        voxel = list(point)
        voxel[self.rows], voxel[self.columns] = self._turned(*place, shape)
        return voxel[0], voxel[1], voxel[2]

    def _turned(self, row: float, column: float, shape: Sequence[int]) -> tuple[float, float]:
        """From the picture to the array and back, which are the same."""
        return (
            shape[self.rows] - 1 - row if self.flip_rows else float(row),
            shape[self.columns] - 1 - column if self.flip_columns else float(column),
        )


def planes_of(affine: npt.NDArray[np.float64] | None) -> tuple[Plane, Plane, Plane]:
    """The planes across the three axes of an array, in their order.

    Parameters
    ----------
    affine
        As `Image.affine`; None is taken for axial slices from the feet upwards.
    """
    linear = np.eye(3) if affine is None else np.asarray(affine)[:3, :3]
    lengths = np.linalg.norm(linear, axis=0)
    directions = linear / np.where(lengths > 0, lengths, 1)
    # Each axis of the array belongs to the world's axis that it runs along most: none twice.
    world = max(permutations(range(3)), key=lambda order: sum(abs(directions[w, a]) for a, w in enumerate(order)))
    array = [world.index(w) for w in range(3)]
    grows = [directions[w, array[w]] >= 0 for w in range(3)]
    planes = []
    for axis in range(3):
        down, right = (w for w in range(3) if w != world[axis])
        # The head is above; all else runs down or to the right.
        flip_rows = grows[down] if down == 0 else not grows[down]
        planes.append(Plane(NAMES[world[axis]], axis, array[down], array[right], bool(flip_rows), not grows[right]))
    return planes[0], planes[1], planes[2]
