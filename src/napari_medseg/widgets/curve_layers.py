"""Curves over the B-scan that is shown: one layer of lines for all surfaces, one of anchors for the chosen one.

Both are flat, so that napari shows them over whichever B-scan the slider is at; they are filled anew for each. Their
arrays are changed in place and drawn with one refresh, which takes a tenth of setting the layers' properties one after
the other (each makes napari look for the viewer's extent and draw thumbnails).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Points, Vectors

from napari_medseg.annotation.curve import Curve
from napari_medseg.annotation.surfaces import Rows
from napari_medseg.widgets.window import main_window

#: Width of a line and size of an anchor on the screen, in pixels.
LINE_WIDTH, ANCHOR_SIZE = 1.6, 9.0
#: Colour of a surface with the background below it, told from all classes.
CLEAR = "#ffffff"
_FAINT = 0.65
#: Room in the layer of anchors; more are not shown (a curve has a dozen).
_MOST_ANCHORS = 256
#: A segment that is not drawn: of no visible length, since a length of zero has no direction.
_NOTHING = np.array([[[0.0, 0.0], [0.0, 1e-6]]])


class CurveLayers:
    """The two layers of a case's curves.

    Parameters
    ----------
    viewer
        Where they are added, above all other layers.
    labels
        The labels of the case: the curves lie on their pixels.
    name
        Of the case, for the layers' names.
    colors
        ``#rrggbb`` of each surface, from top to bottom.
    """

    def __init__(self, viewer: napari.Viewer, labels: Labels, name: str, colors: Sequence[str]) -> None:
        self._viewer = viewer
        self._colors = [_rgb(color) for color in colors]
        place = {
            "scale": labels.scale[-2:],
            "translate": labels.translate[-2:],
            "units": labels.units[-2:],
            "axis_labels": labels.axis_labels[-2:],
        }
        # napari counts the size of points in pixels of the screen, of which a scaled screen has more.
        size = ANCHOR_SIZE * main_window(viewer).devicePixelRatioF()
        segments = len(colors) * (labels.data.shape[-1] - 1)
        self.lines: Vectors = viewer.add_vectors(
            np.tile(_NOTHING, (segments, 1, 1)),
            name=f"{name} · curves",
            edge_color=np.ones((segments, 4)),
            vector_style="line",
            opacity=1.0,
            **place,
        )
        self.anchors: Points = viewer.add_points(
            np.zeros((_MOST_ANCHORS, 2)),
            name=f"{name} · anchors",
            size=np.full(_MOST_ANCHORS, ANCHOR_SIZE),
            face_color=np.zeros((_MOST_ANCHORS, 4)),
            border_color=np.zeros((_MOST_ANCHORS, 4)),
            canvas_size_limits=(size, 1.5 * size),
            border_width=0.2,
            **place,
        )
        # napari would mark the point under the pointer, unused ones too.
        self.anchors._set_highlight = lambda force=False: None
        viewer.scene.camera.events.zoom.connect(self._follow_zoom)
        self._follow_zoom()

    @property
    def all(self) -> tuple[Vectors, Points]:
        """Both layers."""
        return self.lines, self.anchors

    def show(self, rows: Rows, *, chosen: int, hidden: Collection[int]) -> None:
        """Draw curves (surfaces, x); the chosen one is clearer than the others."""
        seen = rows.copy()
        seen[list(hidden)] = np.nan
        self.lines.data[:] = _segments(seen)
        alpha = [1.0 if index == chosen else _FAINT for index in range(len(self._colors))]
        colors = np.array([(*rgb, a) for rgb, a in zip(self._colors, alpha, strict=True)])
        self.lines.edge_color[:] = np.repeat(colors, rows.shape[1] - 1, axis=0)
        self.lines.refresh(extent=False, thumbnail=False, highlight=False)

    def show_anchors(self, curve: Curve, surface: int, grabbed: int | None) -> None:
        """Draw the anchors of a curve: filled where a person set them, hollow where they were derived."""
        columns = curve.columns[:_MOST_ANCHORS]
        layer, own = self.anchors, (*self._colors[surface], 1.0)
        # napari draws points of a flat layer also where `shown` is false.
        layer.face_color[len(columns) :] = layer.border_color[len(columns) :] = 0.0
        for place, x in enumerate(columns):
            pinned = x in curve.pinned
            layer.data[place] = curve.anchors[x], x
            layer.face_color[place] = own if pinned else (0.0, 0.0, 0.0, 0.5)
            layer.border_color[place] = (1.0, 1.0, 1.0, 1.0) if pinned or x == grabbed else own
            layer.size[place] = ANCHOR_SIZE * (1.5 if x == grabbed else 1.0)
        layer.refresh(extent=False, thumbnail=False, highlight=False)

    def set_visible(self, on: bool) -> None:
        """Show or hide both layers."""
        for layer in self.all:
            if layer.visible != on:
                layer.visible = on

    def recolor(self, colors: Sequence[str]) -> None:
        """Take other colours; `show` draws them."""
        self._colors = [_rgb(color) for color in colors]

    def stop(self) -> None:
        """Follow the camera no longer."""
        self._viewer.scene.camera.events.zoom.disconnect(self._follow_zoom)

    def pixel_size(self) -> npt.NDArray[np.float64]:
        """Pixels of the screen per row and per column of the picture."""
        size: npt.NDArray[np.float64] = np.abs(np.asarray(self.lines.scale)) * float(self._viewer.scene.camera.zoom)
        return size

    def _follow_zoom(self) -> None:
        """Keep lines as thin on the screen however far one zooms in."""
        self.lines.edge_width = float(np.clip(LINE_WIDTH / max(self.pixel_size()[0], 1e-6), 0.05, 50.0))


def _segments(rows: Rows) -> npt.NDArray[np.float64]:
    """Vectors (n, 2, 2) from column to column; always as many."""
    surfaces, width = rows.shape
    vectors = np.empty((surfaces, width - 1, 2, 2))
    vectors[..., 0, 0], vectors[..., 0, 1] = rows[:, :-1], np.arange(width - 1)
    vectors[..., 1, 0], vectors[..., 1, 1] = np.diff(rows, axis=1), 1.0
    missing = np.isnan(vectors[..., 0, 0] + vectors[..., 1, 0])
    vectors[missing] = _NOTHING
    return vectors.reshape(-1, 2, 2)


def _rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue
