"""The Annotate panel: tag the case, choose what to draw, say when it is done."""

from __future__ import annotations

import dataclasses
import html
from datetime import datetime

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QCheckBox, QLabel, QScrollArea, QSizePolicy, QStackedWidget, QVBoxLayout, QWidget

from napari_medseg.data.contour_classes import rename_class_of_contours
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.dataset_file import next_class_color, next_tag_color, with_class_renamed
from napari_medseg.data.readings import rename_tag
from napari_medseg.structures import NOT_LOOKED_AT, Case, DatasetInfo, MaskClass, TagClass
from napari_medseg.widgets.areas import area_text
from napari_medseg.widgets.case_list import status_text
from napari_medseg.widgets.class_list import ClassList
from napari_medseg.widgets.contours_section import ContoursSection
from napari_medseg.widgets.curves_section import CurvesSection
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.grade_section import GradeSection
from napari_medseg.widgets.layers_setup import LayersSetup
from napari_medseg.widgets.look import SentenceLabel
from napari_medseg.widgets.name_entry import NameEntry
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, heading, panel_layout, row, words
from napari_medseg.widgets.quick_section import QuickSection
from napari_medseg.widgets.readiness import Readiness
from napari_medseg.widgets.refine_section import RefineSection
from napari_medseg.widgets.regions import complete_region, start_region
from napari_medseg.widgets.session import session_of
from napari_medseg.widgets.shortcuts import install_shortcuts, key_of, set_tag
from napari_medseg.widgets.slide_section import SlideSection
from napari_medseg.widgets.tag_buttons import TagButtons
from napari_medseg.widgets.tiles_section import TilesSection, slide_of
from napari_medseg.widgets.ultrasound_section import UltrasoundSection
from napari_medseg.widgets.volume_section import VolumeSection
from napari_medseg.widgets.window import real_viewer
from napari_medseg.widgets.window_section import WindowSection

#: Milliseconds after a change until areas are counted again.
_COUNT_AFTER = 400


