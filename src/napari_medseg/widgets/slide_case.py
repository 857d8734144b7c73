"""A whole slide on screen: its painting all over it, and a window of it that follows the view and can be edited.

The window is an ordinary Labels layer, so classes, locks, undo and autosave work as for any case; `PaintingWindow`
moves it. Whatever else is drawn on slides (contours, tile tags) comes as a `SlidePart`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels, Layer

from napari_medseg.data.finishing import mark_done
from napari_medseg.data.label_layout import relative, slices
from napari_medseg.data.label_store import LabelStore
from napari_medseg.data.painted_counts import PaintedCounts
from napari_medseg.data.slide_cases import is_large
from napari_medseg.data.slide_master import SlideMaster, is_slide_master
from napari_medseg.data.slide_window import SlideWindow, common_box, downsample_near, usual_downsample, window_in_middle
from napari_medseg.errors import DatasetError, MedsegError
from napari_medseg.io.slide.facts import is_slide
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, Case, Image
from napari_medseg.widgets._layers import LABELS_OPACITY, class_colormap, class_features
from napari_medseg.widgets.autosave import Store
from napari_medseg.widgets.open_case import OpenCase
from napari_medseg.widgets.painted_layer import PaintedLayer, master_facts, master_place
from napari_medseg.widgets.painting_window import PaintingWindow
from napari_medseg.widgets.regions import view_region
from napari_medseg.widgets.slide_parts import contours_on, tile_tagging_on

if TYPE_CHECKING:
    from napari_medseg.data.dataset import Dataset

Mask = npt.NDArray[np.bool_]


class SlidePart(Protocol):
    """Something else that is drawn on a slide, made as ``Part(viewer, slide_case)``."""

    @property
    def layers(self) -> tuple[Layer, ...]:
        """Layers that are removed with the case."""

    def covers(self, box: Box, downsample: int) -> Mask | None:
        """Where it says what is there, bool (y, x) of a box in pixels of the painting; None for nowhere."""

    def restyle(self) -> None:
        """Follow a change of the classes' names, colours or visibility."""

    def flush(self) -> None:
        """Save now; raises `MedsegError`."""

    def stop(self) -> None:
        """Listen no longer."""


