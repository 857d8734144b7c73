"""The prediction of a slide as a layer that fills while another program writes it."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from pathlib import Path

import napari
import zarr
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer

from napari_medseg.io.lazy import LazyArray, wrapped
from napari_medseg.structures import MaskClass
from napari_medseg.widgets._layers import (
    LABELS_OPACITY,
    class_colormap,
    class_features,
    space_facts,
    spatial_kwargs,
)

#: Milliseconds between two looks at what was written: reading a view takes a part of that.
_LOOK_MS = 1000


class GrowingPrediction(QObject):
    """Shows labels as soon as they are begun, and again whenever rows were added, until `finish` or `stop`.

    Parameters
    ----------
    viewer
        Where the layer is added.
    beside
        The slide's layer.
    labels
        Where the labels will be, ``<name>.zarr``; until then they grow in ``<name>.partial``.
    classes
        What their values mean.
    model
        Its name, for the layer's.
    """

    def __init__(
        self, viewer: napari.Viewer, beside: ImageLayer, labels: Path, classes: Sequence[MaskClass], model: str
    ) -> None:
        super().__init__()
        self.layer: Labels | None = None
        self._viewer = weakref.ref(viewer)
        self._beside, self._classes, self._model = beside, classes, model
        self._partial = labels.with_suffix(".partial")
        self._seen: tuple[int, ...] = ()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def finish(self, labels: Path) -> Labels | None:
        """Show the finished labels in the same layer; None where the viewer or a person took it away."""
        self.stop()
        self._show(labels)
        return self.layer

    def stop(self) -> None:
        """Look no longer; what is shown stays."""
        self._timer.stop()

    def _look(self) -> None:
        journals = sorted(self._partial.glob("journal*.jsonl"))
        if not journals or not (self._partial / "labels.zarr" / "zarr.json").is_file():
            return
        try:
            sizes = tuple(journal.stat().st_size for journal in journals)
        except FileNotFoundError:
            return  # it is being given its name
        if sizes == self._seen:
            return
        self._seen = sizes
        if self.layer is None:
            self._show(self._partial / "labels.zarr")
        else:
            self.layer.refresh()

    def _show(self, path: Path) -> None:
        """Show labels that lie at a path, in the layer that is there or in a new one."""
        viewer = self._viewer()
        if viewer is None:
            return
        levels = _levels(path)
        if self.layer is not None:
            self.layer.data = levels if len(levels) > 1 else levels[0]
            return
        name = f"{self._beside.name} · {self._model} prediction"
        # What an earlier run that was stopped has shown.
        for old in [layer for layer in viewer.layers if layer.name == name and layer.metadata.get("growing")]:
            viewer.layers.remove(old)
        active = viewer.layers.selection.active
        self.layer = viewer.add_labels(
            levels if len(levels) > 1 else levels[0],
            multiscale=len(levels) > 1,
            name=name,
            opacity=LABELS_OPACITY,
            colormap=class_colormap(self._classes),
            features=class_features(self._classes),
            metadata={"medseg": space_facts(self._beside), "prediction": self._model, "growing": True},
            **spatial_kwargs(self._beside),
        )
        self.layer.editable = False
        if active is not None:
            # A person may be drawing meanwhile.
            viewer.layers.selection.active = active


def _levels(path: Path) -> list[LazyArray]:
    arrays = dict(zarr.open_group(path, mode="r", use_consolidated=False).arrays())
    return [wrapped(arrays[name], path.name) for name in sorted(arrays, key=int)]
