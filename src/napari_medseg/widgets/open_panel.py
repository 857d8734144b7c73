"""The Open panel: what a file holds, before it is loaded, and the choices that matter for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QCheckBox, QComboBox, QFileDialog, QFormLayout, QLineEdit, QMenu, QPushButton, QWidget

from napari_medseg.api.device_layers import take_device_layers
from napari_medseg.hooks import image_layers
from napari_medseg.io import read
from napari_medseg.io.slide.virtual import has_slow_overview, prepare_overview, with_virtual_levels
from napari_medseg.io.volume.dicom import one_per_series
from napari_medseg.io.volume.presets import contrast_limits, default_limits, windows_of
from napari_medseg.structures import Image, Kind, Progress
from napari_medseg.widgets._layers import show_window
from napari_medseg.widgets.adding import add_files
from napari_medseg.widgets.aspect import set_true_aspect, switch_aspect
from napari_medseg.widgets.drop_area import DropArea
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.facts import facts_of
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.missing_facts import MissingFacts
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, row, words
from napari_medseg.widgets.series_list import SeriesList
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.slide_choices import SlideChoices
from napari_medseg.widgets.window import real_viewer
from napari_medseg.widgets.windowing import remembered_window


class OpenPanel(QWidget):
    """Drop, look, load.

    Parameters
    ----------
    napari_viewer
        Where images are loaded.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = real_viewer(napari_viewer)
        self.session = session_of(self.viewer)
        self.notice = Notice()
        #: What was dropped or chosen, and of it what is read: one file per DICOM series.
        self._given: tuple[Path, ...] = ()
        self.paths: tuple[Path, ...] = ()
        self.image: Image | None = None
        self._job: ThreadJob | None = None
        self.drop = DropArea()
        self.drop.dropped.connect(self.look_at)
        layout = panel_layout(self)
        layout.addWidget(self.drop)
        samples = QPushButton("Samples")
        samples.setMenu(self._sample_menu())
        layout.addLayout(
            row(button("File…", self._choose_files), button("Folder…", self._choose_folder), samples, stretch=samples)
        )
        self.address = QLineEdit()
        self.address.setObjectName("address")
        self.address.setPlaceholderText("or the address of an OME-Zarr: https://…, s3://…")
        self.address.returnPressed.connect(self._open_address)
        layout.addWidget(self.address)
        layout.addWidget(self.notice)
        self._found = self._make_found()
        layout.addWidget(self._found)
        layout.addStretch(1)
        self.load = button("Load", self._load, primary=True, name="load")
        self.add = button("Add to data set", self._add, name="add_to_dataset")
        layout.addLayout(row(self.load, self.add, stretch=self.load))
        self.session.dataset_changed.connect(self._update_buttons)
        self._show_image(None)

    def _make_found(self) -> QWidget:
        found = QWidget()
        layout = panel_layout(found)
        layout.setContentsMargins(0, 0, 0, 0)
        self.title = heading("")
        self._facts = QFormLayout()
        self._facts.setVerticalSpacing(3)
        self.series = SeriesList()
        self.series.picked.connect(lambda index: self._look_at(series=index))
        self.kind = QComboBox()
        self.kind.setObjectName("kind")
        self.kind.addItem("what the file says", None)
        self.kind.addItem("OCT: B-scans of the retina", "oct")
        self.kind.addItem("CT: Hounsfield units", "ct")
        self.kind.addItem("MR", "mr")
        self.kind.activated.connect(lambda _: self._look_at())
        self.hu_window = QComboBox()
        self.hu_window.setObjectName("window")
        self.hu_window.setToolTip("Which Hounsfield units are shown from black to white")
        self.missing = MissingFacts()
        self.spacing = self.missing.spacing
        self.true_aspect = QCheckBox("True proportions")
        self.true_aspect.setObjectName("true_aspect")
        self.true_aspect.setToolTip("B-scans in millimetres; without it pixel by pixel, which is better to draw in")
        self.true_aspect.toggled.connect(lambda on: switch_aspect(self.viewer, on))
        self.device_layers = QCheckBox("Take the scanner's own layers as drafts")
        self.device_layers.setObjectName("device_layers")
        self.device_layers.setToolTip("Where it is added to a data set: they are labels to correct, not yet done.")
        self.warnings = SentenceLabel()
        layout.addWidget(self.title)
        layout.addLayout(self._facts)
        layout.addWidget(self.series)
        choices = QFormLayout()
        choices.addRow("Kind", self.kind)
        choices.addRow("Window", self.hu_window)
        self._choices = choices
        layout.addLayout(choices)
        layout.addWidget(self.missing)
        self.slide = SlideChoices()
        layout.addWidget(self.slide)
        layout.addWidget(self.true_aspect)
        layout.addWidget(self.device_layers)
        layout.addWidget(self.warnings)
        return found

    def look_at(self, paths: Sequence[Path], series: int | None = None) -> None:
        """Read what files or a folder hold, in a thread, and show it; nothing is loaded yet.

        Of the slices of one DICOM series the first stands for all.
        """
        if not paths:
            return
        if tuple(paths) != self._given:
            self.kind.setCurrentIndex(self.kind.findData(self._usual_kind()))
            self._show_image(None)
        self._given = tuple(paths)
        self._look_at(series)

    def _look_at(self, series: int | None = None) -> None:
        """Read the files anew, for another series or as another kind; what was found stays in view meanwhile."""
        paths, kind = self._given, self.kind.currentData()
        self.notice.clear()
        self.image = None
        self._update_buttons()
        self._start(lambda _: _found_in(paths, kind, series), self._show_found)
        self.drop.say(f"Looking at {paths[0].name}…")

    def _start(self, work: Callable[[Progress], Any], then: Callable[[Any], None]) -> None:
        """Do something in a thread, in place of what was under way."""
        if self._job is not None:
            self._job.cancel()
        self._job = ThreadJob(work)
        self._job.result.connect(then)
        self._job.progress.connect(self._on_progress)
        self._job.failed.connect(self._on_failed)
        self._job.finished.connect(self._on_finished)
        self._job.end_with(self)
        self._job.start()

    def _on_progress(self, done: int, total: int, text: str) -> None:
        self.drop.say(text)

    def _on_failed(self, text: str, details: str) -> None:
        self._found.setVisible(self.image is not None)
        self._update_buttons()
        self.notice.show_error(text, details)

    def _on_finished(self) -> None:
        # One that was replaced ends after its successor began.
        if self._job is not None and self._job.outcome is not None:
            self.drop.rest()

    def _show_found(self, found: tuple[tuple[Path, ...], Image]) -> None:
        self.paths, image = found
        self._show_image(image)

    def _show_image(self, image: Image | None) -> None:
        self.image = image
        self._found.setVisible(image is not None)
        self._update_buttons()
        if image is None:
            return
        more = f"  and {len(self.paths) - 1} more" if len(self.paths) > 1 else ""
        self.title.setText(f"{image.name}{more}")
        while self._facts.rowCount():
            self._facts.removeRow(0)
        for name, text in facts_of(image).items():
            self._facts.addRow(name, words(text))
        self.series.setVisible(len(image.series_names) > 1)
        self.series.offer(image.series_names, image.series)
        self._offer_windows(image)
        # Scanners' own files and slides say what they are.
        self._choices.setRowVisible(self.kind, image.kind == "image" or self.kind.currentData() is not None)
        self.missing.ask(image)
        self.slide.ask(image)
        self.true_aspect.setVisible(image.kind == "oct")
        self.device_layers.setVisible(image.oct is not None and bool(image.oct.surfaces))
        self.device_layers.setChecked(False)
        self.warnings.say("warning", " ".join(image.warnings))

    def _offer_windows(self, image: Image) -> None:
        """Usual windows of a CT, the file's own first."""
        self.hu_window.clear()
        for name, (level, width) in windows_of(image).items():
            self.hu_window.addItem(f"{name} ({level:g} / {width:g})", contrast_limits(level, width))
        limits = default_limits(image)
        # Chosen last for such images, else what the file says.
        last = remembered_window(self.session, image.kind)
        chosen = self.hu_window.findData(contrast_limits(*windows_of(image).get(last, (0.0, 0.0))))
        self.hu_window.setCurrentIndex(max(0, chosen if chosen >= 0 else self.hu_window.findData(limits)))
        self._choices.setRowVisible(self.hu_window, limits is not None)

    def _update_buttons(self) -> None:
        self.load.setEnabled(self.image is not None)
        has_dataset = self.session.dataset is not None
        self.add.setEnabled(self.image is not None and has_dataset)
        self.add.setToolTip("" if has_dataset else "Open a data set in the Cases panel first")

    def _usual_kind(self) -> Kind | None:
        """What images of the open data set are, where files may leave it open."""
        dataset = self.session.dataset
        return "oct" if dataset is not None and dataset.info.kind == "oct" else None

    @shown_errors
    def _load(self) -> None:
        if self.image is None:
            return
        first, kind, others = self.missing.completed(self.image), self.kind.currentData(), self.paths[1:]
        first = with_virtual_levels(self.slide.chosen(first))
        if not others and not has_slow_overview(first):
            self._show_layers([first])
            return
        self.load.setEnabled(False)
        self._start(lambda report: _prepared([first, *_read_all(others, kind, report)], report), self._load_all)

    @shown_errors
    def _load_all(self, images: Sequence[Image]) -> None:
        self._update_buttons()
        self._show_layers([images[0], *map(self.missing.completed, images[1:])])

    def _show_layers(self, images: Sequence[Image]) -> None:
        for image in images:
            first, *others = (
                getattr(self.viewer, f"add_{layer_type}")(data, **keywords)
                for data, keywords, layer_type in image_layers(image)
            )
            if default_limits(image) is not None:
                show_window(first, self.hu_window.currentData())
            if others:
                self.viewer.layers.selection.active = first
        selected = self.viewer.layers.selection.active
        for pixels, keywords in self.slide.pictures(images[0]):
            self.viewer.add_image(pixels, **keywords)
            self.viewer.layers.selection.active = selected
        if any(image.kind == "oct" for image in images):
            set_true_aspect(self.viewer.layers, self.true_aspect.isChecked())
        self.viewer.reset_view()
        self.notice.show_info(f"Loaded {images[0].name}." if len(images) == 1 else f"Loaded {len(images)} images.")

    @shown_errors
    def _add(self) -> None:
        """Add the files as cases; what was typed, and which series, become cells of their rows."""
        dataset = self.session.dataset
        if dataset is None or self.image is None:
            return
        columns = self.missing.columns(self.image)
        if self.image.series:
            columns["series"] = str(self.image.series)
        added = add_files(dataset, self.paths, columns)
        self.session.cases_changed.emit()
        done = f"Added {len(added)} case{'' if len(added) == 1 else 's'} to {dataset.info.name}."
        if added and self.device_layers.isChecked():
            info = dataset.info
            taken = len(take_device_layers(dataset, [case.case for case in added]))
            if dataset.info != info:
                # Classes came with the layers.
                self.session.dataset_changed.emit(dataset)
            self.session.cases_changed.emit()
            done += f" {taken} {'has' if taken == 1 else 'have'} the scanner's own layers as drafts."
        self.notice.show_info(done)

    def _choose_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Open images")
        self.look_at([Path(name) for name in names])

    def _open_address(self) -> None:
        if text := self.address.text().strip():
            self.look_at([Path(text)])

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open an OME-Zarr, a DICOM or XML export or a folder of slices")
        if folder:
            self.look_at([Path(folder)])

    def _sample_menu(self) -> QMenu:
        menu = QMenu(self)
        menu.addAction("Tissue with glands (generated)", lambda: self._open_sample("tissue"))
        menu.addAction("OCT B-scan (generated)", lambda: self._open_sample("oct"))
        menu.addAction("CT of an abdomen (generated)", lambda: self._open_sample("ct"))
        menu.addAction("Ultrasound of a thyroid nodule (generated)", lambda: self._open_sample("ultrasound"))
        return menu

    @shown_errors
    def _open_sample(self, key: str) -> None:
        self.viewer.open_sample("napari-medseg", key)


def _found_in(paths: Sequence[Path], kind: Kind | None, series: int | None) -> tuple[tuple[Path, ...], Image]:
    """The files without further slices of one series, and the image of the first."""
    kept = one_per_series(paths)
    return tuple(kept), read(kept[0], kind=kind, series=series)


def _prepared(images: list[Image], report: Progress) -> list[Image]:
    """The images, of which those that are one large level have their overview computed."""
    images = [with_virtual_levels(image) for image in images]
    for image in images:
        if has_slow_overview(image):
            prepare_overview(image, lambda done, total, _: report(done, total, f"Overview, {100 * done // total} %"))
    return images


def _read_all(paths: Sequence[Path], kind: Kind | None, report: Progress) -> list[Image]:
    images = []
    for number, path in enumerate(paths, 1):
        report(number - 1, len(paths), f"Reading {path.name}, {number} of {len(paths)}…")
        images.append(read(path, kind=kind))
    return images
