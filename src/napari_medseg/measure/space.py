"""How far apart pixels are, in millimetres, as far as that is known; never guessed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_medseg.errors import ConfigError
from napari_medseg.io.units import millimeters


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Millimetres per pixel, one entry per axis in the order of the labels (``[z,] y, x``); None where not known.

    Examples
    --------
    >>> Space(steps=(None, 0.0039, 0.0115)).axial
    0.0039
    """

    steps: tuple[float | None, ...]

    @property
    def axial(self) -> float | None:
        """Along the depth of a B-scan (rows)."""
        return self.steps[-2]

    @property
    def lateral(self) -> float | None:
        """Along the width (columns)."""
        return self.steps[-1]

    @property
    def between(self) -> float | None:
        """From one slice or B-scan to the next; None for a single one too."""
        return self.steps[0] if len(self.steps) > 2 else None

    @property
    def pixel_size(self) -> float | None:
        """Area in mm² or volume in mm³ of one pixel; None where a side is not known."""
        known = [step for step in self.steps if step is not None]
        return math.prod(known) if len(known) == len(self.steps) else None

    @property
    def is_known(self) -> bool:
        """Whether every side of a pixel is known."""
        return None not in self.steps


def space_of(ndim: int, spacing: Sequence[float] | None, units: Sequence[str] | None) -> Space:
    """The space of labels, from spacing and units as images and layers have them.

    Parameters
    ----------
    ndim
        Axes of the labels; spacing of an image with the same or more axes fits (the last ones count).
    spacing, units
        As in `napari_medseg.structures.Image`. An axis whose unit is no length (pixel, second) is not known.

    Examples
    --------
    >>> space_of(2, (3.9, 11.5), ("micrometer", "micrometer")).steps
    (0.0039, 0.0115)
    >>> space_of(3, (1.0, 0.0039, 0.0115), ("pixel", "millimeter", "millimeter")).steps
    (None, 0.0039, 0.0115)
    """
    if spacing is None or units is None or len(spacing) < ndim:
        return Space(steps=(None,) * ndim)
    steps = []
    for step, unit in zip(spacing[-ndim:], units[-ndim:], strict=True):
        factor = millimeters(unit)
        usable = factor is not None and math.isfinite(step) and step > 0
        # 3.9 µm times 0.001 has one bit more than 0.0039; nobody measures to twelve digits.
        steps.append(float(f"{step * factor:.12g}") if usable and factor is not None else None)
    return Space(steps=tuple(steps))


def space_of_millimeters(ndim: int, steps: Sequence[float]) -> Space:
    """The space that a person gives, ``y,x`` or ``z,y,x``; the last ones count for a single slice.

    Raises
    ------
    ConfigError
        Something is no length.
    """
    if len(steps) not in (2, 3) or not all(math.isfinite(step) and step > 0 for step in steps):
        raise ConfigError("Spacing is two or three lengths in millimetres, z,y,x or y,x, all above 0: correct it.")
    missing = (None,) * max(ndim - len(steps), 0)
    return Space(steps=(*missing, *(float(step) for step in steps[-ndim:])))
