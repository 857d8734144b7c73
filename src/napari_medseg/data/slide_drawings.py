"""The files of a slide's case that lie beside its painting."""

from __future__ import annotations

import shutil
from pathlib import Path

from napari_medseg.data.slide_contours import contours_path
from napari_medseg.data.tile_tags import tags_path


def slide_drawings(labels_folder: Path, case_id: str) -> tuple[Path, ...]:
    """Files of contours and tile tags of a case that exist."""
    paths = (contours_path(labels_folder, case_id), tags_path(labels_folder, case_id))
    return tuple(path for path in paths if path.exists())


def copy_slide_drawings(labels_folder: Path, case_id: str, target: Path, new_id: str) -> bool:
    """Copy contours and tile tags into another folder of labels; whether there were any."""
    pairs = [(place(labels_folder, case_id), place(target, new_id)) for place in (contours_path, tags_path)]
    found = [(source, copy) for source, copy in pairs if source.exists()]
    for source, copy in found:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    return bool(found)
