"""The form for a new data set."""

from __future__ import annotations

import re
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit, QWidget

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import mask_classes, tag_classes
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, Kind
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, row, words

_KINDS: dict[Kind, str] = {
    "image": "pictures",
    "oct": "OCT",
    "ct": "CT",
    "mr": "MR",
    "ultrasound": "ultrasound",
}
#: What is proposed for ultrasound, where nothing was typed: the lesions of the scheme `thyroid`.
_LESIONS = "nodular goitre, follicular tumour, papillary carcinoma, medullary carcinoma"
_NODULE = "nodule"


class NewDatasetForm(QWidget):
    """Asks for name, place, kind, tags and classes; tags and classes can be changed later."""

    #: The data set was made: `Dataset`.
    created = Signal(object)
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = QLineEdit("my data set")
        self.place = QLineEdit(str(Path.home()))
        self.kind = CalmComboBox()
        self.kind.setObjectName("kind")
        for kind, name in _KINDS.items():
            self.kind.addItem(name, kind)
        self.kind.currentIndexChanged.connect(self._propose)
        self.tags = QLineEdit()
        self.tags.setPlaceholderText("benign, malignant")
        self.classes = QLineEdit()
        self.classes.setPlaceholderText("gland, stroma")
        self.notice = Notice()
        form = QFormLayout()
        form.addRow("Name", self.name)
        form.addRow("In folder", self.place)
        form.addRow("", button("Choose folder…", self._choose_place))
        form.addRow("Of", self.kind)
        form.addRow("Tags", self.tags)
        form.addRow("Classes", self.classes)
        layout = panel_layout(self)
        layout.addWidget(heading("New data set"))
        layout.addWidget(
            words("A tag is said of a whole image, a class is drawn. Separate names with commas.", faint=True)
        )
        layout.addLayout(form)
        layout.addWidget(self.notice)
        make = button("Create", self._create, primary=True, name="create")
        layout.addLayout(row(button("Back", self.cancelled.emit), make, stretch=make))
        layout.addStretch(1)

    def _choose_place(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Where to keep the data set", self.place.text())
        if folder:
            self.place.setText(folder)

    def _propose(self) -> None:
        """Propose what ultrasound is usually asked about; what was typed stays, what was proposed goes again."""
        is_ultrasound = self.kind.currentData() == "ultrasound"
        for field, proposal in ((self.tags, _LESIONS), (self.classes, _NODULE)):
            if is_ultrasound and not field.text().strip():
                field.setText(proposal)
                # Its beginning is to be seen, not its end.
                field.setCursorPosition(0)
            elif not is_ultrasound and field.text() == proposal:
                field.clear()

    @shown_errors
    def _create(self) -> None:
        name = self.name.text().strip()
        folder = re.sub(r"[^\w.-]+", "-", name).strip("-.")
        if not folder:
            raise DatasetError("The data set has no name yet: type one.")
        info = DatasetInfo(
            name=name,
            kind=self.kind.currentData(),
            classes=mask_classes(_names(self.classes.text())),
            tags=tag_classes(_names(self.tags.text())),
        )
        self.created.emit(Dataset.create(Path(self.place.text()).expanduser() / folder, info))


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]
