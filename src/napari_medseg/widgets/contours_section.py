"""What the Annotate panel shows for contours on whole slides: tools, what the next shape becomes, files."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QFileDialog,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_medseg.annotation.contour_drawing import How
from napari_medseg.data.contour_classes import with_classes_of
from napari_medseg.data.slide_contours import REGION
from napari_medseg.errors import AnnotationError
from napari_medseg.io.annotation_xml import Annotations
from napari_medseg.io.annotations import FILE_FILTER, read_annotations
from napari_medseg.structures import Case
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.fold import Fold
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, words
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.slide_contours import SlideContoursTool, Tool
from napari_medseg.widgets.tiles_section import slide_of

_TOOLS: tuple[tuple[Tool, str, str], ...] = (
    ("polygon", "Polygon", "Alt+G: click corner after corner; a double click or Escape closes the outline"),
    ("freehand", "Freehand", "Alt+D: draw the outline with the button held"),
    ("select", "Select", "Alt+E: click contours; a class key changes their class, Delete takes them away"),
    ("corners", "Corners", "Drag single corners of a contour"),
)
_HOWS: tuple[tuple[How, str, str], ...] = (
    ("new", "New", "The next outline is a contour of its own"),
    ("add", "Add", "The next outline is added to the contours of its class that it meets, or to the selected ones"),
    ("cut", "Cut out", "Alt+K: the next outline is cut out of the contours of its class, or of the selected ones"),
)


class ContoursSection(QWidget):
    """Contours of a slide; hidden for other images.

    Parameters
    ----------
    session
        Whose case is drawn on.
    notice
        Where the panel tells what went wrong.
    """

    def __init__(self, session: Session, notice: Notice) -> None:
        super().__init__()
        self._session = session
        self.notice = notice
        self.fold = Fold("Contours")
        self.tools = {tool: _choice(text, tip, f"contour_{tool}") for tool, text, tip in _TOOLS}
        self.hows = {how: _choice(text, tip, f"contour_{how}") for how, text, tip in _HOWS}
        self.region = _choice(
            "Region",
            "Alt+Q: the next outline, or the selected one, is a complete region: everything in it is drawn",
            "contour_region",
        )
        self.state = words(faint=True)
        self._group = QButtonGroup(self)
        for shown in self.hows.values():
            self._group.addButton(shown)
        for tool, shown in self.tools.items():
            shown.clicked.connect(partial(self._use, tool))
        for how, shown in self.hows.items():
            shown.clicked.connect(partial(self._choose_how, how))
        self.region.clicked.connect(self._choose_region)
        self._job: ThreadJob | None = None
        self.bring = button("Import …", self._import, name="import_contours")
        self.bring.setToolTip("Contours that QuPath (GeoJSON), ASAP or ImageScope (XML) wrote for this slide")
        send = button("Export …", self._export, name="export_contours")
        send.setToolTip("A GeoJSON file that QuPath reads")
        content = self.fold.content
        content.addLayout(_side_by_side(*self.tools.values()))
        content.addLayout(_side_by_side(*self.hows.values(), self.region))
        content.addWidget(self.state)
        content.addLayout(row(self.bring, send))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.fold)
        session.case_changed.connect(self._show_case)
        self._show_case(session.case)

    @property
    def trouble(self) -> str:
        """Why the contours of the case could not be read; empty otherwise."""
        tool = self._tool()
        return "" if tool is None else tool.trouble

    def _show_case(self, case: Case | None) -> None:
        del case
        tool = self._tool()
        self.setVisible(tool is not None)
        if tool is None:
            return
        tool.changed.connect(self._show)
        tool.failed.connect(self.notice.show_error)
        # Somebody who drew contours on this slide goes on with them.
        self.fold.set_open(self.fold.is_open() or bool(tool.present.contours))
        self._show()

    def _show(self) -> None:
        tool = self._tool()
        if tool is None:
            return
        for each, shown in self.tools.items():
            shown.setChecked(tool.tool == each)
        for how, shown in self.hows.items():
            shown.setChecked(tool.how == how and not tool.draws_region)
            shown.setEnabled(not tool.draws_region)
        self.region.setChecked(tool.draws_region)
        self.state.setText(_summary(tool))

    @shown_errors
    def _use(self, name: Tool, checked: bool = True) -> None:
        del checked
        use_contours(self._session, name)
        self._show()

    @shown_errors
    def _choose_how(self, how: How, checked: bool = True) -> None:
        del checked
        tool = self._tool()
        if tool is not None:
            tool.choose_how(how)

    @shown_errors
    def _choose_region(self, checked: bool) -> None:
        tool = self._tool()
        if tool is not None:
            tool.choose_region(checked)

    @shown_errors
    def _import(self) -> None:
        found, _ = QFileDialog.getOpenFileName(self, "Import contours", "", FILE_FILTER)
        if found:
            self.import_file(Path(found))

    def import_file(self, path: Path) -> None:
        """Take contours of a file into the slide on screen; files of many cells are read beside the window."""
        slide = slide_of(self._session)
        if slide is None:
            return
        self.bring.setEnabled(False)
        self.state.setText(f"Reading {path.name} …")
        self._job = ThreadJob(lambda _: read_annotations(path))
        self._job.result.connect(partial(self._take_in, slide.case.case, path.name))
        self._job.failed.connect(self.notice.show_error)
        self._job.finished.connect(self._import_ended)
        self._job.end_with(self)
        self._job.start()

    @shown_errors
    def _take_in(self, case: str, name: str, found: Annotations) -> None:
        slide = slide_of(self._session)
        if slide is None or slide.case.case != case:
            raise AnnotationError(f"Another case was opened while {name} was read: open the slide and import it again.")
        add_annotations(self._session, name, found)

    def _import_ended(self, outcome: str) -> None:
        del outcome
        self.bring.setEnabled(True)
        self._show()

    @shown_errors
    def _export(self) -> None:
        slide = slide_of(self._session)
        if slide is None:
            return
        name, _ = QFileDialog.getSaveFileName(
            self, "Export contours", f"{slide.case.case}.geojson", "GeoJSON (*.geojson)"
        )
        if name:
            slide.contours.export(Path(name))
            self._session.tell(f"Written to {name}.")

    def _tool(self) -> SlideContoursTool | None:
        slide = slide_of(self._session)
        return None if slide is None else slide.contours


def use_contours(session: Session, tool: Tool) -> None:
    """Draw or change contours of the slide on screen; raises `AnnotationError` while they are being read."""
    slide = slide_of(session)
    if slide is not None:
        slide.contours.use(tool)


def switch_cut(session: Session) -> None:
    """Cut out with the next outline, or draw contours again."""
    slide = slide_of(session)
    if slide is not None:
        slide.contours.choose_how("new" if slide.contours.how == "cut" else "cut")


def switch_region(session: Session) -> None:
    """Draw regions that are complete, or the class again."""
    slide = slide_of(session)
    if slide is not None:
        slide.contours.choose_region(not slide.contours.draws_region)


def add_annotations(session: Session, name: str, found: Annotations) -> None:
    """Take contours of a file into the slide on screen, with classes that the data set does not have yet.

    Raises
    ------
    MedsegError
        The data set cannot be written, or the slide's own contours are still being read.
    """
    slide = slide_of(session)
    if slide is None:
        return
    info = with_classes_of(slide.dataset.info, found.contours)
    if info != slide.dataset.info:
        slide.dataset.set_info(info)
        session.dataset_changed.emit(slide.dataset)
    slide.contours.add(found.contours)
    left = f"; {found.left_out:,} points and lines were left out" if found.left_out else ""
    session.tell(f"{len(found.contours):,} contours of {name} were added{left}.")


def _summary(tool: SlideContoursTool) -> str:
    if tool.is_loading:
        return "Reading the contours …"
    drawn = tool.present.contours
    regions = sum(contour.class_name == REGION for contour in drawn)
    counts = [f"{len(drawn) - regions:,} contours"]
    if regions:
        counts.append(f"{regions} complete region{'s' if regions > 1 else ''}")
    if tool.found.contours:
        counts.append(f"{len(tool.found.contours):,} more that are only shown")
    return ", ".join(counts)


def _side_by_side(*choices: QPushButton) -> QHBoxLayout:
    layout = row(*choices)
    for place in range(len(choices)):
        layout.setStretch(place, 1)
    return layout


def _choice(text: str, tip: str, name: str) -> QPushButton:
    made = button(text, lambda: None, tip=tip, name=name)
    made.setCheckable(True)
    # Four stand side by side in a narrow panel.
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    made.setStyleSheet("QPushButton { padding: 4px 2px; }")
    # The key that is pressed next is meant for the picture.
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    return made
