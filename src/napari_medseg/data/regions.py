"""The region of interest around a lesion: from a drawn box, from a mask, jittered for training, widened by a margin.

Boxes are `structures.Box`: ``(start, stop)`` per spatial axis, in pixels. A *tight* box holds the lesion and
nothing more; what is cut out is that box with a margin (`RegionRule.around`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.io.units import millimeters
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Image

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionRule:
    """How much is cut out around a lesion.

    Parameters
    ----------
    margin
        Added on every side, as a share of the tight box's side.
    margin_mm
        Added on every side in millimetres, where spacing is known: the share of the region that a lesion fills then
        tells how large it is.
    proportional
        Widen the shorter sides until all are equally long in millimetres, so that a region of any shape becomes the
        network's input without being stretched. Pictures without spacing are taken to have square pixels, volumes are
        left as they are.
    """

    margin: float = 0.0
    margin_mm: float = 0.0
    proportional: bool = True

    def around(self, tight: Box, shape: Sequence[int], steps: Sequence[float] | None) -> Box:
        """What is cut out of an image around a tight box: whole pixels, inside the image.

        Parameters
        ----------
        tight
            The box.
        shape, steps
            Length of every axis of the image, and millimetres per pixel (`steps_of`).
        """
        sides = [float(stop - start) for start, stop in tight]
        for axis, side in enumerate(sides):
            absolute = 0.0 if steps is None else 2 * self.margin_mm / steps[axis]
            sides[axis] = side * (1 + 2 * self.margin) + absolute
        if self.proportional:
            sides = _proportional(sides, steps)
        middles = [(start + stop) / 2 for start, stop in tight]
        return tuple(_placed(*span) for span in zip(middles, sides, shape, strict=True))


def steps_of(image: Image) -> tuple[float, ...] | None:
    """Millimetres per pixel along every spatial axis; None where one is not known."""
    if image.spacing is None or image.units is None:
        return None
    factors = [millimeters(unit) for unit in image.units]
    steps = [step * factor for step, factor in zip(image.spacing, factors, strict=True) if factor is not None]
    usable = len(steps) == len(image.spacing) and all(math.isfinite(step) and step > 0 for step in steps)
    return tuple(steps) if usable else None


def mask_box(labels: npt.NDArray[np.uint8], values: Sequence[int] | None = None) -> Box | None:
    """The tight box of a lesion in a mask.

    Parameters
    ----------
    labels
        uint8 ([z,] y, x).
    values
        Label values of the lesion; None: everything but background and 255.

    Returns
    -------
    None where the mask holds nothing of it.
    """
    return bounding_box(lesion_mask(labels, values))


def largest_part_box(labels: npt.NDArray[np.uint8], values: Sequence[int] | None = None) -> Box | None:
    """The tight box of the largest connected part of a lesion (neighbours touch in faces), as a model may draw several.

    Parameters and result as `mask_box`.
    """
    return bounding_box(largest_part(lesion_mask(labels, values)))


def largest_part(mask: Mask) -> Mask:
    """The largest connected part of a mask (neighbours touch in faces), of the same shape; the first of equal ones."""
    from scipy import ndimage

    outer = bounding_box(mask)
    if outer is None:
        return mask
    # Numbering parts takes four bytes per pixel: only where there are any.
    inside = tuple(slice(*side) for side in outer)
    parts, _ = ndimage.label(mask[inside])
    sizes = np.bincount(parts.reshape(-1))
    sizes[0] = 0
    largest = np.zeros_like(mask)
    largest[inside] = parts == sizes.argmax()
    return largest


def lesion_mask(labels: npt.NDArray[np.uint8], values: Sequence[int] | None = None) -> Mask:
    """Where labels hold one of the values; None: anything but background and 255."""
    if values is None:
        return np.asarray((labels != BACKGROUND) & (labels != NOT_LOOKED_AT))
    return np.isin(labels, list(values))


def bounding_box(mask: Mask) -> Box | None:
    """The smallest box that holds every true pixel; None where there is none."""
    box = []
    for axis in range(mask.ndim):
        hit = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        if not hit.size:
            return None
        box.append((int(hit[0]), int(hit[-1]) + 1))
    return tuple(box)


def jittered(tight: Box, shape: Sequence[int], rng: np.random.Generator, *, shift: float, size: float) -> Box:
    """A tight box as another person might have drawn it.

    Parameters
    ----------
    tight
        The box.
    shape
        Of the image; the result lies inside.
    rng
        All randomness comes from it.
    shift
        Largest shift along every axis, as a share of the side.
    size
        Largest relative change of every side.
    """
    box = []
    for (start, stop), n in zip(tight, shape, strict=True):
        side, middle = stop - start, (start + stop) / 2
        middle += side * shift * rng.uniform(-1, 1)
        low, high = _placed(middle, side * (1 + size * rng.uniform(-1, 1)), n)
        box.append((low, high))
    return tuple(box)


def _proportional(sides: Sequence[float], steps: Sequence[float] | None) -> list[float]:
    if steps is None:
        if len(sides) != 2:
            return list(sides)
        steps = (1.0, 1.0)
    longest = max(side * step for side, step in zip(sides, steps, strict=True))
    return [longest / step for step in steps]


def _placed(middle: float, side: float, length: int) -> tuple[int, int]:
    """Whole pixels of an axis of `length`, moved inside where it is long enough, cut where it is not."""
    size = min(max(1, round(side)), length)
    start = min(max(0, round(middle - size / 2)), length - size)
    return start, start + size
