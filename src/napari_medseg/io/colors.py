"""How files store colours, turned into what networks and the screen expect: grey or red, green, blue."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[Any]


def white_of(dtype: np.dtype[Any]) -> float:
    """The value of white: the largest of an integer type, 1 for floats."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def flatten_alpha(pixels: Pixels, *, premultiplied: bool = False) -> Pixels:
    """Lay an image with transparency on white.

    Parameters
    ----------
    pixels
        (..., colours + 1), the last channel being opacity.
    premultiplied
        Whether colours are already multiplied by opacity ("associated alpha" in TIFF).

    Returns
    -------
    (..., colours) of the same type; exactly the colours where the image is opaque.
    """
    white = white_of(pixels.dtype)
    color, alpha = pixels[..., :-1], pixels[..., -1:]
    if np.all(alpha == white):
        return color
    share = alpha.astype(np.float64) / white
    weighted = color if premultiplied else color * share
    mixed = np.clip(weighted + (1.0 - share) * white, 0.0, white)
    return np.round(mixed).astype(pixels.dtype) if pixels.dtype.kind in "iu" else mixed.astype(pixels.dtype)


def drop_extra_channels(pixels: Pixels) -> Pixels:
    """The first three of more channels."""
    return pixels[..., :3]


def cmyk_to_rgb(pixels: Pixels) -> Pixels:
    """(..., 4) inks, largest value = full ink, to (..., 3) light, without colour management."""
    white = white_of(pixels.dtype)
    ink = pixels.astype(np.float64) / white
    light = (1.0 - ink[..., :3]) * (1.0 - ink[..., 3:4])
    return np.round(light * white).astype(pixels.dtype)


def ycbcr_to_rgb(pixels: Pixels) -> Pixels:
    """(..., 3) uint8 Y, Cb, Cr of the full range to red, green, blue (ITU-T T.871, section 7)."""
    y = pixels[..., 0].astype(np.float32)
    cb, cr = (pixels[..., i].astype(np.float32) - 128.0 for i in (1, 2))
    rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], axis=-1)
    return np.clip(np.round(rgb), 0, 255).astype(np.uint8)


def apply_palette(pixels: Pixels, palette: npt.NDArray[np.uint8]) -> Pixels:
    """Indices (...) to colours (..., 3); `palette` is (entries, 3), indices beyond it take its last colour."""
    return np.asarray(palette[np.minimum(pixels, len(palette) - 1)])


def invert(pixels: Pixels, *, bits: int) -> Pixels:
    """Unsigned values whose largest means black, turned round."""
    return np.asarray(pixels.dtype.type(2**bits - 1) - pixels, dtype=pixels.dtype)


def bilevel_to_grey(pixels: Pixels) -> Pixels:
    """False and True to 0 and 255."""
    return pixels.astype(np.uint8) * np.uint8(255)
