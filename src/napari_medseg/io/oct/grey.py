"""Grey B-scans from pictures that store them as colours."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

#: Red, green, blue to luma (ITU-R BT.601).
_LUMA = (0.299, 0.587, 0.114)


def is_grey(colors: npt.NDArray[Any]) -> bool:
    """Whether all channels of (..., 3) are equal everywhere."""
    return bool(np.array_equal(colors[..., 0], colors[..., 1]) and np.array_equal(colors[..., 0], colors[..., 2]))


def to_grey(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(..., 3) colours as (...) grey of the same type: the channel where all are equal, else their luma."""
    if is_grey(pixels):
        return np.asarray(pixels[..., 0])
    luma = pixels[..., :3] @ np.asarray(_LUMA, np.float32)
    return np.asarray(np.round(luma) if pixels.dtype.kind in "iu" else luma).astype(pixels.dtype)
