"""Labels of the open case to other programs' files, and from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_medseg.api.exporting import Exported, labels_onto, write_labels_of_image
from napari_medseg.errors import DatasetError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT
from napari_medseg.widgets.accepting import to_own_values
from napari_medseg.widgets.session import Session

_SAVED = "NIfTI (*.nii.gz);;DICOM SEG (*.dcm);;OME-TIFF (*.tif)"
_TAKEN = "Labels (*.nii *.nii.gz *.dcm *.nrrd *.tif *.tiff *.png);;All files (*)"
_NONE_OPEN = "No case is open: open one in the list first."


def ask_where_to_save(parent: QWidget, session: Session) -> Path | None:
    """A file name for the labels of the open case; None where the person thought better of it."""
    if session.open is None:
        raise DatasetError(_NONE_OPEN)
    start = Path.home() / f"{session.open.case.case}.nii.gz"
    name, kind = QFileDialog.getSaveFileName(parent, "Save labels for other programs", str(start), _SAVED)
    if not name:
        return None
    ending = kind.partition("*")[2].rstrip(")")
    stem = name.removesuffix(".gz").removesuffix(".nii") if ending != ".nii.gz" else name
    return Path(name) if name.endswith(ending) else Path(f"{stem}{ending}")


def ask_what_to_take(parent: QWidget) -> Path | None:
    """A label file of another program; None where the person thought better of it."""
    name, _ = QFileDialog.getOpenFileName(parent, "Take over labels of another program", str(Path.home()), _TAKEN)
    return Path(name) if name else None


def save_case_labels(session: Session, path: Path) -> Exported:
    """Write the labels on screen where their image lies.

    Raises
    ------
    MedsegError
        No case is open, a SEG has no series to refer to, or the file cannot be written.
    """
    opened, dataset = session.open, session.dataset
    if opened is None or dataset is None:
        raise DatasetError(_NONE_OPEN)
    origin = opened.case.origin
    model = origin.removeprefix("model:") if origin.startswith("model:") else ""
    labels = np.asarray(opened.labels.data)
    return write_labels_of_image(path, labels, dataset.read_image(opened.case), dataset.info.classes, model=model)


def take_labels(session: Session, path: Path) -> tuple[int, tuple[str, ...]]:
    """Put what another program drew into the open case, in one step that can be undone.

    Classes are matched by name. Whatever is drawn already stays, as in every tool that fills.

    Returns
    -------
    how many voxels were taken over, and sentences about labels that lay on another grid

    Raises
    ------
    MedsegError
        No case is open, the file cannot be read or lies elsewhere, or holds classes that the data set has not.
    """
    opened, dataset = session.open, session.dataset
    if opened is None or dataset is None:
        raise DatasetError(_NONE_OPEN)
    found, notes = labels_onto(path, dataset.read_image(opened.case))
    values = np.asarray(found.labels)
    if values.max(initial=0) > NOT_LOOKED_AT or values.min(initial=0) < 0:
        raise DatasetError(f"{path.name} holds values beyond 255, which are no classes: import it with object numbers.")
    named = found.classes or dataset.info.classes
    unknown = sorted(set(np.unique(values).tolist()) - {BACKGROUND, NOT_LOOKED_AT, *(c.value for c in named)})
    if unknown:
        shown = ", ".join(map(str, unknown[:5]))
        raise DatasetError(
            f"{path.name} holds values that are no class of the data set ({shown}): add the classes first."
        )
    own = to_own_values(values.astype(np.uint8), named, dataset.info)
    present = np.asarray(opened.labels.data)
    is_free = (present == BACKGROUND) | (present == NOT_LOOKED_AT)
    change = is_free & (own != BACKGROUND) & (own != NOT_LOOKED_AT)
    box = tuple((0, size) for size in present.shape)
    taken = opened.locks.set_box(box, np.where(change, own, present))
    opened.autosave.flush()
    return taken, notes
