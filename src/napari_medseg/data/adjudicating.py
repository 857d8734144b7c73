"""Labels made of several readings take the place of a case's first reading, which is kept as a reading of its own."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_medseg.data import naming
from napari_medseg.data.dataset import Dataset, reviewed_text
from napari_medseg.data.history import now
from napari_medseg.data.label_store import LabelStore
from napari_medseg.data.readings import CONSENSUS, FIRST_READER, Reading, open_reading
from napari_medseg.data.reviewing import locked_pixels
from napari_medseg.errors import ConflictError, DatasetError, ReviewedError
from napari_medseg.structures import Case

Labels = npt.NDArray[np.uint8]


def take_consensus(
    dataset: Dataset,
    case_id: str,
    labels: Labels,
    *,
    how: str,
    readers: Sequence[str],
    revision: int,
    tag: str = "",
    surfaces: npt.NDArray[np.float32] | None = None,
) -> Case:
    """Make labels of several readings the draft of a case, for somebody to look at and mark done.

    The first reading, which lies in the data set itself, is copied to ``raters/`` before anything else, under the name
    of its author; a crash in between leaves it in both places.

    Parameters
    ----------
    dataset
        The data set itself.
    labels
        uint8 ([z,] y, x); 255 where the readings leave it open. Reviewed parts keep what they hold.
    how
        The method, e.g. ``"staple"``.
    readers
        Whose readings they were made of.
    revision
        Of the row that the readings were looked at with.
    tag
        The tag that the readers agree on; empty: the row keeps its own.
    surfaces
        Rows (bscan, surfaces, x) of the consensus (OCT).

    Raises
    ------
    ReviewedError
        The case is reviewed.
    DatasetError
        This is one of the readings, or the labels do not fit the image.
    ConflictError, WriteError, LockedError
        As `LabelStore.write_box` and `Dataset.update_case`.
    """
    if isinstance(dataset, Reading):
        raise DatasetError("A consensus belongs to the data set itself: open it instead of one reader's part.")
    case = dataset.case(case_id)
    if case.status == "reviewed":
        raise ReviewedError(reviewed_text(case))
    if case.revision != revision:
        raise ConflictError(f"Case '{case_id}' was changed meanwhile: look at its readings again.")
    image = dataset.read_image(case)
    store = dataset.label_store(case, image.spatial_shape, spacing=image.spacing, units=image.units)
    if labels.shape != store.shape:
        raise DatasetError(f"The consensus of '{case_id}' has the shape {labels.shape}, its image {store.shape}.")
    if not case.extra.get(CONSENSUS, "").strip():
        keep_first_reading(dataset, case, store)
    locked = locked_pixels(dataset, case, store.shape)
    for band in store.bands():
        place = tuple(slice(*side) for side in band)
        # Read before written, so that what another program draws meanwhile is noticed.
        present = store.read_box(band)
        store.write_box(band, labels[place] if locked is None else np.where(locked[place], present, labels[place]))
    store.flush()
    _take_surfaces(dataset, case, surfaces)
    made_of = {"how": how, "readers": ";".join(readers)}
    dataset.history.write(dataset.history.change(case_id, "consensus", after=made_of))
    fields = {"tag": tag} if tag else {}
    return dataset.update_case(
        case_id,
        revision=revision,
        label=store.name,
        status="draft",
        origin="person",
        author=dataset.author,
        extra={CONSENSUS: f"{how}: {', '.join(readers)}"},
        **fields,
    )


def keep_first_reading(dataset: Dataset, case: Case, store: LabelStore) -> Reading | None:
    """Copy the labels, the tag and the surfaces of a case to the reading of its author.

    Returns
    -------
    the reading; None where the case was not begun.

    Raises
    ------
    DatasetError, WriteError, LockedError
        The copy cannot be written.
    """
    has_labels = store.exists or store.imported is not None
    if case.status == "todo" and not has_labels:
        return None
    reading, own = _place_for(dataset, case)
    target = reading.label_store(own, store.shape, spacing=store.spacing, units=store.units)
    fields = {"tag": case.tag, "grade": case.grade, "note": case.note, "difficulty": case.difficulty}
    if has_labels:
        for band in store.bands():
            target.write_box(band, store.read_box(band))
        target.flush()
        fields["label"] = target.name
    source = dataset.boundary_store(case).path
    if source.exists():
        copy = reading.boundary_store(own).path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    reading.update_case(
        own.case,
        revision=own.revision,
        status=case.status if case.status != "todo" else "draft",
        origin=case.origin or "person",
        author=case.author or reading.reader,
        **fields,
    )
    return reading


def _place_for(dataset: Dataset, case: Case) -> tuple[Reading, Case]:
    """A reading named after the case's author in which the case was not begun."""
    author = naming.file_name(case.author or FIRST_READER)
    for name in (author, f"{author} first", *(f"{author} first {number}" for number in range(2, 100))):
        reading = open_reading(dataset.path, name)
        # People may have been asked to read other cases alone; this one was read before.
        own = reading.find(case.case) or reading.adopt(case.case)
        if own.status == "todo" and not own.label:
            return reading, own
    raise DatasetError(f"Case '{case.case}' has too many first readings of {author}: tidy {dataset.path / 'raters'}.")


def _take_surfaces(dataset: Dataset, case: Case, surfaces: npt.NDArray[np.float32] | None) -> None:
    """Surfaces of the consensus, or none: those of the first reading would contradict its labels."""
    store = dataset.boundary_store(case)
    if store.exists:
        kept = dataset.path / "history" / "boundaries"
        kept.mkdir(parents=True, exist_ok=True)
        shutil.move(store.path, kept / f"{now(microseconds=True).replace(':', '')}-{store.path.name}")
    if surfaces is not None:
        store.write(surfaces)
