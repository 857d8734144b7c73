"""Review: a second person says that a case, or a part of one, is right, and from then on it stays as it is.

The columns ``reviewer`` and ``reviewed`` say who and when (UTC); ``author`` stays who annotated. Every change of status
is in the history with name and time. Parts that were reviewed lie in the form of the case: ``reviewed_regions``, each
``{"box": "y0:y1,x0:x1", "by": name, "at": time}``, with ``"outline": [[y, x], ...]`` where the part is no rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.forms import form_path, read_form, update_form
from napari_medseg.data.history import now
from napari_medseg.data.rows import format_region, parse_region
from napari_medseg.errors import DatasetError
from napari_medseg.structures import Box, Case

REVIEWER = "reviewer"
REVIEWED = "reviewed"
REGIONS = "reviewed_regions"

Mask = npt.NDArray[np.bool_]
Outline = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewedRegion:
    """A part of a case that was reviewed.

    Parameters
    ----------
    box
        ``(start, stop)`` per axis of the labels.
    outline
        Corners (y, x) of a polygon inside of the box, in pixels of the labels; empty: all of the box.
    by, at
        Who, and when (UTC).
    """

    box: Box
    outline: tuple[tuple[float, float], ...] = ()
    by: str = ""
    at: str = ""

    def mask(self) -> Mask:
        """The pixels of the box that belong to the region, bool of the box's shape."""
        shape = tuple(stop - start for start, stop in self.box)
        if not self.outline:
            return np.ones(shape, bool)
        from skimage.draw import polygon2mask

        corners = np.asarray(self.outline) - [self.box[-2][0], self.box[-1][0]]
        inside = polygon2mask(shape[-2:], corners)  # type: ignore[no-untyped-call]  # scikit-image has no types
        return np.broadcast_to(inside, shape)


def mark_reviewed(dataset: Dataset, case_id: str, *, revision: int) -> Case:
    """Say that a case is right: it gets the status ``reviewed``, the reviewer's name and the time.

    Raises
    ------
    DatasetError
        The case is not done yet.
    ConflictError, WriteError, LockedError
        As `Dataset.update_case`.
    """
    case = dataset.case(case_id)
    if case.status not in ("done", "reviewed"):
        raise DatasetError(f"Case '{case_id}' is not done yet: mark it done, then it can be reviewed.")
    return dataset.update_case(
        case_id,
        revision=revision,
        status="reviewed",
        author=case.author,
        extra={REVIEWER: dataset.author, REVIEWED: now()},
    )


def unlock(dataset: Dataset, case_id: str, *, revision: int) -> Case:
    """Take a review back, so that the case can be changed: it is a draft again; the history keeps who had reviewed it.

    Raises
    ------
    ConflictError, DatasetError, WriteError, LockedError
        As `Dataset.update_case`.
    """
    case = dataset.case(case_id)
    if case.status != "reviewed":
        return case
    return dataset.update_case(
        case_id, revision=revision, status="draft", author=case.author, extra={REVIEWER: "", REVIEWED: ""}
    )


def reviewed_regions(dataset: Dataset, case_id: str) -> tuple[ReviewedRegion, ...]:
    """The parts of a case that were reviewed.

    Raises
    ------
    DatasetError
        The form of the case cannot be read, or holds something else.
    """
    found = read_form(dataset.path, case_id).get(REGIONS, [])
    try:
        return tuple(_region_of(entry) for entry in found)
    except (DatasetError, TypeError, ValueError, KeyError, AttributeError):
        path = form_path(dataset.path, case_id)
        raise DatasetError(
            f'{path}: \'{REGIONS}\' is not understood: write objects such as {{"box": "0:9,5:20"}}.'
        ) from None


def add_reviewed_region(dataset: Dataset, case_id: str, box: Box, outline: Outline = ()) -> ReviewedRegion:
    """Say that a part of a case is right, so that it stays as it is.

    Parameters
    ----------
    box, outline
        As `ReviewedRegion`.

    Raises
    ------
    DatasetError, WriteError, LockedError
        As `update_form`.
    """
    corners = tuple((float(y), float(x)) for y, x in outline)
    region = ReviewedRegion(box=box, outline=corners, by=dataset.author, at=now())
    _write(dataset, case_id, [*reviewed_regions(dataset, case_id), region])
    return region


def unlock_regions(dataset: Dataset, case_id: str, at: Sequence[int] | None = None) -> int:
    """Let parts be changed again; how many.

    Parameters
    ----------
    at
        A pixel ([z,] y, x): the parts that hold it; None for all parts.

    Raises
    ------
    DatasetError, WriteError, LockedError
        As `update_form`.
    """
    regions = reviewed_regions(dataset, case_id)
    kept = [region for region in regions if at is not None and not _holds(region, at)]
    if len(kept) < len(regions):
        _write(dataset, case_id, kept)
    return len(regions) - len(kept)


def locked_pixels(dataset: Dataset, case: Case, shape: Sequence[int]) -> Mask | None:
    """The pixels of a case that must stay as they are, bool ([z,] y, x); None where there are none.

    Parameters
    ----------
    shape
        Of the labels.

    Raises
    ------
    DatasetError
        As `reviewed_regions`, or a part lies outside the labels.
    """
    if case.status == "reviewed":
        return np.ones(shape, bool)
    regions = reviewed_regions(dataset, case.case)
    if not regions:
        return None
    locked = np.zeros(shape, bool)
    for region in regions:
        fits = len(region.box) == len(shape) and all(stop <= n for (_, stop), n in zip(region.box, shape, strict=True))
        if not fits:
            text = f"the reviewed part {format_region(region.box)} does not lie in the image"
            raise DatasetError(f"{form_path(dataset.path, case.case)}: {text}: correct or remove it.")
        locked[tuple(slice(*side) for side in region.box)] |= region.mask()
    return locked


def _write(dataset: Dataset, case_id: str, regions: Sequence[ReviewedRegion]) -> None:
    entries = [
        {
            "box": format_region(region.box),
            "by": region.by,
            "at": region.at,
            **({"outline": [list(corner) for corner in region.outline]} if region.outline else {}),
        }
        for region in regions
    ]
    update_form(dataset, case_id, {REGIONS: entries or None})


def _region_of(entry: dict[str, Any]) -> ReviewedRegion:
    box = parse_region(str(entry["box"]))
    if box is None:
        raise ValueError("a part without a box")
    outline = tuple((float(y), float(x)) for y, x in entry.get("outline", ()))
    return ReviewedRegion(box=box, outline=outline, by=str(entry.get("by", "")), at=str(entry.get("at", "")))


def _holds(region: ReviewedRegion, at: Sequence[int]) -> bool:
    within = tuple(place - start for place, (start, _) in zip(at, region.box, strict=True))
    mask = region.mask()
    return all(0 <= place < n for place, n in zip(within, mask.shape, strict=True)) and bool(mask[within])
