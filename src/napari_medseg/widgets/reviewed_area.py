"""What was reviewed stays as it is: locks on the labels of the case on screen, and an outline that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Shapes

from napari_medseg.data.reviewing import ReviewedRegion, locked_pixels, reviewed_regions
from napari_medseg.structures import Case
from napari_medseg.widgets._layers import spatial_kwargs
from napari_medseg.widgets.case_list import STATUS_COLORS
from napari_medseg.widgets.locks import ClassLocks
from napari_medseg.widgets.window import quick_removal

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset


class ReviewedArea:
    """Locks of a reviewed case, or of parts of one.

    Parameters
    ----------
    dataset
        Of the case.
    labels, locks
        Its labels layer, and what narrows the ways to write into it.
    has_regions
        Whether parts can be reviewed: not of a slide, whose layer is a window that moves.
    """

    def __init__(self, dataset: Dataset, labels: Labels, locks: ClassLocks, *, has_regions: bool = True) -> None:
        self._dataset = dataset
        self._labels = labels
        self._locks = locks
        self._has_regions = has_regions
        self._outline: Shapes | None = None
        self.regions: tuple[ReviewedRegion, ...] = ()

    def follow(self, viewer: napari.Viewer, case: Case) -> bool:
        """Lock what is reviewed now, and show it.

        Returns
        -------
        whether more is locked than before: then nothing that was done so far may be undone.

        Raises
        ------
        DatasetError
            The form of the case holds parts that cannot be understood.
        """
        before = self._locks.closed, self._locks.area
        self._locks.closed = case.status == "reviewed"
        shown, self.regions = self.regions, reviewed_regions(self._dataset, case.case) if self._has_regions else ()
        self._locks.area = (
            locked_pixels(self._dataset, case, self._labels.data.shape)
            if self.regions and not self._locks.closed
            else None
        )
        if shown != self.regions:
            self._show(viewer, case)
        return (self._locks.closed and not before[0]) or _grew(before[1], self._locks.area)

    def stop(self, viewer: napari.Viewer) -> None:
        """Take the outline away."""
        if self._outline is not None and self._outline in viewer.layers:
            with quick_removal():
                viewer.layers.remove(self._outline)
        self._outline = None

    def _show(self, viewer: napari.Viewer, case: Case) -> None:
        self.stop(viewer)
        if not self.regions:
            return
        active = viewer.layers.selection.active
        self._outline = viewer.add_shapes(
            [_corners(region, self._labels.ndim) for region in self.regions],
            shape_type="polygon",
            ndim=self._labels.ndim,
            name=f"{case.case} · reviewed",
            face_color="transparent",
            edge_color=STATUS_COLORS["reviewed"],
            edge_width=max(1.0, max(self._labels.data.shape[-2:]) / 300),
            metadata={"reviewed": True, "case": case.case},
            **spatial_kwargs(self._labels),
        )
        self._outline.editable = False
        viewer.layers.selection.active = active


def _corners(region: ReviewedRegion, ndim: int) -> npt.NDArray[np.float64]:
    """Corners of a region's outline in pixels of the labels, (n, axes); of a volume, in the region's first slice."""
    (y0, y1), (x0, x1) = region.box[-2:]
    flat = np.array(region.outline or [(y0, x0), (y0, x1), (y1, x1), (y1, x0)], np.float64)
    if not region.outline:
        # Pixels lie around their centres.
        flat -= 0.5
    outer = np.array([start for start, _ in region.box[:-2]], np.float64)
    return np.concatenate([np.broadcast_to(outer, (len(flat), ndim - 2)), flat], axis=1)


def _grew(before: npt.NDArray[np.bool_] | None, now: npt.NDArray[np.bool_] | None) -> bool:
    return now is not None and bool((now if before is None else now & ~before).any())
