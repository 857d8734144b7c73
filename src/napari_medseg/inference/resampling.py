"""From the network's logits back to the image's pixels; `napari_medseg.data.resampling` is the way there.

Both grids share their outer edges, as written there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class AxisMap:
    """Linear interpolation from the working pixels of an axis to a range of the image's pixels.

    Parameters
    ----------
    size, working
        Pixels of the axis in the image and at the working resolution.
    start, stop
        The wanted image pixels.
    lower, upper, share
        Working pixel on either side of every wanted pixel, and the share of the upper one (float32).
    """

    size: int
    working: int
    start: int
    stop: int
    lower: npt.NDArray[np.int64]
    upper: npt.NDArray[np.int64]
    share: npt.NDArray[np.float32]

    @classmethod
    def between(cls, size: int, working: int, start: int, stop: int) -> AxisMap:
        """The map for image pixels start..stop of an axis."""
        positions = np.clip((np.arange(start, stop) + 0.5) * working / size - 0.5, 0, working - 1)
        lower = np.floor(positions).astype(np.int64)
        share = (positions - lower).astype(np.float32)
        upper = np.where(share > 0, lower + 1, lower)
        return cls(size, working, start, stop, lower, upper, share)

    @property
    def is_identity(self) -> bool:
        """Whether working and image pixels are the same."""
        return self.size == self.working

    @property
    def needed(self) -> tuple[int, int]:
        """(start, stop) of the working pixels that are used."""
        return int(self.lower[0]), int(self.upper[-1]) + 1

    def apply(self, values: torch.Tensor, dim: int, first: int, part: slice) -> torch.Tensor:
        """Interpolate along one dimension.

        Parameters
        ----------
        values
            Tensor whose dimension `dim` holds working pixels from `first` on.
        dim, first
            As said.
        part
            Which of the wanted image pixels, counted from `start`.
        """
        import torch

        if self.is_identity:
            return values.narrow(dim, int(self.lower[part][0]) - first, len(self.lower[part]))
        lower = torch.from_numpy(self.lower[part] - first).to(values.device)
        upper = torch.from_numpy(self.upper[part] - first).to(values.device)
        share = torch.from_numpy(self.share[part]).to(values.device)
        share = share.reshape([-1 if d == dim else 1 for d in range(values.ndim)])
        return torch.lerp(values.index_select(dim, lower), values.index_select(dim, upper), share)
