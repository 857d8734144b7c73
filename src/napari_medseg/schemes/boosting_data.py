"""What scheme `boosting` learns from its training cases before a network is built: dimensions, spacing, shares."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.errors import ConfigError, DatasetError
from napari_medseg.schemes.boosting_levels import plan_poolings
from napari_medseg.structures import Image, MaskClass, TrainingCase, TrainingSet

if TYPE_CHECKING:
    from napari_medseg.data.truncation import Truncate
    from napari_medseg.schemes.boosting import BoostingConfig

#: A class is expected in at least this share of the voxels.
_LEAST_SHARE = 0.001


def poolings_of(
    config: BoostingConfig, levels: int, shape: tuple[int, ...], spacing: tuple[float, ...] | None
) -> tuple[tuple[int, ...], ...]:
    """Factors of the poolings between levels, from the size and spacing of the volumes."""
    if config.pooling == "all axes":
        return ((2,) * len(shape),) * (levels - 1)
    return plan_poolings(levels, shape, spacing, in_plane_only=config.pooling == "in plane")


def dimensions_of(config: BoostingConfig, cases: Sequence[TrainingCase], images: Sequence[Image]) -> int:
    """Dimensions of the network.

    Raises
    ------
    DatasetError, ConfigError
        The images differ, have none that networks have, or other ones than the settings.
    """
    found = {len(image.spatial_axes): case.case for case, image in zip(cases, images, strict=True)}
    if len(found) > 1:
        named = ", ".join(f"case '{case}' has {dims}" for dims, case in sorted(found.items()))
        raise DatasetError(f"The training images differ in their dimensions ({named}): keep those of one kind.")
    dims = next(iter(found))
    if dims not in (2, 3):
        raise DatasetError(f"The images have {dims} dimensions, but networks have 2 or 3: import single volumes.")
    if config.dims not in (None, dims):
        raise ConfigError(f"The network has dims={config.dims}, but the images have {dims}: set dims={dims}.")
    return dims


def common_spacing(images: Sequence[Image]) -> tuple[float, ...] | None:
    """Median spacing of the images that know theirs, whatever the unit: ratios between axes are asked for."""
    known = [image.spacing for image in images if image.spacing is not None]
    return tuple(statistics.median(axis) for axis in zip(*known, strict=True)) if known else None


def class_shares(cases: Sequence[TrainingCase], classes: Sequence[MaskClass], *, nested: bool) -> tuple[float, ...]:
    """Share of each class in the voxels that somebody looked at, kept away from 0 and 1."""
    counts = np.zeros(256, np.int64)
    for case in cases:
        labels = case.load_labels()
        if labels is not None:
            counts += np.bincount(labels.reshape(-1), minlength=256)
    own = counts[[c.value for c in classes]].astype(np.float64)
    held = np.cumsum(own[::-1])[::-1] if nested else own
    total = own.sum() + counts[0]
    return tuple(float(share) for share in np.clip(held / max(total, 1), _LEAST_SHARE, 0.5))


def truncation_of(config: BoostingConfig, data: TrainingSet) -> Truncate:
    """How intensities are cut off: as the settings say, else by Hounsfield units where there are such."""
    if config.truncate != "auto":
        return config.truncate
    return "window" if data.info.kind == "ct" else "percentile"


def check_patch(patch: tuple[int, ...], multiple: tuple[int, ...], dims: int) -> None:
    """Raise `ConfigError` where patches of this size do not fit the network."""
    if len(patch) != dims:
        raise ConfigError(f"Setting 'patch_size' has {len(patch)} numbers, but the images have {dims} dimensions.")
    if any(side % step for side, step in zip(patch, multiple, strict=True)):
        nearest = ", ".join(str(-(-side // step) * step) for side, step in zip(patch, multiple, strict=True))
        raise ConfigError(
            f"Setting 'patch_size' must be a multiple of {', '.join(map(str, multiple))} for the poolings of the "
            f"network, e.g. {nearest}."
        )
