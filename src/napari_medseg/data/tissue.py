"""Where the tissue of a slide lies, on one small picture of it; what is left out is never read at full size.

Glass is bright and without colour, so a pixel's optical density against the glass, and how much its colours differ in
it, tell tissue from glass. The threshold between both is Otsu's (N. Otsu, "A threshold selection method from gray-level
histograms", IEEE Trans. SMC 1979;9:62-66), kept within what stains allow, so that a slide of glass alone is empty and
a picture full of tissue stays full. Black borders, black ink and green ink are left out; ink of other colours cannot be
told from stains by its colour and stays in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_medseg.data.resampling import WindowReader, choose_level
from napari_medseg.errors import ReadError
from napari_medseg.io.slide.virtual import with_virtual_levels
from napari_medseg.io.units import millimeters
from napari_medseg.structures import Image

Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

#: Distance between the mask's pixels where the slide's spacing is known, and bounds of the longest side in any case.
PIXEL_MM, SMALLEST_SIDE, LARGEST_SIDE = 0.008, 512, 3072
#: The longest side where spacing is not known.
_USUAL_SIDE = 2048
#: Rows of the small picture that are read at a time.
_BAND = 256
#: Darkest glass: a picture without any is measured against this.
_LEAST_GLASS = 200.0
#: Otsu's threshold is kept between these optical densities: noise of glass lies below, stained tissue above.
_LOWEST, _HIGHEST = 0.05, 0.15
#: Black lets through less than this share of the light, in all colours alike.
_BLACK, _COLOURLESS = 0.35, 0.12
#: Green ink lets through so much more green than red and than blue, as optical density.
_GREEN = 0.12
#: Smaller pieces and smaller holes do not count, in square millimetres and, without spacing, in pixels.
_SPECK_MM2, _HOLE_MM2 = 0.01, 0.05
_SPECK_PIXELS, _HOLE_PIXELS = 64, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Tissue:
    """Where there is tissue.

    Parameters
    ----------
    mask
        (y, x), covers the whole slide at a lower resolution.
    share
        Share of the slide that it marks.
    notes
        Sentences for people: that there is none.
    """

    mask: Mask
    share: float
    notes: tuple[str, ...] = ()


def find_tissue(image: Image) -> Tissue:
    """The tissue of a slide.

    Parameters
    ----------
    image
        Of axes ``"yx"``, ``"yxc"`` or ``"cyx"``. In pictures that are not in colours, tissue is what differs from the
        most frequent grey value.

    Raises
    ------
    ReadError
        The image is a volume or a time series, or cannot be read.

    Examples
    --------
    >>> slide = np.full((300, 400, 3), 240, np.uint8)
    >>> slide[100:200, 100:300] = (190, 120, 170)
    >>> found = find_tissue(Image(levels=(slide,), axes="yxc", rgb=True))
    >>> bool(found.mask[150, 200]), bool(found.mask[20, 20]), round(found.share, 1)
    (True, False, 0.2)
    """
    if len(image.spatial_shape) != 2:
        raise ReadError(f"Tissue is looked for in flat pictures, but '{image.name}' has the axes {image.axes}.")
    shape, pixel_mm2 = _small_shape(image)
    picture = _small_picture(image, shape)
    mask = _stained(picture) if image.rgb else _different(picture)
    mask = _tidied(mask, pixel_mm2)
    share = float(mask.mean())
    note = () if mask.any() else (f"No tissue was found on '{image.name}'.",)
    return Tissue(mask=mask, share=share, notes=note)


def _small_shape(image: Image) -> tuple[tuple[int, ...], float | None]:
    """Shape of the small picture, never larger than the slide, and the area of its pixels."""
    sizes = image.spatial_shape
    millimetres = None if image.spacing is None else [millimeters(u) for u in image.units or ()]
    if image.spacing is None or not millimetres or any(m is None for m in millimetres):
        factor = min(1.0, _USUAL_SIDE / max(sizes))
        return tuple(max(1, round(n * factor)) for n in sizes), None
    extent = [n * s * (m or 1.0) for n, s, m in zip(sizes, image.spacing, millimetres, strict=True)]
    pixel = min(max(PIXEL_MM, max(extent) / LARGEST_SIDE), max(extent) / SMALLEST_SIDE)
    shape = tuple(max(1, min(n, round(e / pixel))) for n, e in zip(sizes, extent, strict=True))
    return shape, extent[0] * extent[1] / (shape[0] * shape[1])


def _small_picture(image: Image, shape: tuple[int, ...]) -> Floats:
    """The slide (c, y, x) at a lower resolution, read band by band."""
    levelled = with_virtual_levels(image)
    reader = WindowReader(levelled, shape, choose_level(levelled, shape))
    height, width = shape
    bands = [reader.read(((top, min(top + _BAND, height)), (0, width))) for top in range(0, height, _BAND)]
    return np.concatenate(bands, axis=1).astype(np.float32)


def _stained(picture: Floats) -> Mask:
    """Where a picture in colours (3, y, x) of 0..255 is stained."""
    glass = np.maximum(np.percentile(picture.reshape(3, -1), 99, axis=1), _LEAST_GLASS)
    through = np.clip(picture / glass[:, np.newaxis, np.newaxis], 1 / 255, 1.0)
    density = -np.log10(through)
    low, high = density.min(axis=0), density.max(axis=0)
    amount = np.hypot(density.mean(axis=0), high - low)
    black = (through.max(axis=0) < _BLACK) & (high - low < _COLOURLESS)
    green = np.minimum(density[0], density[2]) - density[1] > _GREEN
    ink = ndimage.binary_dilation(black | green, iterations=2)
    return np.asarray((amount > np.clip(_otsu(amount[~ink]), _LOWEST, _HIGHEST)) & ~ink)


def _different(picture: Floats) -> Mask:
    """Where a picture (c, y, x) in any scale differs from its most frequent value."""
    grey = picture.max(axis=0)
    low, high = (float(v) for v in np.percentile(grey, [0.5, 99.5]))
    if not high > low:
        return np.zeros(grey.shape, bool)
    counts, edges = np.histogram(grey, bins=256, range=(low, high))
    usual = edges[counts.argmax()] + (edges[1] - edges[0]) / 2
    away = np.abs(np.clip(grey, low, high) - usual)
    return np.asarray(away > _otsu(away))


def _otsu(values: npt.NDArray[np.floating]) -> float:
    from skimage.filters import threshold_otsu

    if values.size == 0 or float(np.ptp(values)) == 0.0:
        return float("inf")
    return float(threshold_otsu(values))  # type: ignore[no-untyped-call]  # scikit-image has no types


def _tidied(mask: Mask, pixel_mm2: float | None) -> Mask:
    """Without specks and small holes, and one pixel wider: tissue fades out at its edge."""
    speck = _SPECK_PIXELS if pixel_mm2 is None else max(4, round(_SPECK_MM2 / pixel_mm2))
    hole = _HOLE_PIXELS if pixel_mm2 is None else max(4, round(_HOLE_MM2 / pixel_mm2))
    # A small picture has no room for specks: a hundredth of it is not one.
    speck, hole = (min(n, max(1, mask.size // 100)) for n in (speck, hole))
    smooth = ndimage.binary_closing(np.pad(mask, 2, mode="edge"), iterations=2)[2:-2, 2:-2]
    kept = _without_small(smooth, speck)
    filled = ~_without_small(~kept, hole)
    return np.asarray(ndimage.binary_dilation(filled), bool)


def _without_small(mask: Mask, least: int) -> Mask:
    """Without pieces (joined by sides) of fewer pixels than `least`."""
    pieces, count = ndimage.label(mask)
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    large = sizes >= least
    large[0] = False
    return np.asarray(large[pieces], bool)
