"""Pictures for other programs: PNG without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import WriteError
from napari_medseg.io.atomic import replacing


def is_png_type(pixels: npt.NDArray[Any]) -> bool:
    """Whether PNG holds such pixels: (y, x), (y, x, 3) or (y, x, 4) of 8 or 16 bits, unsigned."""
    return pixels.dtype in (np.uint8, np.uint16) and (
        pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] in (3, 4))
    )


def write_png(path: Path, pixels: npt.NDArray[Any]) -> Path:
    """Write a picture in one step.

    Parameters
    ----------
    pixels
        For which `is_png_type` holds.

    Raises
    ------
    WriteError
        The disk is full or read-only, or PNG has no place for such pixels.
    """
    import imagecodecs

    if not is_png_type(pixels):
        raise WriteError(f"{path.name}: a PNG holds no {pixels.dtype} of shape {pixels.shape}; choose TIFF.")
    with replacing(path) as temporary:
        temporary.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(pixels)))
    return path
