"""What readers of slides share: keys of `Image.metadata`, and the pictures that are kept apart.

Scanners store photographs of the glass (macro, overview) and of its label, which often shows a patient's name. No
reader returns them among the images; they are only named, and read when a person asks for one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import ReadError
from napari_medseg.structures import Image

#: Key of the names of pictures that are kept apart.
APART = "apart"
#: Key of the objective's magnification.
OBJECTIVE = "objective_power"
#: Key of the place (y, x) of the first pixel on the whole slide, in pixels of the same level.
ORIGIN = "origin"
RGB = ("red", "green", "blue")
#: Pictures with levels of more pixels than this are slides, whatever their file says of their kind.
SLIDE_PIXELS = 64 * 10**6


def is_slide(image: Image) -> bool:
    """Whether an image is worked on as a slide, piece by piece: its kind says so, or it is large and has levels."""
    if len(image.spatial_shape) != 2 or "t" in image.axes:
        return False
    return image.kind == "slide" or (len(image.levels) > 1 and math.prod(image.spatial_shape) > SLIDE_PIXELS)


def apart_image(path: Path, name: str, pixels: npt.NDArray[Any] | None, names: Sequence[str]) -> Image:
    """A picture that a slide keeps apart.

    Parameters
    ----------
    pixels
        (y, x, c) in colours with or without transparency, or (y, x) in grey; None where there is no such picture.
    names
        Of the pictures that there are, for the message.

    Raises
    ------
    ReadError
        There is no such picture.
    """
    if pixels is None:
        there = f"it has {', '.join(names)}" if names else "it has none"
        raise ReadError(f"{path} keeps no picture '{name}' apart: {there}.")
    rgb = pixels.ndim == 3
    return Image(
        levels=(np.ascontiguousarray(pixels[..., :3]) if rgb else pixels,),
        axes="yxc" if rgb else "yx",
        name=f"{path.stem} · {name}",
        path=path,
        channels=RGB if rgb else (),
        rgb=rgb,
    )
