"""A model's labels become a draft in the data set, without touching what a person drew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset import Dataset, reviewed_text
from napari_medseg.data.finishing import record_labels
from napari_medseg.data.naming import free_path
from napari_medseg.data.reviewing import locked_pixels
from napari_medseg.data.work_log import keep_proposal
from napari_medseg.errors import DatasetError, ReviewedError
from napari_medseg.io import write_labels
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Case, DatasetInfo, MaskClass
from napari_medseg.widgets.session import Session

#: Proposals of larger images (slides) are not kept for the report of corrections.
_MOST_PIXELS = 2**29


def accept(
    session: Session,
    case_id: str,
    *,
    model: str,
    labels: npt.NDArray[np.uint8] | None,
    region: Box | None,
    classes: Sequence[MaskClass],
    tag: str,
    grade: str = "",
) -> int:
    """Take over what a model says about a case, as a draft.

    Where a person has drawn or looked, their labels stay; the model fills in the rest. A draft that came from a model
    is replaced, and a copy of it kept in ``history/labels``, since a person may have begun to correct it. A person's
    tag stays as well. In the case on screen the change can be undone.

    Parameters
    ----------
    labels, region
        uint8 labels of a box of the case's image (None: all of it), 255 where the model did not look.
    classes
        What the labels' values mean; matched with the data set's classes by name.
    tag, grade
        The model's tag, and its grade; empty for none.

    Returns
    -------
    number of pixels that were taken over.

    Raises
    ------
    ReviewedError
        The case is reviewed.
    DatasetError
        The data set has no class of that name.
    MedsegError
        It cannot be saved now.
    """
    dataset = session.dataset
    if dataset is None:
        raise DatasetError("No data set is open: open or make one in the tab Cases.")
    case = dataset.case(case_id)
    if case.status == "reviewed":
        raise ReviewedError(reviewed_text(case))
    cells: dict[str, Any] = {}
    if tag and not case.tag and tag in {known.name for known in dataset.info.tags}:
        cells["tag"] = tag
    if grade and not case.grade and grade in dataset.info.grades:
        cells["grade"] = grade
    taken = 0
    if labels is not None:
        own = to_own_values(labels, classes, dataset.info)
        replace = case.origin.startswith("model:") and case.status in ("todo", "draft")
        if session.open is not None and session.open.case.case == case_id:
            taken = _into_open_case(session, own, region, replace)
        else:
            taken = _into_store(dataset, case, own, region, replace)
    if taken or cells:
        session.update_case(case_id, origin=f"model:{model}", status="draft", **cells)
    return taken


def to_own_values(
    labels: npt.NDArray[np.uint8], classes: Sequence[MaskClass], info: DatasetInfo
) -> npt.NDArray[np.uint8]:
    """Labels with the data set's values for the model's classes.

    Raises
    ------
    DatasetError
        A class that occurs in the labels has no counterpart.
    """
    own = {c.name: c.value for c in info.classes}
    table = np.full(256, NOT_LOOKED_AT, np.uint8)
    table[BACKGROUND] = BACKGROUND
    present = set(np.unique(labels).tolist())
    for mask_class in classes:
        if mask_class.name in own:
            table[mask_class.value] = own[mask_class.name]
        elif mask_class.value in present:
            raise DatasetError(
                f"The data set has no class '{mask_class.name}', which the model drew: add it in the tab Annotate."
            )
    return table[labels]


def _into_open_case(session: Session, own: npt.NDArray[np.uint8], region: Box | None, replace: bool) -> int:
    """Change the labels on screen in one step that can be undone, and save them."""
    opened = session.open
    assert opened is not None
    assert session.dataset is not None
    box = region or tuple((0, n) for n in opened.labels.data.shape)
    present = np.asarray(opened.labels.data[_slices(box)])
    change = _change(present, own, replace)
    _keep_copy(session.dataset, opened.case, present, change)
    if opened.locks.area is not None:
        change &= ~opened.locks.area[_slices(box)]
    taken = opened.locks.set_box(box, np.where(change, own, present))
    opened.autosave.flush()
    if opened.fills_rest:
        # The labels layer of a slide is a window that moves.
        now = np.asarray(opened.labels.data[_slices(box)])
        _note_proposal(session.dataset, opened.case, opened.labels.data.shape, box, own, change & (now == own))
    return taken


def _into_store(dataset: Dataset, case: Case, own: npt.NDArray[np.uint8], region: Box | None, replace: bool) -> int:
    image = dataset.read_image(case)
    store = dataset.label_store(case, image.spatial_shape, spacing=image.spacing, units=image.units)
    box = region or tuple((0, n) for n in image.spatial_shape)
    present = store.read_box(box)
    change = _change(present, own, replace)
    locked = locked_pixels(dataset, case, image.spatial_shape)
    if locked is not None:
        change &= ~locked[_slices(box)]
    if not change.any():
        return 0
    _keep_copy(dataset, case, present, change)
    store.write_box(box, np.where(change, own, present))
    record_labels(dataset, case.case, store, revision=case.revision, origin=case.origin or "person")
    _note_proposal(dataset, case, image.spatial_shape, box, own, change)
    return int(change.sum())


def _change(present: npt.NDArray[np.uint8], own: npt.NDArray[np.uint8], replace: bool) -> npt.NDArray[np.bool_]:
    """Pixels that take the model's value."""
    if present.shape != own.shape:
        raise DatasetError(f"The labels have shape {own.shape}, but the image has {present.shape} there: predict anew.")
    differs: npt.NDArray[np.bool_] = (own != NOT_LOOKED_AT) & (own != present)
    return differs if replace else differs & (present == NOT_LOOKED_AT)


def _note_proposal(
    dataset: Dataset,
    case: Case,
    shape: Sequence[int],
    box: Box,
    own: npt.NDArray[np.uint8],
    change: npt.NDArray[np.bool_],
) -> None:
    """Keep what was taken over, so that it can be told later what people changed of it."""
    if change.any() and math.prod(shape) <= _MOST_PIXELS:
        proposal = np.full(shape, NOT_LOOKED_AT, np.uint8)
        proposal[_slices(box)][change] = own[change]
        keep_proposal(dataset, case.case, proposal)


def _keep_copy(dataset: Dataset, case: Case, present: npt.NDArray[np.uint8], change: npt.NDArray[np.bool_]) -> None:
    """Keep labels that are about to be replaced."""
    if (present[change] != NOT_LOOKED_AT).any():
        target = free_path(dataset.path / "history" / "labels", f"{case.case} before {case.revision}", ".tif")
        write_labels(target, present, classes=dataset.info.classes)


def _slices(box: Box) -> tuple[slice, ...]:
    return tuple(slice(*side) for side in box)
