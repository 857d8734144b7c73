"""What a tool would change in labels: to preview, to apply as one step, and to take back."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.annotation.surfaces import Labels
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelChange:
    """New values for some voxels of a box; nothing is changed until `apply`.

    Parameters
    ----------
    box
        Where, in voxels of the whole labels; as small as it can be, of size 0 without a change.
    mask
        bool, the box's shape: which voxels get another value.
    values
        uint8, the box's shape: their new values; without meaning outside the mask.
    text
        What was done, for people.
    """

    box: Box
    mask: Mask
    values: Labels
    text: str

    @property
    def count(self) -> int:
        """How many voxels get another value."""
        return int(np.count_nonzero(self.mask))

    def indices(self) -> tuple[npt.NDArray[np.intp], ...]:
        """Index arrays into the whole labels, one per axis, as napari's ``data_setitem`` asks for them."""
        return tuple(i + start for i, (start, _) in zip(np.nonzero(self.mask), self.box, strict=True))

    def new_values(self) -> Labels:
        """New values of `indices`, uint8 (count,)."""
        return self.values[self.mask]

    def apply(self, labels: Labels) -> Labels:
        """Write the new values into the labels.

        Returns
        -------
        The box as it was before, for `take_back`.

        Raises
        ------
        AnnotationError
            The labels do not hold the box; nothing was changed.
        """
        part = self._part(labels)
        before = part.copy()
        part[self.mask] = self.values[self.mask]
        return before

    def take_back(self, labels: Labels, before: Labels) -> None:
        """Write back what `apply` returned, in the changed voxels alone."""
        self._part(labels)[self.mask] = before[self.mask]

    def _part(self, labels: Labels) -> Labels:
        fits = labels.ndim == len(self.box) and all(
            stop <= size for (_, stop), size in zip(self.box, labels.shape, strict=True)
        )
        if not fits:
            raise AnnotationError(
                f"The change was made for other labels: its box {self.box} does not fit the shape {labels.shape}; "
                "make the change again."
            )
        return labels[slices_of(self.box)]


def changed(labels: Labels, box: Box, after: Labels, text: str, protected: Collection[int] = ()) -> LabelChange:
    """The change that makes a box of the labels look like another array.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x).
    after
        uint8, the box's shape: the wanted values.
    protected
        Values that no voxel loses.
    """
    before = labels[slices_of(box)]
    mask = after != before
    if protected:
        mask &= ~np.isin(before, list(protected))
    inner = box_of(mask)
    inside = slices_of(inner)
    moved = tuple((start + a, start + b) for (start, _), (a, b) in zip(box, inner, strict=True))
    return LabelChange(box=moved, mask=mask[inside], values=np.asarray(after[inside], np.uint8), text=text)


def check(labels: Labels, values: Iterable[int], protected: Collection[int]) -> None:
    """Refuse what no tool can work on.

    Raises
    ------
    AnnotationError
        The labels are not uint8 with two or three axes, a value is no class, or a class is protected.
    """
    if labels.dtype != np.uint8 or labels.ndim not in (2, 3):
        raise AnnotationError(
            f"The labels are {labels.dtype} with {labels.ndim} axes; this tool works on uint8 with two or three axes."
        )
    for value in values:
        if not BACKGROUND < value < NOT_LOOKED_AT:
            raise AnnotationError(f"{value} is no class; choose a class from 1 to {NOT_LOOKED_AT - 1}.")
        if value in protected:
            raise AnnotationError(f"Class {value} is locked; unlock it to change it.")


def spacing_of(spacing: tuple[float, ...] | None, ndim: int) -> tuple[float, ...]:
    """Spacing per axis; 1 per axis where it is unknown, so that distances count voxels.

    Raises
    ------
    AnnotationError
        There is not one positive number per axis.
    """
    if spacing is None:
        return (1.0,) * ndim
    if len(spacing) != ndim or not all(np.isfinite(s) and s > 0 for s in spacing):
        raise AnnotationError(f"The spacing {spacing} is not {ndim} positive numbers; set the spacing of the image.")
    return spacing


def slices_of(box: Box) -> tuple[slice, ...]:
    """The box as an index."""
    return tuple(slice(start, stop) for start, stop in box)


def box_of(mask: Mask) -> Box:
    """The smallest box that holds all of a mask; (0, 0) per axis when the mask is empty.

    Examples
    --------
    >>> box_of(np.array([[False, False], [False, True]]))
    ((1, 2), (1, 2))
    """
    sides = []
    for axis in range(mask.ndim):
        found = np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis)))
        sides.append((int(found[0]), int(found[-1]) + 1) if found.size else (0, 0))
    return tuple(sides)


def grown(box: Box, margins: Iterable[int], shape: tuple[int, ...]) -> Box:
    """A box with a margin per axis, cut at the ends of the array."""
    return tuple(
        (max(start - m, 0), min(stop + m, size)) for (start, stop), m, size in zip(box, margins, shape, strict=True)
    )
