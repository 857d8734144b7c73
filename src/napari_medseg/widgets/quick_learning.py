"""Learn from what is drawn in the case on screen, and show what that says of the rest, in a layer of its own."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.annotation.change import slices_of
from napari_medseg.annotation.quick_case import Field, QuickCase
from napari_medseg.annotation.quick_learner import Examples, Proposal, load_forests
from napari_medseg.annotation.quick_taking import take_area, take_classes, take_object
from napari_medseg.data.dataset import Dataset
from napari_medseg.errors import AnnotationError, DatasetError
from napari_medseg.structures import Box, Case, Progress
from napari_medseg.widgets.areas import area_text
from napari_medseg.widgets.field_pixels import FieldPixels
from napari_medseg.widgets.jobs import ThreadJob, explain_error
from napari_medseg.widgets.open_case import OpenCase
from napari_medseg.widgets.proposal_layer import ProposalLayer
from napari_medseg.widgets.regions import view_region
from napari_medseg.widgets.session import Session

Pixels = npt.NDArray[np.uint8]

#: Milliseconds that strokes and the view have to rest before it learns again.
_REST = 200
#: Pixels judged at once; larger fields are judged more coarsely.
_MOST = 1_300_000
#: The field is wider than the view by this share on each side, so that it need not follow every small move.
_WIDER = 0.12
#: Cases whose examples are kept for the next ones.
_CASES = 8


class QuickLearning(QObject):
    """The one quick learner of a viewer; use `quick_learning_of` to get it."""

    #: It began or ended, learns or has learnt: see `is_on`, `is_busy`, `text`.
    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.is_on = False
        #: What there is to say: how sure it is, or what it needs.
        self.text = ""
        self.slices_beside = 0
        self._least, self._shows_doubt = 0.5, False
        self._job: ThreadJob | None = None
        self._again = False
        self._case: tuple[object, QuickCase] | None = None
        self._learnt: dict[object, Examples] = {}
        self._dataset: Dataset | None = None
        self._layer: ProposalLayer | None = None
        self._field: Field | None = None
        self._strokes = 0
        self._state: object = None
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_REST)
        self._timer.timeout.connect(self._learn)
        session.case_changed.connect(self._follow_case)
        camera = session.viewer.scene.camera
        for moved in (camera.events.center, camera.events.zoom, session.viewer.canvas.events.size):
            moved.connect(self._wake)
        session.viewer.dims.events.current_step.connect(self._wake)
        self._follow_case(session.case)

    @property
    def is_busy(self) -> bool:
        """Whether it learns at the moment."""
        return self._job is not None

    @property
    def proposal(self) -> ProposalLayer | None:
        """What is shown; None before the first answer."""
        return self._layer

    def set_on(self, on: bool) -> None:
        """Learn from now on, or stop and take the proposal away."""
        if on == self.is_on:
            return
        self.is_on = on
        self.text = ""
        if on:
            # Its library takes a second to load: until the first strokes are drawn.
            ThreadJob(lambda _: load_forests()).start()
            self._wake()
        else:
            self._halt()
        self.changed.emit()

    def set_least(self, least: float) -> None:
        """Propose only where the confidence is not below this, 0..1."""
        self._least = least
        if self._layer is not None:
            self._layer.set_least(least)

    def set_doubt(self, shown: bool) -> None:
        """Show where the learner doubts, or hide it."""
        self._shows_doubt = shown
        if self._layer is not None:
            self._layer.set_doubt(shown)

    def set_slices_beside(self, count: int) -> None:
        """Propose in so many slices before and after the one on screen too."""
        self.slices_beside = count
        self._wake()

    def take_all(self) -> None:
        """Draw all classes as they are proposed, in one step that can be undone."""
        self._take(lambda labels, proposed: take_classes(labels, proposed))

    def take_class(self) -> None:
        """The same of the chosen class alone."""
        opened = self._session.open
        if opened is not None:
            value = int(opened.labels.selected_label)
            self._take(lambda labels, proposed: take_classes(labels, proposed, [value]))

    def set_picking(self, on: bool) -> None:
        """Let clicks take objects, and strokes what they pass over; or let the mouse draw again."""
        if self._layer is None:
            if on:
                raise AnnotationError("Nothing is proposed yet: switch on 'Learn while drawing' and draw two strokes.")
            return
        opened, layer = self._session.open, self._layer
        assert opened is not None, "there is a proposal of the case on screen"
        if on:
            layer.start_picking(opened.labels, self._take_at, self._take_along)
        else:
            layer.stop_picking()
            self._session.viewer.layers.selection.active = opened.labels
        self.changed.emit()

    @property
    def is_picking(self) -> bool:
        """Whether the mouse takes objects now."""
        return self._layer is not None and self._layer.is_picking

    # Taking over

    def _take_at(self, at: tuple[int, ...]) -> None:
        try:
            self._take(lambda labels, proposed: take_object(labels, proposed, at))
        except AnnotationError as error:
            self._session.trouble.emit(*explain_error(error))

    def _take_along(self, area: npt.NDArray[np.bool_]) -> None:
        self._take(lambda labels, proposed: take_area(labels, proposed, area))

    def _take(self, choose: Callable[[Pixels, Pixels], Pixels]) -> None:
        opened, layer = self._session.open, self._layer
        if opened is None or layer is None:
            raise AnnotationError("Nothing is proposed yet: draw a stroke in each of two structures first.")
        box = layer.box
        before = np.asarray(opened.labels.data[slices_of(box)])
        count = opened.locks.set_box(box, choose(before, layer.shown))
        self._hide_drawn()
        if count:
            self._session.tell(f"Taken over: {area_text(count, opened.labels)}. Ctrl+Z takes it back.")
        else:
            self._session.tell("Nothing was taken over: everything proposed there has been looked at already.")

    # Learning

    def _wake(self, *_: object) -> None:
        if self.is_on and self._session.open is not None:
            self._timer.start()

    def _on_stroke(self, _: object) -> None:
        self._strokes += 1
        self._on_labels()

    def _on_labels(self, *_: object) -> None:
        """What is drawn is not proposed, at once; what follows from it, soon."""
        if self.is_on:
            self._hide_drawn()
            self._wake()

    def _learn(self) -> None:
        opened = self._session.open
        if not self.is_on or opened is None:
            return
        if self._job is not None:
            # A newer stroke: what is at work would be out of date.
            self._again = True
            self._job.cancel()
            return
        try:
            field = self._wanted_field(opened)
        except (AnnotationError, DatasetError) as error:
            self._say(str(error))
            return
        labels = np.asarray(opened.labels.data)
        # Of what changed outside the field, strokes alone are noticed: a volume is too large to look through.
        inside = np.ascontiguousarray(labels[slices_of(field.box)])
        state = (field, self._key(opened), self._strokes, zlib.crc32(inside.data))
        if state == self._state and self._layer is not None:
            return
        case = self._case_of(opened)
        others = [kept for key, kept in self._learnt.items() if key != self._key(opened)]

        def work(progress: Progress) -> tuple[Field, Proposal]:
            return field, case.propose(field, labels, others, progress)

        job = ThreadJob(work)
        job.result.connect(self._show)
        job.failed.connect(self._fail)
        job.finished.connect(self._end)
        self._state = state
        self._job = job
        self.changed.emit()
        job.start()

    def _wanted_field(self, opened: OpenCase) -> Field:
        """Where to propose: the field there is, while it holds the view; else one around the view.

        Raises
        ------
        AnnotationError, DatasetError
            Nothing of the case is in view, or it is seen from the side.
        """
        labels, dims = opened.labels, self._session.viewer.dims
        lead = labels.ndim - 2
        view = view_region(self._session.viewer, labels)
        if sorted(dims.displayed) != list(range(dims.ndim - 2, dims.ndim)):
            raise AnnotationError("The quick learner works on slices as they were recorded: turn the volume back.")
        beside = [(max(a - self.slices_beside, 0), b + self.slices_beside) for a, b in view[:lead]]
        outer = [(a, min(b, n)) for (a, b), n in zip(beside, labels.data.shape, strict=False)]
        wider = [round(_WIDER * (b - a)) for a, b in view[lead:]]
        plane = [
            (max(a - w, 0), min(b + w, n))
            for (a, b), w, n in zip(view[lead:], wider, labels.data.shape[lead:], strict=True)
        ]
        field = Field.around((*outer, *plane), labels.data.shape, _MOST)
        kept = self._field
        if kept is not None and kept.step == field.step and _holds(kept.box, (*outer, *view[lead:])):
            return kept
        return field

    def _case_of(self, opened: OpenCase) -> QuickCase:
        """What is kept of the case, or of the part of a slide that is painted."""
        key = self._key(opened)
        if self._case is None or self._case[0] != key:
            self._remember()
            is_oct = self._dataset is not None and self._dataset.info.kind == "oct"
            pixels = FieldPixels(opened.image_layers, opened.labels)
            self._case = key, QuickCase(pixels.read, columns=is_oct)
            self._field = None
        return self._case[1]

    def _key(self, opened: OpenCase) -> object:
        return opened.case.case, tuple(opened.labels.translate), opened.labels.data.shape

    def _remember(self) -> None:
        """Keep what was learnt from the case before, for the next ones."""
        if self._case is not None and self._case[1].learnt is not None:
            self._learnt[self._case[0]] = self._case[1].learnt
            for key in list(self._learnt)[:-_CASES]:
                del self._learnt[key]

    def _show(self, found: tuple[Field, Proposal]) -> None:
        opened = self._session.open
        if opened is None or not self.is_on:
            return
        self._field, proposal = found
        if self._layer is None:
            self._layer = ProposalLayer(self._session.viewer, opened, self._least)
            self._layer.removed.connect(self._on_removed)
            self._layer.set_doubt(self._shows_doubt)
        self._layer.show(self._field.box, proposal, opened.classes)
        self._say(f"Sure of {self._layer.share_sure:.0%} of the view.")

    def _hide_drawn(self) -> None:
        if self._layer is not None:
            self._layer.hide_drawn()

    def _fail(self, text: str, details: str) -> None:
        self._drop_layer()
        self._say(text)
        if details:
            self._session.trouble.emit(text, details)

    def _say(self, text: str) -> None:
        self.text = text
        self.changed.emit()

    def _end(self, _: str) -> None:
        self._job = None
        if self._again:
            self._again = False
            self._state = None
            self._timer.start()
        self.changed.emit()

    # Coming and going

    def _follow_case(self, _: Case | None) -> None:
        """Another case: go on with what was learnt, unless its classes are others."""
        if self._session.dataset is not self._dataset:
            self._dataset = self._session.dataset
            self._learnt.clear()
            self._case = None
        self._remember()
        self._case = None
        self._halt()
        opened = self._session.open
        if opened is None:
            return
        opened.labels.events.paint.connect(self._on_stroke)
        # Undo announces nothing else.
        opened.labels.events.set_data.connect(self._on_labels)
        self._wake()

    def _halt(self) -> None:
        self._timer.stop()
        self._again = False
        if self._job is not None:
            self._job.cancel()
        self._drop_layer()
        self._field, self._state = None, None

    def _drop_layer(self) -> None:
        layer, self._layer = self._layer, None
        if layer is not None:
            layer.close()
        self._state = None

    def _on_removed(self) -> None:
        """The person removed the layer: proposals are not wanted any more."""
        self._layer = None
        self.set_on(False)


def quick_learning_of(session: Session) -> QuickLearning:
    """The quick learner of a session's viewer, made on first use."""
    if session not in _learners:
        _learners[session] = QuickLearning(session)
    return _learners[session]


def _holds(outer: Box, inner: Box) -> bool:
    return all(a <= c and d <= b for (a, b), (c, d) in zip(outer, inner, strict=True)) and len(outer) == len(inner)


_learners: WeakKeyDictionary[Session, QuickLearning] = WeakKeyDictionary()
