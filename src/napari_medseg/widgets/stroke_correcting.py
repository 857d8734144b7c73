"""Strokes on the labels of the case on screen spread, by a model's features, to what they were meant for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, Signal

from napari_medseg.annotation.change import LabelChange, Mask, slices_of
from napari_medseg.errors import ConfigError
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import Box, Case, MaskClass, Progress
from napari_medseg.widgets.areas import area_text
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.open_case import OpenCase
from napari_medseg.widgets.session import Session

if TYPE_CHECKING:
    from napari_medseg.api import LoadedModel, StrokeCorrector

Prepare = Callable[[Progress], "StrokeCorrector"]
#: Box of one slice, what was drawn in it, and the value.
Stroke = tuple[Box, Mask, int]
#: What becomes of a stroke: the labels of a change's box as they were, the change, and the seconds it took.
Answer = tuple[npt.NDArray[np.uint8], LabelChange, float]


class StrokeCorrecting(QObject):
    """The one corrector of a viewer; use `stroke_correcting_of` to get it."""

    #: It was switched on or off, or has something to say: see `is_on`, `is_busy`, `text`.
    changed = Signal()

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._session = session
        self.is_on = False
        #: What was done last, or what went wrong.
        self.text = ""
        self._job: ThreadJob | None = None
        self._waiting: list[Stroke] = []
        self._is_applying = False
        self._loaded: tuple[Path, float, LoadedModel] | None = None
        self._corrector: tuple[object, StrokeCorrector] | None = None
        session.case_changed.connect(self._follow_case)
        session.model_changed.connect(self._follow_model)
        self._follow_case(session.case)

    @property
    def is_busy(self) -> bool:
        """Whether a stroke spreads, or the model is loaded."""
        return self._job is not None

    def set_on(self, on: bool) -> None:
        """Let strokes spread from now on, or be as they are drawn.

        Raises
        ------
        ConfigError
            There is no case, or no model for it.
        """
        if on == self.is_on:
            return
        if on:
            self._check()
        self.is_on, self.text = on, ""
        self._waiting.clear()
        if on:
            # Loading takes a second: until the first stroke is drawn.
            self._start(self._prepared)
        elif self._job is not None:
            self._job.cancel()
        self.changed.emit()

    def _check(self) -> None:
        opened, dataset = self._session.open, self._session.dataset
        if opened is None or dataset is None:
            raise ConfigError("No case is open: choose one in the tab Cases.")
        if self._session.model is None:
            raise ConfigError("No model is chosen: choose one in the tab Predict.")
        if is_slide(dataset.read_image(opened.case)) and not opened.case.region:
            raise ConfigError("Strokes do not spread on whole slides: add the region as a case of its own.")

    # Strokes

    def _on_paint(self, event: Any) -> None:
        opened = self._session.open
        if not self.is_on or self._is_applying or opened is None or opened.labels.mode not in ("paint", "erase"):
            return
        stroke = stroke_of(event.value)
        if stroke is not None:
            self._waiting.append(stroke)
            self._next()

    def _next(self) -> None:
        opened = self._session.open
        if self._job is not None or not self._waiting or opened is None:
            return
        box, mask, value = self._waiting.pop(0)
        labels, prepare = np.asarray(opened.labels.data), self._prepared

        def work(progress: Progress) -> Answer:
            corrector = prepare(progress)
            started = time.perf_counter()
            change = corrector.correct(labels, box, mask, value)
            return labels[slices_of(change.box)].copy(), change, time.perf_counter() - started

        self._start(work)

    def _start(self, work: Callable[[Progress], Any]) -> None:
        job = ThreadJob(work)
        job.result.connect(self._take)
        job.failed.connect(self._fail)
        job.finished.connect(partial(self._end, job))
        self._job = job
        self.changed.emit()
        job.start()

    @property
    def _prepared(self) -> Prepare:
        """Work that gives the corrector of the case on screen, made on first use."""
        opened, dataset, path = self._session.open, self._session.dataset, self._session.model
        assert opened is not None, "asked before"
        assert dataset is not None, "a case is open"
        assert path is not None, "asked before"
        case, classes = opened.case, tuple(opened.classes)

        def prepare(progress: Progress) -> StrokeCorrector:
            key, known = (case.case, path), self._corrector
            if known is not None and known[0] == key:
                return known[1]
            from napari_medseg import api

            progress(0, 0, "Loading the model")
            made = api.StrokeCorrector(self._load(path), dataset.read_image(case), classes)
            self._corrector = key, made
            return made

        return prepare

    def _load(self, path: Path) -> LoadedModel:
        from napari_medseg import api

        changed = path.stat().st_mtime if path.exists() else 0.0
        if self._loaded is None or self._loaded[:2] != (path, changed):
            self._loaded = None
            self._loaded = (path, changed, api.load_model(path))
        return self._loaded[2]

    def _take(self, answer: Any) -> None:
        """Draw what a stroke spread to, in one step that can be undone apart from the stroke."""
        opened = self._session.open
        if opened is None or not self.is_on or not isinstance(answer, tuple):
            return
        before, change, seconds = answer
        part = np.asarray(opened.labels.data[slices_of(change.box)])
        # What was drawn while this was worked out stays.
        after = np.where(change.mask & (part == before), change.values, part)
        self._is_applying = True
        try:
            count = opened.locks.set_box(change.box, after) if change.count else 0
        finally:
            self._is_applying = False
        self._say(self._told(opened, change, count, seconds))

    def _told(self, opened: OpenCase, change: LabelChange, count: int, seconds: float) -> str:
        if not count:
            return "Nothing beside the stroke looks like it."
        name = _name_of(int(change.values[change.mask][0]), opened.classes)
        return f"{area_text(count, opened.labels)} more of {name} in {seconds:.1f} s. Ctrl+Z takes back this alone."

    def _fail(self, text: str, _: str) -> None:
        self._waiting.clear()
        if self._corrector is None:
            self.is_on = False
        self._say(text)

    def _say(self, text: str) -> None:
        self.text = text
        self.changed.emit()

    def _end(self, job: ThreadJob, _: str) -> None:
        if job is not self._job:
            return  # of the case before
        self._job = None
        if self.is_on:
            self._next()
        self.changed.emit()

    # Coming and going

    def _follow_case(self, _: Case | None) -> None:
        """Another case: its strokes spread as well, without asking again."""
        self._corrector = None
        self._waiting.clear()
        if self._job is not None:
            self._job.cancel()
            self._job = None
        self.text = ""
        if self._session.open is None:
            self.is_on = False
        else:
            self._session.open.labels.events.paint.connect(self._on_paint)
        self.changed.emit()

    def _follow_model(self, path: Path | None) -> None:
        self._corrector = None
        if path is None:
            self.is_on = False
        self.changed.emit()


def stroke_correcting_of(session: Session) -> StrokeCorrecting:
    """The corrector of a session's viewer, made on first use."""
    if session not in _correctors:
        _correctors[session] = StrokeCorrecting(session)
    return _correctors[session]


