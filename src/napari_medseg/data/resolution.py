"""At which pixel size a network works, and how an image is brought there."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from napari_medseg.io.units import micrometres
from napari_medseg.structures import Image

#: Where the size is chosen automatically, an image is made smaller by at most this much, so that cells stay visible.
LARGEST_AUTOMATIC_DOWNSAMPLING = 4.0
#: Micrometres per working pixel of slides where nothing tells how much a window should see: a tenfold objective's.
SLIDE_MPP = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingResolution:
    """The pixel size at which a network works.

    Parameters
    ----------
    downsample
        Image pixels per working pixel, used where spacing is unknown; 1 or more.
    spacing
        Distance between neighbouring working pixels per spatial axis, in `units`; None when the training images did
        not all know theirs. An image with known spacing is then resampled to it, whatever scanner it came from.
    units
        One unit per spatial axis; None exactly where `spacing` is.
    """

    downsample: float
    spacing: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None

    def scale_of(self, image: Image) -> tuple[float, ...]:
        """Working pixels per image pixel, per spatial axis; in-plane axes alone are ever resampled."""
        dimensions = len(image.spatial_axes)
        if self.spacing is None or image.spacing is None or image.units is None:
            in_plane = (1.0 / self.downsample,) * 2
        elif self.units is None or image.units[-2:] != self.units[-2:]:
            in_plane = (1.0 / self.downsample,) * 2
        else:
            in_plane = (image.spacing[-2] / self.spacing[-2], image.spacing[-1] / self.spacing[-1])
        return (1.0,) * (dimensions - 2) + in_plane

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> WorkingResolution:
        """The inverse of `to_json`."""
        spacing, units = values["spacing"], values["units"]
        return cls(
            downsample=float(values["downsample"]),
            spacing=tuple(spacing) if spacing is not None else None,
            units=tuple(units) if units is not None else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeResolution:
    """The voxel size at which a network for volumes works.

    Parameters
    ----------
    spacing
        Distance between neighbouring working voxels per spatial axis, in `units`; None: images stay as they are.
    units
        One unit per spatial axis; None exactly where `spacing` is.
    """

    spacing: tuple[float, ...] | None = None
    units: tuple[str, ...] | None = None

    @classmethod
    def fit(cls, images: Sequence[Image]) -> VolumeResolution:
        """The median spacing of the training images; none where one does not know its own, or in another unit."""
        units = {image.units for image in images}
        if None in units or len(units) != 1:
            return cls()
        spacings = [image.spacing or () for image in images]
        return cls(
            spacing=tuple(statistics.median(axis) for axis in zip(*spacings, strict=True)), units=images[0].units
        )

    def scale_of(self, image: Image) -> tuple[float, ...]:
        """Working voxels per image voxel, per spatial axis; 1 where an image does not know its spacing in these units.

        A network of planes works on the last two axes; slices of a stack stay as they are.
        """
        dimensions = len(image.spatial_axes)
        if self.spacing is None or self.units is None or image.spacing is None or image.units is None:
            return (1.0,) * dimensions
        known = min(dimensions, len(self.spacing))
        if image.units[-known:] != self.units[-known:]:
            return (1.0,) * dimensions
        ratios = zip(image.spacing[-known:], self.spacing[-known:], strict=True)
        return (1.0,) * (dimensions - known) + tuple(own / wanted for own, wanted in ratios)

    def to_json(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> VolumeResolution:
        """The inverse of `to_json`."""
        spacing, units = values["spacing"], values["units"]
        return cls(
            spacing=tuple(float(step) for step in spacing) if spacing is not None else None,
            units=tuple(str(unit) for unit in units) if units is not None else None,
        )


def fit_resolution(
    images: Sequence[Image],
    window: int,
    downsample: float | None = None,
    *,
    slides: Sequence[Image] = (),
    mpp: float | None = None,
) -> WorkingResolution:
    """The working resolution for a set of training images.

    Parameters
    ----------
    images
        Training images, and tiles of slides that have a tag; pixels are not read. May be empty if there are slides.
    window
        Side of the network's square input, in working pixels.
    downsample
        Image pixels per working pixel; None chooses it so that the median image's shorter side fits the window,
        between 1 and `LARGEST_AUTOMATIC_DOWNSAMPLING`: a tag speaks of the whole image, so a window should see most
        of it.
    slides
        Whole slides: their size says nothing of the resolution. Without images, `SLIDE_MPP` is aimed at.
    mpp
        Micrometres per working pixel, for all images that know their spacing; None: as said.
    """
    known = [image for image in (*images, *slides) if image.spacing is not None and image.units is not None]
    if downsample is None and images:
        shorter = statistics.median(min(image.spatial_shape[-2:]) for image in images)
        downsample = min(max(shorter / window, 1.0), LARGEST_AUTOMATIC_DOWNSAMPLING)
    elif downsample is None:
        steps = [step for image in known if (step := micrometres(image.spacing, image.units)) is not None]
        wanted = SLIDE_MPP / statistics.median(map(min, steps)) if steps else LARGEST_AUTOMATIC_DOWNSAMPLING
        downsample = min(max(wanted, 1.0), LARGEST_AUTOMATIC_DOWNSAMPLING)
    if mpp is not None:
        return WorkingResolution(downsample=downsample, spacing=(mpp, mpp), units=("micrometer", "micrometer"))
    units = {image.units for image in known}
    # Scanners know their spacing; pictures beside their slides often do not, and are left as they are.
    if len(units) != 1 or (len(known) < len(images) and not slides):
        return WorkingResolution(downsample=downsample)
    logs = [[math.log(s) for s in image.spacing or ()] for image in known]
    median = tuple(math.exp(statistics.median(axis)) for axis in zip(*logs, strict=True))
    in_plane = tuple(value * downsample for value in median[-2:])
    return WorkingResolution(downsample=downsample, spacing=median[:-2] + in_plane, units=known[0].units)
