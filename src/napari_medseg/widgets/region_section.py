"""What a model that judges one region is asked about: a drawn box, what is labelled, what another model finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QLabel, QVBoxLayout, QWidget

from napari_medseg.api.prediction import model_name
from napari_medseg.structures import Box
from napari_medseg.widgets._layers import true_space
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.region_box import region_box_of_session
from napari_medseg.widgets.session import Session

Around = Literal["box", "model", "image"]
_TITLES: dict[Around, str] = {
    "box": "Around the drawn box",
    "model": "Around what a model finds",
    "image": "The whole image",
}


class BoxButtons(QWidget):
    """Draw the box, take it from labels, or clear it; and how large it is.

    Parameters
    ----------
    session
        Whose viewer it is drawn in.
    image
        Tells the image that is meant.
    notice
        Where errors are said.
    """

    changed = Signal()

    def __init__(self, session: Session, image: Callable[[], ImageLayer | None], notice: Notice) -> None:
        super().__init__()
        self.notice = notice
        self._image = image
        self.box = region_box_of_session(session)
        draw = button("Draw box", self._draw, name="draw_box")
        draw.setToolTip("Drag a rectangle around the tumour; in a volume draw one in its first and its last slice")
        take = button("From labels", self._take, tip="Around everything labelled in the case", name="box_from_labels")
        clear = button("Clear", self._clear, tip="Take the box away", name="clear_box")
        self.extent = words(faint=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(draw, take, clear, stretch=draw))
        layout.addWidget(self.extent)
        self.box.changed.connect(self.follow)
        self.follow()

    @property
    def value(self) -> Box | None:
        """The box on the image that is meant."""
        return self.box.box_on(self._image())

    def follow(self) -> None:
        """Say how large the box is."""
        image, box = self._image(), self.value
        self.extent.setText("No box is drawn." if image is None or box is None else box_text(box, image))
        self.changed.emit()

    @shown_errors
    def _draw(self) -> None:
        image = self._image()
        if image is not None:
            self.box.draw(image)

    @shown_errors
    def _take(self) -> None:
        image = self._image()
        if image is not None:
            self.box.take_labels(image)

    @shown_errors
    def _clear(self) -> None:
        image = self._image()
        if image is not None:
            self.box.set_box(image, None)


class RegionChooser(QWidget):
    """Chooses what a model is asked about, for the image of a panel."""

    changed = Signal()

    def __init__(self, session: Session, image: Callable[[], ImageLayer | None], notice: Notice) -> None:
        super().__init__()
        self._around = CalmComboBox()
        self._around.setObjectName("around")
        for key, title in _TITLES.items():
            self._around.addItem(title, key)
        self.buttons = BoxButtons(session, image, notice)
        self._finder = CalmComboBox()
        self._finder.setObjectName("region_model")
        self._finder.setPlaceholderText("Train a model that draws the tumour, or choose a file")
        self._finder_row = QWidget()
        browse = button("File …", self._ask, tip="Choose a model file")
        self._finder_row.setLayout(row(QLabel("Finder"), self._finder, browse, stretch=self._finder))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(QLabel("Judge"), self._around, stretch=self._around))
        layout.addWidget(self.buttons)
        layout.addWidget(self._finder_row)
        self._around.currentIndexChanged.connect(self._on_change)
        self._finder.currentIndexChanged.connect(self._on_change)
        self.buttons.changed.connect(self.changed)
        self._on_change()

    @property
    def around(self) -> Around:
        """What is asked about."""
        chosen: Around = self._around.currentData()
        return chosen

    @property
    def region(self) -> Box | None:
        """The drawn box, where it is asked about."""
        return self.buttons.value if self.around == "box" else None

    @property
    def finder(self) -> Path | None:
        """The model that finds the region, where one shall."""
        path: Path | None = self._finder.currentData() if self.around == "model" else None
        return path

    def choose(self, around: Around, finder: Path | None = None) -> None:
        """Choose what is asked about, and the model that goes with ``"model"``."""
        if finder is not None:
            self._add_finder(finder)
        self._around.setCurrentIndex(self._around.findData(around))

    def list_finders(self, models: list[Path]) -> None:
        """Offer these models; what was chosen stays."""
        chosen = self._finder.currentData()
        self._finder.blockSignals(True)
        self._finder.clear()
        for path in models if chosen is None or chosen in models else [chosen, *models]:
            self._finder.addItem(model_name(path), path)
        self._finder.setCurrentIndex(self._finder.index_of(chosen) if chosen is not None else -1)
        self._finder.blockSignals(False)

    def obstacle(self) -> str:
        """What is missing, in a sentence; empty when a model can run."""
        if self.around == "box" and self.buttons.value is None:
            return "Draw a box around the tumour, or take it from the labels."
        if self.around == "model" and self.finder is None:
            return "Choose the model that finds the tumour."
        return ""

    def _on_change(self) -> None:
        self.buttons.setVisible(self.around == "box")
        self._finder_row.setVisible(self.around == "model")
        self.changed.emit()

    def _add_finder(self, path: Path) -> None:
        if self._finder.index_of(path) < 0:
            self._finder.insertItem(0, model_name(path), path)
        self._finder.setCurrentIndex(self._finder.index_of(path))

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Model that draws the tumour", "", "Models (*.safetensors)")
        if name:
            self._add_finder(Path(name))


def box_text(box: Box, image: ImageLayer) -> str:
    """A box's size for people: width, height and slices, in millimetres where they are known."""
    (top, bottom), (left, right) = box[-2:]
    text = f"Box of {right - left} × {bottom - top} pixels"
    space = true_space(image)
    if space is not None and all(unit == "millimeter" for unit in space[1]):
        steps = space[0]
        text += f" ({(right - left) * steps[-1]:.1f} × {(bottom - top) * steps[-2]:.1f} mm)"
    if len(box) == 3:
        first, last = box[0][0], box[0][1] - 1
        text += f", slice {first}" if first == last else f", slices {first} to {last}"
    return f"{text}."
