"""Thickness along one B-scan. pyqtgraph is imported with the first curve, so that opening the panel stays quick."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_medseg.widgets.plot_style import calm, follow_palette

_HEIGHT = 130
_AXIS_WIDTH = 46


class ThicknessProfile(QWidget):
    """One curve over the columns of a B-scan; gaps where nothing is known."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._plot: Any = None
        self._line: Any = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.setFixedHeight(_HEIGHT)

    def show_values(
        self, values: npt.NDArray[np.float32], *, title: str, unit: str, color: str, highest: float
    ) -> None:
        """Draw thickness per column, on an axis from 0 to `highest` so that B-scans can be compared."""
        import pyqtgraph

        if self._plot is None:
            self._make_plot()
        self._plot.setTitle(title, size="9pt")
        self._plot.setLabel("left", unit)
        self._plot.setXRange(0, max(len(values) - 1, 1), padding=0.01)
        self._plot.setYRange(0, highest if np.isfinite(highest) and highest > 0 else 1.0, padding=0.03)
        self._line.setPen(pyqtgraph.mkPen(color, width=2))
        self._line.setData(np.arange(len(values)), values.astype(np.float64), connect="finite")

    @property
    def values(self) -> list[float]:
        """What is drawn."""
        drawn = None if self._line is None else self._line.getData()[1]
        return [] if drawn is None else [float(value) for value in drawn]

    def _make_plot(self) -> None:
        import pyqtgraph

        self._plot = pyqtgraph.PlotWidget()
        calm(self._plot)
        self._plot.setLabel("bottom", "column")
        self._plot.getAxis("left").setWidth(_AXIS_WIDTH)
        self._line = self._plot.plot()
        follow_palette(self._plot, self.palette())
        layout = self.layout()
        assert layout is not None
        layout.addWidget(self._plot)

    def changeEvent(self, event: QEvent | None) -> None:
        """Follow a change of theme (Qt's hook)."""
        super().changeEvent(event)
        changes = (QEvent.Type.StyleChange, QEvent.Type.PaletteChange)
        if self._plot is not None and event is not None and event.type() in changes:
            follow_palette(self._plot, self.palette())
