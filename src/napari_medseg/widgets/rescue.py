"""What becomes of labels that cannot be saved when their window closes: they are kept elsewhere, never dropped."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from napari.layers import Labels
from napari.utils.notifications import show_warning
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_medseg.data.label_store import LabelStore
from napari_medseg.errors import MedsegError
from napari_medseg.io.atomic import replacing


def save_copy(labels: Labels, path: Path) -> None:
    """Write labels as numpy file; raises `WriteError` when that fails too."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, labels=np.asarray(labels.data, np.uint8))


def may_close_unsaved(labels: Labels, store: LabelStore, reason: str, *, ask: bool) -> bool:
    """Find another place for labels that could not be saved; whether the window may close now.

    Parameters
    ----------
    labels, store
        What could not be saved, and where.
    reason
        Why, as one sentence.
    ask
        Whether somebody is there to choose the place.
    """
    default = Path(tempfile.gettempdir()) / f"{store.path.stem}-labels.npz"
    if not ask:
        save_copy(labels, default)
        show_warning(f"{reason} A copy of the labels was kept in {default}.")
        return True
    box = QMessageBox()
    box.setIcon(QMessageBox.Icon.Warning)
    box.setWindowTitle("Labels are not saved")
    box.setText(reason)
    again = box.addButton("Back", QMessageBox.ButtonRole.RejectRole)
    copy = box.addButton("Keep a copy elsewhere…", QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(again)
    box.exec()
    if box.clickedButton() is not copy:
        return False
    name, _ = QFileDialog.getSaveFileName(None, "Keep a copy of the labels", str(Path.home() / default.name))
    if not name:
        return False
    try:
        save_copy(labels, Path(name))
    except MedsegError as error:
        show_warning(str(error))
        return False
    return True
