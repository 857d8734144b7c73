"""Set up the layers of an OCT data set: which structures, in which order, with which areas over them."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget

from napari_medseg.data.layers import with_layers
from napari_medseg.data.retina import STRUCTURES
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.layer_order import LayerOrder, is_layer
from napari_medseg.widgets.name_entry import NameEntry
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, row, words

#: Areas that are offered: they lie over the layers.
_AREAS = ("optic disc", "fluid")


class LayersSetup(QWidget):
    """A small form under its button, closed until it is asked for.

    Parameters
    ----------
    notice
        Where the panel tells what went wrong.
    """

    #: The description with layers, ready to be written.
    accepted = Signal(object)

    def __init__(self, notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self._info = DatasetInfo(name="")
        self.order = LayerOrder()
        self.new_layer = NameEntry("layer")
        self.new_layer.entered.connect(self.order.add_layer)
        self.areas = {name: QCheckBox(name) for name in _AREAS}
        self.use = button("Use these layers", self._use, name="use_layers", primary=True)
        cancel = button("Cancel", self.hide)
        title = heading("Layers of this data set")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(title, self.new_layer, stretch=self.new_layer))
        layout.addWidget(self.order)
        layout.addWidget(words("Areas that are painted over the layers:", faint=True))
        layout.addLayout(row(*self.areas.values(), QWidget()))
        layout.addLayout(row(cancel, self.use, stretch=self.use))
        self.hide()

    def open_for(self, info: DatasetInfo) -> None:
        """Show the classes of a data set, or the structures of the retina where it has no layers among them."""
        self._info = info
        names = [c.name for c in info.classes]
        self.order.set_names(names if any(map(is_layer, names)) else [*(n for n in STRUCTURES if is_layer(n)), *names])
        for name, box in self.areas.items():
            box.setChecked(name in names)
            box.setEnabled(name not in names)
        self.show()

    @shown_errors
    def _use(self) -> None:
        layers = self.order.layers()
        if not layers:
            raise DatasetError("No layer is checked: check those that you want to draw, from top to bottom.")
        areas = [name for name, box in self.areas.items() if box.isChecked()]
        self.accepted.emit(with_layers(self._info, layers, areas))
        self.hide()
