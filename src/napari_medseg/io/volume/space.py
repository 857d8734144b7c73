"""Where voxels lie: affines of files as `Image.affine`, and what of them fits into spacing and origin.

Files store columns first and count towards different ends of the body; images here are ``(z, y, x)`` and count
towards head, back and left, which shows axial slices as radiologists do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Affine = npt.NDArray[np.float64]

#: Axes that stand further from right angles than this (cosine) are worth a sentence: 2.5 degrees.
_NOTABLE = 0.044
#: Voxels smaller than this volume in mm³ are no voxels.
_LEAST_VOLUME = 1e-12


@dataclass(frozen=True, slots=True)
class ArrayView:
    """How a file's array becomes one of axes ``(z, y, x)``: first transposed, then flipped.

    Parameters
    ----------
    order
        The file's axis for each axis of the result.
    flipped
        Axes of the result that run the other way.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    def of(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """A view of the file's array, not a copy."""
        flips = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return array.transpose(self.order)[flips]


def is_usable(affine: Affine) -> bool:
    """Whether an affine has numbers only and voxels with a volume."""
    return bool(np.all(np.isfinite(affine)) and abs(np.linalg.det(affine[:3, :3])) > _LEAST_VOLUME)


def nearest_view(affine: Affine, shape: Sequence[int]) -> tuple[ArrayView, Affine]:
    """The view of a file's array whose axes come nearest to ``(z, y, x)``, and where its voxels lie.

    Parameters
    ----------
    affine
        (4, 4): the file's index (i, j, k, 1) to millimetres (left, posterior, superior, 1).
    shape
        Of the file's array (i, j, k).

    Examples
    --------
    >>> view, affine = nearest_view(np.diag([-2.0, 3.0, 4.0, 1.0]), (10, 20, 30))
    >>> view.order, view.flipped, affine[:3, 3].tolist()
    ((2, 1, 0), (False, False, True), [0.0, 0.0, -18.0])
    """
    from nibabel.orientations import io_orientation

    # For each axis of the file: the nearest axis of the body (left, posterior, superior) and the direction.
    nearest = io_orientation(affine)
    order, flipped = [], []
    to_file = np.zeros((4, 4))
    to_file[3, 3] = 1.0
    for new, body in enumerate((2, 1, 0)):
        axis = int(np.flatnonzero(nearest[:, 0] == body)[0])
        flip = bool(nearest[axis, 1] < 0)
        order.append(axis)
        flipped.append(flip)
        to_file[axis, new] = -1.0 if flip else 1.0
        to_file[axis, 3] = shape[axis] - 1 if flip else 0.0
    view = ArrayView((order[0], order[1], order[2]), (flipped[0], flipped[1], flipped[2]))
    return view, _reversed(affine @ to_file)


def _reversed(affine: Affine) -> Affine:
    """Millimetres (x, y, z) as (z, y, x)."""
    return np.concatenate([affine[2::-1], affine[3:]])


def from_slices(
    position: npt.ArrayLike, step: npt.ArrayLike, orientation: npt.ArrayLike, spacing: npt.ArrayLike
) -> Affine:
    """`Image.affine` of slices.

    Parameters
    ----------
    position
        (x, y, z) of the first slice's first pixel, millimetres, as DICOM counts.
    step
        (x, y, z) from one slice to the next; need not be the slices' normal (gantry tilt).
    orientation
        (6,): direction along a row, then down a column.
    spacing
        Millimetres from row to row, then from column to column.
    """
    along, down = np.asarray(orientation, np.float64).reshape(2, 3)
    rows, columns = np.asarray(spacing, np.float64)
    affine = np.eye(4)
    affine[:3] = np.stack([np.asarray(step, np.float64), down * rows, along * columns, np.asarray(position)], axis=1)
    return _reversed(affine)


def spacing_of(affine: Affine) -> tuple[float, float, float]:
    """Millimetres between neighbouring slices, rows and columns.

    Between slices it is the distance of their planes, so that the product is the volume of a voxel even where slices
    are shifted against each other (gantry tilt).
    """
    _, down, along = affine[:3, :3].T
    between = abs(np.linalg.det(affine[:3, :3])) / np.linalg.norm(np.cross(down, along))
    slices, rows, columns = (float(f"{step:.10g}") for step in (between, *np.linalg.norm([down, along], axis=1)))
    return slices, rows, columns


def origin_of(affine: Affine) -> tuple[float, float, float]:
    """Where the first voxel lies, in millimetres along the image's own axes.

    For slices that lie as the body's axes do this is the affine's last column. Turned ones are shown straight, in their
    own frame, in which all images of the same orientation still lie right to each other.
    """
    step, down, along = affine[:3, :3].T
    normal = np.cross(down, along)
    normal *= np.sign(normal @ step) / np.linalg.norm(normal)
    place = affine[:3, 3]
    return (
        float(normal @ place),
        float(down @ place / np.linalg.norm(down)),
        float(along @ place / np.linalg.norm(along)),
    )


def shear_degrees(affine: Affine) -> float:
    """How far the way from slice to slice leans away from the slices' normal; 0 for upright stacks."""
    step, down, along = affine[:3, :3].T
    normal = np.cross(down, along)
    cosine = abs(normal @ step) / (np.linalg.norm(normal) * np.linalg.norm(step))
    return float(np.degrees(np.arccos(min(1.0, cosine))))


def is_oblique(affine: Affine) -> bool:
    """Whether no axis of the image runs along an axis of the body."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.any((np.abs(directions) > _NOTABLE).sum(axis=0) > 1))


def is_same_place(one: Affine, other: Affine, shape: Sequence[int]) -> bool:
    """Whether two images of one shape cover each other to half a voxel, at every corner.

    Parameters
    ----------
    shape
        Of both, (z, y, x) or (y, x).
    """
    lengths = (1,) * (3 - len(shape)) + tuple(shape)
    corners = np.array([[*corner, 1] for corner in np.ndindex(2, 2, 2)]) * [*(n - 1 for n in lengths), 1]
    apart = np.linalg.norm(((one - other) @ corners.T)[:3], axis=0)
    return bool(apart.max() <= min(spacing_of(one)) / 2)


def moved(affine: Affine, start: Sequence[float]) -> Affine:
    """The affine of a part of the image that begins at voxel `start`, (z, y, x) or (y, x)."""
    shift = np.eye(4)
    shift[3 - len(start) : 3, 3] = start
    return affine @ shift
