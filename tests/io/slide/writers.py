"""Small slides as scanners write them, made with tifffile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

DESCRIPTION = "Aperio Image Library v11.2.1\r\n{}x{} (256x256) JPEG/RGB Q=70|AppMag = 40|MPP = 0.2500"
_JPEG = {"compression": "jpeg", "photometric": "rgb", "tile": (256, 256), "metadata": None}


def tissue(height: int, width: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth colours, which JPEG keeps nearly as they are."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(60, 240, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8)
    return np.repeat(np.repeat(coarse, 16, 0), 16, 1)[:height, :width]


def write_svs(path: Path, pixels: npt.NDArray[np.uint8], *, steps: tuple[int, ...] = (4,)) -> None:
    """An Aperio slide: levels, a thumbnail, and a label and a macro picture that no reader may offer."""
    text = DESCRIPTION.format(pixels.shape[1], pixels.shape[0])
    strips: dict[str, Any] = {"photometric": "rgb", "rowsperstrip": 16, "metadata": None}
    with tifffile.TiffWriter(path) as writer:
        writer.write(pixels, description=text, **_JPEG)
        writer.write(pixels[::8, ::8], description=text, compression="jpeg", **strips)
        for step in steps:
            writer.write(pixels[::step, ::step], description=text, **_JPEG)
        label = np.full((40, 50, 3), 7, np.uint8)
        writer.write(label, description=f"{text}\nlabel 50x40", subfiletype=1, compression="lzw", **strips)
        writer.write(label + 1, description=f"{text}\nmacro 50x40", subfiletype=9, compression="jpeg", **strips)


def write_one_level(path: Path, pixels: npt.NDArray[np.uint8], **options: Any) -> None:
    """A tiled colour TIFF without levels and without any distance."""
    tifffile.imwrite(path, pixels, **(_JPEG | options))
