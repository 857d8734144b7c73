"""How pixels of any type become the numbers that a network sees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_medseg.errors import DatasetError, ModelError
from napari_medseg.structures import Image

#: Range of a scan that is not 8 bit: robust against single hot or dead pixels.
PERCENTILES = (0.5, 99.5)
#: Smallest standard deviation that is divided by, one step of 8 bit: a set of constant images must not blow up.
_LEAST_STD = 1.0 / 255.0
#: Pixels per image that ranges and means are taken from.
_SAMPLED_PIXELS = 1 << 18
#: Images with more pixels than this are sampled in blocks instead of read.
_LARGEST_READ = 1 << 24
_BLOCK = 64
#: Images that mean and standard deviation are taken from, evenly over the set.
_SAMPLED_IMAGES = 256

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Lowest and highest value of an image per channel, each of shape (c,) or (1,); mapped to 0 and 1."""

    low: Floats
    high: Floats


class Normaliser(Protocol):
    """What training patches and predictors ask of a way to make network input."""

    @property
    def channels(self) -> int:
        """Channels of the network's input."""

    def prepare(self, image: Image) -> Any:
        """What `normalise` needs to know of a (lazy) image."""

    def normalise(self, pixels: npt.NDArray[Any], prepared: Any) -> Floats:
        """Network input from pixels (c, [z,] y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intensity:
    """How images become network input: range to [0, 1], then mean 0 and standard deviation 1 over the training set.

    8-bit images have a known range, 0..255. Others are stretched between `PERCENTILES` of the image itself, the
    channels of a colour image together, other channels each on its own.

    Parameters
    ----------
    channels
        Channels of the network's input.
    mean, std
        Of the training images per channel, after stretching to [0, 1].
    window
        Lowest and highest value of every image instead, e.g. of Hounsfield units; None: as said.
    """

    channels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    window: tuple[float, float] | None = None

    def prepare(self, image: Image) -> Range:
        """The range of a (lazy) image, for `normalise`."""
        return image_range(image) if self.window is None else range_of_window(self.window)

    def normalise(self, pixels: npt.NDArray[Any], prepared: Range) -> Floats:
        """Network input from pixels.

        Parameters
        ----------
        pixels
            (c, [z,] y, x) with the image's own dtype. Grey images serve a colour network, colour images a grey one.
        prepared
            What `prepare` gave for the image.

        Returns
        -------
        float32 of shape (channels, [z,] y, x), finite; a pixel that is not a number becomes 0, the training mean.

        Raises
        ------
        ModelError
            The numbers of channels do not fit.
        """
        stretched = stretch(pixels, prepared)
        if len(stretched) != self.channels:
            stretched = self._fit_channels(stretched)
        axes = (slice(None),) + (np.newaxis,) * (stretched.ndim - 1)
        stretched = (stretched - np.asarray(self.mean, np.float32)[axes]) / np.asarray(self.std, np.float32)[axes]
        if pixels.dtype.kind in "fc":
            np.nan_to_num(stretched, copy=False)
        return stretched

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file."""
        values = asdict(self)
        if self.window is None:
            # Models made before there were windows are described as they were.
            del values["window"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Intensity:
        """The inverse of `to_json`."""
        window = values.get("window")
        return cls(
            channels=int(values["channels"]),
            mean=tuple(float(v) for v in values["mean"]),
            std=tuple(float(v) for v in values["std"]),
            window=None if window is None else (float(window[0]), float(window[1])),
        )

    def _fit_channels(self, pixels: Floats) -> Floats:
        if len(pixels) == 1:
            return np.repeat(pixels, self.channels, axis=0)
        if self.channels == 1 and len(pixels) == 3:
            mean: Floats = pixels.mean(axis=0, keepdims=True)
            return mean
        raise ModelError(
            f"The network was trained on images of {self.channels} channels, but this image has {len(pixels)}: "
            "choose the channels that it was trained on, or train a network on such images."
        )


def image_range(image: Image) -> Range:
    """The values of an image that become 0 and 1; constant images get an empty range, which `stretch` maps to 0."""
    if image.dtype == np.uint8 or image.dtype == np.bool_:
        top = 255.0 if image.dtype == np.uint8 else 1.0
        return Range(low=np.zeros(1, np.float32), high=np.full(1, top, np.float32))
    values = sample_pixels(image).astype(np.float64)
    groups = [values] if image.rgb else list(values)
    finite = [group[np.isfinite(group)] for group in groups]
    bounds = [np.percentile(group, PERCENTILES) if group.size else (0.0, 0.0) for group in finite]
    low, high = np.asarray(bounds, np.float32).T
    return Range(low=low, high=high)


def range_of_window(window: tuple[float, float]) -> Range:
    """The same lowest and highest value for all channels."""
    return Range(low=np.full(1, window[0], np.float32), high=np.full(1, window[1], np.float32))


def stretch(pixels: npt.NDArray[Any], limits: Range) -> Floats:
    """Pixels (c, ...) mapped from their range to [0, 1], values outside cut off; not-a-number stays."""
    axes = (slice(None),) + (np.newaxis,) * (pixels.ndim - 1)
    width = limits.high - limits.low
    factor = np.where(width > 0, 1.0 / np.where(width > 0, width, 1.0), 0.0).astype(np.float32)
    values = pixels.astype(np.float32)
    values -= limits.low[axes]
    with np.errstate(invalid="ignore"):  # infinity in an empty range is not a number
        values *= factor[axes]
    holds_all = pixels.dtype == np.uint8 and bool((limits.low <= 0).all() and (limits.high >= 255).all())
    if not holds_all:
        np.clip(values, 0.0, 1.0, out=values)
    return values


def fit_intensity(
    images: Sequence[Image],
    window: tuple[float, float] | None = None,
    range_of: Callable[[Image], Range] | None = None,
) -> Intensity:
    """Channels, mean and standard deviation of the training images.

    A set of grey and colour images gets three channels, the grey ones repeated.

    Parameters
    ----------
    images
        Training images, at least one.
    window
        `Intensity.window`.
    range_of
        Range of an image, where it is not what `Intensity.prepare` says.

    Raises
    ------
    DatasetError
        There is no image, or the images have numbers of channels that do not fit together.
    """
    if not images:
        raise DatasetError("There is no training image to take the intensity from: finish a training case.")
    channels = _common_channels(images)
    step = max(1, len(images) // _SAMPLED_IMAGES)
    moments = np.zeros((2, channels))
    count = 0
    for image in images[::step]:
        if range_of is not None:
            limits = range_of(image)
        else:
            limits = image_range(image) if window is None else range_of_window(window)
        values = stretch(sample_pixels(image), limits).astype(np.float64)
        values = np.broadcast_to(values, (channels, values.shape[1]))
        values = values[:, np.isfinite(values).all(axis=0)]
        # Every image counts the same, whatever its size.
        if values.shape[1]:
            moments += np.stack([values.mean(axis=1), (values**2).mean(axis=1)])
            count += 1
    mean, square = moments / max(count, 1)
    std = np.sqrt(np.maximum(square - mean**2, 0.0))
    return Intensity(
        channels=channels,
        mean=tuple(float(v) for v in mean),
        std=tuple(float(v) for v in np.maximum(std, _LEAST_STD)),
        window=window,
    )


def _common_channels(images: Sequence[Image]) -> int:
    found: dict[int, str] = {}
    for image in images:
        found.setdefault(image.num_channels, image.name)
    if len(found) > 1 and set(found) != {1, 3}:
        examples = ", ".join(f"'{name}' has {n}" for n, name in sorted(found.items()))
        raise DatasetError(
            f"The training images do not have the same number of channels ({examples}): leave out the odd ones, "
            "or bring them to the same channels."
        )
    return max(found)


def sample_pixels(image: Image) -> npt.NDArray[Any]:
    """Values (c, n) spread evenly over an image, read from a coarse level or in blocks where the image is large."""
    level = next((i for i in range(len(image.levels)) if _size(image, i) <= _LARGEST_READ), len(image.levels) - 1)
    if _size(image, level) > _LARGEST_READ:
        return _sample_blocks(image, level)
    pixels = image.region(level=level).reshape(image.num_channels, -1)
    # An odd step does not fall on the same columns again and again.
    return pixels[:, :: max(1, pixels.shape[1] // _SAMPLED_PIXELS) | 1]


def _size(image: Image, level: int) -> int:
    return int(np.prod(image.level_shape(level), dtype=np.int64))


def _sample_blocks(image: Image, level: int) -> npt.NDArray[Any]:
    """Blocks on a regular grid, 8 along each of the two in-plane axes, from up to 8 slices of a stack."""
    shape = image.level_shape(level)
    starts = [np.unique(np.linspace(0, max(n - _BLOCK, 0), 8).astype(int)) for n in shape[-2:]]
    planes = [np.unique(np.linspace(0, n - 1, 8).astype(int)) for n in shape[:-2]]
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*planes, *starts, indexing="ij")], axis=1)
    sides = (1,) * (len(shape) - 2) + (_BLOCK, _BLOCK)
    boxes = (
        tuple((int(start), int(min(start + side, n))) for start, side, n in zip(corner, sides, shape, strict=True))
        for corner in grid
    )
    return np.concatenate([image.region(box, level).reshape(image.num_channels, -1) for box in boxes], axis=1)
