"""The data sets that were open lately."""

from __future__ import annotations

import json
import os
from pathlib import Path

from qtpy.QtCore import QStandardPaths

from napari_medseg.io.atomic import write_text

#: How many are remembered.
KEPT = 8
_FILE = "recent.json"


def recent_datasets() -> list[Path]:
    """Folders of the data sets that were open lately and still exist, the latest first."""
    path = settings_file(_FILE)
    if path is None:
        return []
    try:
        names = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        # Written by another version, or by hand: forgetting is harmless.
        return []
    folders = [Path(name) for name in names if isinstance(name, str)] if isinstance(names, list) else []
    return [folder for folder in folders if (folder / "dataset.json").is_file()]


def remember_dataset(folder: Path) -> None:
    """Put a folder first; raises `WriteError` where the user's settings cannot be written."""
    path = settings_file(_FILE)
    if path is None:
        return
    others = [known for known in recent_datasets() if known != folder]
    write_text(path, json.dumps([str(known) for known in (folder, *others)[:KEPT]]))


def sample_folder(name: str) -> Path:
    """Where a sample that panels make is kept."""
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericDataLocation)
    return Path(place) / "napari-medseg" / name


def settings_file(name: str) -> Path | None:
    """A file of this person's settings; None where napari was told to keep none (`NAPARI_CONFIG` is empty)."""
    if os.environ.get("NAPARI_CONFIG") == "":
        return None
    place = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.GenericConfigLocation)
    return Path(place) / "napari-medseg" / name
