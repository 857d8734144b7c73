"""Which part of an image a person means: the shape that was drawn, else what is in view."""

from __future__ import annotations

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Shapes

from napari_medseg.errors import DatasetError
from napari_medseg.structures import Box
from napari_medseg.widgets._layers import spatial_kwargs
from napari_medseg.widgets.session import Session

Mask = npt.NDArray[np.bool_]


def complete_region(session: Session) -> None:
    """Mark the drawn shape, or else the view, as completely drawn, and say how much that was.

    Raises
    ------
    DatasetError
        No part of the image is meant.
    MedsegError
        It cannot be saved now.
    """
    open_case, labels = session.open, session.labels
    if open_case is None or labels is None:
        return
    shapes = drawn_shapes(session.viewer)
    if shapes is not None:
        meant = shape_region(shapes, labels)
        if meant is None:
            raise DatasetError("The drawn shape lies outside the image: draw it on the image.")
        box, mask = meant
    else:
        box, mask = view_region(session.viewer, labels), None
    changed = open_case.mark_region_complete(box, mask)
    if shapes is not None:
        # The shape has done its work; in sight it would be meant again.
        shapes.visible = False
        session.viewer.layers.selection.active = labels
    session.tell(f"Region complete: {changed:,} pixels that were not looked at are background now.")


def start_region(session: Session) -> None:
    """Let the person draw a rectangle over the case, in a Shapes layer of its own."""
    if session.case is None or session.labels is None:
        return
    name = f"{session.case.case} · region"
    if name in session.viewer.layers:
        session.viewer.layers.remove(name)
    space = spatial_kwargs(session.labels)
    layer = session.viewer.add_shapes(
        ndim=session.labels.ndim, name=name, face_color="transparent", edge_color="#f0e442", edge_width=2, **space
    )
    layer.mode = "add_rectangle"


def drawn_shapes(viewer: napari.Viewer) -> Shapes | None:
    """The uppermost visible Shapes layer that holds a shape; boxes around tumours and measured lines are none."""
    for layer in reversed(viewer.layers):
        is_drawn = not {"prediction", "measured", "region_box", "slide_contours", "reviewed"} & layer.metadata.keys()
        if isinstance(layer, Shapes) and layer.visible and layer.nshapes and is_drawn:
            return layer
    return None


def shape_region(shapes: Shapes, labels: Labels) -> tuple[Box, Mask] | None:
    """Box and mask of the shape drawn last, in pixels of the labels; None when it lies outside.

    In a volume the shape is meant in its own slice.
    """
    from skimage.draw import polygon2mask

    corners = drawn_corners(shapes, labels)
    outer = tuple((int(i), int(i) + 1) for i in np.round(corners[0, :-2]))
    height, width = labels.data.shape[-2:]
    inside = polygon2mask((height, width), corners[:, -2:])  # type: ignore[no-untyped-call]  # scikit-image has no types
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size or any(i < 0 or i >= n for (i, _), n in zip(outer, labels.data.shape, strict=False)):
        return None
    (y0, y1), (x0, x1) = (rows[0], rows[-1] + 1), (columns[0], columns[-1] + 1)
    mask = np.asarray(inside[y0:y1, x0:x1])
    box = (*outer, (int(y0), int(y1)), (int(x0), int(x1)))
    return box, mask.reshape((1,) * len(outer) + mask.shape)


def drawn_corners(shapes: Shapes, labels: Labels) -> npt.NDArray[np.float64]:
    """Corners of the shape drawn last, (n, axes) in pixels of the labels; many of them for an ellipse."""
    corners = np.array([labels.world_to_data(shapes.data_to_world(point)) for point in shapes.data[-1]])
    if shapes.shape_type[-1] == "ellipse":
        corners = ellipse_outline(corners)
    return np.asarray(corners[:, -labels.ndim :])


def view_region(viewer: napari.Viewer, labels: Labels) -> Box:
    """The part of the labels that the canvas shows; in a volume the slice that is shown.

    Raises
    ------
    DatasetError
        The view is in 3-D, or shows nothing of the labels.
    """
    if viewer.dims.ndisplay != 2:
        raise DatasetError("A region can be marked complete in the 2-D view alone: switch to it.")
    # The finest level's pixels between the corners that napari keeps for the layer.
    low, high = labels.corner_pixels
    box = tuple((max(int(a), 0), min(int(b) + 1, n)) for a, b, n in zip(low, high, labels.data.shape, strict=True))
    for axis in viewer.dims.not_displayed:
        place = int(np.clip(round(labels.world_to_data(viewer.dims.point)[axis]), 0, labels.data.shape[axis] - 1))
        box = (*box[:axis], (place, place + 1), *box[axis + 1 :])
    if any(start >= stop for start, stop in box):
        raise DatasetError("The view shows nothing of the image: move back to it.")
    return box


def ellipse_outline(corners: npt.NDArray[np.float64], points: int = 72) -> npt.NDArray[np.float64]:
    """Points on the ellipse inside a (possibly turned) rectangle of four corners."""
    center = corners.mean(axis=0)
    a, b = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)[:, np.newaxis]
    return np.asarray(center + np.cos(angle) * a + np.sin(angle) * b)
