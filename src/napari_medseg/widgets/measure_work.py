"""What the Measure panel computes in a thread, and how its table says it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_medseg.measure.etdrs import LEAST_COVERAGE
from napari_medseg.measure.retina import Thickness, measure_thickness, rows_of, with_grid
from napari_medseg.measure.rows import Row
from napari_medseg.measure.sizes import size_rows
from napari_medseg.measure.subject import Subject
from napari_medseg.measure.thickness import ThicknessMap, summarize
from napari_medseg.structures import Progress
from napari_medseg.widgets.measure_table import Line

_DASH = "–"
#: Before a coverage that is too low: a sign too, because a selected line is not grey.
_DOUBT = "▲ "


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured: thickness of OCT scans (None for other images), and the sizes of classes."""

    subject: Subject
    thickness: Thickness | None
    sizes: tuple[Row, ...]

    @property
    def rows(self) -> list[Row]:
        """The table that ``napari-medseg measure`` writes of the same labels."""
        first = [] if self.thickness is None else rows_of(self.subject, self.thickness)
        return [*first, *self.sizes]

    def map_of(self, structure: str) -> ThicknessMap | None:
        """The map of a structure by its name."""
        maps = () if self.thickness is None else self.thickness.maps
        return next((m for m in maps if m.target.name == structure), None)

    def with_fovea(self, fovea: tuple[float, float] | None) -> Findings:
        """The same maps with the grid round another point (None: found in them); raises `ConfigError`."""
        subject = replace(self.subject, fovea=fovea)
        thickness = None if self.thickness is None else with_grid(subject, self.thickness.maps)
        return replace(self, subject=subject, thickness=thickness)


def find(subject: Subject, progress: Progress) -> Findings:
    """Measure everything of a subject."""
    thickness = measure_thickness(subject, progress) if subject.kind == "oct" else None
    return Findings(subject=subject, thickness=thickness, sizes=tuple(size_rows(subject, progress)))


def headings(findings: Findings) -> tuple[str, ...]:
    """Headings of the table."""
    if findings.thickness is None:
        return ("Class", "Size", "Pixels")
    unit = "px" if findings.subject.space.axial is None else "µm"
    volume = len(findings.subject.labels.shape) > 2
    return ("Structure", *((f"B-scan, {unit}", f"Scan, {unit}") if volume else (f"Mean, {unit}",)), "Known")


def lines(findings: Findings, bscan: int) -> list[Line]:
    """One line per structure: mean thickness in this B-scan and the whole scan, and in how much it is known."""
    if findings.thickness is None:
        colors = {c.name: c.color for c in findings.subject.classes}
        return [
            Line(name=r.structure, color=colors[r.structure], cells=(_size(r), f"{r.pixels:,}")) for r in findings.sizes
        ]
    return [_line(m, bscan) for m in findings.thickness.maps]


def _line(m: ThicknessMap, bscan: int) -> Line:
    whole = summarize(m.values)
    doubtful = whole.coverage < LEAST_COVERAGE
    cells = [_number(whole.mean), f"{_DOUBT if doubtful else ''}{100 * whole.coverage:.0f} %"]
    if len(m.values) > 1:
        cells.insert(0, _number(summarize(m.values[bscan]).mean))
    return Line(name=m.target.name, color=m.target.color, cells=tuple(cells), is_doubtful=doubtful)


def _number(value: float) -> str:
    return _DASH if np.isnan(value) else f"{value:.1f}"


def _size(row: Row) -> str:
    if row.volume_mm3 is not None:
        return f"{row.volume_mm3:.4g} mm³" if row.volume_mm3 < 1000 else f"{row.volume_mm3 / 1000:.4g} ml"
    return _DASH if row.area_mm2 is None else f"{row.area_mm2:.4g} mm²"
