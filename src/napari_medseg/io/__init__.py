"""Files to structures and back, one format per file; no torch, no napari.

Names are loaded on first use: parsers of image files take longer to import than a command's help may take to print.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_medseg.io.labels import LabelImage, read_labels, write_labels
    from napari_medseg.io.reading import describe, image_files, read, read_apart
    from napari_medseg.io.writing import write_image

_HOMES = {
    "LabelImage": "labels",
    "describe": "reading",
    "image_files": "reading",
    "read": "reading",
    "read_apart": "reading",
    "read_labels": "labels",
    "write_image": "writing",
    "write_labels": "labels",
}

__all__ = ["LabelImage", "describe", "image_files", "read", "read_apart", "read_labels", "write_image", "write_labels"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
