"""Intensities of scans: truncated to a range, then stretched to [0, 1] by the scan's own lowest and highest value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from napari_medseg.data.intensity import PERCENTILES, Floats, Intensity, Range, fit_intensity, sample_pixels
from napari_medseg.structures import Image

#: ``"window"``: a range of values that mean the same in every scan (Hounsfield units); ``"percentile"``: all but half a
#: percent of a scan's own values at either end; ``"none"``: all of them.
Truncate = Literal["window", "percentile", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanIntensity:
    """How scans become network input: truncated, stretched to [0, 1], then mean 0, deviation 1 over the training set.

    The last step is an affine map that the first convolution can undo; it keeps padding with zeros neutral, and the
    strengths of augmentation comparable.

    Parameters
    ----------
    truncate
        How values are truncated.
    window
        Lowest and highest value for ``"window"``.
    inner
        Channels, mean and deviation after stretching.
    """

    truncate: Truncate
    window: tuple[float, float]
    inner: Intensity

    @classmethod
    def fit(cls, images: Sequence[Image], truncate: Truncate, window: tuple[float, float]) -> ScanIntensity:
        """Look at the training images; raises as `napari_medseg.data.intensity.fit_intensity`."""
        inner = fit_intensity(images, range_of=lambda image: scan_range(image, truncate, window))
        return cls(truncate=truncate, window=window, inner=inner)

    @property
    def channels(self) -> int:
        """Channels of the network's input."""
        return self.inner.channels

    def prepare(self, image: Image) -> Range:
        """The range of a (lazy) image, for `normalise`."""
        return scan_range(image, self.truncate, self.window)

    def normalise(self, pixels: npt.NDArray[Any], prepared: Range) -> Floats:
        """Network input from pixels; as `napari_medseg.data.intensity.Intensity.normalise`."""
        return self.inner.normalise(pixels, prepared)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return asdict(self) | {"inner": self.inner.to_json()}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> ScanIntensity:
        """The inverse of `to_json`; raises KeyError, TypeError or ValueError where something is missing or odd."""
        low, high = values["window"]
        truncate = values["truncate"]
        if truncate not in ("window", "percentile", "none"):
            raise ValueError(f"there is no way to truncate called '{truncate}'")
        return cls(truncate=truncate, window=(float(low), float(high)), inner=Intensity.from_json(values["inner"]))


def scan_range(image: Image, truncate: Truncate, window: tuple[float, float]) -> Range:
    """The values of a scan that become 0 and 1: its own extremes after truncation.

    They are taken from a sample of large scans. A constant scan gets an empty range, which maps to 0.
    """
    values = sample_pixels(image)
    bounds = []
    for channel in values:
        finite = channel[np.isfinite(channel)].astype(np.float64)
        if not finite.size:
            bounds.append((0.0, 0.0))
        elif truncate == "percentile":
            bounds.append(tuple(np.percentile(finite, PERCENTILES)))
        else:
            low, high = float(finite.min()), float(finite.max())
            if truncate == "window":
                low, high = float(np.clip(low, *window)), float(np.clip(high, *window))
            bounds.append((low, high))
    low_values, high_values = np.asarray(bounds, np.float32).T
    return Range(low=low_values, high=high_values)
