"""Loss and score of a stage, epoch by epoch.

pyqtgraph is imported with the first point, so that opening a panel stays quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QEvent
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

#: Safe for colour-blind eyes, visible on dark and on light (Okabe and Ito's blue and orange, a little darker).
TRAINING_COLOR, VALIDATION_COLOR = "#3b82c4", "#d07a1e"
PLOT_HEIGHT = 120

#: Epochs and values of one curve.
Points = tuple[list[float], list[float]]


@dataclass(slots=True)
class StageCurves:
    """What is drawn of one stage."""

    train_loss: Points = field(default_factory=lambda: ([], []))
    validation_loss: Points = field(default_factory=lambda: ([], []))
    score: Points = field(default_factory=lambda: ([], []))

    def add(self, epoch: float, **values: float | None) -> None:
        """Add an epoch; a value that is not known leaves a curve as it is."""
        for name, value in values.items():
            if value is not None:
                epochs, numbers = getattr(self, name)
                epochs.append(epoch)
                numbers.append(value)


class Curves(QWidget):
    """Two plots, loss above score, for the stage that is shown.

    Stages that compete have their scores in one plot, each in its colour; that of the shown one is the thickest.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._stages: dict[str, StageCurves] = {}
        self._shown = ""
        self._plots: list[Any] = []
        self._lines: dict[str, Any] = {}
        self._colors: dict[str, str] = {}
        self._rivals: dict[str, Any] = {}
        self._score_name = "score"
        self._legend = QLabel(
            f'<span style="color:{TRAINING_COLOR}">━</span> training &nbsp; '
            f'<span style="color:{VALIDATION_COLOR}">━</span> validation'
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(2)
        layout.addWidget(self._legend)
        self.setVisible(False)

    @property
    def shown(self) -> str:
        """Name of the stage that is drawn."""
        return self._shown

    def clear(self) -> None:
        """Forget all stages."""
        self._stages.clear()
        self._colors.clear()
        for line in self._rivals.values():
            self._plots[1].removeItem(line)
        self._rivals.clear()
        self._shown = ""
        self.setVisible(False)

    def compare(self, stage: str, color: str) -> None:
        """Draw the scores of a stage together with those of its rivals."""
        self._colors[stage] = color

    def name_scores(self, name: str) -> None:
        """Say what the score is, e.g. ``"Dice"``."""
        self._score_name = name
        if self._plots:
            self._plots[1].setLabel("left", name)

    def show_stage(self, name: str) -> None:
        """Draw another stage."""
        self._shown = name
        self._draw()

    def add_epoch(
        self,
        stage: str,
        epoch: int,
        *,
        train_loss: float | None,
        validation_loss: float | None,
        score: float | None,
    ) -> None:
        """Add the figures of one epoch; None where not known."""
        curves = self._stages.setdefault(stage, StageCurves())
        curves.add(epoch, train_loss=train_loss, validation_loss=validation_loss, score=score)
        if stage == self._shown or stage in self._rivals or (stage in self._colors and self._shown in self._colors):
            self._draw()

    def points(self, name: str) -> Points:
        """What is drawn of a curve (``train_loss``, ``validation_loss``, ``score``, or a competing stage's name)."""
        line = self._lines.get(name) or self._rivals[name]
        epochs, values = line.getData()
        return ([], []) if epochs is None else (list(epochs), list(values))

    def _draw(self) -> None:
        curves = self._stages.get(self._shown)
        self.setVisible(curves is not None)
        if curves is None:
            return
        if not self._plots:
            self._make_plots()
        for name, line in self._lines.items():
            line.setData(*getattr(curves, name))
        competes = self._shown in self._colors
        self._lines["score"].setVisible(not competes)
        for stage, color in self._colors.items():
            self._draw_rival(stage, color, visible=competes)

    def _draw_rival(self, stage: str, color: str, *, visible: bool) -> None:
        """The scores of a stage that competes with others."""
        import pyqtgraph

        curves = self._stages.get(stage)
        if curves is None:
            return
        if stage not in self._rivals:
            self._rivals[stage] = _line(self._plots[1], color)
        line = self._rivals[stage]
        line.setData(*curves.score)
        line.setPen(pyqtgraph.mkPen(color, width=3 if stage == self._shown else 1))
        line.setVisible(visible)

    def _make_plots(self) -> None:
        import pyqtgraph

        layout = self.layout()
        assert layout is not None
        for title in ("loss", self._score_name):
            plot = pyqtgraph.PlotWidget(axisItems={"bottom": _epoch_axis()})
            plot.setFixedHeight(PLOT_HEIGHT)
            plot.setLabel("left", title)
            plot.hideButtons()
            plot.setMenuEnabled(False)
            plot.setMouseEnabled(x=False, y=False)
            for side in ("left", "bottom"):
                # Scaled units ("loss (x0.001)") would be read as another number.
                plot.getAxis(side).enableAutoSIPrefix(False)
            plot.getAxis("left").setWidth(52)
            layout.addWidget(plot)
            self._plots.append(plot)
        loss, score = self._plots
        loss.getAxis("bottom").setStyle(showValues=False)
        score.setLabel("bottom", "epoch")
        self._lines = {
            "train_loss": _line(loss, TRAINING_COLOR),
            "validation_loss": _line(loss, VALIDATION_COLOR),
            "score": _line(score, VALIDATION_COLOR),
        }
        self._follow_theme()

    def _follow_theme(self) -> None:
        palette = self.palette()
        ground, ink = palette.color(QPalette.ColorRole.Window), palette.color(QPalette.ColorRole.WindowText)
        for plot in self._plots:
            plot.setBackground(ground)
            for side in ("left", "bottom"):
                plot.getAxis(side).setPen(ink)
                plot.getAxis(side).setTextPen(ink)

    def changeEvent(self, event: QEvent | None) -> None:
        """Redraw in the colours of a theme that was changed (Qt's hook)."""
        super().changeEvent(event)
        if event is not None and event.type() in (QEvent.Type.StyleChange, QEvent.Type.PaletteChange):
            self._follow_theme()


def _epoch_axis() -> Any:
    """An axis that names whole epochs alone."""
    import pyqtgraph

    class EpochAxis(pyqtgraph.AxisItem):  # type: ignore[misc]  # pyqtgraph has no types
        def tickSpacing(self, minVal: float, maxVal: float, size: float) -> list[tuple[float, float]]:
            spacings = super().tickSpacing(minVal, maxVal, size)
            return [(step, offset) for step, offset in spacings if step >= 1 and step == int(step)] or [(1, 0)]

    return EpochAxis("bottom")


def _line(plot: Any, color: str) -> Any:
    import pyqtgraph

    # Symbols show single points, which a line alone does not.
    return plot.plot(pen=pyqtgraph.mkPen(color, width=2), symbol="o", symbolSize=4, symbolBrush=color, symbolPen=None)
