"""The box around a tumour on screen: rectangles in a Shapes layer, one per slice, kept in the case's form.

A rectangle that is drawn makes the box reach its slice; one that is moved or resized gives the box its sides in all
slices; removing rectangles at an end makes it shorter.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.forms import REGION_BOX, region_box_of, update_form
from napari_medseg.data.regions import mask_box
from napari_medseg.data.rows import format_region
from napari_medseg.errors import ConfigError, MedsegError
from napari_medseg.structures import Box, Case
from napari_medseg.widgets._layers import spatial_kwargs
from napari_medseg.widgets.jobs import explain_error
from napari_medseg.widgets.layer_images import layer_spatial_shape
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.settling import Settling

_COLOR = "#f0e442"
#: Of the lines, in pixels of the image.
_WIDTH = 0.4


class RegionBox(QObject):
    """The one box of a viewer; use `region_box_of_session` to get it."""

    #: The box is another one, or none.
    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._layer: Shapes | None = None
        self._beside: ImageLayer | None = None
        self._box: Box | None = None
        self._settling = Settling(self)
        self._settling.settled.connect(self._settle)
        session.case_changed.connect(self._follow_case)
        session.viewer.layers.events.removed.connect(self._on_removed)
        self._follow_case(session.case)

    def box_on(self, image: Layer | None) -> Box | None:
        """The box on an image, in its pixels; None where none is drawn on it."""
        return self._box if image is not None and image is self._beside else None

    def draw(self, image: ImageLayer) -> None:
        """Let the person draw a rectangle over an image; one that is there can be drawn on."""
        if image is not self._beside or self._layer is None:
            self._show(image, None)
        assert self._layer is not None, "a layer was just made"
        self._layer.visible = True
        self._session.viewer.layers.selection.active = self._layer
        self._layer.mode = "add_rectangle"

    def take_labels(self, image: ImageLayer) -> None:
        """Put the box around everything that is labelled in the case on screen.

        Raises
        ------
        ConfigError
            Nothing is labelled, or the image is not that of the case.
        """
        opened = self._session.open
        if opened is None or image not in opened.image_layers:
            raise ConfigError("The labels of the case on screen count: open the case of this image.")
        box = mask_box(np.asarray(opened.labels.data))
        if box is None:
            raise ConfigError("Nothing is labelled in this case: draw the tumour, or a box around it.")
        self.set_box(image, box)

    def set_box(self, image: ImageLayer, box: Box | None) -> None:
        """Show a box on an image and keep it with its case; None takes it away."""
        if box is None:
            self._drop_layer()
        else:
            self._show(image, box)
        self._remember(image, box)

    def _show(self, image: ImageLayer, box: Box | None) -> None:
        self._drop_layer()
        viewer, active = self._session.viewer, self._session.viewer.layers.selection.active
        self._beside, self._box = image, box
        self._layer = viewer.add_shapes(
            ndim=len(layer_spatial_shape(image)),
            name=f"{image.name} · region of interest",
            face_color="transparent",
            edge_color=_COLOR,
            edge_width=_WIDTH,
            metadata={"region_box": True},
            **spatial_kwargs(image),
        )
        self._fill()
        self._settling.watch(self._layer)
        if box is not None and active is not None:
            # What was worked with stays in hand.
            viewer.layers.selection.active = active

    def _fill(self) -> None:
        """The rectangles of the box, one per slice."""
        layer = self._layer
        if layer is None:
            return
        with layer.events.data.blocker():
            layer.data = []
            if self._box is not None:
                layer.add_rectangles(
                    rectangles(self._box), edge_color=_COLOR, face_color="transparent", edge_width=_WIDTH
                )
        layer.selected_data = set()

    def _settle(self) -> None:
        """Take the box from the rectangles."""
        layer, image = self._layer, self._beside
        if layer is None or image is None:
            return
        shape = layer_spatial_shape(image)
        box = box_of_rectangles([np.asarray(corners) for corners in layer.data], self._box, shape)
        if box == self._box and len(layer.data) == len(rectangles(box) if box is not None else []):
            return
        self._box = box
        mode, chosen = str(layer.mode), set(layer.selected_data)
        self._fill()
        if mode in ("select", "direct"):
            layer.selected_data = {i for i in chosen if i < len(layer.data)}
        self._remember(image, box)

    def _remember(self, image: ImageLayer, box: Box | None) -> None:
        """Keep the box in the form of the case that the image belongs to."""
        self._beside, self._box = image, box
        opened, dataset = self._session.open, self._session.dataset
        if opened is not None and dataset is not None and image in opened.image_layers:
            text = None if box is None else format_region(box)
            try:
                update_form(dataset, opened.case.case, {REGION_BOX: text})
            except MedsegError as error:
                self._session.trouble.emit(*explain_error(error))
        self.changed.emit()

    def _follow_case(self, case: Case | None) -> None:
        """Show the box that is kept with the case on screen."""
        self._drop_layer()
        opened, dataset = self._session.open, self._session.dataset
        # In ultrasound the box is the scan region (`scan_box`).
        if case is not None and opened is not None and dataset is not None and dataset.info.kind != "ultrasound":
            try:
                box = region_box_of(dataset.path, case.case)
            except MedsegError as error:
                self._session.trouble.emit(*explain_error(error))
                box = None
            image = opened.image_layers[0]
            if box is not None and len(box) == len(layer_spatial_shape(image)):
                self._show(image, box)
        self.changed.emit()

    def _drop_layer(self) -> None:
        self._settling.watch(None)
        layer, self._layer, self._beside, self._box = self._layer, None, None, None
        if layer is not None and layer in self._session.viewer.layers:
            self._session.viewer.layers.remove(layer)

    def _on_removed(self, event: object) -> None:
        """The person removed the layer: the box is hidden, and stays with the case."""
        if self._layer is not None and self._layer not in self._session.viewer.layers:
            self._drop_layer()
            self.changed.emit()


def rectangles(box: Box) -> list[npt.NDArray[np.float64]]:
    """A box as rectangles (4, axes), one per slice, along the outer edges of its pixels."""
    (top, bottom), (left, right) = box[-2:]
    sides = [(top - 0.5, left - 0.5), (top - 0.5, right - 0.5), (bottom - 0.5, right - 0.5), (bottom - 0.5, left - 0.5)]
    if len(box) == 2:
        return [np.array(sides)]
    return [np.array([(index, y, x) for y, x in sides]) for index in range(*box[0])]


def box_of_rectangles(drawn: list[npt.NDArray[np.float64]], before: Box | None, shape: tuple[int, ...]) -> Box | None:
    """The box that rectangles mean after a person changed them.

    Parameters
    ----------
    drawn
        Corners (n, axes) of every shape.
    before
        The box they were last brought in line with: those that differ from it count, a new one beside it.
    shape
        Of the image; the box lies inside.

    Returns
    -------
    None where nothing is drawn, or all of it outside.
    """
    if not drawn:
        return None
    known = [] if before is None else rectangles(before)
    changed = [corners for corners in drawn if not any(_same(corners, other) for other in known)]
    if len(drawn) > len(known) or not changed:
        changed += known[:1]
    corners = np.concatenate([each[:, -2:] for each in changed])
    sides = [(corners[:, axis].min(), corners[:, axis].max()) for axis in (0, 1)]
    box = [_pixels(float(low), float(high), n) for (low, high), n in zip(sides, shape[-2:], strict=True)]
    if len(shape) == 3:
        slices = np.concatenate([each[:, 0] for each in drawn])
        box.insert(0, (max(0, round(float(slices.min()))), min(shape[0], round(float(slices.max())) + 1)))
    return tuple(box) if all(start < stop for start, stop in box) else None


def region_box_of_session(session: Session) -> RegionBox:
    """The box of a session's viewer, made on first use."""
    if session not in _boxes:
        _boxes[session] = RegionBox(session)
    return _boxes[session]


def _same(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> bool:
    return one.shape == other.shape and bool(np.allclose(one, other, atol=1e-6))


def _pixels(low: float, high: float, length: int) -> tuple[int, int]:
    """Pixels whose middles lie between two places of an axis."""
    return max(0, int(np.ceil(low))), min(length, int(np.floor(high)) + 1)


_boxes: WeakKeyDictionary[Session, RegionBox] = WeakKeyDictionary()
