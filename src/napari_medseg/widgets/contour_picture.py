"""Contours that are too many to be drawn on, as a picture: filled piece by piece where one looks, at any zoom."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer

from napari_medseg.data.slide_contours import SlideContours
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.structures import MaskClass
from napari_medseg.widgets._layers import LABELS_OPACITY, class_colormap, class_features, flat_kwargs

#: Largest side of the coarsest level, which is filled at once for the thumbnail.
_COARSEST = 1024
_CHUNK = 512
#: Pieces of a level that are kept, of a quarter of a megabyte each: more than a screen shows at once.
_KEPT_PIECES = 48


#: What contours without a class are called, and their colour.
_NAMELESS = ("no class", "#909090")
#: More classes than labels can tell apart are shown in the colour of the last one.
_MOST_CLASSES = 254


class _Filled:
    """Loads a block of one level from pieces that are filled once and kept for a while."""

    def __init__(self, contours: SlideContours, values: npt.NDArray[np.int16], step: int) -> None:
        self._contours, self._values, self._step = contours, values, step
        self._piece = lru_cache(maxsize=_KEPT_PIECES)(self._fill)

    def __call__(self, block: Block) -> npt.NDArray[np.uint8]:
        (top, bottom), (left, right) = ((part.start, part.stop) for part in block)
        rows, columns = (range(part.start // _CHUNK, -(-part.stop // _CHUNK)) for part in block)
        whole = np.block([[self._piece(row, column) for column in columns] for row in rows])
        y, x = rows.start * _CHUNK, columns.start * _CHUNK
        return whole[top - y : bottom - y, left - x : right - x]

    def _fill(self, row: int, column: int) -> npt.NDArray[np.uint8]:
        side = _CHUNK * self._step
        box = tuple((place * side, (place + 1) * side) for place in (row, column))
        return self._contours.filled(box, self._step, self._values)


def picture_levels(contours: SlideContours, shape: tuple[int, int], values: npt.NDArray[np.int16]) -> list[LazyArray]:
    """Labels of a slide that are filled when they are asked for, uint8 (y, x), each level half as large.

    Parameters
    ----------
    contours, values
        What is filled, and with what (contours,).
    shape
        Of the slide's finest level.
    """
    levels = []
    step = 1
    while True:
        sizes = tuple(-(-n // step) for n in shape)
        chunks = tuple(min(_CHUNK, n) for n in sizes)
        load = _Filled(contours, values, step)
        levels.append(LazyArray(sizes, np.uint8, load, source="the contours", chunks=chunks))
        if max(sizes) <= _COARSEST:
            return levels
        step *= 2


def shown_classes(contours: SlideContours) -> tuple[tuple[MaskClass, ...], npt.NDArray[np.int16]]:
    """Every class among contours, of the data set or not, with values to show them by, and those of the contours."""
    found: dict[str, MaskClass] = {}
    values = np.empty(len(contours.contours), np.int16)
    for i, contour in enumerate(contours.contours):
        name, color = (contour.class_name, contour.color) if contour.class_names else _NAMELESS
        if name not in found and len(found) < _MOST_CLASSES:
            found[name] = MaskClass(value=len(found) + 1, name=name, color=color)
        values[i] = found[name].value if name in found else _MOST_CLASSES
    return tuple(found.values()), values


class ContourPicture:
    """A Labels layer of contours, which cannot be drawn on; there is none while there is nothing to show.

    Parameters
    ----------
    viewer, beside
        Where it is added, and the slide's image layer.
    name
        Of the layer.
    shape
        Of the slide's finest level.
    """

    def __init__(self, viewer: napari.Viewer, beside: Layer, name: str, shape: tuple[int, int]) -> None:
        # The case must not keep the viewer for ever.
        self._viewer = weakref.ref(viewer)
        self._beside, self._name, self._shape = beside, name, shape
        self.layer: Labels | None = None
        self._classes: tuple[MaskClass, ...] = ()

    def show(self, contours: SlideContours) -> None:
        """Show these contours in place of those before; raises nothing where there are none."""
        viewer = self._viewer()
        if viewer is None:
            return
        if self.layer is not None and self.layer in viewer.layers:
            viewer.layers.remove(self.layer)
        self.layer = None
        if contours.contours:
            active = viewer.layers.selection.active
            self._classes, values = shown_classes(contours)
            self.layer = self._add(viewer, picture_levels(contours, self._shape, values))
            viewer.layers.selection.active = active

    def restyle(self, classes: Sequence[MaskClass], hidden: Collection[int]) -> None:
        """Show classes of the data set in its colours, and hide some, by their values there."""
        if self.layer is None:
            return
        own = {c.name: c for c in classes}
        colors = [replace(c, color=own[c.name].color) if c.name in own else c for c in self._classes]
        unseen = [c.value for c in self._classes if c.name in own and own[c.name].value in hidden]
        self.layer.colormap = class_colormap(colors, unseen)

    def _add(self, viewer: napari.Viewer, levels: list[LazyArray]) -> Labels:
        layer = viewer.add_labels(
            levels,
            multiscale=True,
            name=self._name,
            opacity=LABELS_OPACITY,
            colormap=class_colormap(self._classes),
            features=class_features(self._classes),
            metadata={"slide_contours": True},
            **flat_kwargs(self._beside),
        )
        # Above the picture, below what one draws on.
        viewer.layers.move(viewer.layers.index(layer), viewer.layers.index(self._beside) + 1)
        return layer
