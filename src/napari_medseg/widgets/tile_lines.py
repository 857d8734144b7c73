"""The lines between the tiles of a slide, shown while tiles are tagged."""

from __future__ import annotations

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Layer, Vectors
from qtpy.QtCore import QTimer

from napari_medseg.data.tile_grid import TileGrid
from napari_medseg.widgets._layers import flat_kwargs

#: Pixels on the screen of a line, and the least that lie between two lines that are shown.
_LINE, _LEAST_GAP = 1.0, 5.0
#: Milliseconds after a change of the zoom.
_ZOOM_WAIT = 120
_COLOR = "#606060"


class TileLines:
    """A layer of lines that stay thin at any zoom, and go where they would cover everything.

    Parameters
    ----------
    viewer, beside
        Where the layer is added, and the slide's image layer.
    grid
        The tiles.
    name
        Of the layer.
    """

    def __init__(self, viewer: napari.Viewer, beside: Layer, grid: TileGrid, name: str) -> None:
        self._camera = viewer.scene.camera
        self._grid = grid
        self._wanted = False
        place = flat_kwargs(beside)
        # Boxes count from the corner of the first pixel, napari from its middle.
        place["translate"] = np.asarray(place["translate"]) - 0.5 * np.asarray(place["scale"])
        self.layer: Vectors = viewer.add_vectors(
            _lines(grid),
            name=name,
            vector_style="line",
            edge_color=_COLOR,
            opacity=0.6,
            visible=False,
            metadata={"slide_contours": True},
            **place,
        )
        self._wait = QTimer()
        self._wait.setSingleShot(True)
        self._wait.setInterval(_ZOOM_WAIT)
        self._wait.timeout.connect(self._follow)
        self._camera.events.zoom.connect(self._on_zoom)

    def show(self, on: bool) -> None:
        """Show the lines where there is room for them, or not at all."""
        self._wanted = on
        self._follow()

    def stop(self) -> None:
        """Follow the zoom no longer."""
        self._wait.stop()
        self._camera.events.zoom.disconnect(self._on_zoom)

    def _on_zoom(self) -> None:
        if self._wanted:
            self._wait.start()

    def _follow(self) -> None:
        on_screen = self._camera.zoom * float(self.layer.scale[-1])
        self.layer.visible = self._wanted and self._grid.side * on_screen >= _LEAST_GAP
        if self.layer.visible:
            self.layer.edge_width = _LINE / on_screen


def _lines(grid: TileGrid) -> npt.NDArray[np.float64]:
    """Vectors (n, 2, 2): beginnings and directions of all lines, in pixels of the finest level."""
    height, width = grid.shape
    rows, columns = (np.minimum(np.arange(n + 1) * grid.side, m) for n, m in zip(grid.size, grid.shape, strict=True))
    lines = np.zeros((len(rows) + len(columns), 2, 2))
    lines[: len(rows), 0, 0], lines[: len(rows), 1, 1] = rows, width
    lines[len(rows) :, 0, 1], lines[len(rows) :, 1, 0] = columns, height
    return lines
