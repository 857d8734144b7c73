"""Several readings of the case on screen: their outlines, where they disagree, and the way from place to place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import napari
import numpy as np
from napari.layers import Image as ImageLayer
from napari.layers import Labels, Layer
from napari.utils.colormaps import Colormap

from napari_medseg.annotation.consensus import Dispute
from napari_medseg.annotation.votes import Labels as LabelArray
from napari_medseg.api.agreement import CaseAgreement, case_agreement
from napari_medseg.api.consensus import Consensus, Method, consensus
from napari_medseg.data.dataset import Dataset
from napari_medseg.data.readings import all_readings, finished_readings, refuse_early_look
from napari_medseg.errors import DatasetError
from napari_medseg.structures import DatasetInfo, MaskClass
from napari_medseg.widgets._layers import add_labels, spatial_kwargs
from napari_medseg.widgets.window import quick_removal

#: Width of an outline, in pixels of the image.
_OUTLINE = 2
#: From nothing to magenta, which stands out on stained tissue and on grey scans alike.
_HEAT = ((0.9, 0.0, 0.6, 0.0), (0.9, 0.0, 0.6, 0.8))
#: Colours of readers, who are told apart where all draw one class; colour-blind eyes tell them apart.
READER_COLORS = ("#0072b2", "#d55e00", "#009e73", "#f0e442", "#56b4e9", "#cc79a7")
#: Share of the canvas that a place fills when it is shown.
_FILLED = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What the readings of a case were found to be.

    Parameters
    ----------
    agreement, consensus
        How well they agree, and what they come to.
    labels
        Of every reader that drew, by name.
    """

    agreement: CaseAgreement
    consensus: Consensus
    labels: dict[str, LabelArray]


def compare_readings(dataset: Dataset, case_id: str, method: Method) -> Compared:
    """Read and compare the finished readings of a case; slow, for a thread.

    Raises
    ------
    DatasetError
        A blind reader is not done, or fewer than two readings are.
    MedsegError
        As `consensus`.
    """
    refuse_early_look(dataset, case_id)
    places = all_readings(dataset)
    readings = finished_readings(places, case_id)
    if len(readings) < 2:
        who = f": {readings[0].reader} alone is done" if readings else ""
        raise DatasetError(f"'{case_id}' has no two finished readings to compare{who}. Ask another reader.")
    labels = {reading.reader: drawn for reading in readings if (drawn := reading.labels()) is not None}
    info = places[0].info
    return Compared(
        agreement=case_agreement(readings, info), consensus=consensus(readings, info, method), labels=labels
    )


class ComparisonLayers:
    """The layers of a comparison; `remove` takes them away.

    Parameters
    ----------
    viewer, beside
        Where they are added, and the labels layer that they lie over.
    compared, info
        What is shown.
    """

    def __init__(self, viewer: napari.Viewer, beside: Labels, compared: Compared, info: DatasetInfo) -> None:
        self._viewer = viewer
        self._beside = beside
        self.readers: dict[str, Labels] = {}
        self.map: ImageLayer | None = None
        case = compared.agreement.case
        active = viewer.layers.selection.active
        if compared.consensus.disagreement is not None:
            self.map = viewer.add_image(
                compared.consensus.disagreement,
                name=f"{case} · disagreement",
                colormap=Colormap(_HEAT, name="disagreement"),
                blending="translucent",
                contrast_limits=(0.0, 1.0),
                metadata={"reviewed": True},
                **spatial_kwargs(beside),
            )
        for number, (reader, labels) in enumerate(compared.labels.items()):
            classes = [replace(c, color=reader_color(number)) for c in info.classes]
            self.readers[reader] = self._outlines(labels, classes, f"{case} · {reader}")
        viewer.layers.selection.active = active

    def _outlines(self, labels: LabelArray, classes: Sequence[MaskClass], name: str) -> Labels:
        layer = add_labels(self._viewer, labels, classes, name=name, beside=self._beside)
        layer.contour, layer.opacity = _OUTLINE, 1.0
        layer.editable = False
        layer.metadata["reading"] = name
        return layer

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Those that are still there."""
        own = (*([self.map] if self.map is not None else []), *self.readers.values())
        return tuple(layer for layer in own if layer in self._viewer.layers)

    def remove(self) -> None:
        """Take the layers away."""
        with quick_removal():
            for layer in self.layers:
                self._viewer.layers.remove(layer)


def reader_color(number: int) -> str:
    """The colour of the n-th reader's outlines, repeating after six."""
    return READER_COLORS[number % len(READER_COLORS)]


def show_dispute(viewer: napari.Viewer, labels: Labels, dispute: Dispute) -> None:
    """Bring a disputed place into the middle of the canvas, large enough to judge."""
    dims, camera = viewer.dims, viewer.scene.camera
    world = [float(place) for place in labels.data_to_world(dispute.place)]
    axes = range(dims.ndim - len(world), dims.ndim)
    dims.set_point(axes, world)
    shown = [dict(zip(axes, world, strict=True)).get(axis, 0.0) for axis in dims.displayed]
    sides = {
        axis: (stop - start) * float(step)
        for axis, (start, stop), step in zip(axes, dispute.box, labels.scale, strict=True)
    }
    needed = [max(sides.get(axis, 1.0), 12 * float(labels.scale[-1])) for axis in dims.displayed[-2:]]
    canvas = np.asarray(viewer.window._qt_viewer.canvas.size, float)
    camera.center = (*(0.0,) * (3 - len(shown)), *shown)
    camera.zoom = _FILLED * float(min(canvas[0] / needed[0], canvas[1] / needed[1]))
