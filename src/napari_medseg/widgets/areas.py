"""How much of an image each class covers, in units that people read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from napari.layers import Labels

from napari_medseg.io.units import millimeters
from napari_medseg.widgets._layers import true_space

#: Larger label images are not counted while they are drawn; counting would take longer than a stroke.
_MOST_PIXELS = 1 << 28
#: Pixels that are counted together: bands of a single value, as most of a volume is, are counted at a glance.
_BAND = 1 << 16


def count_values(labels: Labels) -> npt.NDArray[np.int64] | None:
    """Pixels per value, int64 (256,); None for images that are too large to count at every stroke."""
    data = labels.data
    if data.size > _MOST_PIXELS or data.dtype != np.uint8:
        return None
    flat = np.asarray(data).reshape(-1)
    counts = np.zeros(256, np.int64)
    for start in range(0, flat.size, _BAND):
        band = flat[start : start + _BAND]
        first = int(band[0])
        if band.min() == first == band.max():
            counts[first] += band.size
        else:
            # numpy counts in 8 bytes a pixel: band by band, that stays in the processor's own memory.
            counts += np.bincount(band, minlength=256)
    return counts


def area_text(count: int, labels: Labels) -> str:
    """Pixels as area or volume where spacing and units are known, e.g. ``0.42 mm²``; else ``1,234 px``."""
    spacing, units = true_space(labels) or ((), ())
    factors = [millimeters(unit) for unit in units]
    if not factors or None in factors:
        return f"{count:,} px" if count else ""
    size = count * float(np.prod([1e3 * step * (f or 1.0) for step, f in zip(spacing, factors, strict=True)]))
    return size_text(size, labels.ndim) if count else ""


def size_text(size: float, ndim: int) -> str:
    """An area in µm² or a volume in µm³ with three digits and the unit that keeps it short.

    Examples
    --------
    >>> size_text(420_000.0, 2), size_text(1500.0, 2), size_text(2.5e12, 3), size_text(3.91e15, 3)
    ('0.42 mm²', '1.5e+03 µm²', '2.5 ml', '3,910 ml')
    """
    if ndim == 2:
        return f"{size / 1e6:.3g} mm²" if size >= 1e4 else f"{size:.3g} µm²"
    if size >= 1e15:
        return f"{size / 1e12:,.0f} ml"
    return f"{size / 1e12:.3g} ml" if size >= 1e11 else f"{size / 1e9:.3g} mm³"
