"""Outline a nodule by a rough ellipse: what fits the picture is shown, then accepted or discarded."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Shapes
from qtpy.QtCore import QObject, Signal

from napari_medseg.annotation.change import LabelChange, changed
from napari_medseg.annotation.contours import contour_mask, ellipse_in, fit_contour
from napari_medseg.errors import AnnotationError
from napari_medseg.structures import BACKGROUND, Case
from napari_medseg.widgets._layers import flat_kwargs
from napari_medseg.widgets.areas import area_text
from napari_medseg.widgets.change_preview import ChangePreview
from napari_medseg.widgets.jobs import explain_error
from napari_medseg.widgets.scan_box import scan_box_of
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.settling import Settling

_COLOR = "#f0e442"
#: Width of the ellipse's line as a share of the image's longer side.
_WIDTH = 1 / 300


class SmartContour(QObject):
    """The one tool of a viewer; use `smart_contour_of` to get it. An ellipse that is moved is fitted anew."""

    #: A preview came or went.
    preview_changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self._layer: Shapes | None = None
        self._preview: ChangePreview | None = None
        self._settling = Settling(self)
        self._settling.settled.connect(self._fit)
        session.case_changed.connect(self._follow_case)
        session.viewer.layers.events.removed.connect(self._on_removed)

    @property
    def is_shown(self) -> bool:
        """Whether a preview asks for an answer."""
        return self._preview is not None

    def start(self) -> None:
        """Let the person draw an ellipse around what is to be outlined in the chosen class.

        Raises
        ------
        AnnotationError
            There is no class to draw.
        """
        opened = self._session.open
        if opened is None:
            return
        if opened.labels.selected_label == BACKGROUND:
            raise AnnotationError("Choose the class to outline first; type a name beside 'Draw' to make one.")
        self.discard()
        image = opened.image_layers[0]
        self._layer = self._session.viewer.add_shapes(
            ndim=2,
            name=f"{opened.case.case} · rough ellipse",
            face_color="transparent",
            edge_color=_COLOR,
            edge_width=max(1.0, _WIDTH * max(opened.labels.data.shape[-2:])),
            metadata={"measured": True},
            **flat_kwargs(image),
        )
        self._settling.watch(self._layer)
        self._layer.mode = "add_ellipse"

    def accept(self) -> None:
        """Draw the outline that is shown; the undo of labels takes it back.

        Raises
        ------
        AnnotationError
            The labels changed since it was shown.
        """
        opened, preview = self._session.open, self._preview
        if opened is None or preview is None:
            return
        try:
            change = preview.accept()
        finally:
            self.discard()
        part = opened.labels.data[tuple(slice(*side) for side in change.box)]
        count = opened.locks.set_box(change.box, np.where(change.mask, change.values, part))
        self._session.viewer.layers.selection.active = opened.labels
        self._session.tell(f"{change.text}: {area_text(count, opened.labels)}. Ctrl+Z takes it back.")

    def discard(self) -> None:
        """Take ellipse and preview away; the labels stay as they are."""
        self._settling.watch(None)
        self._drop_preview()
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._session.viewer.layers:
            self._session.viewer.layers.remove(layer)
            if self._session.labels is not None:
                self._session.viewer.layers.selection.active = self._session.labels

    def _fit(self) -> None:
        """Show what fits the ellipse as it is now."""
        try:
            self._fit_now()
        except AnnotationError as error:
            self._session.trouble.emit(*explain_error(error))

    def _fit_now(self) -> None:
        layer, opened = self._layer, self._session.open
        if layer is None or opened is None or not layer.data:
            return
        self._drop_preview()
        labels, frame = np.asarray(opened.labels.data), self._frame()
        shape = labels.shape[-2:]
        ellipse = ellipse_in(np.asarray(layer.data[-1])[:, -2:])
        inside = contour_mask(fit_contour(_grey(opened.image_layers[0], frame), ellipse), shape)
        scan = scan_box_of(self._session).box_on(opened.image_layers[0])
        if scan is not None:
            # A nodule that the machine cut off ends where its scan ends.
            (top, bottom), (left, right) = scan[-2:]
            inside[:top], inside[bottom:], inside[:, :left], inside[:, right:] = False, False, False, False
        box = (*((i, i + 1) for i in frame), *((0, n) for n in shape))
        before = labels[tuple(slice(*side) for side in box)]
        value = int(opened.labels.selected_label)
        after = np.where(inside, np.uint8(value), before)
        name = next((c.name for c in opened.classes if c.value == value), f"class {value}")
        change = changed(labels, box, after, f"{name} outlined", protected=opened.locks.locked)
        self._show(change)
        # A drawn ellipse is to be moved rather than followed by another one.
        layer.mode = "select"
        layer.selected_data = {len(layer.data) - 1}

    def _show(self, change: LabelChange) -> None:
        opened = self._session.open
        if opened is not None and change.count:
            layers = self._session.viewer.layers
            self._preview = ChangePreview(layers, opened.labels, change, opened.classes)
        self.preview_changed.emit()

    def _frame(self) -> tuple[int, ...]:
        """Which frame of a cine is on screen; empty for a picture."""
        opened = self._session.open
        assert opened is not None, "a case is on screen"
        count = opened.labels.ndim - 2
        place = opened.labels.world_to_data(self._session.viewer.dims.point[-opened.labels.ndim :])
        return tuple(round(float(p)) for p in place[:count])

    def _drop_preview(self) -> None:
        preview, self._preview = self._preview, None
        if preview is not None:
            preview.close()
            self.preview_changed.emit()

    def _follow_case(self, _: Case | None) -> None:
        self.discard()

    def _on_removed(self, _: object) -> None:
        """The person removed the ellipse: it is not wanted any more."""
        if self._layer is not None and self._layer not in self._session.viewer.layers:
            self.discard()


def smart_contour_of(session: Session) -> SmartContour:
    """The tool of a session's viewer, made on first use."""
    if session not in _tools:
        _tools[session] = SmartContour(session)
    return _tools[session]


def _grey(layer: ImageLayer, frame: tuple[int, ...]) -> npt.NDArray[Any]:
    """One frame of an image layer, (y, x), the mean of its colours."""
    pixels = np.asarray((layer.data[0] if layer.multiscale else layer.data)[frame])
    return pixels[..., :3].mean(axis=-1) if layer.rgb else pixels


_tools: WeakKeyDictionary[Session, SmartContour] = WeakKeyDictionary()
