"""The other two planes of a volume beside the one that is drawn in, linked by a crosshair.

The pictures are drawn by Qt from the layers' own arrays, not by further canvases of napari: each of those would need an
OpenGL context, copies of all layers, and napari's private parts.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from functools import partial
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from qtpy.QtCore import QTimer
from qtpy.QtGui import QHideEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import QBoxLayout, QWidget

from napari_medseg.widgets._layers import true_space
from napari_medseg.widgets.crosshair import Crosshair
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.planes import Plane, planes_of
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.slice_view import SliceView, grey, overlaid
from napari_medseg.widgets.volume_pixels import pixels_of
from napari_medseg.widgets.window import follow, real_viewer

#: Name of the dock.
NAME = "Planes"
#: Milliseconds in which further changes are drawn together.
_TOGETHER = 15
#: Screen pixels that the mouse may move in a click.
_SLACK = 4.0


class OrthoViews(QWidget):
    """Two views, across the planes that napari's canvas does not show; all three while it shows the volume in 3-D.

    Parameters
    ----------
    napari_viewer
        Its slice and crosshair (`Viewer.dims`) are followed and moved.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        viewer = real_viewer(napari_viewer)
        self._session: Session = session_of(viewer)
        self._image: Image | None = None
        self._labels: Labels | None = None
        self._job: ThreadJob | None = None
        self.views = [SliceView() for _ in range(3)]
        self._planes = planes_of(None)
        self._layout = layout = QBoxLayout(QBoxLayout.Direction.LeftToRight, self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        for axis, view in enumerate(self.views):
            layout.addWidget(view)
            view.pointed.connect(partial(self._point_at, axis))
            view.scrolled.connect(partial(self._scroll, axis))
            view.chosen.connect(partial(self._draw_in, axis))
        self._draw_soon = QTimer(self)
        self._draw_soon.setSingleShot(True)
        self._draw_soon.setInterval(_TOGETHER)
        self._draw_soon.timeout.connect(self._draw)
        events = (
            *(viewer.layers.events.inserted, viewer.layers.events.removed, viewer.layers.selection.events.active),
            *(viewer.dims.events.order, viewer.dims.events.ndisplay),
        )
        for emitter in events:
            follow(self, emitter, self._find)
        follow(self, viewer.dims.events.point, self._soon)
        self._follow_clicks(viewer)
        self.crosshair = Crosshair(viewer, lambda: self._image is not None and self.isVisible())
        self.destroyed.connect(self.crosshair.deleteLater)
        self._find()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        """Lay the views side by side or below each other, as there is room (Qt's hook)."""
        super().resizeEvent(event)
        directions = QBoxLayout.Direction
        wide = self.width() > self.height()
        self._layout.setDirection(directions.LeftToRight if wide else directions.TopToBottom)

    def showEvent(self, event: QShowEvent | None) -> None:
        """The crosshair over napari's canvas comes with the views (Qt's hook)."""
        super().showEvent(event)
        self.crosshair.update()

    def hideEvent(self, event: QHideEvent | None) -> None:
        """It goes with them, too (Qt's hook)."""
        super().hideEvent(event)
        self.crosshair.update()

    def _follow_clicks(self, viewer: napari.Viewer) -> None:
        callbacks, leave = viewer.mouse_drag_callbacks, self._leave
        # napari keeps callbacks for ever: a closed dock would never go.
        views = weakref.ref(self)

        def on_drag(viewer: Any, event: Any) -> Iterator[None]:
            here = views()
            return iter(()) if here is None else here._on_drag(viewer, event)

        callbacks.append(on_drag)
        self.destroyed.connect(lambda: callbacks.remove(on_drag))
        # Not the method itself: Qt calls no methods of what it is destroying.
        self.destroyed.connect(lambda: leave())

    # What is shown

    def _find(self, *_: object) -> None:
        """Follow the volume that is meant now: that of the case, else the uppermost one."""
        image = self._wanted_image()
        if image is not self._image:
            self._leave()
            self._image = image
            if image is not None:
                self._planes = planes_of(image.metadata.get("medseg", {}).get("affine"))
                image.events.contrast_limits.connect(self._soon)
                self._decode(image)
        self._find_labels()
        self._arrange()
        self.crosshair.update()
        self._soon()

    def _wanted_image(self) -> Image | None:
        viewer = self._session.viewer
        opened = self._session.open
        candidates = [*(opened.image_layers if opened is not None else ()), *reversed(viewer.layers)]
        for layer in candidates:
            if isinstance(layer, Image) and layer in viewer.layers and _is_volume(layer):
                return layer
        return None

    def _find_labels(self) -> None:
        labels = self._session.labels
        image = self._image
        if image is not None and labels is None:
            shape = pixels_of(image).shape
            same = [x for x in self._session.viewer.layers if isinstance(x, Labels) and x.data.shape == shape]
            labels = same[-1] if same else None
        if labels is not self._labels:
            self._leave_labels()
            self._labels = labels
            for emitter in self._emitters_of_labels():
                emitter.connect(self._soon)

    def _emitters_of_labels(self) -> Iterator[Any]:
        if self._labels is not None:
            events = self._labels.events
            yield from (events.set_data, events.labels_update, events.colormap, events.opacity, events.visible)

    def _leave(self) -> None:
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self._image is not None:
            self._image.events.contrast_limits.disconnect(self._soon)
            self._image = None
        self._leave_labels()

    def _leave_labels(self) -> None:
        for emitter in self._emitters_of_labels():
            emitter.disconnect(self._soon)
        self._labels = None

    def _decode(self, image: Image) -> None:
        """Read all slices in a thread; the views wait for them."""
        pixels = pixels_of(image)
        if pixels.is_whole:
            return
        for view in self.views:
            view.clear()
        self._job = ThreadJob(pixels.whole)
        self._job.result.connect(self._soon)
        self._job.end_with(self)
        self._job.start()

    def _arrange(self) -> None:
        """Show the planes that napari's canvas does not show."""
        main = self._main_axis()
        for axis, view in enumerate(self.views):
            view.setVisible(self._image is not None and axis != main)

    def _main_axis(self) -> int | None:
        dims = self._session.viewer.dims
        if self._image is None or dims.ndisplay != 2:
            return None
        before = dims.ndim - 3
        across: int = next(a - before for a in dims.order if a >= before)
        return across

    def _soon(self, *_: object) -> None:
        self._draw_soon.start()

    def _draw(self) -> None:
        if self._image is None or not self.isVisible() or not pixels_of(self._image).is_whole:
            return
        volume, point = pixels_of(self._image).whole(), self._point()
        spacing = self._spacing()
        for plane, view in zip(self._planes, self.views, strict=True):
            if not view.isHidden():
                index = round(point[plane.across])
                picture = self._picture(plane, volume, index)
                size = tuple(volume.shape[a] * spacing[a] for a in (plane.rows, plane.columns))
                view.name = f"{plane.name}  {index + 1} / {volume.shape[plane.across]}"
                view.show_picture(picture, (size[0], size[1]))
                view.show_place(*plane.place_of(point, volume.shape))

    def _picture(self, plane: Plane, volume: npt.NDArray[Any], index: int) -> npt.NDArray[np.uint8]:
        assert self._image is not None
        low, high = self._image.contrast_limits
        slab = plane.picture(volume.take(index, plane.across))
        labels = None
        if self._labels is not None and self._labels.visible and self._labels.data.shape == volume.shape:
            labels = plane.picture(np.asarray(self._labels.data).take(index, plane.across))
        return overlaid(grey(slab, (float(low), float(high))), labels, self._colors())

    def _colors(self) -> npt.NDArray[np.float32]:
        """Colour and opacity of each value, float32 (256, 4)."""
        if self._labels is None:
            return np.zeros((256, 4), np.float32)
        colors = np.asarray(self._labels.colormap.map(np.arange(256, dtype=np.uint8)), np.float32).reshape(256, 4)
        colors[:, 3] *= self._labels.opacity
        return colors

    def _spacing(self) -> tuple[float, ...]:
        assert self._image is not None
        known = true_space(self._image)
        return tuple(float(s) for s in (known[0] if known is not None else self._image.scale))

    # Where one is

    def _point(self) -> tuple[float, float, float]:
        """The voxel (z, y, x) under the crosshair."""
        assert self._image is not None
        shape = pixels_of(self._image).shape
        place = self._image.world_to_data(self._session.viewer.dims.point[-3:])
        z, y, x = (float(np.clip(p, 0, n - 1)) for p, n in zip(place, shape, strict=True))
        return z, y, x

    def go_to(self, voxel: tuple[float, float, float]) -> None:
        """Move the crosshair, and with it the slice in napari's canvas, to a voxel (z, y, x)."""
        if self._image is None:
            return
        dims = self._session.viewer.dims
        world = self._image.data_to_world([round(v) for v in voxel])
        dims.set_point(range(dims.ndim - 3, dims.ndim), [float(w) for w in world])

    def _point_at(self, axis: int, row: float, column: float) -> None:
        if self._image is not None:
            self.go_to(self._planes[axis].voxel_at((row, column), self._point(), pixels_of(self._image).shape))

    def _scroll(self, axis: int, steps: int) -> None:
        if self._image is not None:
            voxel = list(self._point())
            voxel[axis] = float(np.clip(voxel[axis] + steps, 0, pixels_of(self._image).shape[axis] - 1))
            self.go_to((voxel[0], voxel[1], voxel[2]))

    def _draw_in(self, axis: int) -> None:
        """Show a plane in napari's canvas."""
        if self._image is not None:
            viewer, plane = self._session.viewer, self._planes[axis]
            before = viewer.dims.ndim - 3
            viewer.dims.order = (*range(before), *(before + a for a in (axis, plane.rows, plane.columns)))
            viewer.scene.camera.orientation2d = (
                "up" if plane.flip_rows else "down",
                "left" if plane.flip_columns else "right",
            )
            viewer.reset_view()

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """The crosshair follows a click, or the end of a stroke, in napari's canvas; it stays while one pans."""
        start = np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            yield
        moved = float(np.hypot(*(np.asarray(event.pos) - start))) > _SLACK
        pans = getattr(viewer.layers.selection.active, "mode", "pan_zoom") == "pan_zoom"
        if self._image is None or viewer.dims.ndisplay != 2 or (moved and pans):
            return
        place = self._image.world_to_data(event.position[-3:])
        shape = pixels_of(self._image).shape
        if all(-0.5 <= p <= n - 0.5 for p, n in zip(place, shape, strict=True)):
            self.go_to((float(place[0]), float(place[1]), float(place[2])))


def toggle_planes(viewer: napari.Viewer) -> None:
    """Open the other two planes below the canvas, or close them."""
    window = viewer.window
    opened = window.dock_widgets.get(NAME)
    if opened is not None:
        window.remove_dock_widget(opened)
        opened.deleteLater()
    else:
        window.add_dock_widget(OrthoViews(viewer), name=NAME, area="bottom")


def _is_volume(layer: Image) -> bool:
    """Whether a layer is a volume that was opened, not one that was computed over it."""
    return layer.ndim == 3 and not layer.rgb and not {"prediction", "measured"} & layer.metadata.keys()
