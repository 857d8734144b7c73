"""The Measure panel: thickness of layers with map and ETDRS grid, sizes of structures, and a table to take away."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QLabel, QLineEdit, QVBoxLayout, QWidget

from napari_medseg.api.measuring import write_table
from napari_medseg.data.forms import update_form
from napari_medseg.errors import ConfigError
from napari_medseg.measure.registry import has_lines
from napari_medseg.measure.structures import has_parts
from napari_medseg.measure.thickness import ThicknessMap
from napari_medseg.widgets.drawn_lines import drawn_lines_of
from napari_medseg.widgets.errors import shown_errors
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.layer_box import LabelsLayerBox
from napari_medseg.widgets.measure_subject import image_beside, image_to_complete, subject_of_layer
from napari_medseg.widgets.measure_table import HEIGHTS, MeasureTable
from napari_medseg.widgets.measure_work import Findings, find, headings, lines
from napari_medseg.widgets.missing_facts import MissingFacts
from napari_medseg.widgets.notice import Notice
from napari_medseg.widgets.parts import button, row, scrolling, words
from napari_medseg.widgets.session import Session, session_of
from napari_medseg.widgets.thickness_layer import add_map_layer, update_map_layer
from napari_medseg.widgets.thickness_map import ThicknessMapView
from napari_medseg.widgets.thickness_profile import ThicknessProfile
from napari_medseg.widgets.volume_pixels import pixels_of
from napari_medseg.widgets.window import follow

#: Milliseconds without a stroke after which the labels are measured again.
QUIET = 700
_TEACHING = (
    "Measures what is drawn: the thickness of layers in every column of an OCT scan, with a map and the ETDRS grid of "
    "a volume; the volume, grey values and diameters of every part of a scan; the size of every class of any image."
    "\n\nOpen a case, or select a labels layer."
)


class MeasurePanel(QWidget):
    """Figures of the labels on screen, a little after they change.

    Parameters
    ----------
    napari_viewer
        The viewer whose session and layers are used.
    session
        Another session than the viewer's own.
    """

    def __init__(self, napari_viewer: napari.Viewer, session: Session | None = None) -> None:
        super().__init__()
        self.session = session or session_of(napari_viewer)
        self.notice = Notice()
        self.layers = LabelsLayerBox(self.session.viewer)
        self.lines = drawn_lines_of(self.session)
        self.findings: Findings | None = None
        self._layer: Labels | None = None
        self._map_layer: ImageLayer | None = None
        self._job: ThreadJob | None = None
        self._followed: tuple[Any, ...] = ()
        self._is_stale = True
        self._build()
        self._quiet = QTimer(self)
        self._quiet.setSingleShot(True)
        self._quiet.setInterval(QUIET)
        self._quiet.timeout.connect(self._measure)
        self.layers.layer_changed.connect(self._follow_layer)
        self.session.case_changed.connect(lambda _: self._ask_again())
        self.table.structure_changed.connect(self._draw)
        self.lines.changed.connect(self._ask_again)
        self.table.place_chosen.connect(self._go_to)
        self.map.fovea_moved.connect(lambda z, x: self.set_fovea((z, x)))
        follow(self, self.session.viewer.dims.events.current_step, self._follow_bscan)
        self.destroyed.connect(self._unfollow)
        self._follow_layer()

    @property
    def bscan(self) -> int:
        """Number of the B-scan on screen, from 0."""
        if self._layer is None or self._layer.data.ndim < 3:
            return 0
        point = self.session.viewer.dims.point[-self._layer.ndim :]
        place = float(np.asarray(self._layer.world_to_data(point))[-3])
        return int(np.clip(round(place), 0, self._layer.data.shape[-3] - 1))

    @shown_errors
    def set_fovea(self, place: tuple[float, float] | None) -> None:
        """Centre the grid on (B-scan, column), and keep that with the case; None: find it."""
        if self.findings is None or self._layer is None:
            return
        kept = None if place is None else (round(place[0], 2), round(place[1], 2))
        found = self.findings.with_fovea(kept)
        dataset, opened = self.session.dataset, self.session.open
        if dataset is not None and opened is not None and opened.labels is self._layer:
            update_form(dataset, opened.case.case, {"fovea": None if kept is None else list(kept)})
        else:
            self._layer.metadata["fovea"] = kept
        self.findings = found
        self._draw()

    def export_to(self, path: Path) -> None:
        """Write the table; raises `WriteError`."""
        if self.findings is not None:
            write_table(path, self.findings.rows)

    @shown_errors
    def _export(self) -> None:
        if self.findings is None:
            return
        name = f"{self.findings.subject.name.replace('·', '').replace('  ', ' ')}.csv"
        chosen, _ = QFileDialog.getSaveFileName(self, "Export measurements", str(Path.home() / name), "Tables (*.csv)")
        if chosen:
            path = Path(chosen) if Path(chosen).suffix else Path(chosen).with_suffix(".csv")
            self.export_to(path)
            self.notice.show_info(f"{len(self.findings.rows)} rows in {path}")

    def _follow_layer(self) -> None:
        """Another layer was chosen, or layers came and went."""
        if self.layers.layer is not self._layer:
            self._unfollow()
            self._layer, self.findings, self._map_layer = self.layers.layer, None, None
            if self._layer is not None:
                events = self._layer.events
                self._followed = (events.paint, events.set_data, events.data)
                for event in self._followed:
                    event.connect(self._on_edited)
            self._ask_again()
        self._pages()

    def _unfollow(self) -> None:
        """Leave the layer alone; it may outlive the panel."""
        for event in self._followed:
            event.disconnect(self._on_edited)
        self._followed = ()

    def _ask_again(self) -> None:
        """Ask for what is not known of the layer, and measure it."""
        self.missing.ask(None if self._layer is None else image_to_complete(self._layer, self.session))
        self._missing_row.setVisible(self._layer is not None and self.missing.is_asking)
        self._is_stale = True
        self._quiet.start(0)
        self._show_lines()

    @shown_errors
    def _show_lines(self) -> None:
        """Show the diameters that are kept with the labels, where such are measured."""
        is_measured = self._layer is not None and has_lines(subject_of_layer(self._layer, self.session))
        self._draw_button.setVisible(is_measured)
        self.lines.show_over(self._layer if is_measured else None)

    def _on_edited(self, event: Any = None) -> None:
        self._is_stale = True
        self._quiet.start(QUIET)

    @shown_errors
    def _measure(self) -> None:
        # A hidden panel waits: nobody looks, and counting takes time from drawing.
        if self._layer is None or not self._is_stale or not self.isVisible() or self._job is not None:
            return
        self._is_stale = False
        subject = subject_of_layer(self._layer, self.session)
        beside = image_beside(self._layer, self.session) if has_parts(subject) else None
        self._job = ThreadJob(partial(find, subject, None if beside is None else pixels_of(beside)))
        self._job.result.connect(partial(self._on_found, self._layer))
        self._job.failed.connect(self.notice.show_error)
        self._job.finished.connect(self._on_finished)
        self._job.end_with(self)
        self._state.setText("Measuring …" if self.findings is None else "")
        self._job.start()

    def _on_found(self, layer: Labels, found: Findings) -> None:
        if layer is not self._layer:
            return
        known = self.findings
        # The fovea may have been moved while labels were counted.
        self.findings = found.with_fovea(known.subject.fovea) if known is not None else found
        self._draw()

    def _on_finished(self, outcome: str) -> None:
        self._job = None
        self._state.setText("")
        if self._is_stale:
            self._quiet.start(QUIET)

    def _follow_bscan(self, event: Any = None) -> None:
        if self.findings is not None and self.isVisible():
            self._draw_bscan()

    def _go_to(self, voxel: tuple[int, ...]) -> None:
        """Move the slice and crosshair to a voxel of the labels, and the picture so that it is in the middle."""
        if self._layer is None:
            return
        dims, camera = self.session.viewer.dims, self.session.viewer.scene.camera
        world = [float(place) for place in self._layer.data_to_world(voxel)]
        axes = range(dims.ndim - len(world), dims.ndim)
        dims.set_point(axes, world)
        shown = [dict(zip(axes, world, strict=True)).get(axis, 0.0) for axis in dims.displayed]
        camera.center = (*(0.0,) * (3 - len(shown)), *shown)

    def _draw(self) -> None:
        """Show everything that was found."""
        if self.findings is None:
            return
        self._draw_bscan()
        thickness = self.findings.thickness
        self.notes.setText("\n".join(() if thickness is None else thickness.notes))
        chosen = self.findings.map_of(self.table.structure)
        grid = None if thickness is None else thickness.grid
        self._map_part.setVisible(chosen is not None and grid is not None)
        if chosen is not None and grid is not None:
            self.map.show_map(chosen.values, grid.frame, limits=_limits(chosen), unit=chosen.unit)
            self.map.show_grid(grid.fovea, grid.fields[chosen.target.name])
            self.map.show_bscan(self.bscan)
            self.fovea.setText(f"{grid.fovea[0]:g}, {grid.fovea[1]:g}")
            total = grid.fields[chosen.target.name][-1]
            volume = f"{total.volume:.3f} mm³ in" if np.isfinite(total.volume) else "Volume not known in"
            self.total.setText(f"{volume} 6 mm; {100 * total.coverage:.0f} % of the grid is known.")
        if chosen is not None and self._map_layer in self.session.viewer.layers:
            assert self._map_layer is not None
            update_map_layer(self._map_layer, self.findings.subject, chosen.values)
            self._map_layer.contrast_limits = _limits(chosen)

    def _draw_bscan(self) -> None:
        """Show what depends on the B-scan on screen."""
        assert self.findings is not None
        self.table.blockSignals(True)
        # Without curves and maps below it, the table has the panel to itself.
        highest = HEIGHTS[0 if self.findings.thickness is not None else 1]
        self.table.show_lines(headings(self.findings), lines(self.findings, self.bscan), highest=highest)
        self.table.blockSignals(False)
        chosen = self.findings.map_of(self.table.structure)
        self.profile.setVisible(chosen is not None)
        if chosen is not None:
            volume = len(chosen.values) > 1
            self.profile.show_values(
                chosen.values[self.bscan],
                title=chosen.target.name + (f", B-scan {self.bscan}" if volume else ""),
                unit=chosen.unit,
                color=chosen.target.color,
                highest=_limits(chosen)[1],
            )
            self.map.show_bscan(self.bscan)

    @shown_errors
    def _take_facts(self) -> None:
        """Keep what was typed: in the table for a case, and with the layers on screen."""
        if self._layer is None:
            return
        image = image_to_complete(self._layer, self.session)
        complete, cells = self.missing.completed(image), self.missing.columns(image)
        if not cells:
            raise ConfigError("Type what you know of the spacing first.")
        opened, layers = self.session.open, [self._layer]
        if opened is not None and opened.labels is self._layer:
            self.session.update_case(opened.case.case, extra=cells)
            layers += opened.image_layers
        facts: dict[str, Any] = {"spacing": complete.spacing, "units": complete.units, "kind": complete.kind}
        if complete.oct is not None and complete.oct.laterality:
            facts["laterality"] = complete.oct.laterality
        for layer in layers:
            layer.metadata["medseg"] = {**layer.metadata.get("medseg", {}), **facts}
        self._ask_again()

    @shown_errors
    def _type_fovea(self) -> None:
        try:
            bscan, column = (float(part) for part in self.fovea.text().replace(";", ",").split(","))
        except ValueError:
            raise ConfigError(f"'{self.fovea.text()}' is no place: type B-scan, column, such as 24, 256.") from None
        self.set_fovea((bscan, column))

    @shown_errors
    def _show_layer(self) -> None:
        chosen = None if self.findings is None else self.findings.map_of(self.table.structure)
        if self.findings is None or chosen is None or self._layer is None:
            return
        viewer, active = self.session.viewer, self.session.viewer.layers.selection.active
        if self._map_layer in viewer.layers:
            viewer.layers.remove(self._map_layer)
        subject = self.findings.subject
        self._map_layer = add_map_layer(
            viewer,
            subject,
            chosen.values,
            name=f"{subject.name} · thickness of {chosen.target.name}",
            limits=_limits(chosen),
            beside=self._layer,
        )
        # People go on to draw where they drew.
        viewer.layers.selection.active = active
        viewer.reset_view()

    def _pages(self) -> None:
        self._teaching.setVisible(self._layer is None)
        self._content.setVisible(self._layer is not None)
        self._export_button.setEnabled(self._layer is not None)

    def showEvent(self, event: QShowEvent | None) -> None:
        """Measure what was drawn while the panel was hidden (Qt's hook)."""
        super().showEvent(event)
        self._quiet.start(0)
        if self.findings is not None:
            self._draw_bscan()

    def _build(self) -> None:
        self.table, self.profile, self.map = MeasureTable(), ThicknessProfile(), ThicknessMapView()
        self.missing, self.notes, self.total = MissingFacts(), words(faint=True), words()
        self._teaching = words(_TEACHING, faint=True)
        self._missing_row = QWidget()
        asking = QVBoxLayout(self._missing_row)
        asking.setContentsMargins(0, 0, 0, 0)
        asking.addWidget(self.missing)
        asking.addWidget(button("Use", self._take_facts, tip="Measure with this; kept with the case", name="use_facts"))
        self.fovea = QLineEdit()
        self.fovea.setObjectName("fovea")
        self.fovea.setToolTip("B-scan and column, from 0; the mark on the map can be dragged, too")
        self.fovea.returnPressed.connect(self._type_fovea)
        find_it = button("Find", lambda: self.set_fovea(None), tip="Thinnest place of the central 3 mm", name="find")
        as_layer = button("Map as layer", self._show_layer, tip="Add the map beside the B-scans", name="map_layer")
        self._map_part = QWidget()
        part = QVBoxLayout(self._map_part)
        part.setContentsMargins(0, 0, 0, 0)
        part.addWidget(self.map)
        part.addWidget(self.total)
        part.addLayout(row(QLabel("Fovea"), self.fovea, find_it, as_layer, stretch=self.fovea))
        self._map_part.setVisible(False)
        self.profile.setVisible(False)
        self._content, self._state = QWidget(), words(faint=True)
        content = QVBoxLayout(self._content)
        content.setContentsMargins(0, 0, 0, 0)
        for widget in (self._missing_row, self.table, self.profile, self._map_part, self.notes):
            content.addWidget(widget)
        self._lay_out()

    def _lay_out(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(10, 8, 10, 8)
        for widget in (self.layers, self._teaching, self._content):
            column.addWidget(widget)
        column.addStretch(1)
        self._export_button = button(
            "Export CSV…", self._export, tip="All figures as a table", name="export", primary=True
        )
        bar = QVBoxLayout()
        bar.setContentsMargins(10, 2, 10, 10)
        self._draw_button = button(
            "Draw diameters",
            self.lines.draw,
            tip="Draw lines from end to end; their lengths are kept with the case (RECIST: long axis, then across it)",
            name="draw_lines",
        )
        column.insertWidget(column.indexOf(self._content) + 1, self._draw_button)
        for shown in (self.notice, self._state, self._export_button):
            bar.addWidget(shown)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scrolling(inner), 1)
        layout.addLayout(bar)


def _limits(chosen: ThicknessMap) -> tuple[float, float]:
    """What nearly all columns lie between, for colours; the same whichever B-scan is on screen."""
    known = chosen.values[np.isfinite(chosen.values)]
    low, high = (float(value) for value in np.percentile(known, [0.5, 99.5])) if known.size else (0.0, 0.0)
    return (low, high) if high > low else (low, low + 1.0)
