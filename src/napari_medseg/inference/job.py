"""Which windows of an image have to be run for a region, and how their pixels map onto it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_medseg.data.resampling import working_shape
from napari_medseg.errors import ConfigError, ModelError
from napari_medseg.inference.looked_at import LookedAt
from napari_medseg.inference.predictor import Predictor
from napari_medseg.inference.resampling import AxisMap
from napari_medseg.inference.windows import AxisPlan, plan_windows
from napari_medseg.structures import Box, Image


@dataclass(frozen=True, slots=True)
class Window:
    """One window.

    Parameters
    ----------
    slice_index
        The slice of a stack it lies in, counted from the region's start; empty for a single image or volume.
    position
        Its index among the windows of every axis.
    area
        Image pixels of the region to which it contributes.
    """

    slice_index: tuple[int, ...]
    position: tuple[int, ...]
    area: int


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be predicted: the region, the grid and the windows.

    Parameters
    ----------
    region
        (start, stop) per spatial axis of the image.
    working
        Spatial shape of the whole image at the working resolution.
    plans, maps
        Windows, and the way back to image pixels, per axis of a window.
    windows
        The windows that touch the region and its mask, in order.
    looked_at
        The mask, cut to the region; None without one.
    """

    region: Box
    working: tuple[int, ...]
    plans: tuple[AxisPlan, ...]
    maps: tuple[AxisMap, ...]
    windows: tuple[Window, ...]
    looked_at: LookedAt | None

    @property
    def lead(self) -> int:
        """Number of leading axes (slices of a stack) that windows do not have."""
        return len(self.region) - len(self.plans)

    def around(self, first: int, last: int) -> tuple[Sequence[Window], Sequence[Window], Window | None]:
        """The windows of a picture before those on which some rows depend, those, and the one that follows.

        Parameters
        ----------
        first, last
            Rows first <= row < last, counted from the region's start.
        """
        if first >= last:
            return self.windows, (), None
        plan, rows = self.plans[0], self.maps[0]
        needed, reached = int(rows.lower[first]), int(rows.upper[last - 1])
        start = next(
            (k for k, w in enumerate(self.windows) if plan.spans[w.position[0]][1] > needed), len(self.windows)
        )
        todo = [w for w in self.windows[start:] if plan.spans[w.position[0]][0] <= reached]
        beyond = self.windows[start + len(todo)] if start + len(todo) < len(self.windows) else None
        return self.windows[:start], todo, beyond

    @property
    def skipped_slices(self) -> list[tuple[int, ...]]:
        """Slices that the mask leaves out altogether."""
        visited = {window.slice_index for window in self.windows}
        lengths = (range(stop - start) for start, stop in self.region[: self.lead])
        return [index for index in itertools.product(*lengths) if index not in visited]


def plan_job(predictor: Predictor, image: Image, region: Box | None, mask: npt.NDArray[np.bool_] | None) -> Job:
    """Choose the windows; arguments and errors as `napari_medseg.inference.engine.predict`."""
    shape, dimensions = image.spatial_shape, len(predictor.window)
    lead = len(shape) - dimensions
    if lead < 0:
        raise ModelError(
            f"The model works on {dimensions} spatial axes, but image '{image.name}' has {len(shape)} "
            f"('{image.spatial_axes}'): choose a volume, or another model."
        )
    scale = tuple(predictor.scale_of(image))
    assert all(s == 1 for s in scale[:lead]), "slices of a stack are never resampled"
    if mask is not None:
        region = region or _bounding_box(mask, shape)
    region = _checked(region, image)
    working = working_shape(image, scale)
    grid = predictor.grid(image)
    plans = tuple(
        plan_windows(n, w, multiple, predictor.windows)
        for n, w, multiple in zip(working[lead:], grid.window, grid.multiple, strict=True)
    )
    maps = tuple(AxisMap.between(n, w, *span) for n, w, span in zip(shape, working, region, strict=True))
    looked_at = None if mask is None else LookedAt.of(mask, shape, region)
    windows = tuple(_windows(plans, maps, lead, looked_at))
    return Job(region, working, plans, maps[lead:], windows, looked_at)


def chosen_region(image: Image, region: Box | None, mask: npt.NDArray[np.bool_] | None) -> Box | None:
    """The region that is asked for, or else the box of the mask; None where neither is given.

    Raises
    ------
    ConfigError
        It does not fit the image.
    """
    if region is None and mask is not None:
        region = _bounding_box(mask, image.spatial_shape)
    return None if region is None else _checked(region, image)


def _checked(region: Box | None, image: Image) -> Box:
    """The region as plain whole numbers inside the image; the whole image for None."""
    shape = image.spatial_shape
    if region is None:
        return tuple((0, n) for n in shape)
    box = tuple((int(start), int(stop)) for start, stop in region)
    if len(box) != len(shape) or any(not 0 <= a < b <= n for (a, b), n in zip(box, shape, strict=False)):
        text = ",".join(f"{start}:{stop}" for start, stop in box)
        size = ",".join(f"0:{n}" for n in shape)
        raise ConfigError(f"Region {text} does not lie in image '{image.name}' ({size}): draw or write it inside.")
    return box


def _bounding_box(mask: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> Box:
    """The smallest box of image pixels that holds every pixel of the mask."""
    if mask.ndim != len(shape):
        raise ConfigError(f"The mask has {mask.ndim} axes, but the image has {len(shape)}: give one for the image.")
    box = []
    for axis, n in enumerate(shape):
        hit = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        if not hit.size:
            raise ConfigError("The mask marks no pixel: draw the region to predict first.")
        cells = mask.shape[axis]
        box.append((int(hit[0]) * n // cells, -(-(int(hit[-1]) + 1) * n // cells)))
    return tuple(box)


def _windows(
    plans: Sequence[AxisPlan], maps: Sequence[AxisMap], lead: int, looked_at: LookedAt | None
) -> Iterator[Window]:
    """Windows that touch the region and its mask, slice by slice, in order of their first axis."""
    axes = [list(_touching(plan, axis_map)) for plan, axis_map in zip(plans, maps[lead:], strict=True)]
    for slice_index in itertools.product(*(range(m.stop - m.start) for m in maps[:lead])):
        plane = None if looked_at is None else looked_at.plane(slice_index)
        hit = None if plane is None else plane.touched([[pixels for _, pixels in steps] for steps in axes])
        for number, steps in enumerate(itertools.product(*axes)):
            if hit is None or hit.flat[number]:
                position, part = zip(*steps, strict=True)
                yield Window(slice_index, position, math.prod(p.stop - p.start for p in part))


def _touching(plan: AxisPlan, axis_map: AxisMap) -> Iterator[tuple[int, slice]]:
    """Windows of an axis that any wanted pixel depends on, with those pixels, counted from the region's start."""
    for i, (low, high) in enumerate(plan.spans):
        start = int(np.searchsorted(axis_map.upper, low))
        stop = int(np.searchsorted(axis_map.lower, high))
        if start < stop:
            yield i, slice(start, stop)
