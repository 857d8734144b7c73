"""The thickness map of a volume seen from above, with the ETDRS grid and a fovea that can be dragged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.measure.etdrs import DIAMETERS, Field, Frame
from napari_medseg.widgets.plot_style import calm, follow_palette

_HEIGHT = 280
COLORMAP = "viridis"
_GRID = "#ffffff"
_DOUBTFUL = "#8c8c8c"
_BSCAN = "#ff4f8b"
#: Distance of a field's number from the fovea in mm, by ring.
_PLACES = (0.0, 1.0, 2.25)
#: Directions (down, right) of the four fields of a ring, in their order.
_QUADRANTS = ((-1.0, 0.0), (0.0, 1.0), (1.0, 0.0), (0.0, -1.0))


class ThicknessMapView(QWidget):
    """A picture in millimetres of the scan: columns to the right, B-scans up or down as they lie in the eye."""

    #: The fovea was dragged: (bscan, column).
    fovea_moved = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot: Any = None
        self._items: list[Any] = []
        self._frame: Frame | None = None
        #: Text on each field, by its name; with whether it is grey.
        self.shown_fields: dict[str, tuple[str, bool]] = {}
        self.setFixedHeight(_HEIGHT)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)

    def show_map(
        self, values: npt.NDArray[np.float32], frame: Frame, *, limits: tuple[float, float], unit: str
    ) -> None:
        """Draw a map (bscan, x); what is not known is see-through."""
        import pyqtgraph

        if self._plot is None:
            self._make_plot()
        self._frame = frame
        height, width = values.shape[0] * frame.between, values.shape[1] * frame.lateral
        self._picture.setImage(values.T.astype(np.float32), levels=limits)
        self._picture.setRect(-frame.lateral / 2, -frame.between / 2, width, height)
        self._bar.setLevels(limits)
        self._bar.setLabel("right", unit)
        # The fundus picture's directions: superior is up.
        self._plot.getViewBox().invertY(frame.across[0] >= 0)
        self._plot.getViewBox().invertX(frame.along[1] < 0)
        self._plot.setRange(pyqtgraph.QtCore.QRectF(0, 0, width, height), padding=0.04)

    def show_grid(self, fovea: tuple[float, float] | None, fields: Sequence[Field]) -> None:
        """Draw circles, lines and the nine means; None: no grid."""
        import pyqtgraph

        if self._plot is None or self._frame is None:
            return
        for item in self._items:
            self._plot.removeItem(item)
        self._items, self.shown_fields = [], {}
        self._target.setVisible(fovea is not None)
        if fovea is None:
            return
        centre = (fovea[0] * self._frame.between, fovea[1] * self._frame.lateral)
        self._target.blockSignals(True)
        self._target.setPos(centre[1], centre[0])
        self._target.blockSignals(False)
        pen = pyqtgraph.mkPen(_GRID, width=1)
        for x, y in _grid_lines(self._frame):
            self._items.append(pyqtgraph.PlotCurveItem(centre[1] + x, centre[0] + y, pen=pen))
        for index, field in enumerate(fields[:9]):
            self._items.append(self._text(field, index, centre))
        for item in self._items:
            self._plot.addItem(item)

    def show_bscan(self, bscan: int) -> None:
        """Mark the B-scan that is on screen."""
        if self._plot is not None and self._frame is not None:
            self._line.setPos(bscan * self._frame.between)

    def _text(self, field: Field, index: int, centre: tuple[float, float]) -> Any:
        import pyqtgraph

        assert self._frame is not None
        text = f"{field.mean:.0f}" if np.isfinite(field.mean) else "-"
        self.shown_fields[field.name] = (text, field.is_doubtful)
        item = pyqtgraph.TextItem(
            text, color=_DOUBTFUL if field.is_doubtful else _GRID, anchor=(0.5, 0.5), fill=(0, 0, 0, 120)
        )
        down, right = (0.0, 0.0) if index == 0 else _QUADRANTS[(index - 1) % 4]
        distance = _PLACES[field.ring]
        along = down * self._frame.along[0] + right * self._frame.along[1]
        across = down * self._frame.across[0] + right * self._frame.across[1]
        # The number of the centre stands a little off the fovea's mark.
        item.setPos(centre[1] + distance * along, centre[0] + distance * across + (0.28 if index == 0 else 0.0))
        return item

    def _make_plot(self) -> None:
        import pyqtgraph

        self._plot = pyqtgraph.PlotWidget()
        calm(self._plot)
        self._plot.setAspectLocked(True)
        self._plot.setLabel("bottom", "mm along the B-scan")
        self._plot.setLabel("left", "mm across")
        self._picture = pyqtgraph.ImageItem()
        self._plot.addItem(self._picture)
        colors = pyqtgraph.colormap.get(COLORMAP)
        self._bar = pyqtgraph.ColorBarItem(values=(0, 1), colorMap=colors, interactive=False, width=12)
        self._bar.setImageItem(self._picture, insert_in=self._plot.getPlotItem())
        self._line = pyqtgraph.InfiniteLine(angle=0, pen=pyqtgraph.mkPen(_BSCAN, width=1))
        self._plot.addItem(self._line)
        self._target = pyqtgraph.TargetItem(pos=(0, 0), size=12, pen=pyqtgraph.mkPen(_BSCAN, width=2), movable=True)
        self._target.sigPositionChangeFinished.connect(self._on_dragged)
        self._target.setZValue(10)
        self._plot.addItem(self._target)
        follow_palette(self._plot, self.palette())
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._plot)

    def _on_dragged(self) -> None:
        if self._frame is not None:
            place = self._target.pos()
            self.fovea_moved.emit(place.y() / self._frame.between, place.x() / self._frame.lateral)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow a change of theme (Qt's hook)."""
        super().changeEvent(event)
        changes = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
        if self._plot is not None and event is not None and event.type() in changes:
            follow_palette(self._plot, self.palette())


def _grid_lines(frame: Frame) -> list[tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Circles, and the diagonals from the inner to the outer one, as (along, across) in mm from the fovea."""
    angle = np.linspace(0, 2 * np.pi, 121)
    lines = [(d / 2 * np.cos(angle), d / 2 * np.sin(angle)) for d in DIAMETERS]
    reach = np.array([DIAMETERS[0] / 2, DIAMETERS[-1] / 2]) * np.sqrt(0.5)
    for down, right in ((-reach, -reach), (-reach, reach), (reach, -reach), (reach, reach)):
        lines.append((down * frame.along[0] + right * frame.along[1], down * frame.across[0] + right * frame.across[1]))
    return lines
