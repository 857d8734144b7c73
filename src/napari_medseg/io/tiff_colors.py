"""Colours of TIFF files: which of the many ways a file uses, and how it becomes grey or red, green, blue."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_medseg.errors import ReadError
from napari_medseg.io.colors import (
    apply_palette,
    bilevel_to_grey,
    cmyk_to_rgb,
    drop_extra_channels,
    flatten_alpha,
    invert,
    ycbcr_to_rgb,
)
from napari_medseg.io.lazy import LazyArray, with_colors

_RGB = ("red", "green", "blue")
#: JPEG 2000 of older Aperio scanners: luminance and chrominance that the file does not declare as such.
_APERIO_YCBCR = 33003


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorPlan:
    """How stored samples become the image's channels.

    Parameters
    ----------
    axes
        Of the result.
    rgb
        Whether the last axis is red, green, blue.
    channels
        Channel names where colours give them.
    samples
        Length of the last axis, when that holds samples of a pixel.
    convert, dtype
        Elementwise conversion and the type it gives; None where pixels stay as stored.
    warnings
        Sentences for people.
    """

    axes: str
    rgb: bool = False
    channels: tuple[str, ...] = ()
    samples: int = 1
    convert: Callable[[npt.NDArray[Any]], npt.NDArray[Any]] | None = None
    dtype: np.dtype[Any] | None = None
    warnings: tuple[str, ...] = ()

    def apply(self, array: LazyArray) -> LazyArray:
        """The converted pixels of a level, whose colours are the last axis."""
        if self.convert is None:
            return array
        sampled = len(self.axes.replace("c", "")) < array.ndim
        out = len(self.channels) if "c" in self.axes else None
        return with_colors(
            array,
            self.convert,
            dtype=array.dtype if self.dtype is None else self.dtype,
            channels_in=array.shape[-1] if sampled else None,
            channels_out=out,
        )


def plan_colors(path: Path, series: tifffile.TiffPageSeries, axes: str, *, indices: bool) -> ColorPlan:
    """Decide by the photometric tag and the number of samples.

    Parameters
    ----------
    path
        For messages.
    series
        The series that is read.
    axes
        Our axes of the stored pixels, samples last.
    indices
        Keep the stored numbers.

    Raises
    ------
    ReadError
        Colours of a kind that cannot be shown.
    """
    page = series.keyframe
    samples = page.samplesperpixel if "S" in series.axes else 1
    name = getattr(page.photometric, "name", str(page.photometric))
    if samples > 1:
        return _plan_samples(path, page, name, axes, samples)
    if indices:
        return (
            ColorPlan(axes=axes, convert=_to_uint8, dtype=np.dtype(np.uint8))
            if _is_bool(page)
            else ColorPlan(axes=axes)
        )
    if name == "PALETTE" and page.colormap is not None and "c" not in axes:
        # Entries have 16 bits; some programs filled in 8 only.
        entries = np.asarray(page.colormap).T
        convert = partial(apply_palette, palette=(entries >> 8 if np.max(entries) > 255 else entries).astype(np.uint8))
        return ColorPlan(axes=axes + "c", rgb=True, channels=_RGB, convert=convert, dtype=np.dtype(np.uint8))
    if _is_bool(page):
        return ColorPlan(axes=axes, convert=bilevel_to_grey, dtype=np.dtype(np.uint8))
    if name == "MINISWHITE" and np.dtype(page.dtype).kind == "u":
        return ColorPlan(axes=axes, convert=partial(invert, bits=page.bitspersample))
    return ColorPlan(axes=axes)


def _plan_samples(path: Path, page: tifffile.TiffPage, name: str, axes: str, samples: int) -> ColorPlan:
    extra = [getattr(e, "name", str(e)) for e in page.extrasamples]
    alpha = bool(extra) and extra[0] in ("ASSOCALPHA", "UNASSALPHA")
    flatten = partial(flatten_alpha, premultiplied=bool(extra) and extra[0] == "ASSOCALPHA")
    laid_on_white = ("Its transparent parts were laid on white.",)
    if name in ("RGB", "YCBCR") and samples >= 3:
        rgb = partial(ColorPlan, axes=axes, rgb=True, channels=_RGB, samples=3)
        if samples == 3:
            _check_ycbcr(path, page, name)
            return rgb(convert=ycbcr_to_rgb) if page.compression == _APERIO_YCBCR else rgb()
        if samples == 4 and alpha:
            return rgb(convert=flatten, warnings=laid_on_white)
        return rgb(convert=drop_extra_channels, warnings=(f"Only the first 3 of its {samples} samples are shown.",))
    if name == "SEPARATED" and samples >= 4:
        warning = "Its CMYK colours were converted to red, green, blue without a colour profile."
        return ColorPlan(axes=axes, rgb=True, channels=_RGB, samples=3, convert=cmyk_to_rgb, warnings=(warning,))
    if name in ("MINISBLACK", "MINISWHITE"):
        if samples == 2 and alpha:
            grey = axes.replace("c", "")
            return ColorPlan(axes=grey, convert=partial(_flatten_grey, flatten), warnings=laid_on_white)
        return ColorPlan(axes=axes, samples=samples)
    raise ReadError(f"{path} stores colours as {name} with {samples} samples: convert it to RGB.")


def _check_ycbcr(path: Path, page: tifffile.TiffPage, name: str) -> None:
    """Only JPEG codecs turn luminance and chrominance into colours while decoding."""
    if name == "YCBCR" and "JPEG" not in getattr(page.compression, "name", "") and page.compression != _APERIO_YCBCR:
        raise ReadError(f"{path} stores colours as YCbCr without JPEG compression: convert it to RGB.")


def _flatten_grey(
    flatten: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], pixels: npt.NDArray[Any]
) -> npt.NDArray[Any]:
    return flatten(pixels)[..., 0]


def _is_bool(page: tifffile.TiffPage) -> bool:
    return np.dtype(page.dtype).kind == "b"


def _to_uint8(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return pixels.astype(np.uint8)
