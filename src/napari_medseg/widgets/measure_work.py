"""What the Measure panel computes in a thread, and how its table says it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from napari_medseg.measure.etdrs import LEAST_COVERAGE
from napari_medseg.measure.registry import measure
from napari_medseg.measure.retina import Thickness, measure_thickness, rows_of, with_grid
from napari_medseg.measure.rows import Row
from napari_medseg.measure.sizes import size_rows
from napari_medseg.measure.structures import has_parts
from napari_medseg.measure.subject import Subject
from napari_medseg.measure.thickness import ThicknessMap, summarize
from napari_medseg.structures import Progress
from napari_medseg.widgets.measure_table import Line
from napari_medseg.widgets.volume_pixels import VolumePixels

_DASH = "–"
#: Of drawn diameters, in the table and on the image.
LINE_COLOR = "#f0e442"
#: Before a coverage that is too low: a sign too, because a selected line is not grey.
_DOUBT = "▲ "


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What was measured: thickness of OCT scans (None for other images), and the sizes of classes and their parts."""

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


def find(subject: Subject, pixels: VolumePixels | None, progress: Progress) -> Findings:
    """Measure everything of a subject, with the grey values of `pixels` where its image is known."""
    if subject.kind == "oct":
        thickness = measure_thickness(subject, progress)
        return Findings(subject=subject, thickness=thickness, sizes=tuple(size_rows(subject, progress)))
    if pixels is not None:
        # Decoded once and kept, for figures are found anew after every stroke.
        subject = replace(subject, grey=pixels.whole(progress))
    return Findings(subject=subject, thickness=None, sizes=tuple(measure(subject, progress)))


def headings(findings: Findings) -> tuple[str, ...]:
    """Headings of the table."""
    if findings.thickness is None:
        if not has_parts(findings.subject):
            return ("Class", "Size", "Pixels")
        return ("Class", "Size", "Mean HU" if findings.subject.kind == "ct" else "Mean grey", "Axes, mm")
    unit = "px" if findings.subject.space.axial is None else "µm"
    volume = len(findings.subject.labels.shape) > 2
    return ("Structure", *((f"B-scan, {unit}", f"Scan, {unit}") if volume else (f"Mean, {unit}",)), "Known")


def lines(findings: Findings, bscan: int) -> list[Line]:
    """One line per structure: mean thickness in this B-scan and the whole scan, and in how much it is known."""
    if findings.thickness is None:
        return _lines_of_parts(findings) if has_parts(findings.subject) else _lines_of_classes(findings)
    return [_line(m, bscan) for m in findings.thickness.maps]


def _lines_of_classes(findings: Findings) -> list[Line]:
    colors = {c.name: c.color for c in findings.subject.classes}
    return [
        Line(name=row.structure, color=LINE_COLOR, cells=(_length(row), ""), place=_place(row), tip=row.note)
        if row.measure == "line"
        else Line(name=row.structure, color=colors[row.structure], cells=(_size(row), f"{row.pixels:,}"))
        for row in findings.sizes
    ]


def _lines_of_parts(findings: Findings) -> list[Line]:
    """A line per class, and where it has several parts one for each; what lies at one place says where."""
    colors = {c.name: c.color for c in findings.subject.classes}
    found = []
    for structure, rows in itertools.groupby(findings.sizes, key=lambda row: row.structure):
        whole, *parts = rows
        if whole.measure == "line":
            found.append(_line_of_line(whole))
            continue
        only = parts[0] if len(parts) == 1 else None
        found.append(_line_of_part(structure, colors[structure], whole, only))
        if only is None:
            found += [_line_of_part(f"{structure} · {p.part}", colors[structure], p, p) for p in parts]
    return found


def _line_of_part(name: str, color: str, sized: Row, part: Row | None) -> Line:
    grey = _DASH if sized.grey_mean is None else f"{sized.grey_mean:.4g}"
    known = part is not None and part.long_mm is not None
    axes = f"{part.long_mm:.1f} × {part.short_mm:.1f}" if part is not None and known else ""
    place = None if part is None else _place(part)
    return Line(name=name, color=color, cells=(_size(sized), grey, axes), place=place, tip=_details(sized))


def _line_of_line(row: Row) -> Line:
    length = _length(row).removesuffix(" mm")
    return Line(name=row.structure, color=LINE_COLOR, cells=("", "", length), place=_place(row), tip=row.note)


def _length(row: Row) -> str:
    return _DASH if row.long_mm is None else f"{row.long_mm:.1f} mm"


def _place(row: Row) -> tuple[int, ...]:
    return tuple(n for n in (row.z, row.y, row.x) if n is not None)


def _details(row: Row) -> str:
    """What has no column of its own."""
    parts = [f"{row.pixels:,} pixels"]
    if row.grey_mean is not None:
        parts.append(
            f"grey values {row.grey_mean:.4g} ± {row.grey_sd:.4g}, median {row.grey_median:.4g}, "
            f"5 to 95 %: {row.grey_p5:.4g} to {row.grey_p95:.4g}"
        )
    return "\n".join([*parts, *([row.note] if row.note else [])])


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