class SlideCase(OpenCase):
    """A case that is a whole slide, with a window of its painting.

    Parameters
    ----------
    viewer, dataset, case, image
        As in `OpenCase`.
    pixel_size
        At which size of pixels a new painting is begun, as in `downsample_near`; None for the usual one.
    """

    #: Nobody looks at every pixel of a slide.
    fills_rest = False
    store: SlideMaster
    parts: tuple[SlidePart, ...] = ()

    def __init__(
        self, viewer: napari.Viewer, dataset: Dataset, case: Case, image: Image, pixel_size: float | None = None
    ) -> None:
        self._pixel_size = pixel_size
        super().__init__(viewer, dataset, case, image)
        self.window = PaintingWindow(
            viewer, self.labels, self._slide_window, self.painted, self.autosave, self.image_layers[0], self
        )
        self.window.failed.connect(self.autosave.failed)
        self.labels.events.opacity.connect(self._follow_opacity)
        self.contours = contours_on(viewer, self)
        self.tiles = tile_tagging_on(viewer, self)
        self.parts = (self.contours, self.tiles)
        for layer in (*self.contours.layers, *self.tiles.layers):
            layer.metadata["case"] = case.case
        viewer.layers.selection.active = self.labels
        self.window.follow()

    @property
    def dataset(self) -> Dataset:
        """The data set that the case is of."""
        return self._dataset

    @property
    def layers(self) -> tuple[Layer, ...]:
        """As in `OpenCase`."""
        parts = [layer for part in self.parts for layer in part.layers]
        return (*self.image_layers, self.painted.layer, self.labels, *parts)

    def _open_store(self, image: Image) -> LabelStore:
        self.image = image
        wanted = usual_downsample(image) if self._pixel_size is None else downsample_near(image, self._pixel_size)
        store = self._dataset.slide_master(self.case, image, wanted)
        store.mend()
        self._counts = PaintedCounts(store)
        self._slide_window = SlideWindow(store, window_in_middle(store.shape, store.chunks[0]))
        return store

    def _read_pixels(self) -> npt.NDArray[np.uint8]:
        return self._slide_window.read()

    def _saved_to(self) -> Store:
        return self._slide_window

    def _add_labels(self, viewer: napari.Viewer, pixels: npt.NDArray[np.uint8]) -> Labels:
        beside, name = self.image_layers[0], self.case.case
        self.painted = PaintedLayer(viewer, self.store, self.classes, name=f"{name} · painted", beside=beside)
        corner = [start for start, _ in self._slide_window.box]
        return viewer.add_labels(
            pixels,
            name=f"{name} · labels",
            opacity=LABELS_OPACITY,
            colormap=class_colormap(self.classes),
            features=class_features(self.classes),
            metadata={"medseg": master_facts(beside, self.store.downsample)},
            **master_place(beside, self.store.downsample, corner),
        )

    @property
    def tool(self) -> dict[str, Any]:
        """As in `OpenCase`."""
        return {**super().tool, "mode": self.window.mode}

    def take_tool(self, tool: Mapping[str, Any]) -> None:
        """As in `OpenCase`."""
        super().take_tool(tool)
        self.window.mode = tool.get("mode", self.window.mode)

    def choose_class(self, value: int) -> None:
        """As in `OpenCase`; zoomed out, the brush is taken as soon as there is something to paint on.

        While contours are drawn, they are what is drawn in this class.
        """
        if self.contours.is_in_hand and value != NOT_LOOKED_AT:
            self.labels.selected_label = value
            self.contours.follow_class()
            return
        super().choose_class(value)
        if not self.window.is_open:
            self.window.mode = "paint"

    def restyle(self) -> None:
        """As in `OpenCase`."""
        super().restyle()
        self.painted.layer.colormap = self.labels.colormap
        self.painted.layer.features = class_features(self.classes)
        for part in self.parts:
            part.restyle()

    def count_values(self) -> npt.NDArray[np.int64] | None:
        """Pixels of the whole painting per value, as `OpenCase.count_values`."""
        in_window = super().count_values()
        return None if in_window is None else self._counts.with_window(self._slide_window, in_window)

    def read(self, box: Box) -> npt.NDArray[np.uint8]:
        """Labels of a box of the painting, with what is in the window as it is now; raises `ReadError`."""
        labels = self.store.read(box)
        if (common := common_box(box, self._slide_window.box)) is not None:
            labels[slices(relative(common, box))] = self.labels.data[slices(relative(common, self._slide_window.box))]
        return labels

    def write(self, box: Box, labels: npt.NDArray[np.uint8]) -> None:
        """Replace the labels of a box of the painting, in the window as a step that can be undone.

        Raises
        ------
        MedsegError
            What lies outside the window cannot be saved now.
        """
        common, rest = common_box(box, self._slide_window.box), labels
        if common is not None:
            place = slices(relative(common, box))
            # The window is saved as after any stroke.
            rest = labels.copy()
            rest[place] = self.store.read(common)
            self.locks.set_box(relative(common, self._slide_window.box), labels[place])
        self.store.write(box, rest)
        self._counts.forget(box)
        self.painted.layer.refresh()

    def mark_region_complete(self, box: Box, mask: Mask | None = None) -> int:
        """Say that everything in a part of the window is drawn, but where a contour says what is there.

        Raises
        ------
        DatasetError
            The view is too wide to be painted.
        MedsegError
            It cannot be saved now; the layer keeps the change.
        """
        self._refuse_wide_view()
        changed = self.fill_not_looked_at(box, self._uncovered(box, mask))
        self._flush()
        return changed

    def mark_empty(self) -> None:
        """Say "looked at, nothing there" of what is in view, in one step that can be undone.

        Raises
        ------
        DatasetError
            The view is too wide to be painted, or a locked class is drawn in it.
        MedsegError
            It cannot be saved now; the layer keeps the change.
        """
        self._refuse_wide_view()
        box = view_region(self._viewer, self.labels)
        part = self.labels.data[tuple(slice(*side) for side in box)]
        self._refuse_locked(part)
        self.locks.set_box(box, np.full_like(part, BACKGROUND))
        self._flush()

    def mark_done(self) -> None:
        """Say that the slide is finished; what nobody looked at stays so, for nobody looks at every pixel of a slide.

        Raises
        ------
        MedsegError
            It cannot be saved now.
        """
        self._flush()
        store = self.store if self.is_looked_at() else None
        with self._new_row() as revision:
            self.case = mark_done(self._dataset, self.case.case, store, revision=revision, fill=False)

    def is_looked_at(self) -> bool:
        """Whether anything is painted anywhere."""
        return bool(self.store.painted()) or self.store.imported is not None

    def _uncovered(self, box: Box, mask: Mask | None) -> Mask | None:
        """The part of a mask of the window where no other part of the case says what is there."""
        for part in self.parts:
            covered = part.covers(self._slide_window.on_slide(box), self.store.downsample)
            if covered is not None:
                mask = ~covered if mask is None else mask & ~covered
        return mask

    def _refuse_wide_view(self) -> None:
        self.window.follow()
        if not self.window.is_open:
            raise DatasetError("So much of a slide is not painted at once: zoom in first.")

    def _note_saved(self) -> None:
        """As in `OpenCase`; where nothing is painted there is no label image to name."""
        if self.store.exists:
            super()._note_saved()
            return
        self.last_saved = datetime.now()
        if self.case.status != "todo" and self.case.origin:
            return
        try:
            status = "draft" if self.case.status == "todo" else self.case.status
            self.update_row(status=status, origin=self.case.origin or "person")
        except MedsegError as error:
            self.autosave.failed.emit(str(error))

    def _refuse_unknown_class(self) -> None:
        """Slides can be painted "not looked at" again: their window has no undo for what was painted long ago."""
        if int(self.labels.selected_label) == NOT_LOOKED_AT:
            self._chosen = NOT_LOOKED_AT
        else:
            super()._refuse_unknown_class()

    def _follow_opacity(self) -> None:
        self.painted.layer.opacity = self.labels.opacity

    def _flush(self) -> None:
        super()._flush()
        for part in self.parts:
            part.flush()

    def _stop(self) -> None:
        for part in self.parts:
            part.stop()
        self.labels.events.opacity.disconnect(self._follow_opacity)
        self.window.stop()
        super()._stop()


def opened_case(viewer: napari.Viewer, dataset: Dataset, case: Case, pixel_size: float | None = None) -> OpenCase:
    """Show a case: a whole slide with its window, any other image with all of its labels.

    Parameters
    ----------
    viewer, dataset, case
        As in `OpenCase`.
    pixel_size
        As in `SlideCase`.

    Raises
    ------
    MedsegError
        Image or labels cannot be read; no layer was added.
    """
    image = dataset.read_image(case)
    if _is_whole_slide(dataset, case, image):
        return SlideCase(viewer, dataset, case, image, pixel_size)
    return OpenCase(viewer, dataset, case, image)


def _is_whole_slide(dataset: Dataset, case: Case, image: Image) -> bool:
    if case.region or not is_slide(image):
        return False
    drawn = dataset.current_label_path(case)
    if drawn is not None and (drawn / "zarr.json").exists():
        # Otherwise it was drawn on pixel by pixel, as long as the slide counted as a picture.
        return is_slide_master(drawn)
    return is_large(image)
