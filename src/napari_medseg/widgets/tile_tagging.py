"""Tagging tiles of a slide: a click or a drag gives tiles the tag, over tiles that have it already it takes it away."""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import DirectLabelColormap, direct_colormap
from qtpy.QtCore import QObject, Signal

from napari_medseg.data.tile_grid import grid_for, side_in_pixels
from napari_medseg.data.tile_tags import TileTag, read_tile_tags, write_tile_tags
from napari_medseg.errors import AnnotationError, MedsegError
from napari_medseg.structures import Box, TagClass
from napari_medseg.widgets._layers import flat_kwargs
from napari_medseg.widgets.file_saving import FileSaving
from napari_medseg.widgets.tile_lines import TileLines

_OPACITY = 0.4
#: Colour of tags that the data set does not have.
_FOREIGN = "#909090"
#: More tags than that are not told apart.
_MOST_TAGS = 254


class TileTagging(QObject):
    """The tile tags of the slide on screen, as a Labels layer with a pixel per tile.

    Parameters
    ----------
    viewer, beside
        Where layers are added, and the slide's image layer.
    shape
        Of the slide's finest level.
    micrometers
        Along one of its pixels; None where it does not say.
    name
        Of the case.
    path
        ``labels/<case>-tiles.csv``; it need not exist.
    kept
        Folder for a file that another program wrote meanwhile, or that could not be read.
    tags
        Tags of the data set now.
    side
        Of a tile, as in `side_in_pixels`; tags that are there already count more.
    refusal
        Why nothing may be changed now, one sentence; empty otherwise.
    """

    #: The file was written.
    saved = Signal()
    #: It could not be written or read: one sentence.
    failed = Signal(str)
    #: Tags of tiles, the chosen tag, or the tool changed.
    changed = Signal()

    def __init__(
        self,
        viewer: napari.Viewer,
        beside: Layer,
        shape: tuple[int, int],
        micrometers: float | None,
        *,
        name: str,
        path: Path,
        kept: Path,
        tags: Callable[[], Sequence[TagClass]],
        side: str,
        refusal: Callable[[], str],
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = weakref.ref(viewer)
        self._beside, self._shape, self._micrometers = beside, shape, micrometers
        self._tags = tags
        self._refusal = refusal
        self._name = name
        self._values: dict[str, int] = {}
        #: Tags in the file that are on no tile of the grid.
        self._left: tuple[TileTag, ...] = ()
        #: Why the file, or the side of tiles, could not be read; empty otherwise.
        self.trouble = ""
        self.saving = FileSaving(path, self._prepare, kept, what="Tile tags", parent=self)
        self.saving.saved.connect(self.saved)
        self.saving.failed.connect(self.failed)
        read = self._read(path)
        self.grid = grid_for(read, shape, self._side(side))
        self._add_layers(read)
        first = next(iter(tags()), None)
        self.chosen = "" if first is None else first.name
        viewer.layers.selection.events.active.connect(self._on_active)

    @property
    def layers(self) -> tuple[Layer, ...]:
        """What belongs to the case."""
        return (self.layer, self._lines.layer)

    @property
    def is_in_hand(self) -> bool:
        """Whether the mouse tags tiles now."""
        viewer = self._viewer()
        return viewer is not None and viewer.layers.selection.active is self.layer

    def counts(self) -> dict[str, int]:
        """Number of tiles of each tag that occurs."""
        found = Counter(self.layer.data[self.layer.data > 0].tolist())
        counts = {name: found[value] for name, value in self._values.items() if found[value]}
        for tile in self._left:
            counts[tile.tag] = counts.get(tile.tag, 0) + 1
        return counts

    def start(self) -> None:
        """Let the mouse tag tiles; raises `AnnotationError` where it may not, or there is no tag to give."""
        viewer = self._viewer()
        if viewer is None:
            return
        if text := self._refusal():
            raise AnnotationError(text)
        if not self.chosen:
            raise AnnotationError("There is no tag to give: add one first.")
        self.layer.visible = True
        viewer.layers.selection.active = self.layer
        self.layer.mode = "paint"

    def choose(self, name: str) -> None:
        """Give this tag from now on; none: take tags away."""
        self.chosen = name
        self.restyle()

    def set_side(self, side: str) -> None:
        """Take tiles of another size.

        Raises
        ------
        AnnotationError
            Tiles are tagged already.
        DatasetError
            It is no side of a tile.
        """
        if self.layer.data.any() or self._left:
            raise AnnotationError("Tiles of this slide are tagged already: take their tags away first.")
        pixels = side_in_pixels(side, self._micrometers)
        viewer = self._viewer()
        if viewer is not None:
            was_in_hand = self.is_in_hand
            for layer in self.layers:
                viewer.layers.remove(layer)
            self._stop_layers()
            self.grid = grid_for((), self._shape, pixels)
            self._add_layers(())
            if was_in_hand:
                self.start()

    def rename(self, old: str, new: str) -> None:
        """Follow a tag's new name, after that of the file's tiles was changed."""
        self.saving.trust_file()
        self._values = {new if name == old else name: value for name, value in self._values.items()}
        self._left = tuple(TileTag(tile.box, new if tile.tag == old else tile.tag) for tile in self._left)
        self.chosen = new if self.chosen == old else self.chosen
        self.restyle()

    def restyle(self) -> None:
        """Follow a change of the tags' names and colours."""
        self._know([tag.name for tag in self._tags()])
        self.layer.colormap = self._colormap()
        self.layer.features = {"index": [0, *self._values.values()], "tag": ["", *self._values]}
        self.layer.selected_label = self._values.get(self.chosen, 0)
        self.changed.emit()

    def covers(self, box: Box, downsample: int) -> None:
        """Tags say nothing of single pixels."""
        del box, downsample

    def flush(self) -> None:
        """Save now; raises `WriteError`."""
        self.saving.flush()

    def stop(self) -> None:
        """Listen no longer, without saving: call `flush` before."""
        viewer = self._viewer()
        if viewer is not None:
            viewer.layers.selection.events.active.disconnect(self._on_active)
        self._stop_layers()
        self.saving.stop()

    def _add_layers(self, tags: Sequence[TileTag]) -> None:
        viewer = self._viewer()
        assert viewer is not None, "layers are added while the case is open"
        self._know([*(tag.name for tag in self._tags()), *(tile.tag for tile in tags)])
        picture, self._left = self.grid.picture(tags, self._values)
        place = flat_kwargs(self._beside)
        step = np.asarray(place["scale"])
        active = viewer.layers.selection.active
        self.layer: Labels = viewer.add_labels(
            picture,
            name=f"{self._name} · tile tags",
            opacity=_OPACITY,
            colormap=self._colormap(),
            metadata={"slide_contours": True},
            # The middle of the first tile, of which the first pixel's middle is the origin.
            **place
            | {"scale": step * self.grid.side, "translate": place["translate"] + (self.grid.side - 1) / 2 * step},
        )
        self.layer.brush_size = 1
        self._lines = TileLines(viewer, self._beside, self.grid, f"{self._name} · tiles")
        viewer.layers.selection.active = active
        self._seen = picture.copy()
        # Before napari's own brush, which is added with the mode.
        self.layer.mouse_drag_callbacks.insert(0, self._on_press)
        self.layer.events.paint.connect(self._on_change)
        self.layer.events.set_data.connect(self._on_change)

    def _stop_layers(self) -> None:
        self._lines.stop()
        self.layer.events.paint.disconnect(self._on_change)
        self.layer.events.set_data.disconnect(self._on_change)
        self.layer.mouse_drag_callbacks.remove(self._on_press)

    def _on_press(self, layer: Labels, event: Any) -> Iterator[None]:
        """A stroke that begins on a tile with the tag takes it away; any other one gives it."""
        if layer.mode != "paint":
            return
        value = self._values.get(self.chosen, 0)
        place = np.round(layer.world_to_data(event.position)).astype(int)
        inside = ((place >= 0) & (place < layer.data.shape)).all()
        has_it = inside and layer.data[tuple(place)] == value
        layer.selected_label = 0 if has_it else value
        yield
        while event.type == "mouse_move":
            yield
        layer.selected_label = value

    def _on_change(self) -> None:
        if np.array_equal(self.layer.data, self._seen):
            return
        if text := self._refusal():
            self.layer.data[:] = self._seen
            self.layer.refresh()
            self.failed.emit(text)
        else:
            self._seen = self.layer.data.copy()
            self.saving.note_change()
            self.changed.emit()

    def _on_active(self) -> None:
        self._lines.show(self.is_in_hand)
        self.changed.emit()

    def _know(self, names: Sequence[str]) -> None:
        """Give tags values that they keep as long as the slide is open."""
        for name in names:
            if name not in self._values and len(self._values) < _MOST_TAGS:
                self._values[name] = len(self._values) + 1

    def _colormap(self) -> DirectLabelColormap:
        known = {tag.name: tag.color for tag in self._tags()}
        colors: dict[int | None, Any] = {None: "transparent", 0: "transparent"}
        return direct_colormap(colors | {value: known.get(name, _FOREIGN) for name, value in self._values.items()})

    def _read(self, path: Path) -> tuple[TileTag, ...]:
        try:
            found = read_tile_tags(path)
        except MedsegError as error:
            # Tagging goes on; the file is kept aside before it is replaced.
            self.trouble = str(error)
            return ()
        self.saving.trust_file()
        return found

    def _side(self, text: str) -> int:
        try:
            return side_in_pixels(text, self._micrometers)
        except MedsegError as error:
            self.trouble = str(error)
            return side_in_pixels("", self._micrometers)

    def _prepare(self) -> Callable[[], None]:
        tags = (*self.grid.tags(self.layer.data.copy(), self._values), *self._left)
        return lambda: write_tile_tags(self.saving.path, tags)
