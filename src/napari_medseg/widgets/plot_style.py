"""How plots look: the theme's own ground and ink, nothing that moves by accident."""

from __future__ import annotations

from typing import Any

from qtpy.QtGui import QPalette


def calm(plot: Any) -> None:
    """Take the menu, the button and dragging from a pyqtgraph plot, and scaled units, which would be misread."""
    plot.hideButtons()
    plot.setMenuEnabled(False)
    plot.setMouseEnabled(x=False, y=False)
    for side in ("left", "bottom"):
        plot.getAxis(side).enableAutoSIPrefix(False)


def follow_palette(plot: Any, palette: QPalette) -> None:
    """Draw a pyqtgraph plot widget in the colours of a theme."""
    ground, ink = palette.color(QPalette.ColorRole.Window), palette.color(QPalette.ColorRole.WindowText)
    plot.setBackground(ground)
    for side in ("left", "bottom"):
        plot.getAxis(side).setPen(ink)
        plot.getAxis(side).setTextPen(ink)
