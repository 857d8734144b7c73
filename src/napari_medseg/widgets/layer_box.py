"""Lists of a viewer's layers that follow the viewer."""

from __future__ import annotations

from typing import Any

import napari
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_medseg.widgets.editors import CalmComboBox


class LayerBox(CalmComboBox):
    """Choose a layer; a newly chosen layer of the viewer's own list is chosen here too."""

    #: What stands here while there is nothing to choose.
    NOTHING = ""

    #: Layers came, went or were renamed, or another one was chosen.
    layer_changed = Signal()

    def __init__(self, viewer: napari.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        events = viewer.layers.events
        self._emitters = (events.inserted, events.removed, events.reordered, events.renamed)
        for emitter in self._emitters:
            emitter.connect(self._relist)
        viewer.layers.selection.events.active.connect(self._follow)
        self.currentIndexChanged.connect(lambda _: self.layer_changed.emit())
        self.destroyed.connect(self.disconnect_viewer)
        self.setPlaceholderText(self.NOTHING)
        self._relist()

    @property
    def chosen(self) -> Layer | None:
        """The chosen layer; None when there is none."""
        chosen = self.currentData()
        return chosen if chosen in self._viewer.layers else None

    def accepts(self, layer: Layer) -> bool:
        """Whether a layer can be chosen here."""
        raise NotImplementedError

    def disconnect_viewer(self) -> None:
        """Stop following; a viewer outlives a closed panel."""
        for emitter in self._emitters:
            emitter.disconnect(self._relist)
        self._viewer.layers.selection.events.active.disconnect(self._follow)

    def _relist(self, event: Any = None) -> None:
        chosen = self.currentData()
        layers = [layer for layer in reversed(self._viewer.layers) if self.accepts(layer)]
        self.blockSignals(True)
        self.clear()
        for layer in layers:
            self.addItem(layer.name, layer)
        self.setCurrentIndex(layers.index(chosen) if chosen in layers else 0)
        self.blockSignals(False)
        self.layer_changed.emit()

    def _follow(self, event: Any) -> None:
        """The person selected a layer in napari's list: mean that one."""
        index = self.findData(event.value) if event.value is not None and self.accepts(event.value) else -1
        if index >= 0:
            self.setCurrentIndex(index)


class ImageLayerBox(LayerBox):
    """Choose an image layer."""

    NOTHING = "No image is open"

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen layer; None when the viewer has no image."""
        chosen = self.chosen
        return chosen if isinstance(chosen, ImageLayer) else None

    def accepts(self, layer: Layer) -> bool:
        """Images, but not the probabilities that a prediction added, nor maps of what was measured."""
        return isinstance(layer, ImageLayer) and not {"prediction", "measured"} & layer.metadata.keys()


class LabelsLayerBox(LayerBox):
    """Choose a labels layer."""

    NOTHING = "No labels are open"

    @property
    def layer(self) -> Labels | None:
        """The chosen layer; None when the viewer has no labels."""
        chosen = self.chosen
        return chosen if isinstance(chosen, Labels) else None

    def accepts(self, layer: Layer) -> bool:
        """Labels of any origin."""
        return isinstance(layer, Labels)
