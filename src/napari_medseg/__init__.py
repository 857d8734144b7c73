"""Open medical images in napari, label them, train from few and mixed labels, predict, correct, train again.

The public names are loaded on first use: importing this package imports neither torch nor napari.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_medseg.api import evaluate, predict, read, train
    from napari_medseg.data.dataset import Dataset
    from napari_medseg.schemes import SCHEMES

_HOMES = {
    "read": "napari_medseg.api",
    "train": "napari_medseg.api",
    "predict": "napari_medseg.api",
    "evaluate": "napari_medseg.api",
    "Dataset": "napari_medseg.data.dataset",
    "SCHEMES": "napari_medseg.schemes",
}

__all__ = ["SCHEMES", "Dataset", "evaluate", "predict", "read", "train"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