class AnnotatePanel(QWidget):
    """Tags, classes and the acts of one case.

    Parameters
    ----------
    napari_viewer
        Where the case is shown.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = real_viewer(napari_viewer)
        self.session = session_of(self.viewer)
        install_shortcuts(self.viewer)
        self.notice = Notice()
        self._shown: Dataset | None = None
        self._count_timer = QTimer(self)
        self._count_timer.setSingleShot(True)
        self._count_timer.setInterval(_COUNT_AFTER)
        self._count_timer.timeout.connect(self._count)
        self._pages = QStackedWidget()
        self._pages.addWidget(self._make_empty_page())
        self._pages.addWidget(self._make_page())
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._pages)
        self._connect()
        self._show_dataset(self.session.dataset)
        self._show_case(self.session.case)

    def _make_empty_page(self) -> QWidget:
        page = QWidget()
        layout = panel_layout(page)
        layout.addWidget(heading("No case is open"))
        layout.addWidget(words("Choose a case in the list, then tag it and draw on it here.", faint=True))
        layout.addWidget(button("Go to Cases", lambda: self.session.show_panel("Cases"), primary=True))
        layout.addStretch(1)
        return page

    def _make_page(self) -> QWidget:
        page = QWidget()
        layout = panel_layout(page)
        self.title = QLabel()
        self.title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        self.saved = SentenceLabel()
        keys = button("?", self.session.keys_asked.emit, tip="F1: all keys on one sheet")
        keys.setFixedWidth(28)
        layout.addLayout(row(self.title, keys, stretch=self.title))
        layout.addWidget(self.saved)
        layout.addWidget(self.notice)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setWidget(self._make_body())
        layout.addWidget(scroll, 1)
        self.done = button("Mark done", self._finish, primary=True, name="done")
        self.done.setToolTip("Ctrl+Enter: mark this case done and open the next one that is to do")
        previous = button("◀", lambda: self._step(-1), tip="Previous case (Alt+Left)")
        following = button("▶", lambda: self._step(1), tip="Next case (Alt+Right)")
        layout.addLayout(row(previous, following, self.done, stretch=self.done))
        layout.addWidget(Readiness(self.session))
        return page

    def _make_body(self) -> QWidget:
        body = QWidget()
        layout = QVBoxLayout(body)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(8)
        self.tags = TagButtons()
        self.new_tag = NameEntry("new tag")
        self.classes = ClassList()
        self.new_class = NameEntry("new class")
        self.looked_at = words(faint=True)
        layout.addLayout(row(heading("Tag"), self.new_tag, stretch=self.new_tag))
        layout.addWidget(self.tags)
        self.ultrasound = UltrasoundSection(self.session, self.notice)
        layout.addWidget(self.ultrasound)
        self.grades = GradeSection(self.session, self.notice)
        layout.addWidget(self.grades)
        self.layers_setup = LayersSetup(self.notice)
        self.curves = CurvesSection(self.session, self.notice)
        layout.addWidget(self.curves)
        layout.addWidget(self.layers_setup)
        layout.addLayout(row(heading("Draw"), self.new_class, stretch=self.new_class))
        layout.addWidget(self.classes)
        self.slide = SlideSection(self.session, self.notice)
        layout.addWidget(self.slide)
        self.contours = ContoursSection(self.session, self.notice)
        layout.addWidget(self.contours)
        self.tiles = TilesSection(self.session, self.notice)
        layout.addWidget(self.tiles)
        self.window_section = WindowSection(self.session)
        layout.addWidget(self.window_section)
        self.volume = VolumeSection(self.session, self.notice)
        layout.addWidget(self.volume)
        self.quick = QuickSection(self.session, self.notice)
        layout.addWidget(self.quick)
        self.refine = RefineSection(self.session, self.notice)
        layout.addWidget(self.refine)
        self.veil = QCheckBox("Darken")
        self.veil.setToolTip("Darken what nobody has looked at, to see which regions are complete")
        layout.addLayout(row(self.looked_at, self.veil, stretch=self.looked_at))
        empty = button("Nothing there", self._mark_empty, name="nothing_there")
        empty.setToolTip("Alt+N: looked at, and there is nothing to draw; the case is done")
        region = button("Draw region", self._start_region, name="draw_region")
        region.setToolTip("Draw a rectangle or polygon around a part that you draw completely")
        complete = button("Region complete", self._complete_region, name="region_complete")
        complete.setToolTip("Alt+R: everything in the drawn region, or else in view, is drawn; outside nobody looked")
        layout.addLayout(row(empty, region, complete))
        layout.addStretch(1)
        return body

    def _connect(self) -> None:
        self.tags.chosen.connect(self._set_tag)
        self.tags.renamed.connect(self._rename_tag)
        self.tags.recolored.connect(self._recolor_tag)
        self.new_tag.entered.connect(self._add_tag)
        self.new_class.entered.connect(self._add_class)
        self.classes.chosen.connect(self._choose_class)
        self.classes.recolored.connect(self._recolor)
        self.classes.classes.renamed.connect(self._rename)
        self.classes.classes.locks_changed.connect(self._apply_class_state)
        self.classes.classes.eyes_changed.connect(self._apply_class_state)
        self.veil.toggled.connect(self._apply_class_state)
        self.curves.setup_asked.connect(lambda: self.layers_setup.open_for(self._info()))
        self.curves.edited.connect(self._pass_over_layers)
        self.layers_setup.accepted.connect(self._set_layers)
        self.session.dataset_changed.connect(self._show_dataset)
        self.session.case_changed.connect(self._show_case)
        self.session.cases_changed.connect(self._show_row)
        self.session.saved.connect(self._show_saved)
        self.session.save_failed.connect(self._show_save_failed)
        self.session.told.connect(self.notice.show_info)
        self.session.trouble.connect(self.notice.show_error)

    def _show_dataset(self, dataset: Dataset | None) -> None:
        info = dataset.info if dataset is not None else DatasetInfo(name="")
        if dataset is not self._shown:
            # Values mean other classes in another data set.
            self._shown = dataset
            self.classes.classes.forget_state()
        self.tags.set_tags(info.tags, [key_of(info, tag) for tag in info.tags])
        self.classes.classes.set_classes(info.classes, {c.value: key_of(info, c) for c in info.classes})
        if self.session.open is not None:
            self.session.open.restyle()
        self.curves.list_surfaces()
        self._apply_class_state()
        self._show_row()

    def _show_case(self, case: Case | None) -> None:
        self._pages.setCurrentIndex(0 if case is None else 1)
        self.notice.clear()
        self.layers_setup.hide()
        open_case = self.session.open
        if open_case is None:
            return
        if open_case.curves is not None and open_case.curves.trouble:
            self.notice.show_error(open_case.curves.trouble)
        if trouble := self.contours.trouble or self.tiles.trouble:
            self.notice.show_error(trouble)
        labels = open_case.labels
        for event in (labels.events.paint, labels.events.set_data, labels.events.data):
            event.connect(self._count_soon)
        labels.events.selected_label.connect(self._show_chosen)
        open_case.locked_kept.connect(self._tell_locked)
        if open_case.last_saved is not None:
            self.saved.say("ok", f"last saved {_when(open_case.last_saved)}")
        elif open_case.is_looked_at():
            self.saved.say("ok", "as imported; saved when you change it")
        else:
            self.saved.say("waiting", "nothing drawn yet")
        self._apply_class_state()
        self._show_row()
        self._show_chosen()
        self._count()

    def _show_row(self) -> None:
        case = self.session.case
        if case is None:
            return
        self.title.setText(f"<b>{html.escape(case.case)}</b>  ·  {status_text(case.status)}")
        self.title.setToolTip(case.image)
        self.tags.show_tag(case.tag)

    def _show_chosen(self) -> None:
        if self.session.labels is not None:
            self.classes.show_chosen(int(self.session.labels.selected_label))

    def _show_saved(self, clock: str) -> None:
        self.saved.say("ok", f"saved {clock}")

    def _show_save_failed(self, text: str) -> None:
        self.saved.say("error", "not saved, tried again soon; the labels are kept in memory")
        self.notice.show_error(text)

    def _count_soon(self) -> None:
        self._count_timer.start()

    def _count(self) -> None:
        """Show areas, how much nobody has looked at, and what "done" will make of that."""
        open_case = self.session.open
        if open_case is None:
            return
        counts = open_case.count_values()
        if counts is None:
            self._show_unseen(0, 1)
            self.done.setText("Mark done")
            return
        self.classes.classes.set_areas(
            {c.value: area_text(int(counts[c.value]), open_case.labels) for c in open_case.classes}
        )
        unseen, total = int(counts[NOT_LOOKED_AT]), int(counts.sum())
        self._show_unseen(unseen, total)
        fills = open_case.fills_rest and 0 < unseen < total and not open_case.store.complete_regions
        # What is open between layers stays open.
        rest = "the rest" if open_case.curves is None else "outside the layers"
        self.done.setText(f"Done: {rest} is background" if fills else "Mark done")

    def _show_unseen(self, unseen: int, total: int) -> None:
        """Say how much of the case nobody has looked at, where that is a part of it."""
        is_part = 0 < unseen < total
        share = "under 1%" if unseen < total / 100 else "over 99%" if unseen > total * 0.99 else f"{unseen / total:.0%}"
        self.looked_at.setText(f"{share} not looked at" if is_part else "")
        self.veil.setVisible(is_part or self.veil.isChecked())

    def _apply_class_state(self) -> None:
        open_case = self.session.open
        if open_case is None:
            return
        open_case.locks.locked = frozenset(self.classes.classes.locked)
        hidden = frozenset(self.classes.classes.hidden)
        if (hidden, self.veil.isChecked()) != (open_case.hidden, open_case.veiled):
            open_case.hidden, open_case.veiled = hidden, self.veil.isChecked()
            open_case.restyle()

    def _pass_over_layers(self, edits_curves: bool) -> None:
        """While curves are edited, list the areas alone to paint: layers are what lies between the curves."""
        surfaces = self._info().surfaces if edits_curves else ()
        self.classes.pass_over({name for surface in surfaces for name in (surface.above, surface.below) if name})

    def _tell_locked(self) -> None:
        locks = self.session.open.locks if self.session.open is not None else None
        if locks is not None and (locks.closed or locks.area is not None):
            self.notice.show_hint("What was reviewed stayed as it was: unlock it in the tab Review to change it.")
        else:
            self.notice.show_info("Locked classes stayed as they were.")

    @shown_errors
    def _set_tag(self, name: str) -> None:
        try:
            set_tag(self.session, name)
        finally:
            self._show_row()

    @shown_errors
    def _choose_class(self, value: int) -> None:
        if self.session.open is not None:
            self.session.open.choose_class(value)

    @shown_errors
    def _add_tag(self, name: str) -> None:
        info = self._info()
        tag = TagClass(name=name, color=next_tag_color(info))
        self._set_info(dataclasses.replace(info, tags=(*info.tags, tag)))

    @shown_errors
    def _rename_tag(self, old: str, new: str) -> None:
        dataset = self.session.dataset
        if dataset is not None:
            slide = slide_of(self.session)
            if slide is not None:
                slide.tiles.flush()
            rename_tag(dataset, old, new)
            if self.session.open is not None:
                self.session.open.follow_row()
            if slide is not None:
                slide.tiles.rename(old, new)
            self.session.dataset_changed.emit(dataset)

    @shown_errors
    def _recolor_tag(self, name: str, color: str) -> None:
        info = self._info()
        tags = tuple(dataclasses.replace(tag, color=color) if tag.name == name else tag for tag in info.tags)
        self._set_info(dataclasses.replace(info, tags=tags))

    @shown_errors
    def _add_class(self, name: str) -> None:
        info = self._info()
        value = max((c.value for c in info.classes), default=0) + 1
        new = MaskClass(value=value, name=name, color=next_class_color(info))
        self._set_info(dataclasses.replace(info, classes=(*info.classes, new)))

    @shown_errors
    def _rename(self, value: int, name: str) -> None:
        info = self._info()
        old = next(c.name for c in info.classes if c.value == value)
        slide, dataset = slide_of(self.session), self.session.dataset
        if slide is not None:
            slide.contours.flush()
        self._set_info(with_class_renamed(info, old, name))
        if dataset is not None:
            rename_class_of_contours(dataset.labels_folder, old, name)
        if slide is not None:
            slide.contours.rename_class(old, name)

    @shown_errors
    def _recolor(self, value: int, color: str) -> None:
        info = self._info()
        classes = tuple(dataclasses.replace(c, color=color) if c.value == value else c for c in info.classes)
        self._set_info(dataclasses.replace(info, classes=classes))

    @shown_errors
    def _set_layers(self, info: DatasetInfo) -> None:
        """Write the layers, and open the case again with curves."""
        self._set_info(info)
        case = self.session.case
        if case is not None:
            self.session.close_case()
            self.session.open_case(case.case)
        if self.session.open is not None:
            self.session.open.edit_curves(True)

    def _info(self) -> DatasetInfo:
        return self.session.dataset.info if self.session.dataset is not None else DatasetInfo(name="")

    def _set_info(self, info: DatasetInfo) -> None:
        if self.session.dataset is not None:
            self.session.dataset.set_info(info)
            self.session.dataset_changed.emit(self.session.dataset)

    @shown_errors
    def _finish(self) -> None:
        self.session.finish_case()

    @shown_errors
    def _step(self, by: int) -> None:
        self.session.step(by)

    @shown_errors
    def _mark_empty(self) -> None:
        if self.session.open is not None:
            self.session.open.mark_empty()

    @shown_errors
    def _start_region(self) -> None:
        start_region(self.session)

    @shown_errors
    def _complete_region(self) -> None:
        complete_region(self.session)


def _when(moment: datetime) -> str:
    """A time of today as clock, an older one with its day."""
    return f"{moment:%H:%M}" if moment.date() == datetime.now().date() else f"{moment:%Y-%m-%d %H:%M}"
