"""A mask that covers an image at a lower resolution, asked for parts of the image without ever being enlarged whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ConfigError
from napari_medseg.structures import Box

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LookedAt:
    """Where to predict, at the image's resolution (nearest neighbour), cut to a region.

    Parameters
    ----------
    mask
        (*lead, [z,] y, x), at any resolution.
    cells
        Per axis of the region, the mask's cell of every image pixel.
    """

    mask: Mask
    cells: tuple[npt.NDArray[np.int64], ...]

    @classmethod
    def of(cls, mask: Mask, shape: tuple[int, ...], region: Box) -> LookedAt:
        """A mask over an image of `shape`, cut to a region.

        Raises
        ------
        ConfigError
            It has another number of axes.
        """
        if mask.ndim != len(shape):
            raise ConfigError(f"The mask has {mask.ndim} axes, but the image has {len(shape)}: give one for the image.")
        spans = zip(mask.shape, shape, region, strict=True)
        return cls(mask, tuple(((np.arange(*span) + 0.5) * m / n).astype(np.int64) for m, n, span in spans))

    def plane(self, index: tuple[int, ...]) -> LookedAt:
        """One slice of a stack, whose leading axes `index` fixes, counted from the region's start."""
        at = tuple(int(cells[i]) for cells, i in zip(self.cells, index, strict=False))
        plane: Mask = np.asarray(self.mask[at])
        return LookedAt(plane, self.cells[len(index) :])

    def touched(self, parts: Sequence[Sequence[slice]]) -> Mask:
        """Which parts of the region hold a pixel of the mask.

        Parameters
        ----------
        parts
            Slices per axis; every combination of them is a part.

        Returns
        -------
        bool array with one entry per slice along every axis
        """
        found = self.mask
        for axis, (cells, spans) in enumerate(zip(self.cells, parts, strict=True)):
            front = np.moveaxis(found, axis, 0)
            rows = [front[np.unique(cells[span])].any(axis=0) for span in spans]
            found = np.moveaxis(np.array(rows, bool).reshape(len(rows), *front.shape[1:]), 0, axis)
        return found

    def pixels(self, part: Sequence[slice]) -> Mask:
        """The mask of a part of the region."""
        found: Mask = self.mask[np.ix_(*(cells[span] for cells, span in zip(self.cells, part, strict=True)))]
        return found

    def runs(self, rows: slice) -> list[slice]:
        """Stretches of the last axis, in order, that hold all pixels of the mask in some rows of the first."""
        hit: Mask = self.mask[np.unique(self.cells[0][rows]), ...]
        columns = np.asarray(hit.any(axis=tuple(range(hit.ndim - 1))))[self.cells[-1]]
        edges = np.flatnonzero(np.diff(columns, prepend=False, append=False))
        return [slice(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
