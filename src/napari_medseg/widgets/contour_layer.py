"""Contours of a slide as a Shapes layer in pixels of the finest level: shown as given, and read again after every act.

napari tells of acts in many ways, and of some not at all, so that the layer is compared with what it was given last:
shapes without an id, or with one that is there twice, were drawn or pasted; ids that are missing were deleted; shapes
that look different were moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Layer, Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.annotation.one_line import one_line, parts_of_line
from napari_medseg.io.contour_file import Contour, Part
from napari_medseg.widgets._layers import flat_kwargs
from napari_medseg.widgets.regions import ellipse_outline

Line = npt.NDArray[np.float64]

#: Pixels on the screen of a contour's line.
_LINE = 2.0
#: Share by which the zoom changes before lines get another width.
_ZOOM_STEP = 1.25
#: Milliseconds after a change of the zoom.
_ZOOM_WAIT = 120
_FILL = 0.2
#: What is drawn with these tools encloses something.
_AREAS = ("polygon", "rectangle", "ellipse")


@dataclass(frozen=True, slots=True)
class Edits:
    """What a person did in the layer.

    Parameters
    ----------
    drawn
        Rings of new shapes.
    removed
        Ids of contours that were deleted.
    moved
        New outlines by id.
    refused
        Ids of contours whose new outline is none; they are shown as they were.
    """

    drawn: tuple[Line, ...] = ()
    removed: frozenset[str] = frozenset()
    moved: Mapping[str, tuple[Part, ...]] = field(default_factory=dict)
    refused: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.drawn or self.removed or self.moved or self.refused)


@dataclass(frozen=True, slots=True)
class Style:
    """How a contour looks: the colour of its line (``#rrggbb``), and whether it is filled with it; None: not shown."""

    color: str
    filled: bool = True


class ContourLayer(QObject):
    """A Shapes layer that shows contours.

    Parameters
    ----------
    viewer, beside
        Where it is added, and the slide's image layer, whose place in the world it takes.
    name
        Of the layer.
    style
        How a contour looks now; None where it is hidden.
    """

    #: The person drew, moved or deleted something: `Edits`. What was given last is shown until something else is given.
    edited = Signal(object)

    def __init__(
        self, viewer: napari.Viewer, beside: Layer, name: str, style: Callable[[Contour], Style | None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._style = style
        self._shown: dict[str, Contour] = {}
        self._lines: dict[str, Line] = {}
        self._camera = viewer.scene.camera
        place = flat_kwargs(beside)
        # Contours count from the corner of the first pixel, napari from its middle.
        place["translate"] = np.asarray(place["translate"]) - 0.5 * np.asarray(place["scale"])
        self.layer: Shapes = viewer.add_shapes(
            ndim=2, name=name, features={"class": np.empty(0, object), "id": np.empty(0, object)}, **place
        )
        self.layer.feature_defaults = {"class": "", "id": ""}
        # A beginner's click must not move what was drawn before.
        self.layer.mode = "pan_zoom"
        self._width = 0.0
        self._fit_width()
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(_ZOOM_WAIT)
        self._wait.timeout.connect(self._fit_width)
        self._camera.events.zoom.connect(self._on_zoom)
        self.layer.events.data.connect(self._on_data)
        self._pending = False

    @property
    def chosen(self) -> frozenset[str]:
        """Ids of the selected contours, while the mouse selects or changes contours rather than drawing them."""
        if not str(self.layer.mode).startswith(("select", "direct", "vertex")):
            return frozenset()
        ids = self._ids()
        return frozenset(ids[i] for i in self.layer.selected_data if i < len(ids)) - {""}

    def show(self, contours: Sequence[Contour]) -> None:
        """Show these contours and nothing else; those that are shown already are not touched."""
        wanted = {contour.id: contour for contour in contours}
        chosen, ids = self.chosen, self._ids()
        kept: set[str] = set()
        outdated = []
        for index, (each, line) in enumerate(zip(ids, self.layer.data, strict=True)):
            is_same = each not in kept and each in wanted and wanted[each] is self._shown.get(each)
            if is_same and np.array_equal(line, self._lines[each]):
                kept.add(each)
            else:
                outdated.append(index)
        with self.layer.events.data.blocker():
            if outdated:
                self.layer.selected_data = set()
                self.layer.remove(outdated)
            self._add([contour for contour in contours if contour.id not in kept])
        self._shown = wanted
        self._lines = {each: self._lines[each] for each in wanted}
        self.layer.selected_data = {i for i, each in enumerate(self._ids()) if each in chosen}

    def restyle(self) -> None:
        """Draw all contours in the colours of now."""
        colors = [self._colors(self._shown[each]) for each in self._ids() if each in self._shown]
        if colors and len(colors) == self.layer.nshapes:
            self.layer.edge_color, self.layer.face_color = (
                [list(c) for c in each] for each in zip(*colors, strict=True)
            )

    def draw_in(self, color: str, *, filled: bool) -> None:
        """Draw the next shape in this colour; what is drawn already keeps its own."""
        if not self.layer.selected_data:
            edge, face = self._rgba(Style(color, filled))
            self.layer.current_edge_color, self.layer.current_face_color = list(edge), list(face)

    def look_again(self) -> None:
        """Tell of what the person did since the last time, now."""
        self._pending = False
        # A polygon whose corners are still being set is not there yet; napari has no public word for it.
        if not self.layer._is_creating and (edits := self._edits()):
            self.edited.emit(edits)

    def close(self) -> None:
        """Follow viewer and layer no longer."""
        self._wait.stop()
        self._camera.events.zoom.disconnect(self._on_zoom)
        self.layer.events.data.disconnect(self._on_data)

    def _ids(self) -> list[str]:
        features = self.layer.features
        if len(features) > self.layer.nshapes:
            # napari takes a polygon of two corners away without its row of the table.
            features = self.layer.features = features.iloc[: self.layer.nshapes]
        return [str(each) for each in features["id"]]

    def _add(self, contours: Sequence[Contour]) -> None:
        if not contours:
            return
        lines = [one_line(contour.parts) for contour in contours]
        colors = [self._colors(contour) for contour in contours]
        ids = self._ids() + [contour.id for contour in contours]
        names = [str(each) for each in self.layer.features["class"]] + [c.class_name for c in contours]
        self.layer.add(
            lines,
            shape_type="polygon",
            edge_width=self._width,
            edge_color=[list(edge) for edge, _ in colors],
            face_color=[list(face) for _, face in colors],
            # What is not filled lies below, so that the mouse finds what is in it.
            z_index=[int(face[-1] > 0) for _, face in colors],
        )
        self.layer.features = {"class": names, "id": ids}
        self.layer.feature_defaults = {"class": "", "id": ""}
        # As the layer holds them now: it stores 32-bit numbers.
        data = self.layer.data[-len(lines) :]
        self._lines |= {contour.id: np.array(line) for contour, line in zip(contours, data, strict=True)}

    def _colors(self, contour: Contour) -> tuple[tuple[float, ...], tuple[float, ...]]:
        style = self._style(contour)
        return self._rgba(style) if style is not None else ((0.0,) * 4, (0.0,) * 4)

    def _rgba(self, style: Style) -> tuple[tuple[float, ...], tuple[float, ...]]:
        rgb = tuple(int(style.color[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return (*rgb, 1.0), (*rgb, _FILL if style.filled else 0.0)

    def _edits(self) -> Edits:
        drawn, moved, refused, seen = [], {}, set(), set()
        shapes = zip(self._ids(), self.layer.data, self.layer.shape_type, strict=True)
        for each, line, kind in shapes:
            if each not in self._shown or each in seen:
                if kind in _AREAS:
                    drawn.append(_ring(line, kind))
                continue
            seen.add(each)
            if np.array_equal(line, self._lines[each]):
                continue
            parts = parts_of_line(np.asarray(line, np.float64), self._lines[each], self._shown[each].parts)
            if parts is None:
                refused.add(each)
            else:
                moved[each] = parts
        return Edits(tuple(drawn), frozenset(self._shown.keys() - seen), moved, frozenset(refused))

    def _on_data(self) -> None:
        # napari is in the middle of its act: shapes must not be taken away now.
        if not self._pending:
            self._pending = True
            QTimer.singleShot(0, self._look_if_pending)

    def _look_if_pending(self) -> None:
        if self._pending:
            self.look_again()

    def _on_zoom(self) -> None:
        self._wait.start()

    def _fit_width(self) -> None:
        """Keep lines as wide on the screen whatever the zoom; napari's own widths are in pixels of the slide."""
        width = _LINE / (self._camera.zoom * float(self.layer.scale[-1]))
        if self._width and 1 / _ZOOM_STEP < width / self._width < _ZOOM_STEP:
            return
        self._width = width
        if not self.layer.selected_data:
            self.layer.current_edge_width = width
        if self.layer.nshapes:
            self.layer.edge_width = width


def _ring(line: npt.NDArray[np.floating], kind: str) -> Line:
    ring = np.asarray(line, np.float64)
    return ellipse_outline(ring) if kind == "ellipse" else ring
