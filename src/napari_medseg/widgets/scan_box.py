"""The scan region of an ultrasound case on screen: one rectangle in a Shapes layer, the same for all frames of a cine.

What a person changes is kept with the case at once and can be taken back; what nobody changed is written nowhere.
"""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.device_regions import remember_device_region
from napari_medseg.data.forms import REGION_BOX, update_form
from napari_medseg.data.rows import format_region
from napari_medseg.data.scan_boxes import ScanBoxes, scan_boxes
from napari_medseg.data.scan_region import ScanRegion, ScanRegionMethod, find_scan_region
from napari_medseg.errors import MedsegError
from napari_medseg.structures import Box, Case
from napari_medseg.widgets._layers import flat_kwargs
from napari_medseg.widgets.jobs import ThreadJob, explain_error
from napari_medseg.widgets.region_box import box_of_rectangles, rectangles
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.settling import Settling
from napari_medseg.widgets.window import main_window

_COLOR = "#f0e442"
#: Width of the lines as a share of the image's longer side.
_WIDTH = 1 / 250


class ScanBox(QObject):
    """The one scan region of a viewer; use `scan_box_of` to get it.

    Attributes
    ----------
    boxes
        What is known of the case on screen; None while it is looked for, and for other cases than ultrasound.
    """

    #: Another box counts, or more is known about it.
    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.boxes: ScanBoxes | None = None
        self._layer: Shapes | None = None
        self._job: ThreadJob | None = None
        self._undone: list[Box | None] = []
        self._done: list[Box | None] = []
        self._settling = Settling(self)
        self._settling.settled.connect(self._take)
        session.case_changed.connect(self._follow_case)
        session.viewer.layers.events.removed.connect(self._on_removed)
        self._follow_case(session.case)

    @property
    def box(self) -> Box | None:
        """The box that counts for the case on screen; None while it is looked for."""
        return None if self.boxes is None else self.boxes.box

    def box_on(self, image: Layer | None) -> Box | None:
        """The box that counts for an image layer; None for one that is not the ultrasound case's on screen."""
        opened = self._session.open
        return self.box if opened is not None and image in opened.image_layers else None

    @property
    def is_in_hand(self) -> bool:
        """Whether the rectangle's layer is the active one, so that undo means the rectangle."""
        return self._layer is not None and self._session.viewer.layers.selection.active is self._layer

    def correct(self) -> None:
        """Let the person move the sides of the rectangle."""
        if self.boxes is None:
            return
        if self._layer is None:
            self._show()
        assert self._layer is not None, "a layer was just made"
        self._layer.visible = True
        self._session.viewer.layers.selection.active = self._layer
        self._layer.mode = "select"
        self._layer.selected_data = {0}

    def choose(self, method: ScanRegionMethod) -> None:
        """Take the box that a method finds, also in place of a box of one's own.

        What the robust method finds counts anyway, so that it is kept only where the machine has another box.
        """
        opened, boxes = self._home(), self.boxes
        if opened is None or boxes is None:
            return
        dataset, case = opened
        if method == "robust":
            self.set_own(None if boxes.remembered is None else boxes.found.box)
            return

        def work(_: Any) -> ScanRegion:
            return find_scan_region(dataset.read_image(dataset.case(case)), method)

        self._start(ThreadJob(work), lambda found: self.set_own(found.box))

    def follow_machine(self) -> None:
        """Take the box that is remembered for the machine, in place of one's own."""
        self.set_own(None)

    def set_own(self, box: Box | None) -> None:
        """Keep a box with the case, or take it away; `undo` takes that back."""
        if self.boxes is not None and box != self.boxes.own:
            self._done.append(self.boxes.own)
            self._undone.clear()
            self._keep(box)
        self._fill()

    def undo(self) -> None:
        """Take the last change of the box back."""
        self._step(self._done, self._undone)

    def redo(self) -> None:
        """Make it again."""
        self._step(self._undone, self._done)

    def remember_for_machine(self) -> None:
        """Let all pictures of this machine without a box of their own use this one.

        Raises
        ------
        DatasetError, WriteError, LockedError
            It cannot be kept now.
        """
        home, boxes = self._home(), self.boxes
        if home is None or boxes is None or boxes.device is None:
            return
        remember_device_region(home[0].path, boxes.device, boxes.box)
        self._learn(dataclasses.replace(boxes, remembered=boxes.box))

    def _step(self, taken: list[Box | None], kept: list[Box | None]) -> None:
        if taken and self.boxes is not None:
            kept.append(self.boxes.own)
            self._keep(taken.pop())
            self._fill()

    def _keep(self, box: Box | None) -> None:
        home, boxes = self._home(), self.boxes
        if home is None or boxes is None:
            return
        dataset, case = home
        try:
            update_form(dataset, case, {REGION_BOX: None if box is None else format_region(box)})
        except MedsegError as error:
            self._session.trouble.emit(*explain_error(error))
            return
        self._learn(dataclasses.replace(boxes, own=box))

    def _learn(self, boxes: ScanBoxes) -> None:
        self.boxes = boxes
        self.changed.emit()

    def _home(self) -> tuple[Dataset, str] | None:
        """Data set and id of the case on screen, where it is one of ultrasound."""
        opened, dataset = self._session.open, self._session.dataset
        if opened is None or dataset is None or dataset.info.kind != "ultrasound":
            return None
        return dataset, opened.case.case

    def _follow_case(self, _: Case | None) -> None:
        """Look for the box of another case, in a thread: a cine takes seconds."""
        self._drop_layer()
        self.boxes, self._job = None, None
        self._done, self._undone = [], []
        home = self._home()
        if home is not None:
            dataset, case = home
            self._start(ThreadJob(lambda _: scan_boxes(dataset, case)), self._on_found)
        self.changed.emit()

    def _start(self, job: ThreadJob, take: Any) -> None:
        self._job = job
        job.result.connect(partial(self._on_result, job, take))
        job.failed.connect(self._session.trouble)
        job.end_with(main_window(self._session.viewer))
        job.start()

    def _on_result(self, job: ThreadJob, take: Any, result: Any) -> None:
        # Another case may be on screen by now.
        if job is self._job:
            self._job = None
            take(result)

    def _on_found(self, boxes: ScanBoxes) -> None:
        self._learn(boxes)
        self._show()
        if boxes.trouble:
            self._session.trouble.emit(boxes.trouble, "")

    def _show(self) -> None:
        opened = self._session.open
        if opened is None or self.boxes is None:
            return
        self._drop_layer()
        viewer, active = self._session.viewer, self._session.viewer.layers.selection.active
        image = opened.image_layers[0]
        self._layer = viewer.add_shapes(
            ndim=2,
            name=f"{opened.case.case} · scan region",
            face_color="transparent",
            edge_color=_COLOR,
            metadata={"region_box": True, "case": opened.case.case},
            **flat_kwargs(image),
        )
        self._fill()
        self._settling.watch(self._layer)
        if active is not None:
            # What was worked with stays in hand.
            viewer.layers.selection.active = active

    def _fill(self) -> None:
        """Draw the rectangle of the box that counts."""
        layer, boxes = self._layer, self.boxes
        if layer is None or boxes is None:
            return
        was_chosen = bool(layer.selected_data)
        width = max(1.0, _WIDTH * max(boxes.shape))
        with layer.events.data.blocker():
            layer.data = []
            layer.add_rectangles(rectangles(boxes.box), edge_color=_COLOR, face_color="transparent", edge_width=width)
        layer.selected_data = {0} if was_chosen else set()

    def _take(self) -> None:
        """Take the box from the rectangle that a person changed or added; without any, the found one counts again."""
        layer, boxes = self._layer, self.boxes
        if layer is None or boxes is None:
            return
        before = rectangles(boxes.box)[0]
        changed = [c for c in map(np.asarray, layer.data) if c.shape != before.shape or not np.allclose(c, before)]
        if not layer.data:
            self.set_own(None)
        elif changed:
            # A box outside the picture means nothing: `_fill` puts the rectangle back.
            self.set_own(box_of_rectangles(changed[-1:], None, boxes.shape) or boxes.own)

    def _drop_layer(self) -> None:
        self._settling.watch(None)
        layer, self._layer = self._layer, None
        if layer is not None and layer in self._session.viewer.layers:
            self._session.viewer.layers.remove(layer)

    def _on_removed(self, _: object) -> None:
        """The person removed the layer: the box is hidden, and counts as before."""
        if self._layer is not None and self._layer not in self._session.viewer.layers:
            self._drop_layer()
            self.changed.emit()


def scan_box_of(session: Session) -> ScanBox:
    """The scan region of a session's viewer, made on first use."""
    if session not in _boxes:
        _boxes[session] = ScanBox(session)
    return _boxes[session]


def is_ultrasound_case(session: Session) -> bool:
    """Whether the case on screen belongs to a data set of ultrasound."""
    return session.open is not None and session.dataset is not None and session.dataset.info.kind == "ultrasound"


def source_text(boxes: ScanBoxes) -> str:
    """Where the box that counts comes from, for people."""
    if boxes.own is not None:
        whole = tuple((0, n) for n in boxes.shape)
        return "The whole image, as you chose." if boxes.own == whole else "Your box, kept with this case."
    if boxes.remembered is not None:
        return "As remembered for this machine."
    ways = {
        "header": "As the file's header says.",
        "motion": "Found by what moves in the cine.",
        "low threshold": "Found by a low threshold.",
        "Otsu, largest region": "The largest bright region.",
        "whole image": "The whole image: no scan was found.",
    }
    return ways.get(boxes.found.source, f"Found by {boxes.found.source}.")


_boxes: WeakKeyDictionary[Session, ScanBox] = WeakKeyDictionary()
