"""Diameters drawn over an image: lines in a Shapes layer with their lengths beside them, kept in the case's form."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
from napari.layers import Labels, Layer, Shapes
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.dataset import Dataset
from napari_medseg.data.forms import LINES, lines_of, update_form
from napari_medseg.errors import MedsegError
from napari_medseg.measure.lines import length_of
from napari_medseg.measure.space import Space, space_of
from napari_medseg.structures import Segment
from napari_medseg.widgets._layers import spatial_kwargs, true_space
from napari_medseg.widgets.jobs import explain_error
from napari_medseg.widgets.measure_work import LINE_COLOR
from napari_medseg.widgets.session import Session
from napari_medseg.widgets.settling import Settling

#: Least width of a line in pixels of the image, and its width as a share of the image's longer side.
_WIDTH, _SHARE = 0.5, 1 / 500
#: Digits that are kept: a thousandth of a pixel.
_DIGITS = 3
_TEXT = {"string": "{length}", "size": 10, "color": LINE_COLOR, "anchor": "upper_left"}


class DrawnLines(QObject):
    """The lines over one labels layer at a time; use `drawn_lines_of` to get those of a session.

    Parameters
    ----------
    session
        Lines over the labels of its open case are kept with the case; over other labels, with the layer.
    """

    #: Lines were drawn, moved or taken away, and are kept.
    changed = Signal()

    def __init__(self, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._beside: Labels | None = None
        #: Data set and case whose form keeps the lines; None where the labels are those of no case.
        self._home: tuple[Dataset, str] | None = None
        self._layer: Shapes | None = None
        self._settling = Settling(self)
        self._settling.settled.connect(self._take)

    def show_over(self, labels: Labels | None) -> None:
        """Show the lines that are kept with these labels, in place of those of others."""
        opened, dataset = self._session.open, self._session.dataset
        home = None
        if opened is not None and dataset is not None and opened.labels is labels:
            home = dataset, opened.case.case
        if labels is self._beside and home == self._home:
            return
        if self._settling.is_waiting:
            self._keep(self._drawn())
        self._settling.watch(None)
        layer, self._layer, self._beside, self._home = self._layer, None, labels, home
        if layer is not None and layer in self._session.viewer.layers:
            self._session.viewer.layers.remove(layer)
        lines = self._kept()
        if lines:
            self._show(lines)

    def draw(self) -> None:
        """Let the person draw a line from end to end."""
        if self._beside is None:
            return
        if self._layer not in self._session.viewer.layers:
            self._show(self._kept())
        assert self._layer is not None, "a layer was just made"
        self._layer.visible = True
        self._session.viewer.layers.selection.active = self._layer
        self._layer.mode = "add_line"

    def _show(self, lines: tuple[Segment, ...]) -> None:
        labels, viewer = self._beside, self._session.viewer
        assert labels is not None, "lines lie over labels"
        active: Layer | None = viewer.layers.selection.active
        self._layer = viewer.add_shapes(
            [np.array(line) for line in lines] or None,
            ndim=labels.ndim,
            shape_type="line",
            name=f"{labels.name.removesuffix(' · labels')} · diameters",
            edge_color=LINE_COLOR,
            edge_width=max(_WIDTH, _SHARE * max(labels.data.shape[-2:])),
            features={"length": self._texts(lines)},
            text=_TEXT,
            metadata={"measured": True},
            **spatial_kwargs(labels),
        )
        self._settling.watch(self._layer)
        if active is not None:
            # What was worked with stays in hand.
            viewer.layers.selection.active = active

    def _take(self) -> None:
        """Keep the lines as they are now, and write their lengths beside them."""
        layer = self._layer
        if layer is None or layer not in self._session.viewer.layers:
            return
        lines = self._drawn()
        layer.features = {"length": self._texts(lines)}
        self._keep(lines)
        self.changed.emit()

    def _drawn(self) -> tuple[Segment, ...]:
        """Both ends of every line of the layer."""
        drawn = [] if self._layer is None else self._layer.data
        return tuple((_rounded(ends[0]), _rounded(ends[-1])) for ends in drawn)

    def _texts(self, lines: tuple[Segment, ...]) -> list[str]:
        assert self._beside is not None, "lines lie over labels"
        spacing, units = true_space(self._beside) or (None, None)
        space = space_of(self._beside.ndim, spacing, units)
        return [_length_text(line, space) for line in lines]

    def _kept(self) -> tuple[Segment, ...]:
        """The lines that are on disk, or with the layer."""
        if self._beside is None:
            return ()
        if self._home is None:
            return tuple(self._beside.metadata.get(LINES, ()))
        dataset, case = self._home
        try:
            return lines_of(dataset.path, case, axes=self._beside.ndim)
        except MedsegError as error:
            self._session.trouble.emit(*explain_error(error))
            return ()

    def _keep(self, lines: tuple[Segment, ...]) -> None:
        """Keep lines; a click without a way is none."""
        assert self._beside is not None, "lines lie over labels"
        lines = tuple(line for line in lines if line[0] != line[1])
        if self._home is None:
            self._beside.metadata[LINES] = lines
            return
        dataset, case = self._home
        try:
            update_form(dataset, case, {LINES: [list(map(list, line)) for line in lines] or None})
        except MedsegError as error:
            self._session.trouble.emit(*explain_error(error))


def drawn_lines_of(session: Session) -> DrawnLines:
    """The lines of a session's viewer, made on first use."""
    if session not in _drawn:
        _drawn[session] = DrawnLines(session, session)
    return _drawn[session]


def _length_text(line: Segment, space: Space) -> str:
    """A line's length in millimetres; in pixels where no spacing is known at all."""
    length = length_of(line, space)
    if length is not None:
        return f"{length:.1f} mm"
    if any(step is not None for step in space.steps[-2:]):
        return ""
    pixels = length_of(line, Space(steps=(1.0,) * len(space.steps)))
    return f"{pixels:.0f} px"


def _rounded(place: Any) -> tuple[float, ...]:
    return tuple(round(float(value), _DIGITS) for value in place)


_drawn: WeakKeyDictionary[Session, DrawnLines] = WeakKeyDictionary()
