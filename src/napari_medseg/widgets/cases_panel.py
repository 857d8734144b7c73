"""The Cases panel: which data set, how far it is, and which case comes next."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import napari
from qtpy.QtCore import QModelIndex, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QLineEdit,
    QMenu,
    QProgressBar,
    QPushButton,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.readings import Reading
from napari_medseg.structures import Case, Image
from napari_medseg.widgets.adding import add_files, add_layers, addable_layers
from napari_medseg.widgets.case_list import CASE_ROLE, CaseDelegate, CaseFilter, CaseListModel, CaseListView
from napari_medseg.widgets.editors import CalmComboBox
from napari_medseg.widgets.empty_cases import EmptyCases
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.exchanging import ask_what_to_take, ask_where_to_save, save_case_labels, take_labels
from napari_medseg.widgets.import_form import ImportForm
from napari_medseg.widgets.new_dataset import NewDatasetForm
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import aside, button, panel_layout, row, words
from napari_medseg.widgets.queue import Queue
from napari_medseg.widgets.queue_section import QueueSection
from napari_medseg.widgets.recent import recent_datasets, remember_dataset
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.shortcuts import install_shortcuts
from napari_medseg.widgets.thumbnails import ThumbnailLoader
from napari_medseg.widgets.window import follow, real_viewer
from napari_medseg.widgets.work_view import WorkView

_FILTERS = (("all", ""), ("to do", "todo"), ("draft", "draft"), ("done", "done"), ("reviewed", "reviewed"))


class CasesPanel(QWidget):
    """Chooser, progress and list of cases.

    Parameters
    ----------
    napari_viewer
        Where cases are shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = real_viewer(napari_viewer)
        self.session = session_of(self.viewer)
        install_shortcuts(self.viewer)
        self.notice = Notice()
        self._thumbnails: ThumbnailLoader | None = None
        self._shown: Dataset | None = None
        self._build_list()
        self._pages = QStackedWidget()
        self._empty = EmptyCases()
        self._new = NewDatasetForm()
        self._import = ImportForm()
        self._list_page = self._make_list_page()
        for page in (self._empty, self._new, self._import, self._list_page):
            self._pages.addWidget(page)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._pages, 1)
        layout.addLayout(aside(self.notice))
        self._connect()
        self._show_dataset(self.session.dataset)

    def _build_list(self) -> None:
        self.model = CaseListModel(self)
        self.filter = CaseFilter(self)
        self.filter.setSourceModel(self.model)
        self.list = CaseListView()
        self.list.setObjectName("cases")
        self.list.setModel(self.filter)
        self._delegate = CaseDelegate(self)
        self.list.setItemDelegate(self._delegate)

    def _make_list_page(self) -> QWidget:
        page = QWidget()
        layout = panel_layout(page)
        self.chooser = QPushButton()
        self.chooser.setObjectName("chooser")
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._fill_menu)
        self.chooser.setMenu(self._menu)
        self.progress = QProgressBar()
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search id, tag, group, note")
        self.search.setClearButtonEnabled(True)
        self.status = QComboBox()
        for text, status in _FILTERS:
            self.status.addItem(text, status)
        self.source = CalmComboBox()
        self.source.setObjectName("source")
        self.source.setToolTip("Show the cases of one device or site")
        self.add = button("Add open images", self._add_layers, name="add_layers")
        self.add.setToolTip("Add the images that are open in napari to this data set")
        self.add_files = button("Add image files…", self._choose_files, name="add_files")
        previous = button("◀", lambda: self._step(-1), tip="Previous case (Alt+Left)")
        following = button("▶", lambda: self._step(1), tip="Next case (Alt+Right)")
        self.next_todo = button("Next to do", self._open_next_todo, primary=True, name="next_todo")
        self._hint = words("Nothing matches: clear the search, or show all.", faint=True)
        self.queue = QueueSection(self.session, self.notice)
        layout.addWidget(self.chooser)
        layout.addWidget(self.progress)
        layout.addLayout(row(self.search, self.status, stretch=self.search))
        layout.addWidget(self.source)
        layout.addWidget(self.list, 1)
        layout.addWidget(self._hint)
        layout.addWidget(WorkView(self.session))
        layout.addWidget(self.queue)
        layout.addWidget(self.add_files)
        layout.addWidget(self.add)
        layout.addLayout(row(previous, following, self.next_todo, stretch=self.next_todo))
        return page

    def _connect(self) -> None:
        self._empty.import_asked.connect(lambda: self._pages.setCurrentWidget(self._import))
        self._empty.new_asked.connect(lambda: self._pages.setCurrentWidget(self._new))
        self._empty.open_asked.connect(self._choose_dataset)
        self._empty.made.connect(self._open_dataset)
        self._import.remarked.connect(self.notice.show_info)
        for form in (self._new, self._import):
            form.created.connect(self._open_dataset)
            form.cancelled.connect(self._back)
        self.search.textChanged.connect(self.filter.set_text)
        self.search.textChanged.connect(self._follow_filter)
        self.status.currentIndexChanged.connect(self._filter_status)
        self.source.currentIndexChanged.connect(self._filter_source)
        self.queue.changed.connect(self._follow_queue)
        self.list.activated.connect(self._open_index)
        self.list.clicked.connect(self._open_index)
        self.session.dataset_changed.connect(self._show_dataset)
        self.session.cases_changed.connect(self._show_cases)
        self.session.case_changed.connect(self._show_current)
        follow(self, self.viewer.layers.events.inserted, self._update_add)
        follow(self, self.viewer.layers.events.removed, self._update_add)

    @shown_errors
    def _open_dataset(self, dataset: Dataset | Path) -> None:
        if isinstance(dataset, Path):
            dataset = Dataset.open(dataset)
        self.session.set_dataset(dataset)
        remember_dataset(dataset.path)

    def _show_dataset(self, dataset: Dataset | None) -> None:
        if dataset is self._shown and dataset is not None:
            # The same data set with other classes or tags: its pictures stay.
            self._show_cases()
            return
        self._shown = dataset
        self._stop_thumbnails()
        if dataset is None:
            self._pages.setCurrentWidget(self._empty)
            return
        self.notice.clear()
        # The rows first: pictures of another data set's cases must not be looked for in this one.
        self._show_cases()
        self._start_thumbnails(dataset)
        self._pages.setCurrentWidget(self._list_page)

    def _show_cases(self) -> None:
        dataset = self.session.dataset
        if dataset is None:
            return
        cases = dataset.cases
        done = sum(case.status in ("done", "reviewed") for case in cases)
        self.chooser.setText(f"{dataset.info.name}{reader_text(dataset)}")
        self.chooser.setToolTip(str(dataset.path))
        self.progress.setRange(0, max(len(cases), 1))
        self.progress.setValue(done)
        self.progress.setFormat(f"{done} of {len(cases)} done" if cases else "no images yet")
        self._delegate.set_tags(dataset.info.tags)
        self._list_sources(sorted({case.source for case in cases if case.source}))
        self.model.set_cases(cases)
        self.next_todo.setEnabled(any(case.status == "todo" for case in cases))
        self._follow_filter()
        self._update_add()
        self._show_current(self.session.case)

    def _show_current(self, case: Case | None) -> None:
        source_row = self.model.row_of(case.case) if case is not None else None
        index = self.filter.mapFromSource(self.model.index(source_row)) if source_row is not None else QModelIndex()
        if index.isValid():
            self.list.setCurrentIndex(index)
            self.list.scrollTo(index)
        else:
            self.list.clearSelection()

    def _filter_status(self) -> None:
        self.filter.set_status(self.status.currentData())
        self._follow_filter()

    def _filter_source(self) -> None:
        self.filter.set_source(self.source.currentData() or "")
        self._follow_filter()

    def _follow_queue(self, queue: Queue | None) -> None:
        self._delegate.reasons = queue.reasons if queue is not None else {}
        self.filter.set_queue(queue)
        self._follow_filter()
        self._repaint_list()

    def _list_sources(self, sources: Sequence[str]) -> None:
        """Offer the sources where there are several; the chosen one stays while it is among them."""
        self.source.setVisible(len(sources) > 1)
        shown = [self.source.itemData(index) for index in range(1, self.source.count())]
        if shown == [*sources]:
            return
        chosen = self.source.currentData()
        self.source.blockSignals(True)
        self.source.clear()
        self.source.addItem("all sources", "")
        for source in sources:
            self.source.addItem(source, source)
        self.source.setCurrentIndex(max(0, self.source.findData(chosen)) if len(sources) > 1 else 0)
        self.source.blockSignals(False)
        self.filter.set_source(self.source.currentData())

    def _follow_filter(self) -> None:
        """Previous and next walk through what the list shows."""
        shown = [self.filter.index(i, 0).data(CASE_ROLE).case for i in range(self.filter.rowCount())]
        self.session.order = tuple(shown)
        self._hint.setVisible(not shown and self.model.rowCount() > 0)
        # Later it is found in the menu; an empty list shows what to do first.
        self.add_files.setVisible(self.model.rowCount() == 0)

    @shown_errors
    def _open_index(self, index: QModelIndex) -> None:
        self.session.open_case(index.data(CASE_ROLE).case)

    @shown_errors
    def _step(self, by: int) -> None:
        self.session.step(by)

    @shown_errors
    def _open_next_todo(self) -> None:
        if not self.session.open_next_todo():
            self.notice.show_info("No other case is to do.")

    @shown_errors
    def _add_layers(self) -> None:
        dataset = self.session.dataset
        if dataset is not None:
            added = add_layers(dataset, addable_layers(self.viewer))
            self._tell_added(added)

    @shown_errors
    def _choose_files(self) -> None:
        dataset = self.session.dataset
        names, _ = QFileDialog.getOpenFileNames(self, "Add images")
        if dataset is not None and names:
            self._tell_added(add_files(dataset, [Path(name) for name in names]))

    def _tell_added(self, added: Sequence[Case]) -> None:
        self.session.cases_changed.emit()
        if added and self.session.case is None:
            self.session.open_case(added[0].case)
        self.notice.show_info(f"Added {len(added)} case{'' if len(added) == 1 else 's'}.")

    @shown_errors
    def _choose_dataset(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a data set")
        if folder:
            self._open_dataset(Path(folder))

    @shown_errors
    def _reload(self) -> None:
        if self.session.dataset is not None:
            self.session.dataset.reload()
            # Files that could not be read before may be there by now.
            self._stop_thumbnails()
            self._start_thumbnails(self.session.dataset)
            self.session.dataset_changed.emit(self.session.dataset)

    def _fill_menu(self) -> None:
        self._menu.clear()
        for folder in recent_datasets():
            self._menu.addAction(f"{folder.name}   ({folder.parent})", partial(self._open_dataset, folder))
        self._menu.addSeparator()
        self._menu.addAction("Open folder…", self._choose_dataset)
        self._menu.addAction("New…", lambda: self._pages.setCurrentWidget(self._new))
        self._menu.addAction("Import…", lambda: self._pages.setCurrentWidget(self._import))
        self._menu.addSeparator()
        self._menu.addAction("Add image files…", self._choose_files)
        if self.session.open is not None:
            self._menu.addAction("Save labels as NIfTI or DICOM SEG…", self._save_labels)
            self._menu.addAction("Take over labels from a file…", self._take_labels)
            self._menu.addSeparator()
        self._menu.addAction("Read again from disk", self._reload)

    @shown_errors
    def _save_labels(self) -> None:
        path = ask_where_to_save(self, self.session)
        if path is not None:
            written = save_case_labels(self.session, path)
            self.notice.show_info(" ".join([f"Saved {written.path}.", *written.notes]))

    @shown_errors
    def _take_labels(self) -> None:
        path = ask_what_to_take(self)
        if path is not None:
            taken, notes = take_labels(self.session, path)
            self.notice.show_info(" ".join([f"Took over {taken:,} pixels; Ctrl+Z takes them back.", *notes]))

    def _back(self) -> None:
        self._pages.setCurrentWidget(self._empty if self.session.dataset is None else self._list_page)

    def _update_add(self) -> None:
        # Layers are inserted before napari has finished with them; look after that.
        QTimer.singleShot(0, self._show_add)

    def _show_add(self) -> None:
        self.add.setVisible(bool(addable_layers(self.viewer)))

    def _start_thumbnails(self, dataset: Dataset) -> None:
        self._thumbnails = ThumbnailLoader(lambda case_id: _read(dataset, case_id), self)
        self._thumbnails.ready.connect(self.model.repaint_case)
        self.destroyed.connect(self._thumbnails.stop)
        self._delegate.thumbnails = self._thumbnails
        self._repaint_list()

    def _stop_thumbnails(self) -> None:
        if self._thumbnails is not None:
            self._delegate.thumbnails = None
            self._thumbnails.stop()
            self._thumbnails.deleteLater()
            self._thumbnails = None

    def _repaint_list(self) -> None:
        viewport = self.list.viewport()
        if viewport is not None:
            viewport.update()


def _read(dataset: Dataset, case_id: str) -> Image:
    return dataset.read_image(dataset.case(case_id))


def reader_text(dataset: Dataset) -> str:
    """Whose reading is shown; empty for the labels of the data set itself."""
    return f" · read by {dataset.reader}" if isinstance(dataset, Reading) else ""
