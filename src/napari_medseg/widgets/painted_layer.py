"""The painting of a whole slide as a layer to look at: everywhere but in the window that is being painted."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels

from napari_medseg.data.label_layout import chunk_shape, relative, slices
from napari_medseg.data.slide_master import SlideMaster
from napari_medseg.io.lazy import Block, LazyArray
from napari_medseg.structures import NOT_LOOKED_AT, Box, MaskClass
from napari_medseg.widgets._layers import LABELS_OPACITY, class_colormap, class_features, space_facts, spatial_kwargs


class PaintedLayer:
    """A Labels layer of all levels of a master, which nobody can edit.

    Parameters
    ----------
    viewer
        Where the layer is added.
    master
        The painting; it need not exist yet.
    classes
        Their names and colours.
    name
        Of the layer.
    beside
        The slide's layer.
    """

    def __init__(
        self,
        viewer: napari.Viewer,
        master: SlideMaster,
        classes: Sequence[MaskClass],
        *,
        name: str,
        beside: ImageLayer,
    ) -> None:
        self._master = master
        self._levels: tuple[Any, ...] = ()
        #: The part that another layer shows, in pixels of the master; None for none.
        self._hole: Box | None = None
        shapes = master.level_shapes
        # napari reads whole chunks, so it has to know them.
        levels = [
            LazyArray(shape, np.uint8, partial(self._load, level), source=master.name, chunks=chunk_shape(shape))
            for level, shape in enumerate(shapes)
        ]
        self.layer: Labels = viewer.add_labels(
            levels if len(levels) > 1 else levels[0],
            multiscale=len(levels) > 1,
            name=name,
            opacity=LABELS_OPACITY,
            colormap=class_colormap(classes),
            features=class_features(classes),
            metadata={"medseg": master_facts(beside, master.downsample)},
            **master_place(beside, master.downsample, (0, 0)),
        )
        self.layer.editable = False

    def show(self, hole: Box | None) -> None:
        """Show what is on disk now, all but a part."""
        self._hole = hole
        self.layer.refresh()

    def _load(self, level: int, block: Block) -> npt.NDArray[np.uint8]:
        if not self._levels:
            self._levels = self._master.levels
        if not self._levels:
            return np.full([part.stop - part.start for part in block], NOT_LOOKED_AT, np.uint8)
        pixels = np.array(self._levels[level][block])
        if self._hole is not None:
            box = tuple((part.start, part.stop) for part in block)
            hidden = tuple(
                (max(-(-start >> level), first), min(-(-stop >> level), last))
                for (start, stop), (first, last) in zip(self._hole, box, strict=True)
            )
            if all(start < stop for start, stop in hidden):
                pixels[slices(relative(hidden, box))] = NOT_LOOKED_AT
        return pixels


def master_place(beside: ImageLayer, downsample: int, corner: Sequence[int]) -> dict[str, Any]:
    """What a layer with pixels of a master must be given to lie on the slide.

    Parameters
    ----------
    beside
        The slide's layer.
    downsample
        Level-0 pixels of the slide per pixel of the master.
    corner
        Row and column of the layer's first pixel, in pixels of the master.
    """
    kept = spatial_kwargs(beside)
    step = np.asarray(beside.scale)
    # napari places the middle of a pixel: that of the first one lies between the level-0 pixels that it stands for.
    middle = np.asarray(corner) * downsample + (downsample - 1) / 2
    return {**kept, "scale": step * downsample, "translate": np.asarray(beside.translate) + middle * step}


def master_facts(beside: ImageLayer, downsample: int) -> dict[str, Any]:
    """What panels need to know of a layer with pixels of a master; for ``metadata["medseg"]``."""
    facts = space_facts(beside)
    if facts.get("spacing") is not None:
        facts["spacing"] = tuple(step * downsample for step in facts["spacing"])
    return facts
