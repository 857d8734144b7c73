"""What a person says about labels: saved, region complete, nothing there, done."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from napari_medseg.data.dataset import Dataset, reviewed_text
from napari_medseg.data.label_store import LabelStore
from napari_medseg.errors import ReviewedError
from napari_medseg.structures import BACKGROUND, Box, Case


def record_labels(dataset: Dataset, case_id: str, store: LabelStore, *, revision: int, origin: str = "person") -> Case:
    """Tell the table that labels were saved: name them, and begin a draft where nothing was begun.

    Call it after `LabelStore.write_box`; when nothing changes in the row, nothing is written.

    Raises
    ------
    ConflictError, DatasetError, WriteError, LockedError
        As `Dataset.update_case`.
    """
    store.flush()
    case = dataset.case(case_id)
    status = "draft" if case.status == "todo" else case.status
    return dataset.update_case(case_id, revision=revision, label=store.name, origin=origin, status=status)


def mark_region_complete(
    dataset: Dataset, case_id: str, store: LabelStore, box: Box, mask: npt.ArrayLike | None = None, *, revision: int
) -> Case:
    """Say that everything in a region is drawn: what is still 255 there becomes 0.

    Parameters
    ----------
    box
        ``(start, stop)`` per axis of the labels.
    mask
        bool, of the box's shape: the part of the box that is meant; all of it when None.

    Raises
    ------
    ConflictError, DatasetError, WriteError, LockedError
        As `LabelStore.write_box` and `Dataset.update_case`.
    """
    store.fill_not_looked_at(box, mask)
    store.add_complete_region(box)
    return record_labels(dataset, case_id, store, revision=revision, origin=_origin(dataset, case_id))


def mark_done(
    dataset: Dataset, case_id: str, store: LabelStore | None, *, revision: int, fill: bool = True, **fields: Any
) -> Case:
    """Say that a case is finished.

    Where labels exist and no region was marked complete, the rest of the image counts as looked at: 255 becomes 0. A
    case without labels stays one without labels, finished by its tag or grade.

    Parameters
    ----------
    store
        The case's labels, with everything saved; None for a case of tags alone.
    fill
        False leaves 255 as it is: what is open between layers is not background.
    fields
        Further changes of the row, e.g. ``tag``.

    Raises
    ------
    ReviewedError
        The case is reviewed.
    ConflictError, DatasetError, WriteError, LockedError
        As `LabelStore.write_box` and `Dataset.update_case`.
    """
    _refuse_reviewed(dataset, case_id)
    if store is None or not (store.exists or store.imported is not None):
        return dataset.update_case(case_id, revision=revision, **{"status": "done", **fields})
    if fill and not store.complete_regions:
        store.fill_not_looked_at()
    store.flush()
    changes = {"origin": _origin(dataset, case_id), "status": "done", **fields}
    if store.exists:
        changes["label"] = store.name
    return dataset.update_case(case_id, revision=revision, **changes)


def mark_empty(dataset: Dataset, case_id: str, store: LabelStore, *, revision: int, **fields: Any) -> Case:
    """Say "looked at, nothing there": an explicit mask of zeros, whatever was drawn before, and the case done.

    Raises
    ------
    ReviewedError
        The case is reviewed.
    ConflictError, DatasetError, WriteError, LockedError
        As `LabelStore.write_box` and `Dataset.update_case`.
    """
    _refuse_reviewed(dataset, case_id)
    for box in store.bands():
        store.write_box(box, np.full([stop - start for start, stop in box], BACKGROUND, np.uint8))
    store.flush()
    changes = {"label": store.name, "origin": "person", "status": "done", **fields}
    return dataset.update_case(case_id, revision=revision, **changes)


def _refuse_reviewed(dataset: Dataset, case_id: str) -> None:
    case = dataset.case(case_id)
    if case.status == "reviewed":
        raise ReviewedError(reviewed_text(case))


def _origin(dataset: Dataset, case_id: str) -> str:
    return dataset.case(case_id).origin or "person"
