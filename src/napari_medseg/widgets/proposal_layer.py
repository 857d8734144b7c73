"""A proposal on screen: a layer over the labels, another one of doubt, and the mouse that takes parts of it over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image, Labels
from qtpy.QtCore import QObject, Signal
from scipy import ndimage

from napari_medseg.annotation.change import slices_of
from napari_medseg.annotation.quick_learner import Proposal
from napari_medseg.structures import NOT_LOOKED_AT, Box, MaskClass
from napari_medseg.widgets._layers import class_colormap, class_features, spatial_kwargs
from napari_medseg.widgets.open_case import OpenCase

Mask = npt.NDArray[np.bool_]

#: What is proposed is paler than what is drawn.
_OPACITY = 0.3
#: Confidence that counts as sure.
_SURE = 0.75
#: A press that moves no further than this, in pixels of the labels, is a click.
_CLICK = 2.0


class ProposalLayer(QObject):
    """Layers that show one proposal after another.

    Parameters
    ----------
    viewer
        Where they are added.
    opened
        The case: its labels hide what is proposed under them.
    least
        Confidence below which nothing is shown.
    """

    #: The person removed the layer.
    removed = Signal()

    def __init__(self, viewer: napari.Viewer, opened: OpenCase, least: float) -> None:
        super().__init__()
        self._layers = viewer.layers
        self._labels, self._name = opened.labels, opened.case.case
        self._least = least
        self._proposal: Proposal | None = None
        self._layer: Labels | None = None
        self._doubt: Image | None = None
        self.box: Box = ()
        self.shows_doubt = False
        self._picks: tuple[Callable[[tuple[int, ...]], None], Callable[[Mask], None]] | None = None
        self._layers.events.removed.connect(self._on_removed)

    @property
    def shown(self) -> npt.NDArray[np.uint8]:
        """What is proposed and shown, of the shape of `box`; 255 elsewhere."""
        assert self._layer is not None, "something was shown"
        return np.asarray(self._layer.data)

    @property
    def layer(self) -> Labels | None:
        """The layer of the proposal."""
        return self._layer

    @property
    def share_sure(self) -> float:
        """Share of what nobody has looked at where the learner is sure."""
        assert self._proposal is not None, "something was shown"
        unseen = self._unseen()
        return float((self._proposal.confidence >= _SURE)[unseen].mean()) if unseen.any() else 1.0

    def show(self, box: Box, proposal: Proposal, classes: Sequence[MaskClass]) -> None:
        """Show this proposal in place of another."""
        self.box, self._proposal = box, proposal
        pixels, doubt = self._pixels(), self._doubtful()
        place = self._place()
        if self._layer is None:
            self._layer = Labels(
                pixels,
                name=f"{self._name} · proposal",
                opacity=_OPACITY,
                colormap=class_colormap(classes),
                features=class_features(classes),
                metadata={"prediction": "quick learner"},
                **place,
            )
            self._doubt = Image(
                doubt,
                name=f"{self._name} · doubt",
                colormap="yellow",
                contrast_limits=(0.0, 0.5),
                blending="additive",
                opacity=0.7,
                visible=self.shows_doubt,
                metadata={"prediction": "quick learner"},
                **place,
            )
            self._add(self._doubt, self._layer)
            return
        assert self._doubt is not None, "the layers come together"
        for layer, data in ((self._layer, pixels), (self._doubt, doubt)):
            layer.data = data
            layer.translate = place["translate"]

    def set_least(self, least: float) -> None:
        """Show only what is at least so sure."""
        self._least = least
        self.hide_drawn()

    def set_doubt(self, shown: bool) -> None:
        """Show where the learner doubts, or hide it."""
        self.shows_doubt = shown
        if self._doubt is not None:
            self._doubt.visible = shown

    def hide_drawn(self) -> None:
        """Follow the labels: what is drawn is proposed no longer."""
        if self._layer is not None and self._proposal is not None:
            pixels = self._pixels()
            if not np.array_equal(pixels, self.shown):
                self._layer.data = pixels

    def close(self) -> None:
        """Take the layers away."""
        self._layers.events.removed.disconnect(self._on_removed)
        active = self._layers.selection.active
        for layer in (self._layer, self._doubt):
            if layer is not None and layer in self._layers:
                self._layers.remove(layer)
        if active in (self._layer, self._doubt) and self._labels in self._layers:
            self._layers.selection.active = self._labels
        self._layer = self._doubt = None

    # The mouse

    @property
    def is_picking(self) -> bool:
        """Whether the mouse takes over what it touches."""
        return self._layer is not None and bool(self._picks) and self._layers.selection.active is self._layer

    def start_picking(
        self, labels: Labels, at: Callable[[tuple[int, ...]], None], along: Callable[[Mask], None]
    ) -> None:
        """Call `at` with a pixel of `box` that is clicked, `along` with a mask of it that is brushed over."""
        assert self._layer is not None, "something was shown"
        if self._picks is None:
            self._layer.mouse_drag_callbacks.append(self._on_press)
        self._picks = at, along
        self._layer.mode = "pan_zoom"
        self._layer.mouse_pan = False
        self._layers.selection.active = self._layer

    def stop_picking(self) -> None:
        """Let the mouse move the picture again."""
        if self._layer is not None and self._picks is not None:
            self._layer.mouse_drag_callbacks.remove(self._on_press)
            self._layer.mouse_pan = True
        self._picks = None

    def _on_press(self, layer: Labels, event: Any) -> Iterator[None]:
        """Follow the pressed button (napari's hook)."""
        way = [np.asarray(layer.world_to_data(event.position), np.float64)]
        yield
        while event.type == "mouse_move":
            way.append(np.asarray(layer.world_to_data(event.position), np.float64))
            yield
        if self._picks is None or event.button != 1:
            return
        at, along = self._picks
        points = np.array(way)
        if np.linalg.norm(points - points[0], axis=1).max() <= _CLICK:
            at(tuple(int(i) for i in np.round(points[0])))
        else:
            along(_brushed(points, layer.data.shape, self._labels.brush_size / 2))

    # Pixels

    def _unseen(self) -> Mask:
        return np.asarray(self._labels.data[slices_of(self.box)] == NOT_LOOKED_AT)

    def _pixels(self) -> npt.NDArray[np.uint8]:
        assert self._proposal is not None, "something is proposed"
        return np.where(self._unseen(), self._proposal.surer_than(self._least), np.uint8(NOT_LOOKED_AT))

    def _doubtful(self) -> npt.NDArray[np.float32]:
        assert self._proposal is not None, "something is proposed"
        return 1 - self._proposal.confidence

    def _place(self) -> dict[str, Any]:
        space = spatial_kwargs(self._labels)
        start = np.array([a for a, _ in self.box])
        return space | {"translate": np.asarray(space["translate"]) + start * np.asarray(space["scale"])}

    def _add(self, *layers: Labels | Image) -> None:
        """Put layers below the labels; the person goes on with the layer that was chosen."""
        active = self._layers.selection.active
        for layer in layers:
            self._layers.insert(self._layers.index(self._labels), layer)
        self._layers.selection.active = active

    def _on_removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            self.close()
            self.removed.emit()


def _brushed(points: npt.NDArray[np.float64], shape: tuple[int, ...], radius: float) -> Mask:
    """What a disc passes over on its way through points ([slice,] y, x), in the slice of the first one."""
    drawn = np.zeros(shape, bool)
    plane = drawn[tuple(int(np.clip(round(i), 0, n - 1)) for i, n in zip(points[0][:-2], shape, strict=False))]
    way = np.ones(plane.shape, bool)
    for one, other in zip(points[:-1, -2:], points[1:, -2:], strict=True):
        count = int(np.abs(other - one).max()) + 2
        line = np.round(np.linspace(one, other, count)).astype(int)
        inside = ((line >= 0) & (line < plane.shape)).all(axis=1)
        way[tuple(line[inside].T)] = False
    if not way.all():
        plane |= ndimage.distance_transform_edt(way) <= radius
    return drawn
