"""How large one lesion is: volume or area, and its two diameters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.data.regions import largest_part
from napari_medseg.measure.diameters import Diameters, diameters
from napari_medseg.measure.space import Space


@dataclass(frozen=True, slots=True, kw_only=True)
class LesionSize:
    """Size of a lesion; what needs a spacing that is not known is None.

    Parameters
    ----------
    pixels
        Pixels of the lesion.
    amount
        mm² of a picture, mm³ of a volume.
    axes
        Long and short axis of its largest connected part in millimetres, in a slice counted from the mask's first:
        stray pixels that a model drew would lengthen them.
    """

    pixels: int
    amount: float | None
    axes: Diameters | None


def lesion_size(mask: npt.NDArray[np.bool_], space: Space) -> LesionSize:
    """The size of everything that is marked in a mask ([z,] y, x).

    Examples
    --------
    >>> size = lesion_size(np.ones((2, 1, 4), bool), Space(steps=(2.0, 1.0, 0.5)))
    >>> size.pixels, size.amount, size.axes.long
    (8, 8.0, 2.0)
    """
    pixels = int(np.count_nonzero(mask))
    size, (down, right) = space.pixel_size, space.steps[-2:]
    return LesionSize(
        pixels=pixels,
        amount=None if size is None else pixels * size,
        axes=diameters(largest_part(mask), (down, right)) if down is not None and right is not None else None,
    )
