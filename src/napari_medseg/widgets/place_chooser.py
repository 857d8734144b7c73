"""Where to run a model: an image, a drawn part of it, the cases of the list, or a folder of images."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_medseg.structures import Case
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.layer_box import ImageLayerBox
from napari_medseg.widgets.parts import button, row
from napari_medseg.widgets.regions import drawn_shapes
from napari_medseg.widgets.session import Session

Place = Literal["image", "view", "region", "cases", "folder"]
_TITLES: dict[Place, str] = {
    "image": "This image",
    "view": "What is in view of it",
    "region": "Drawn region of this image",
    "cases": "Cases in the list",
    "folder": "Folder of images",
}
#: Places that are a layer, or a part of one.
ON_SCREEN = ("image", "view", "region")


class PlaceChooser(QWidget):
    """Chooses a place, and says what is missing there."""

    changed = Signal()

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._box = CalmComboBox()
        self._box.setObjectName("place")
        for place, title in _TITLES.items():
            self._box.addItem(title, place)
        self.layers = ImageLayerBox(session.viewer)
        self._folder = QLineEdit()
        self._folder.setPlaceholderText("Folder with images")
        self._folder_row = QWidget()
        folder_layout = row(self._folder, button("…", self._ask, tip="Choose a folder"), stretch=self._folder)
        self._folder_row.setLayout(folder_layout)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row(QLabel("Where"), self._box, stretch=self._box))
        layout.addWidget(self.layers)
        layout.addWidget(self._folder_row)
        self._box.currentIndexChanged.connect(self._on_change)
        self.layers.layer_changed.connect(self.changed)
        self._folder.textChanged.connect(self.changed)
        session.dataset_changed.connect(self.changed)
        session.cases_changed.connect(self.changed)
        session.case_changed.connect(self._follow_case)
        self._on_change()

    @property
    def place(self) -> Place:
        """The chosen place."""
        chosen: Place = self._box.currentData()
        return chosen

    @property
    def layer(self) -> ImageLayer | None:
        """The chosen image."""
        return self.layers.layer

    @property
    def folder(self) -> Path:
        """The chosen folder."""
        return Path(self._folder.text().strip()).expanduser()

    def cases(self) -> list[Case]:
        """The cases of the list, as it is filtered on screen."""
        dataset = self._session.dataset
        return [] if dataset is None else [dataset.case(name) for name in self._session.order]

    def choose(self, place: Place, folder: Path | None = None) -> None:
        """Choose a place, and the folder that goes with ``"folder"``."""
        self._box.setCurrentIndex(self._box.findData(place))
        if folder is not None:
            self._folder.setText(str(folder))

    def obstacle(self) -> str:
        """What is missing at the chosen place, in a sentence; empty when a model can run there."""
        place = self.place
        if place in ON_SCREEN and self.layer is None:
            return "Open an image first."
        if place == "region" and drawn_shapes(self._session.viewer) is None:
            return "Draw a rectangle or polygon in a Shapes layer first."
        if place == "cases" and not self.cases():
            return "The list of cases is empty: open a data set in the tab Cases."
        if place == "folder" and not (self._folder.text().strip() and self.folder.is_dir()):
            return "Choose a folder with images."
        return ""

    def _on_change(self) -> None:
        self.layers.setVisible(self.place in ON_SCREEN)
        self._folder_row.setVisible(self.place == "folder")
        self.changed.emit()

    def showEvent(self, event: QShowEvent | None) -> None:
        """Mean the case on screen rather than an image that is hidden, e.g. one of a training's preview (Qt's hook)."""
        super().showEvent(event)
        if self.layer is not None and not self.layer.visible:
            self._follow_case(self._session.case)

    def _follow_case(self, _: Case | None) -> None:
        """Mean the image of a case that was opened."""
        if self._session.open is not None:
            self.layers.setCurrentIndex(self.layers.findData(self._session.open.image_layers[0]))

    def _ask(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Choose a folder with images", self._folder.text())
        if name:
            self._folder.setText(name)
