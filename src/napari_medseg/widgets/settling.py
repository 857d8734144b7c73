"""Know when a person has finished changing shapes: nothing changed for a moment, and no button is held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from napari.layers import Shapes
from qtpy.QtCore import QObject, QTimer, Signal

#: Milliseconds after the last change until it counts.
_SETTLED = 150


class Settling(QObject):
    """Watches one Shapes layer at a time."""

    #: Shapes were changed, and the mouse was let go.
    settled = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._layer: Shapes | None = None
        self._is_held = False
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_SETTLED)
        self._timer.timeout.connect(self._tell)

    @property
    def is_waiting(self) -> bool:
        """Whether something changed that was not told yet."""
        return self._timer.isActive()

    def watch(self, layer: Shapes | None) -> None:
        """Watch this layer from now on, in place of another; None watches none."""
        self._timer.stop()
        self._is_held = False
        if self._layer is not None:
            self._layer.events.data.disconnect(self._on_data)
            self._layer.mouse_drag_callbacks.remove(self._while_held)
        self._layer = layer
        if layer is not None:
            layer.events.data.connect(self._on_data)
            layer.mouse_drag_callbacks.append(self._while_held)

    def _on_data(self) -> None:
        self._timer.start()

    def _while_held(self, layer: Shapes, event: Any) -> Iterator[None]:
        """Know when a button of the mouse is held over the layer (napari's hook)."""
        self._is_held = True
        yield
        while event.type == "mouse_move":
            yield
        self._is_held = False

    def _tell(self) -> None:
        if self._is_held:
            self._timer.start()
        else:
            self.settled.emit()
