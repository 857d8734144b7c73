"""What a training predicts on validation cases, shown as layers while it goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Labels, Layer

from napari_medseg.data.cropping import crop
from napari_medseg.data.label_files import open_labels
from napari_medseg.data.tile_names import parse_tile_name
from napari_medseg.widgets._layers import add_image, add_labels
from napari_medseg.widgets.session import Session


class TrainingPreviews:
    """One preview at a time: a Labels layer over its case's image, which is added where it is not on screen.

    While the person works on another case the layers are added hidden, so that they disturb nobody. A preview that
    the person removed is not added again during the run.
    """

    def __init__(self, viewer: napari.Viewer, session: Session) -> None:
        self._viewer = viewer
        self._session = session
        self._images: list[Layer] = []
        self._labels: Labels | None = None
        self._case = ""
        self.enabled = True

    def begin(self) -> None:
        """A new run starts: its previews are wanted, the last run's are not."""
        self._remove()
        self.enabled = True

    def step_aside(self) -> None:
        """Hide the previews of other cases than the one on screen."""
        on_screen = self._session.case
        if on_screen is None or on_screen.case == self._case:
            return
        for layer in (self._labels, *self._images):
            if layer is not None:
                layer.visible = False

    def show(self, case: str, path: Path) -> None:
        """Show a preview.

        Parameters
        ----------
        case
            The validation case, or the name of a tile of one.
        path
            uint8 label image of the case's shape.

        Raises
        ------
        MedsegError
            The case or the preview cannot be read.
        """
        dataset = self._session.dataset
        if self._labels is not None and self._labels not in self._viewer.layers:
            self.enabled = False
        if not self.enabled or dataset is None:
            return
        pixels = np.asarray(open_labels(path)[...])
        if self._labels is not None and self._case == case and self._labels.data.shape == pixels.shape:
            self._labels.data = pixels
            return
        self._remove()
        active: Any = self._viewer.layers.selection.active
        beside = self._image_layer(case)
        self._labels = add_labels(
            self._viewer, pixels, dataset.info.classes, name=f"{case} · training preview", beside=beside
        )
        self._labels.editable = False
        self._case = case
        if self._session.case is not None:
            if self._session.case.case != case:
                self._labels.visible = False
            self._viewer.layers.selection.active = active

    def _image_layer(self, case: str) -> Layer:
        """The case's image on screen, or a new layer of it."""
        session = self._session
        if session.open is not None and session.open.case.case == case:
            return session.open.image_layers[0]
        assert session.dataset is not None
        slide, region = parse_tile_name(case)
        image = session.dataset.read_image(session.dataset.case(slide))
        image = image if region is None else crop(image, region)
        layers = add_image(self._viewer, dataclasses.replace(image, name=f"{case} · validation image"))
        self._images = list(layers)
        for layer in layers:
            # As for layers of an open case, so that nothing offers to add the image to the data set again.
            layer.metadata["case"] = case
            layer.visible = session.case is None
        return layers[0]

    def _remove(self) -> None:
        for layer in (self._labels, *self._images):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._labels, self._images = None, []
