"""The form that makes a data set from folders of images, masks and a table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QFormLayout, QLineEdit, QProgressBar, QWidget

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.importing import import_dataset
from napari_medseg.data.table import read_table
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Progress
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, row, words

_ONE, _VALUES = range(2)
_CLASS_PAIR = re.compile(r"\s*(\d+)\s*=\s*(.+?)\s*")
#: The columns that can be taken over, by argument of `import_dataset`, with words that their headings often hold.
_COLUMNS = {
    "tag_column": ("Tag from", ("tag", "class", "diagnosis", "label", "grade")),
    "group_column": ("Patient from", ("patient", "group", "subject", "slide", "eye")),
    "id_column": ("Image name from", ("image", "file", "name", "id")),
}


class ImportForm(QWidget):
    """Asks where images, masks and table are, and makes the data set in a thread."""

    #: The data set was made: `Dataset`.
    created = Signal(object)
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.notice = Notice()
        self.source, self.place, self.class_names = QLineEdit(), QLineEdit(), QLineEdit("object")
        self.table, self.masks = CalmComboBox(), CalmComboBox()
        self.columns = {name: CalmComboBox() for name in _COLUMNS}
        self.masks.addItems(["one class, or its object numbers", "a class per value"])
        self.masks.currentIndexChanged.connect(self._follow_masks)
        self.table.currentIndexChanged.connect(self._read_columns)
        self.source.editingFinished.connect(self._look_into_source)
        self.progress = QProgressBar()
        self.progress.setVisible(False)
        self._form = QFormLayout()
        self._form.addRow("Folder", self.source)
        self._form.addRow("", button("Choose folder…", self._choose_source))
        self._form.addRow("Masks hold", self.masks)
        self._form.addRow("Class", self.class_names)
        self._form.addRow("Table", self.table)
        for name, (label, _) in _COLUMNS.items():
            self._form.addRow(label, self.columns[name])
        self._form.addRow("Save in", self.place)
        layout = panel_layout(self)
        layout.addWidget(heading("Import images and masks"))
        layout.addWidget(
            words("The folder holds 'images' and 'masks', and perhaps a table. Images stay where they are.", faint=True)
        )
        layout.addLayout(self._form)
        layout.addWidget(self.progress)
        layout.addWidget(self.notice)
        self.make = button("Import", self._import, primary=True, name="import")
        layout.addLayout(row(button("Back", self._back), self.make, stretch=self.make))
        layout.addStretch(1)
        self._job: ThreadJob | None = None
        self._source: str | None = None
        self._proposed = ""
        self._look_into_source()

    def _choose_source(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Folder with images and masks", self.source.text())
        if folder:
            self.source.setText(folder)
            self._look_into_source()

    @shown_errors
    def _look_into_source(self) -> None:
        """Offer the tables that lie in the folder, and a place for the data set beside it."""
        text = self.source.text().strip()
        if text == self._source:
            # The field only lost the focus; what was chosen below stays.
            return
        self._source = text
        self.table.clear()
        self.table.addItem("none", "")
        source = Path(text).expanduser()
        if text and source.is_dir():
            for path in sorted(source.glob("*.csv")):
                self.table.addItem(path.name, str(path))
            if self.place.text() == self._proposed:
                self._proposed = str(Path.home() / f"{source.name}-dataset")
                self.place.setText(self._proposed)
        self.table.setCurrentIndex(self.table.count() - 1)

    @shown_errors
    def _read_columns(self) -> None:
        path = self.table.currentData()
        names = read_table(Path(path)).columns if path else ()
        for argument, box in self.columns.items():
            box.clear()
            box.addItem("none" if argument != "id_column" else "first column", "")
            for name in names:
                box.addItem(name, name)
            box.setCurrentIndex(_likely(names, _COLUMNS[argument][1]) + 1)
            self._form.setRowVisible(box, bool(path))

    def _follow_masks(self) -> None:
        values = self.masks.currentIndex() == _VALUES
        self.class_names.setPlaceholderText("1=gland, 2=stroma" if values else "gland")
        if values and "=" not in self.class_names.text():
            self.class_names.clear()

    @shown_errors
    def _import(self) -> None:
        if not self.source.text().strip() or not self.place.text().strip():
            raise DatasetError("Choose the folder with images and masks, and where the data set shall be.")
        source, out = Path(self.source.text()).expanduser(), Path(self.place.text()).expanduser()
        arguments: dict[str, Any] = {name: box.currentData() or None for name, box in self.columns.items()}
        arguments |= {"table": self.table.currentData() or None, **self._classes()}
        remarks: list[str] = []

        def work(progress: Progress) -> Dataset:
            return import_dataset(source, out, **arguments, say=remarks.append, progress=progress)

        self._job = ThreadJob(work)
        self._job.progress.connect(self._show_progress)
        self._job.result.connect(self.created)
        self._job.failed.connect(self.notice.show_error)
        self._job.finished.connect(self._ended)
        self._job.end_with(self)
        self.make.setEnabled(False)
        self.progress.setVisible(True)
        self._job.start()

    def _classes(self) -> dict[str, Any]:
        text = self.class_names.text().strip()
        if self.masks.currentIndex() != _VALUES:
            # Masks of 0 and 255 hold one object number, so both ways come to the same.
            return {"instances": text or "object"}
        pairs = [_CLASS_PAIR.fullmatch(part) for part in text.split(",")]
        if not all(pairs):
            raise DatasetError(f"Classes '{text}' are not understood: write 1=gland, 2=stroma.")
        return {"classes": {int(pair[1]): pair[2] for pair in pairs if pair}}

    def _show_progress(self, done: int, total: int, text: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(text)

    def _ended(self, outcome: str) -> None:
        self.make.setEnabled(True)
        self.progress.setVisible(False)

    def _back(self) -> None:
        if self._job is not None:
            self._job.cancel()
        self.cancelled.emit()


def _likely(names: tuple[str, ...], hints: tuple[str, ...]) -> int:
    """Index of the first name that holds the first hint that any name holds; -1 for none."""
    for hint in hints:
        for index, name in enumerate(names):
            if hint in name.casefold():
                return index
    return -1
