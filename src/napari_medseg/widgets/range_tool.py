"""Label what lies in a range of intensities, with the range shown while it is set."""

from __future__ import annotations

import numpy as np
from napari.components import LayerList
from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QVBoxLayout, QWidget
from superqt import QLabeledDoubleRangeSlider

from napari_medseg.widgets.change_preview import RangePreview
from napari_medseg.widgets.parts import button, row, words

#: Steps of the slider's way where pixels are no whole numbers.
_STEPS = 500
#: What a person may do with the range, by its words.
WHERE = ("this slice", "volume")


class RangeTool(QWidget):
    """A range of intensities, shown over the image as long as this is visible."""

    #: Give the class to what lies inside: low, high, where.
    fill_asked = Signal(float, float, str)
    #: Take the class away outside: low, high, where.
    cut_asked = Signal(float, float, str)
    #: Keep the brush inside: (low, high), or None for everywhere.
    brush_limited = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self._preview: RangePreview | None = None
        self.slider = QLabeledDoubleRangeSlider()
        self.slider.setDecimals(0)
        self.slider.valueChanged.connect(self._show_range)
        self.where = QComboBox()
        self.where.addItems(WHERE)
        self.where.setToolTip("Where Fill and Cut work")
        fill = button("Fill", lambda: self.fill_asked.emit(*self.limits, self.where.currentText()), name="fill_range")
        fill.setToolTip("Give the chosen class to everything inside the range")
        cut = button("Cut", lambda: self.cut_asked.emit(*self.limits, self.where.currentText()), name="cut_range")
        cut.setToolTip("Take the chosen class away where the image lies outside the range")
        self.brush = QCheckBox("Brush keeps to it")
        self.brush.setToolTip("Brush, polygon and fill paint only inside the range; the eraser works everywhere")
        self.brush.toggled.connect(self._limit_brush)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(words("What is coloured lies inside the range.", faint=True))
        layout.addWidget(self.slider)
        layout.addLayout(row(self.where, fill, cut, self.brush, stretch=self.where))

    @property
    def limits(self) -> tuple[float, float]:
        """The range; both ends belong to it."""
        low, high = self.slider.value()
        return float(low), float(high)

    def open_for(self, layers: LayerList, image: ImageLayer, color: str) -> None:
        """Offer ranges of an image, beginning with the part of its values that is shown brightest."""
        self.close_preview()
        low, high = _extent(image)
        whole = np.issubdtype(image.dtype, np.integer)
        self.slider.setRange(low, high)  # type: ignore[arg-type]  # superqt's types know whole numbers alone
        self.slider.setDecimals(0 if whole else 3)
        self.slider.setSingleStep(1 if whole else (high - low) / _STEPS)  # type: ignore[arg-type]  # the same
        first, last = (float(limit) for limit in image.contrast_limits)
        start = max(low, (first + last) / 2), min(high, last)
        self.slider.setValue(start if start[0] < start[1] else (low, high))
        self._preview = RangePreview(layers, image, color)
        self.setVisible(True)
        self._show_range()

    def close_preview(self) -> None:
        """Show the range no longer, and let the brush paint everywhere."""
        self.setVisible(False)
        self.brush.setChecked(False)
        if self._preview is not None:
            self._preview.close()
            self._preview = None

    def _show_range(self, *_: object) -> None:
        if self._preview is not None:
            self._preview.show(*self.limits)
        self._limit_brush()

    def _limit_brush(self, *_: object) -> None:
        self.brush_limited.emit(self.limits if self.brush.isChecked() else None)


def _extent(image: ImageLayer) -> tuple[float, float]:
    """Lowest and highest value of the slices' middle and of what the window's slider offers."""
    data = image.data[-1] if image.multiscale else image.data
    middle = np.asarray(data[data.shape[0] // 2], np.float64)
    finite = middle[np.isfinite(middle)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    offered = image.contrast_limits_range
    return float(min(low, offered[0])), float(max(high, offered[1]))
