"""Curves from one B-scan to the next: within a volume, or from case to case where each B-scan is a file of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_medseg.annotation.alignment import depth_offset, moved_by
from napari_medseg.annotation.curves import Curves
from napari_medseg.annotation.surfaces import Rows, pile_of, surfaces_of_labels
from napari_medseg.errors import AnnotationError
from napari_medseg.io.folder import natural_key
from napari_medseg.structures import Case
from napari_medseg.widgets.case_curves import brightness

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.widgets.session import Session


def carry_on(session: Session, by: int = 1) -> str:
    """Go to the next B-scan (the previous one, if `by` is negative) and take the curves along, where it has none.

    Where the case is a single B-scan, the next one is the next case of its group, in the natural order of file names.

    Returns
    -------
    what happened, for people; empty where the picture shows it.

    Raises
    ------
    AnnotationError
        There is no next B-scan, it has another size, or there are no curves to take along.
    MedsegError
        The case cannot be saved, or the next one cannot be read.
    """
    opened, dataset = session.open, session.dataset
    if opened is None or opened.curves is None or dataset is None:
        return ""
    which = "last" if by > 0 else "first"
    if opened.curves.curves.shape[0] > 1:
        return "" if opened.curves.carry_on(by) else f"This is the {which} B-scan."
    source = opened.case
    target = _next_case(dataset, source, by, which)
    if np.isnan(opened.curves.rows).all():
        raise AnnotationError(f"{source.case} has no curves to carry on: draw them first.")
    size, other = opened.labels.data.shape, dataset.read_image(target).spatial_shape
    if other != size:
        raise AnnotationError(
            f"{target.case} has {other[-2]} × {other[-1]} pixels and {source.case} {size[-2]} × {size[-1]}: curves are "
            "carried on between B-scans of one size."
        )
    session.open_case(target.case)
    opened = session.open
    assert opened is not None
    opened.edit_curves(True)
    if not draw_from(session, source):
        return f"{target.case} has curves of its own: they stay."
    return f"Curves were carried on from {source.case}: look through them."


def draw_from(session: Session, source: Case) -> bool:
    """Draw what is missing in the single B-scan on screen along its edges near the curves of another case.

    Returns
    -------
    whether anything was drawn
    """
    opened, dataset = session.open, session.dataset
    assert opened is not None
    assert opened.curves is not None
    assert dataset is not None
    case, (height, width) = opened.curves, opened.labels.data.shape
    rows = rows_of_case(dataset, source, (height, width))
    if rows is None:
        return False
    there, here = brightness(dataset.read_image(source)), case.picture(0)
    offset = depth_offset(there, here)
    moved = rows + offset
    # What lies outside this picture is not drawn along its edge.
    moved[(moved < 0) | (moved > height - 1)] = np.nan
    pair = Curves(case.surfaces, (2, height, width), (moved_by(there, offset), here).__getitem__)
    pair.set_rows(0, moved)
    pair.set_rows(1, case.rows)
    if np.isnan(moved).all() or not pair.carry_on(0, 1):
        return False
    return case.do(case.curves.set_rows, 0, pair.rows(1), pinned=case.curves.pinned(0))


def rows_of_case(dataset: Dataset, case: Case, shape: Sequence[int]) -> Rows | None:
    """Surfaces (surfaces, x) of a case that is a single B-scan of some shape, as they are saved; None without any."""
    stored = dataset.boundary_store(case).read(shape)
    if stored is not None:
        rows: Rows = stored.rows[0]
    else:
        labels = dataset.read_labels(case)
        if labels is None or labels.shape != tuple(shape):
            return None
        rows = surfaces_of_labels(labels, pile_of(dataset.info))
    return rows if np.isfinite(rows).any() else None


def bscans_of_group(dataset: Dataset, case: Case) -> list[Case]:
    """The cases of a case's group in the natural order of their file names, itself among them; it alone without one."""
    if not case.group:
        return [case]
    mates = [other for other in dataset.cases if other.group == case.group]
    return sorted(mates, key=lambda other: (natural_key(other.image), natural_key(other.case)))


def _next_case(dataset: Dataset, case: Case, by: int, which: str) -> Case:
    if not case.group:
        raise AnnotationError(
            f"{case.case} has no group: curves are carried on between B-scans of one group (the column 'group')."
        )
    mates = bscans_of_group(dataset, case)
    place = [mate.case for mate in mates].index(case.case) + by
    if not 0 <= place < len(mates):
        raise AnnotationError(f"{case.case} is the {which} B-scan of the group '{case.group}'.")
    return mates[place]
