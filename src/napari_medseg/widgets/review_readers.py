"""A part of the Review panel: as whom a person reads, and how far the readers are."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtWidgets import QCheckBox, QLineEdit, QVBoxLayout, QWidget

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.readings import Reading, default_reader, open_reading, reader_names
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.session import Session


class ReviewReaders(QWidget):
    """Chooses whose labels are on screen: those of the data set, or a reader's own."""

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self.session = session
        self.notice = notice
        self.who = CalmComboBox()
        self.who.setObjectName("reader")
        self.who.setToolTip("Whose labels are shown and drawn")
        self.who.activated.connect(self._choose)
        self.name = QLineEdit()
        self.name.setObjectName("new_reader")
        self.name.setPlaceholderText(f"name, e.g. {default_reader()}")
        self.name.returnPressed.connect(self._begin)
        self.begin = button("Read as another", self._begin, name="begin_reading")
        self.begin.setToolTip("Begin a reading of your own: your labels lie beside those of the others")
        self.blind = QCheckBox("Blind: hide other readings until yours is done")
        self.blind.setObjectName("blind")
        self.blind.clicked.connect(self._set_blind)
        self.counts = words(faint=True)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.who)
        layout.addLayout(row(self.name, self.begin, stretch=self.name))
        layout.addWidget(self.blind)
        layout.addWidget(self.counts)

    def show_dataset(self, dataset: Dataset | None) -> None:
        """Follow the data set and its rows."""
        self.setEnabled(dataset is not None)
        if dataset is None:
            return
        names = reader_names(dataset.home)
        self.who.clear()
        self.who.addItem(f"the labels of '{dataset.info.name}'", "")
        for name in names:
            self.who.addItem(f"reading of {name}", name)
        present = dataset.reader if isinstance(dataset, Reading) else ""
        self.who.setCurrentIndex(self.who.findData(present))
        self.blind.setChecked(dataset.info.blind)
        done = sum(case.status in ("done", "reviewed") for case in dataset.cases)
        who = f"{present} has" if present else "The data set has"
        self.counts.setText(f"{who} {done} of {len(dataset.cases)} cases done.")

    @shown_errors
    def _choose(self) -> None:
        self._open(str(self.who.currentData()))

    @shown_errors
    def _begin(self) -> None:
        self._open(self.name.text().strip() or default_reader())
        self.name.clear()

    @shown_errors
    def _set_blind(self) -> None:
        dataset = self.session.dataset
        if dataset is not None:
            dataset.set_info(replace(dataset.info, blind=self.blind.isChecked()))
            self.session.dataset_changed.emit(dataset)

    def _open(self, reader: str) -> None:
        """Show another reader's labels, of the same case where there is one."""
        dataset, case = self.session.dataset, self.session.case
        if dataset is None:
            return
        try:
            self.session.set_dataset(open_reading(dataset.home, reader) if reader else Dataset.open(dataset.home))
            if case is not None and self.session.dataset is not None and self.session.dataset.find(case.case):
                self.session.open_case(case.case)
        finally:
            self.show_dataset(self.session.dataset)
