"""The mouse on curves: a click sets an anchor, a drag moves one, Alt takes it away, Shift or the gap tool erases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from napari.layers import Labels, Points
from qtpy.QtCore import QObject, Signal

from napari_medseg.errors import MedsegError
from napari_medseg.widgets._layers import true_space
from napari_medseg.widgets.case_curves import CaseCurves

#: How near an anchor the pointer grabs it, and how far it must move to drag, in pixels of the screen.
GRAB, SLACK = 8.0, 3.0

Tool = Literal["anchors", "gaps"]


class CurveTool(QObject):
    """Edits the chosen curve while the layer of anchors is active and not in its mode to move the picture.

    napari's own drawing of points is replaced by that of anchors: the layer holds no points of its own.
    """

    #: What lies under the pointer: one line, or nothing.
    hovered = Signal(str)
    #: Something that cannot be was asked for: one sentence.
    refused = Signal(str)
    #: The layer's mode changed.
    switched = Signal()

    def __init__(self, case: CaseCurves, labels: Labels) -> None:
        super().__init__(case)
        self.tool: Tool = "anchors"
        #: Whether curves run straight through new anchors instead of along the edges of the picture.
        self.straight = False
        self._case = case
        self._labels = labels
        self._layer: Points = case.layers.anchors
        #: Row and column that were last pointed at; None outside the picture.
        self._pointer: tuple[float, float] | None = None
        #: The surface that the last drag met; empty for none.
        self._held_by = ""
        # Another B-scan, or another row of the curve, lies under a pointer that stands still.
        case.changed.connect(self._say_place)
        self._layer.events.mode.connect(self._on_mode)
        self._layer.mouse_move_callbacks.append(self._on_hover)
        for key in ("Delete", "Backspace"):
            self._layer.bind_key(key, self._on_delete, overwrite=True)

    @property
    def on(self) -> bool:
        """Whether the layer edits curves when it is active."""
        return str(self._layer.mode) != "pan_zoom"

    def start(self) -> None:
        """Edit from now on."""
        self._layer.mode = "add"

    def stop(self) -> None:
        """Let the mouse move the picture again."""
        self._layer.mode = "pan_zoom"
        self.forget_pointer()

    def forget_pointer(self) -> None:
        """Say nothing of a place that the pointer has left."""
        self._pointer = None
        self.hovered.emit("")

    def delete_grabbed(self) -> None:
        """Take away the anchor that was set or moved last."""
        case = self._case
        if case.grabbed is not None and case.grabbed in case.curve.anchors:
            column, case.grabbed = case.grabbed, None
            self._try(case.do, case.curves.delete_anchor, case.bscan, case.chosen, column)

    def _on_mode(self, *_: object) -> None:
        """Replace what napari's modes of a Points layer do on a drag."""
        if self.on:
            # `add`, `select` and whatever else napari offers are one and the same here.
            self._layer.mouse_drag_callbacks[:] = [self._on_drag]
        elif self._on_drag in self._layer.mouse_drag_callbacks:
            self._layer.mouse_drag_callbacks.remove(self._on_drag)
        # A drag moves anchors, not the picture.
        self._layer.mouse_pan = not self.on
        self.switched.emit()

    def _on_delete(self, _: Points) -> None:
        self.delete_grabbed()

    def _on_drag(self, _: Points, event: Any) -> Iterator[None]:
        if event.button not in (1, 2) or not self._case.can_draw:
            return
        if event.button == 2 or self.tool == "gaps" or "Shift" in event.modifiers:
            yield from self._erase(event)
        elif "Alt" in event.modifiers:
            self._remove(*self._place(event))
            yield
        elif "Control" in event.modifiers:
            self._choose_nearest(*self._place(event))
            yield
        else:
            yield from self._set_or_move(event)

    def _set_or_move(self, event: Any) -> Iterator[None]:
        """Press sets an anchor or grabs one; moving on drags it. All of it is one step of undo."""
        case = self._case
        row, x = self._place(event)
        start = np.asarray(event.pos)
        with case.step():
            case.grabbed = self._anchor_near(row, x)
            acted = False
            if case.grabbed is None:
                column = round(x)
                straight = {"straight": self.straight}
                acted = self._try(case.act, case.curves.add_anchor, case.bscan, case.chosen, column, row, **straight)
                if not acted:
                    return
                case.grabbed = column
            case.show()
            yield
            moved = False
            while True:
                moved = moved or float(np.hypot(*(np.asarray(event.pos) - start))) > SLACK
                if moved:
                    acted = self._move_to(*self._place(event), going_on=acted) or acted
                # Where the button is released counts: moves before it may have been dropped.
                if event.type != "mouse_move":
                    return
                yield

    def _move_to(self, row: float, x: float, *, going_on: bool) -> bool:
        case = self._case
        self._pointer = row, x
        columns = set(case.curve.anchors)
        options = {"going_on": going_on}
        if case.grabbed not in columns:
            return False
        moved = self._try(
            case.act, case.curves.move_anchor, case.bscan, case.chosen, case.grabbed, round(x), row, **options
        )
        if moved:
            # It may have stayed on this side of its neighbour.
            case.grabbed = next(iter(set(case.curve.anchors) - columns), case.grabbed)
            case.show()
        self._held_by = self._holder(row)
        self._say_place()
        return moved

    def _holder(self, row: float) -> str:
        """The surface at which a dragged anchor stays though the pointer went on to a row; empty for none."""
        case = self._case
        column = case.grabbed
        if column is None or abs(case.curve.anchors[column] - row) <= 1:
            return ""
        rows = case.rows[:, column]
        met = [s for s in range(len(rows)) if s != case.chosen and rows[s] == rows[case.chosen]]
        return case.surfaces[min(met, key=lambda s: abs(s - case.chosen))].name if met else ""

    def _erase(self, event: Any) -> Iterator[None]:
        """A drag erases a span of columns; a click ends the curve there, or closes the gap it hits."""
        case = self._case
        (_, first), start = self._place(event), np.asarray(event.pos)
        yield
        while event.type == "mouse_move":
            last = self._place(event)[1]
            self.hovered.emit(f"gap from column {round(min(first, last))} to {round(max(first, last))}")
            yield
        (_, last), end = self._place(event), np.asarray(event.pos)
        case.grabbed = None
        if float(np.hypot(*(end - start))) > SLACK:
            low, high = sorted((round(first), round(last)))
            self._try(case.do, case.curves.erase, case.bscan, case.chosen, low, high + 1)
        elif case.curve.gap(round(first)) is not None:
            self._try(case.do, case.curves.resume, case.bscan, case.chosen, round(first))
        else:
            self._try(case.do, case.curves.stop, case.bscan, case.chosen, round(first))

    def _remove(self, row: float, x: float) -> None:
        case = self._case
        column = self._anchor_near(row, x)
        if column is None:
            self.refused.emit("No anchor is here: Alt+click on one takes it away.")
            return
        case.grabbed = None
        self._try(case.do, case.curves.delete_anchor, case.bscan, case.chosen, column)

    def _choose_nearest(self, row: float, x: float) -> None:
        rows = self._case.rows[:, round(np.clip(x, 0, self._case.curves.shape[2] - 1))]
        if np.isfinite(rows).any():
            self._case.choose(int(np.nanargmin(np.abs(rows - row))))

    def _anchor_near(self, row: float, x: float) -> int | None:
        """Column of the nearest anchor of the chosen curve within the grip of the pointer."""
        anchors = self._case.curve.anchors
        if not anchors:
            return None
        size = self._case.layers.pixel_size()
        columns = np.array(list(anchors))
        distance = np.hypot((np.array(list(anchors.values())) - row) * size[0], (columns - x) * size[1])
        nearest = int(distance.argmin())
        return int(columns[nearest]) if distance[nearest] <= GRAB else None

    def _place(self, event: Any) -> tuple[float, float]:
        """Row and column under the pointer, in pixels of the B-scan."""
        place = self._labels.world_to_data(event.position)
        return float(place[-2]), float(place[-1])

    def _on_hover(self, _: Points, event: Any) -> None:
        self._pointer, self._held_by = self._place(event), ""
        self._say_place()

    def _say_place(self) -> None:
        """Tell what lies under the pointer now."""
        if self._pointer is None or not self.on or not self._case.can_draw:
            return
        row, x = self._pointer
        height, width = self._case.curves.shape[1:]
        inside = -0.5 <= row < height - 0.5 and -0.5 <= x < width - 0.5
        held = f" · held by {self._held_by}" if self._held_by else ""
        self.hovered.emit(self._facts(row, round(x)) + held if inside else "")

    def _facts(self, row: float, x: int) -> str:
        """Where the pointer and the chosen curve are, with micrometres where the spacing is known."""
        case = self._case
        name, rows = case.surfaces[case.chosen].name, case.rows[:, x]
        own = rows[case.chosen]
        text = f"column {x}, row {row:.1f}"
        if np.isfinite(own):
            text += f" · {name} {self._depth(float(own) - row)}"
        if case.chosen + 1 < len(rows) and np.isfinite(own) and np.isfinite(rows[case.chosen + 1]):
            text += f" · {case.surfaces[case.chosen].below} {self._depth(float(rows[case.chosen + 1] - own))} thick"
        return text

    def _depth(self, rows: float) -> str:
        space = true_space(self._labels)
        if space is None or space[1][-2] != "millimeter":
            return f"{rows:.1f} px"
        return f"{1000 * rows * space[0][-2]:.0f} µm"

    def _try(self, do: Callable[..., bool], *arguments: Any, **options: Any) -> bool:
        """Do it; what cannot be is told, and the mouse goes on."""
        try:
            return do(*arguments, **options)
        except MedsegError as error:
            self.refused.emit(str(error))
            return False
