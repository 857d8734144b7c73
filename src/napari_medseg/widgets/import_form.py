"""The form that makes a data set from folders of images, masks and a table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QFileDialog, QFormLayout, QLineEdit, QProgressBar, QVBoxLayout, QWidget

from napari_medseg.api.device_layers import take_device_layers
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.importing import find_values, guess_kind, import_dataset
from napari_medseg.data.retina import BACKGROUND_WORD, STRUCTURES
from napari_medseg.data.scan_columns import parse_spacing
from napari_medseg.data.table import read_table
from napari_medseg.errors import DatasetError
from napari_medseg.structures import KINDS, Kind, Progress
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.layer_order import LayerOrder
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, row, scrolling, words
from napari_medseg.widgets.value_table import ValueTable

_VALUES = 1
#: Remarks that are shown; a data set of hundreds of scans may give as many.
_SHOWN = 3
#: The columns that can be taken over, by argument of `import_dataset`, with words that their headings often hold.
_COLUMNS = {
    "tag_column": ("Tag from", ("tag", "class", "diagnosis", "label", "grade")),
    "group_column": ("Patient from", ("patient", "group", "subject", "slide", "eye")),
    "source_column": ("Source from", ("source", "device", "site", "scanner")),
    "id_column": ("Image name from", ("image", "file", "name", "id")),
}


class ImportForm(QWidget):
    """Asks where images, masks and table are, and makes the data set in a thread."""

    #: The data set was made: `Dataset`.
    created = Signal(object)
    #: What was left out or resampled, in sentences; after `created`.
    remarked = Signal(str)
    cancelled = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.notice = Notice()
        self.source, self.place, self.class_name = QLineEdit(), QLineEdit(), QLineEdit("object")
        self.source_value = QLineEdit()
        self.source_value.setPlaceholderText("device or site of all images")
        self.kind = CalmComboBox()
        self.kind.addItems(KINDS)
        self.values, self.layers = ValueTable(), LayerOrder()
        self.areas_only = QCheckBox("Areas alone, no layers")
        self.areas_only.setObjectName("areas_only")
        self.device_layers = QCheckBox("Take the scanner's own layers as drafts")
        self.device_layers.setObjectName("device_layers")
        self.spacing = QLineEdit()
        self.spacing.setObjectName("spacing")
        self.spacing.setToolTip("Of files that do not say it themselves; empty: as the files say, or not known")
        self.table, self.masks = CalmComboBox(), CalmComboBox()
        self.columns = {name: CalmComboBox() for name in _COLUMNS}
        self.masks.addItems(["one class, or its object numbers", "a class per value"])
        self.resample = QCheckBox("Bring masks onto their image's grid")
        self.resample.setObjectName("resample_masks")
        self.resample.setToolTip("For masks of volumes on another grid: nearest voxel; what changed is said")
        self.progress = QProgressBar()
        self.progress.setVisible(False)
        self.make = button("Import", self._import, primary=True, name="import")
        self._form = QFormLayout()
        self._build()
        self.source.editingFinished.connect(self._look_into_source)
        self.masks.currentIndexChanged.connect(self._follow_masks)
        self.kind.currentIndexChanged.connect(self._follow_masks)
        self.kind.activated.connect(self._keep_kind)
        self.values.changed.connect(lambda: self.layers.set_names(self.values.names()))
        self.table.currentIndexChanged.connect(self._read_columns)
        self.columns["source_column"].currentIndexChanged.connect(self._follow_source)
        self._jobs: list[ThreadJob] = []
        self._source: str | None = None
        self._proposed = ""
        self._is_kind_kept = False
        self._looked_into = ""
        self._follow_masks()
        self._look_into_source()

    def _build(self) -> None:
        choose = button("Choose folder…", self._choose_source)
        above: list[tuple[str, QWidget]] = [("Folder", self.source), ("", choose), ("Kind", self.kind)]
        above += [("Spacing, mm", self.spacing), ("", self.device_layers)]
        above += [("Masks hold", self.masks), ("Class", self.class_name)]
        below: list[tuple[str, QWidget]] = [("Table", self.table)]
        below += [(label, self.columns[name]) for name, (label, _) in _COLUMNS.items()]
        below += [("Source", self.source_value), ("", self.resample), ("Save in", self.place)]
        self._add_rows(above)
        for wide in (self.values, self.layers, self.areas_only):
            self._form.addRow(wide)
        self._add_rows(below)
        inner = QWidget()
        content = panel_layout(inner)
        content.addWidget(heading("Import images and masks"))
        content.addWidget(
            words("The folder holds 'images' and 'masks', and perhaps a table. Images stay where they are.", faint=True)
        )
        content.addLayout(self._form)
        content.addStretch(1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolling(inner), 1)
        bar = QWidget()
        buttons = panel_layout(bar)
        buttons.addWidget(self.progress)
        buttons.addWidget(self.notice)
        buttons.addLayout(row(button("Back", self._back), self.make, stretch=self.make))
        layout.addWidget(bar)

    def _add_rows(self, rows: Sequence[tuple[str, QWidget]]) -> None:
        for label, widget in rows:
            if isinstance(widget, QCheckBox):
                # Its words need the whole width.
                self._form.addRow(widget)
            else:
                self._form.addRow(label, widget)

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
            if not self._is_kind_kept:
                self._start(lambda _: guess_kind(source), self._propose_kind)
        self.table.setCurrentIndex(self.table.count() - 1)
        self._find_values()

    def _keep_kind(self) -> None:
        """Leave the kind alone from now on: a person chose it."""
        self._is_kind_kept = True

    def _propose_kind(self, kind: Kind | None) -> None:
        """Take over what the files say; OCT masks hold layers, so their values are asked for."""
        if kind is None or self._is_kind_kept:
            return
        self.kind.setCurrentText(kind)
        if kind == "oct":
            self.masks.setCurrentIndex(_VALUES)

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
        self._follow_source()

    def _follow_source(self) -> None:
        self._form.setRowVisible(self.source_value, not self.columns["source_column"].currentData())

    def _follow_masks(self) -> None:
        kind = self.kind.currentText()
        per_value, is_oct = self.masks.currentIndex() == _VALUES, kind == "oct"
        self._form.setRowVisible(self.spacing, kind != "image")
        self._form.setRowVisible(self.device_layers, is_oct)
        example = "depth, width: 0.0039, 0.0115" if is_oct else "z, y, x: 2.5, 0.7, 0.7"
        self.spacing.setPlaceholderText(example)
        self._form.setRowVisible(self.class_name, not per_value)
        self._form.setRowVisible(self.values, per_value)
        for shown in (self.layers, self.areas_only):
            self._form.setRowVisible(shown, per_value and is_oct)
        self.values.suggest([*STRUCTURES] if is_oct else [])
        self._find_values()

    def _find_values(self) -> None:
        """Look which values the masks hold, once for a folder."""
        text = self.source.text().strip()
        source = Path(text).expanduser()
        if self.masks.currentIndex() != _VALUES or not text or text == self._looked_into or not source.is_dir():
            return
        self._looked_into = text
        self._start(lambda progress: find_values(source, progress=progress), self.values.set_values)

    @shown_errors
    def _import(self) -> None:
        if not self.source.text().strip() or not self.place.text().strip():
            raise DatasetError("Choose the folder with images and masks, and where the data set shall be.")
        source, out = Path(self.source.text()).expanduser(), Path(self.place.text()).expanduser()
        arguments: dict[str, Any] = {name: box.currentData() or None for name, box in self.columns.items()}
        arguments |= {"table": self.table.currentData() or None, "kind": self.kind.currentText(), **self._classes()}
        arguments["resample_masks"] = self.resample.isChecked()
        if not arguments["source_column"]:
            arguments["source_value"] = self.source_value.text().strip()
        if arguments["kind"] != "image":
            arguments["spacing"] = parse_spacing(self.spacing.text())
        takes_device = arguments["kind"] == "oct" and self.device_layers.isChecked()
        remarks: list[str] = []

        def work(progress: Progress) -> Dataset:
            made = import_dataset(source, out, **arguments, say=remarks.append, progress=progress)
            if takes_device:
                taken = len(take_device_layers(made, say=remarks.append))
                remarks.append(f"{taken} cases have the scanner's own layers as drafts.")
            return made

        self._start(work, lambda dataset: self._made(dataset, remarks))

    def _made(self, dataset: Dataset, remarks: list[str]) -> None:
        self.created.emit(dataset)
        if remarks:
            more = f" And {len(remarks) - _SHOWN} more." if len(remarks) > _SHOWN else ""
            self.remarked.emit(" ".join(remarks[:_SHOWN]) + more)

    def _start(self, work: Callable[[Progress], Any], take: Callable[[Any], Any]) -> None:
        job = ThreadJob(work)
        job.progress.connect(self._show_progress)
        job.result.connect(take)
        job.failed.connect(self.notice.show_error)
        job.finished.connect(lambda _: self._ended(job))
        job.end_with(self)
        self._jobs.append(job)
        self.make.setEnabled(False)
        self.progress.setVisible(True)
        job.start()

    def _classes(self) -> dict[str, Any]:
        if self.masks.currentIndex() != _VALUES:
            # Masks of 0 and 255 hold one object number, so both ways come to the same.
            return {"instances": self.class_name.text().strip() or "object"}
        is_layered = self.kind.currentText() == "oct" and not self.areas_only.isChecked()
        layers = self.layers.layers() if is_layered else []
        if is_layered and self.values.names() and not set(layers) - {BACKGROUND_WORD}:
            raise DatasetError(
                "No class is a layer yet: type the names of layers (RNFL, GCL+IPL, …), or check which classes are "
                "layers, from top to bottom, or check 'Areas alone, no layers'."
            )
        return {"classes": self.values.classes(), "ignore": self.values.ignored(), "layers": layers}

    def _show_progress(self, done: int, total: int, text: str) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(text)

    def _ended(self, job: ThreadJob) -> None:
        self._jobs.remove(job)
        # What kind it is and which values the masks hold are found side by side; the last one opens the way.
        self.make.setEnabled(not self._jobs)
        self.progress.setVisible(bool(self._jobs))

    def _back(self) -> None:
        for job in self._jobs:
            job.cancel()
        self.cancelled.emit()


def _likely(names: tuple[str, ...], hints: tuple[str, ...]) -> int:
    """Index of the first name that holds the first hint that any name holds; -1 for none."""
    for hint in hints:
        for index, name in enumerate(names):
            if hint in name.casefold():
                return index
    return -1
