"""What is drawn on a whole slide beside its painting: contours and tile tags, made for the case on screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import napari

from napari_medseg.data.dataset import reviewed_text
from napari_medseg.data.slide_contours import contours_path
from napari_medseg.data.slide_window import pixel_micrometers
from napari_medseg.data.tile_tags import tags_path
from napari_medseg.widgets.slide_contours import SlideContoursTool
from napari_medseg.widgets.tile_tagging import TileTagging

if TYPE_CHECKING:
    from napari_medseg.widgets.slide_case import SlideCase

#: Folder of the history for files that were replaced.
_KEPT = "labels"


def contours_on(viewer: napari.Viewer, opened: SlideCase) -> SlideContoursTool:
    """The contours of a slide."""
    dataset = opened.dataset
    rows, columns = opened.image.spatial_shape
    tool = SlideContoursTool(
        viewer,
        opened.image_layers[0],
        (rows, columns),
        name=opened.case.case,
        path=contours_path(dataset.labels_folder, opened.case.case),
        kept=dataset.path / "history" / _KEPT,
        classes=lambda: opened.classes,
        value=lambda: int(opened.labels.selected_label),
        hidden=lambda: opened.hidden,
        refusal=lambda: _refusal(opened),
        parent=opened,
    )
    _connect(tool, opened)
    return tool


def tile_tagging_on(viewer: napari.Viewer, opened: SlideCase) -> TileTagging:
    """The tile tags of a slide."""
    dataset = opened.dataset
    rows, columns = opened.image.spatial_shape
    tagging = TileTagging(
        viewer,
        opened.image_layers[0],
        (rows, columns),
        pixel_micrometers(opened.image),
        name=opened.case.case,
        path=tags_path(dataset.labels_folder, opened.case.case),
        kept=dataset.path / "history" / _KEPT,
        tags=lambda: dataset.info.tags,
        side=dataset.info.tile,
        refusal=lambda: _refusal(opened),
        parent=opened,
    )
    _connect(tagging, opened)
    return tagging


def _refusal(opened: SlideCase) -> str:
    """Why a reviewed case stays as it is; empty for any other."""
    return reviewed_text(opened.case) if opened.case.status == "reviewed" else ""


def _connect(part: SlideContoursTool | TileTagging, opened: SlideCase) -> None:
    """Tell of saving as the labels do: in the panel, and in the case's row."""
    part.failed.connect(opened.autosave.failed)
    part.saved.connect(lambda: opened.autosave.saved.emit(time.strftime("%H:%M:%S")))
