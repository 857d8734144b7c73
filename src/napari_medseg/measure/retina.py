"""Thickness of an OCT scan: maps of all structures, the fovea, the ETDRS grid, and the rows that say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from napari_medseg.measure.etdrs import LEAST_COVERAGE, Field, Frame, find_fovea, frame_of, measure_grids
from napari_medseg.measure.rows import Row, defined
from napari_medseg.measure.subject import Subject
from napari_medseg.measure.targets import pile_values, targets_of, whole_of
from napari_medseg.measure.thickness import Floats, ThicknessMap, summarize, thickness_maps
from napari_medseg.structures import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The ETDRS grid over one scan.

    Parameters
    ----------
    fovea
        Its centre, (bscan, x).
    is_automatic
        The fovea was found, not given.
    frame
        How the scan lies in the eye.
    fields
        Nine fields and their total by the target's name.
    """

    fovea: tuple[float, float]
    is_automatic: bool
    frame: Frame
    fields: Mapping[str, tuple[Field, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Thickness:
    """What was measured of a scan.

    Parameters
    ----------
    maps
        One per target, in the order of `targets.targets_of`.
    grid
        None where the scan allows none.
    notes
        Sentences about what is not known or was assumed.
    """

    maps: tuple[ThicknessMap, ...]
    grid: Grid | None
    notes: tuple[str, ...]


def measure_thickness(subject: Subject, progress: Progress | None = None) -> Thickness:
    """Count the labels of a scan and lay the grid over its maps.

    Raises
    ------
    ConfigError
        Surfaces and classes do not fit each other, or the fovea lies outside the scan.
    """
    pile = pile_values(subject.classes, subject.surfaces)
    targets = targets_of(subject.classes, subject.surfaces, subject.spans)
    maps = thickness_maps(subject.labels, pile, targets, subject.space.axial, progress) if targets else ()
    return with_grid(subject, maps)


def with_grid(subject: Subject, maps: tuple[ThicknessMap, ...]) -> Thickness:
    """Maps with the grid round the subject's fovea, or round the one found in them."""
    grid = None if subject.grid_obstacle else _grid(subject, maps)
    return Thickness(maps=maps, grid=grid, notes=_notes(subject, grid))


def _grid(subject: Subject, maps: tuple[ThicknessMap, ...]) -> Grid | None:
    between, lateral = subject.space.between, subject.space.lateral
    if between is None or lateral is None:
        return None
    fovea = subject.fovea
    if fovea is None:
        whole = _whole(subject, maps)
        fovea = None if whole is None else find_fovea(whole, between, lateral)
    if fovea is None:
        return None
    frame = frame_of(between, lateral, subject.positions, subject.aspect)
    fields = measure_grids([m.values for m in maps], frame, fovea, subject.laterality)
    by_name = {m.target.name: f for m, f in zip(maps, fields, strict=True)}
    return Grid(fovea=fovea, is_automatic=subject.fovea is None, frame=frame, fields=by_name)


def _whole(subject: Subject, maps: tuple[ThicknessMap, ...]) -> Floats | None:
    """The map of the retina as a whole."""
    whole = whole_of(subject.surfaces)
    if whole is None:
        return None
    return next((m.pixels for m in maps if (m.target.first, m.target.last) == (whole.first, whole.last)), None)


def _notes(subject: Subject, grid: Grid | None) -> tuple[str, ...]:
    notes = []
    if subject.space.axial is None:
        notes.append("The axial spacing is not known, so thickness is in pixels.")
    if grid is None:
        return (*notes, subject.grid_obstacle) if subject.grid_obstacle else tuple(notes)
    if grid.is_automatic:
        notes.append("The fovea was found as the thinnest place of the central 3 mm: look whether it is.")
    if grid.frame.is_assumed:
        notes.append("How the scan lies is not known: the first B-scan is taken to be the uppermost.")
    if not subject.laterality:
        notes.append("Which eye it is is not known: fields are named left and right, as in a fundus picture.")
    return tuple(notes)


def thickness_rows(subject: Subject, progress: Progress | None = None) -> list[Row]:
    """Rows of `measure_thickness`."""
    return rows_of(subject, measure_thickness(subject, progress))


def rows_of(subject: Subject, thickness: Thickness) -> list[Row]:
    """Per structure: the whole scan, every B-scan of a volume, and the fields of the grid."""
    rows = [_summary_row(subject, m, None) for m in thickness.maps]
    for m in thickness.maps if len(subject.labels.shape) > 2 else ():
        rows += [_summary_row(subject, m, bscan) for bscan in range(len(m.pixels))]
    if thickness.grid is not None:
        rows += _grid_rows(subject, thickness.grid)
    return rows


def _summary_row(subject: Subject, m: ThicknessMap, bscan: int | None) -> Row:
    found = summarize(m.pixels if bscan is None else m.pixels[bscan])
    microns = np.nan if m.axial is None else 1000 * m.axial
    return Row(
        case=subject.name,
        measure="thickness",
        structure=m.target.name,
        bscan=bscan,
        coverage=found.coverage,
        doubtful=found.coverage < LEAST_COVERAGE,
        columns=found.columns,
        note="" if m.axial is not None else "no axial spacing: in pixels",
        mean_um=defined(found.mean * microns),
        min_um=defined(found.minimum * microns),
        max_um=defined(found.maximum * microns),
        mean_px=defined(found.mean),
        min_px=defined(found.minimum),
        max_px=defined(found.maximum),
    )


def _grid_rows(subject: Subject, grid: Grid) -> list[Row]:
    found = "found" if grid.is_automatic else "given"
    note = f"fovea {found} at B-scan {grid.fovea[0]:.1f}, column {grid.fovea[1]:.1f}"
    if grid.frame.is_assumed:
        note += "; first B-scan taken as uppermost"
    return [
        Row(
            case=subject.name,
            measure="etdrs",
            structure=name,
            field=f.name,
            mean_um=defined(f.mean),
            coverage=f.coverage,
            doubtful=f.is_doubtful,
            area_mm2=f.area,
            volume_mm3=defined(f.volume),
            note=note,
        )
        for name, fields in grid.fields.items()
        for f in fields
    ]