def stroke_of(item: Sequence[Any]) -> Stroke | None:
    """What a stroke of the brush changed, from napari's entry of its history; None for changes of another kind.

    A stroke through several slices counts in the slice of its first dab alone.
    """
    dabs = [atom for atom in item if hasattr(atom, "slice_key") and hasattr(atom, "new_value")]
    if not dabs or len({int(atom.new_value) for atom in dabs}) > 1:
        return None
    boxes = [tuple((int(s.start), int(s.stop)) for s in atom.slice_key) for atom in dabs]
    lead = tuple((start, start + 1) for start, _ in boxes[0][:-2])
    alike = [(box, atom) for box, atom in zip(boxes, dabs, strict=True) if box[:-2] == lead]
    if not alike:
        return None
    plane = tuple((min(b[axis][0] for b, _ in alike), max(b[axis][1] for b, _ in alike)) for axis in (-2, -1))
    drawn = np.zeros([stop - start for start, stop in plane], bool)
    for box, atom in alike:
        place = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(box[-2:], plane, strict=True))
        drawn[place] |= True if atom.mask is None else np.asarray(atom.mask).reshape(drawn[place].shape)
    return (*lead, *plane), drawn.reshape([stop - start for start, stop in (*lead, *plane)]), int(dabs[0].new_value)


def _name_of(value: int, classes: Sequence[MaskClass]) -> str:
    return next((c.name for c in classes if c.value == value), "background")


_correctors: WeakKeyDictionary[Session, StrokeCorrecting] = WeakKeyDictionary()
