"""The part of a panel that chooses which intensities an image is shown between."""

from __future__ import annotations

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_medseg.widgets import windowing
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.number_edit import NumberEdit
from napari_medseg.widgets.parts import row
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.window import follow
from napari_medseg.widgets.windowing import Window

#: What stands in the list when level and width are no preset.
_OWN = "own window"


class WindowSection(QWidget):
    """Preset, level and width of the image on screen; hidden where there are no Hounsfield units.

    Parameters
    ----------
    session
        Of the viewer; its active image is meant, else the uppermost one.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._layer: ImageLayer | None = None
        self._is_showing = False
        self.preset = CalmComboBox()
        self.preset.setObjectName("window_preset")
        self.preset.setToolTip("Ctrl+1 … 6, and Ctrl+7 as the file says: which intensities are shown")
        self.preset.activated.connect(self._choose)
        self.level, self.width_edit = NumberEdit(float), NumberEdit(float, minimum=1.0)
        self.level.setToolTip("Level: the intensity that is shown as middle grey")
        self.width_edit.setToolTip("Width: from black to white")
        for edit in (self.level, self.width_edit):
            edit.setButtonSymbols(NumberEdit.ButtonSymbols.NoButtons)
            # napari's own style makes spin boxes too wide for two in a row.
            edit.setStyleSheet("QAbstractSpinBox { min-width: 44px; max-width: 52px; }")
            edit.changed.connect(self._take_numbers)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(self.preset, QLabel("L"), self.level, QLabel("W"), self.width_edit, stretch=self.preset))
        viewer = session.viewer
        for emitter in (
            viewer.layers.events.inserted,
            viewer.layers.events.removed,
            viewer.layers.selection.events.active,
        ):
            follow(self, emitter, self._find)
        leave = self._leave
        # Not the method itself: Qt calls no methods of what it is destroying.
        self.destroyed.connect(lambda: leave())
        self._find()

    def _find(self, *_: object) -> None:
        """Follow the image that is meant now."""
        layer = windowing.image_to_window(self._session.viewer)
        if layer is not self._layer:
            self._leave()
            self._layer = layer
            if layer is not None:
                layer.events.contrast_limits.connect(self._show)
                self._list_presets(layer)
        self.setVisible(layer is not None)
        self._show()

    def _leave(self) -> None:
        if self._layer is not None:
            self._layer.events.contrast_limits.disconnect(self._show)
            self._layer = None

    def _list_presets(self, layer: ImageLayer) -> None:
        self.preset.clear()
        for name in windowing.windows_of(layer):
            self.preset.addItem(name, name)
            self.preset.setItemData(self.preset.count() - 1, windowing.KEYS[name], Qt.ItemDataRole.ToolTipRole)
        self.preset.addItem(_OWN, "")

    def _show(self, *_: object) -> None:
        """Show the layer's window, unless it was typed just now."""
        if self._layer is None or self._is_showing:
            return
        self._is_showing = True
        window = windowing.window_now(self._layer)
        for edit, number in ((self.level, window.level), (self.width_edit, window.width)):
            edit.set_number(round(number, 1))
        self.preset.setCurrentIndex(self.preset.findData(windowing.name_now(self._layer)))
        self._is_showing = False

    def _choose(self, _: int) -> None:
        name = self.preset.currentData()
        if name:
            windowing.choose_preset(self._session, name)

    def _take_numbers(self) -> None:
        """Follow what is typed as soon as it makes sense."""
        if self._layer is None or self._is_showing:
            return
        try:
            level, width = self.level.number(), self.width_edit.number()
        except ValueError:
            return
        if level is None or width is None or not width > 0:
            return
        self._is_showing = True
        windowing.choose_window(self._session, self._layer, Window(float(level), float(width)))
        self.preset.setCurrentIndex(self.preset.findData(windowing.name_now(self._layer)))
        self._is_showing = False
