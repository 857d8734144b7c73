"""A change of labels shown before it is made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from napari.components import LayerList
from napari.layers import Image, Labels
from napari.utils.colormaps import Colormap

from napari_medseg.annotation.change import LabelChange, slices_of
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, MaskClass
from napari_medseg.widgets._layers import class_colormap, spatial_kwargs

#: Colour of what a change would take away.
_GONE = "#202020"
_OPACITY = 0.75


class ChangePreview:
    """Shows one change in a layer of its own, over the labels that it is for.

    Parameters
    ----------
    layers
        Of the viewer that shows the labels.
    labels
        What the change would be made to.
    change
        What is shown: classes in their colours, voxels that become background dark.
    classes
        Of the labels.
    """

    def __init__(self, layers: LayerList, labels: Labels, change: LabelChange, classes: Sequence[MaskClass]) -> None:
        self.change = change
        self._layers = layers
        self._labels = labels
        self._before = labels.data[slices_of(change.box)].copy()
        shown = np.where(change.mask, change.values, np.uint8(NOT_LOOKED_AT))
        colors = {**class_colormap(classes).color_dict, BACKGROUND: _GONE}
        self._layer = Labels(
            shown, name=f"{labels.name} · preview", opacity=_OPACITY, colormap=colors, **_place(labels, change)
        )
        _add_behind_selection(layers, self._layer)

    def accept(self) -> LabelChange:
        """Take the preview away.

        Returns
        -------
        what was shown.

        Raises
        ------
        AnnotationError
            The labels were changed there meanwhile, so that something else would come of it.
        """
        self.close()
        if not np.array_equal(self._labels.data[slices_of(self.change.box)], self._before):
            raise AnnotationError("The labels changed since the preview was made: make it again.")
        return self.change

    def close(self) -> None:
        """Take the preview away; nothing was changed."""
        if self._layer in self._layers:
            self._layers.remove(self._layer)


class RangePreview:
    """Shows which voxels of an image lie in a range of intensities, at once: the graphics card does the work.

    Parameters
    ----------
    layers
        Of the viewer that shows the image.
    image
        Its pixels are shared, not copied.
    color
        Of what lies inside.
    """

    def __init__(self, layers: LayerList, image: Image, color: str) -> None:
        self._layers = layers
        clear = (0.0, 0.0, 0.0, 0.0)
        colormap = Colormap([color, color], name="range", low_color=clear, high_color=clear)
        self._layer = Image(
            image.data,
            name=f"{image.name} · range",
            colormap=colormap,
            opacity=_OPACITY,
            blending="translucent_no_depth",
            multiscale=image.multiscale,
            # The window's limits stand in until the first range is shown; otherwise napari would look for them.
            contrast_limits=image.contrast_limits,
            metadata={"prediction": True},
            **spatial_kwargs(image),
        )
        self._whole = np.issubdtype(image.dtype, np.integer)
        _add_behind_selection(layers, self._layer)

    def show(self, low: float, high: float) -> None:
        """Show this range; both ends belong to it."""
        # A value at a limit is drawn as one beyond it.
        margin = 0.5 if self._whole else max(1e-4 * (high - low), 1e-6)
        limits = (low - margin, high + margin)
        self._layer.contrast_limits_range = limits
        self._layer.contrast_limits = limits

    def close(self) -> None:
        """Take the layer away."""
        if self._layer in self._layers:
            self._layers.remove(self._layer)


def _place(labels: Labels, change: LabelChange) -> dict[str, Any]:
    """Where a layer of the change's box lies, beside labels that are not rotated."""
    space = spatial_kwargs(labels)
    start = np.array([side[0] for side in change.box])
    return space | {"translate": np.asarray(space["translate"]) + start * np.asarray(space["scale"])}


def _add_behind_selection(layers: LayerList, layer: Labels | Image) -> None:
    """Add a layer to look at; the person goes on with the one that was chosen."""
    active = layers.selection.active
    layers.append(layer)
    layers.selection.active = active
