"""Tools for the labels of a volume on screen: each is one step of undo, and respects locked classes."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Image as ImageLayer
from napari.layers import Labels
from qtpy.QtCore import QObject, Signal

from napari_medseg.annotation.change import LabelChange
from napari_medseg.annotation.components import fill_holes, keep_largest, keep_part, remove_part, remove_small
from napari_medseg.annotation.copying import copy_slice
from napari_medseg.annotation.growing import grow_seeds
from napari_medseg.annotation.interpolation import interpolate
from napari_medseg.annotation.ranges import cut_range, fill_range
from napari_medseg.annotation.smoothing import smooth
from napari_medseg.errors import AnnotationError
from napari_medseg.io.units import millimeters
from napari_medseg.structures import BACKGROUND, NOT_LOOKED_AT, Box, MaskClass, Progress
from napari_medseg.widgets._layers import true_space
from napari_medseg.widgets.areas import size_text
from napari_medseg.widgets.change_preview import ChangePreview
from napari_medseg.widgets.jobs import ThreadJob
from napari_medseg.widgets.locks import ClassLocks
from napari_medseg.widgets.volume_pixels import pixels_of

#: Where a tool works: the slice on screen, every slice for itself, or the volume as a whole.
SCOPES = ("this slice", "each slice", "volume")
Work = Callable[[Progress], LabelChange]
#: Axis and classes of an interpolation.
_Filling = tuple[int, tuple[int, ...]]


class VolumeTools(QObject):
    """The tools for one volume.

    Parameters
    ----------
    viewer
        Shows the volume; the axis across its slices is the one that it does not display.
    labels
        uint8 (z, y, x).
    image
        Its intensities, in a layer of the same shape.
    locks
        Of the labels; every change goes through them.
    classes
        Returns the classes as they are now.
    """

    #: A preview came or went.
    preview_changed = Signal()
    #: Work in a thread began or ended.
    busy_changed = Signal()
    #: The range of intensities is to be shown, or hidden again.
    range_asked = Signal()
    #: The brush became a disc or a ball.
    brush_changed = Signal()
    #: Something was done: one sentence.
    told = Signal(str)
    #: Something could not be done: one sentence, details.
    failed = Signal(str, str)

    def __init__(
        self,
        viewer: napari.Viewer,
        labels: Labels,
        image: ImageLayer,
        locks: ClassLocks,
        classes: Callable[[], Sequence[MaskClass]],
    ) -> None:
        super().__init__()
        # Parts of the viewer, not the viewer: it must be free to go when its window closes.
        self._dims, self._cursor, self._layers = viewer.dims, viewer.cursor, viewer.layers
        self._labels, self._pixels, self._locks = labels, pixels_of(image), locks
        self._classes = classes
        self._shown: ChangePreview | None = None
        self._on_accept: Callable[[LabelChange], None] | None = None
        self._job: ThreadJob | None = None
        #: Whether tools may replace other classes, unless these are locked.
        self.overwrites = False
        #: Whether filling and copying work on all classes that are drawn and not locked, or on the chosen one.
        self.all_classes = False
        #: What interpolation filled, and nobody changed since, does not count as drawn: checksums by slice.
        self._filled: dict[_Filling, dict[int, int]] = {}
        labels.events.n_edit_dimensions.connect(self._tell_brush)

    # What is on screen

    @property
    def axis(self) -> int:
        """The axis across the slices on screen."""
        before = self._dims.ndim - self._labels.ndim
        across: int = next(a - before for a in self._dims.order if a >= before)
        return across

    @property
    def slice_index(self) -> int:
        """Index of the slice on screen."""
        place = self._labels.world_to_data(self._dims.point[-self._labels.ndim :])[self.axis]
        return int(np.clip(round(place), 0, self._labels.data.shape[self.axis] - 1))

    @property
    def value(self) -> int:
        """The chosen class.

        Raises
        ------
        AnnotationError
            No class is chosen.
        """
        value = int(self._labels.selected_label)
        if not BACKGROUND < value < NOT_LOOKED_AT:
            raise AnnotationError("No class is chosen: choose the class to work on in the list above.")
        return value

    @property
    def preview(self) -> LabelChange | None:
        """The change that is shown and waits to be accepted."""
        return self._shown.change if self._shown is not None else None

    @property
    def is_busy(self) -> bool:
        """Whether a tool works at the moment."""
        return self._job is not None

    @property
    def is_3d_brush(self) -> bool:
        """Whether the brush is a ball."""
        return int(self._labels.n_edit_dimensions) == 3

    @property
    def has_spacing(self) -> bool:
        """Whether sizes are millimetres; voxels otherwise."""
        return self._spacing is not None

    def set_3d_brush(self, on: bool) -> None:
        """Paint with a ball through the slices, or a disc in the slice on screen."""
        self._labels.n_edit_dimensions = 3 if on else 2

    # Tools with a preview

    def interpolate(self) -> None:
        """Fill between the drawn slices, and show what that gives."""
        values, axis = self._values(), self.axis
        drawn = self._drawn_slices(values, axis)
        data, spacing, protected = self._data, self._spacing, self._protected(values)
        self._start(
            lambda _: interpolate(data, values, drawn=drawn, axis=axis, protected=protected, spacing=spacing),
            partial(self._show, on_accept=partial(self._remember_filled, (axis, tuple(values)))),
        )

    def grow(self) -> None:
        """Grow what is drawn to the edges of the picture, and show what that gives."""
        values = self._values()
        data, pixels, spacing, protected = self._data, self._pixels, self._spacing, self._protected(values)

        def work(progress: Progress) -> LabelChange:
            image = pixels.whole(progress)
            return grow_seeds(data, image, values, spacing=spacing, protected=protected, progress=progress)

        self._start(work, self._show)

    def accept(self) -> None:
        """Make the change that is shown."""
        if self._shown is None:
            return
        shown, self._shown = self._shown, None
        self.preview_changed.emit()
        change = shown.accept()
        self._apply(change)
        if self._on_accept is not None:
            self._on_accept(change)

    def discard(self) -> None:
        """Take the preview away."""
        if self._shown is not None:
            self._shown.close()
            self._shown = None
            self.preview_changed.emit()

    # Tools that work at once

    def fill_range(self, low: float, high: float, scope: str) -> None:
        """Give the chosen class to what lies in a range of intensities."""
        value = self.value
        data, pixels, protected, box = self._data, self._pixels, self._protected([value]), self._box(scope)
        self._start(
            lambda progress: fill_range(data, pixels.whole(progress), value, low, high, box=box, protected=protected),
            self._apply,
        )

    def cut_range(self, low: float, high: float, scope: str) -> None:
        """Take the chosen class away where the intensity lies outside a range."""
        value, data, pixels, box = self.value, self._data, self._pixels, self._box(scope)
        self._start(lambda progress: cut_range(data, pixels.whole(progress), value, low, high, box=box), self._apply)

    def keep_brush_in(self, limits: tuple[float, float] | None) -> None:
        """Let brush, fill and polygon paint only where the intensity lies in a range; None: everywhere."""
        if limits is None:
            self._locks.allowed = None
            return
        pixels, (low, high) = self._pixels, limits

        def allowed(place: tuple[Any, ...]) -> npt.NDArray[np.bool_]:
            part = pixels.part(place)
            return np.asarray((part >= low) & (part <= high))

        self._locks.allowed = allowed

    def smooth(self, sigma: float, scope: str) -> None:
        """Smooth the outline of the chosen class; `sigma` in millimetres, or voxels without spacing."""
        value, data, spacing = self.value, self._data, self._spacing
        where, protected = self._where(scope), self._protected([value])
        self._start(lambda _: smooth(data, value, sigma, spacing=spacing, protected=protected, **where), self._apply)

    def fill_holes(self, scope: str) -> None:
        """Fill what the chosen class encloses."""
        value, data, where, protected = self.value, self._data, self._where(scope), self._protected([self.value])
        self._start(lambda _: fill_holes(data, value, protected=protected, **where), self._apply)

    def keep_largest(self, scope: str) -> None:
        """Take away all parts of the chosen class but the largest."""
        value, data, where = self.value, self._data, self._where(scope)
        self._start(lambda _: keep_largest(data, value, **where), self._apply)

    def remove_small(self, smallest: float, scope: str) -> None:
        """Take away parts smaller than this: mm³ (mm² where slices stand alone), or voxels without spacing."""
        value, data, where = self.value, self._data, self._where(scope)
        voxels = int(np.ceil(smallest / self._voxel_size(where["dims"])))
        self._start(lambda _: remove_small(data, value, voxels, **where), self._apply)

    def keep_part(self) -> None:
        """Keep only the part under the pointer of its class."""
        data, at = self._data, self._pointer()
        self._start(lambda _: keep_part(data, at), self._apply)

    def remove_part(self) -> None:
        """Take away the part under the pointer."""
        data, at = self._data, self._pointer()
        self._start(lambda _: remove_part(data, at), self._apply)

    def copy_on(self, by: int) -> None:
        """Add the classes of this slice to the next one (previous, if negative), and show that one."""
        self.discard()
        axis, here, values = self.axis, self.slice_index, self._values()
        change = copy_slice(self._data, values, here, here + by, axis=axis, protected=self._protected(values))
        self._apply(change)
        point = [0.0] * self._labels.ndim
        point[axis] = here + by
        world = float(self._labels.data_to_world(point)[axis])
        self._dims.set_point(self._dims.ndim - self._labels.ndim + axis, world)

    # How they work

    def cancel(self) -> None:
        """Stop what works at the moment; nothing is changed."""
        if self._job is not None:
            self._job.cancel()

    def stop(self) -> None:
        """The case closes."""
        self.cancel()
        self._labels.events.n_edit_dimensions.disconnect(self._tell_brush)
        self._locks.allowed = None
        self.discard()

    def _tell_brush(self) -> None:
        self.brush_changed.emit()

    def _start(self, work: Work, then: Callable[[LabelChange], None]) -> None:
        if self._job is not None:
            raise AnnotationError("Another tool is at work; wait for it, or cancel it.")
        self.discard()
        job = ThreadJob(work)
        job.result.connect(self._guarded(then))
        job.failed.connect(self.failed)
        job.finished.connect(self._end)
        self._job = job
        self.busy_changed.emit()
        job.start()

    def _guarded(self, then: Callable[[LabelChange], None]) -> Callable[[Any], None]:
        def take(change: Any) -> None:
            try:
                then(change)
            except AnnotationError as error:
                self.failed.emit(str(error), "")

        return take

    def _end(self, _: str) -> None:
        self._job = None
        self.busy_changed.emit()

    def _show(self, change: LabelChange, on_accept: Callable[[LabelChange], None] | None = None) -> None:
        if not change.count:
            self.told.emit("Nothing would change.")
            return
        self._shown = ChangePreview(self._layers, self._labels, change, self._classes())
        self._on_accept = on_accept
        self.preview_changed.emit()

    def _apply(self, change: LabelChange) -> None:
        part = self._labels.data[tuple(slice(*side) for side in change.box)]
        changed = self._locks.set_box(change.box, np.where(change.mask, change.values, part)) if change.count else 0
        self.told.emit(f"{change.text}; {self.size_text(changed)}." if changed else f"{change.text}; nothing changed.")

    def size_text(self, voxels: int) -> str:
        """Voxels, and their volume where the spacing is known in millimetres."""
        counted = f"{voxels:,} voxel{'' if voxels == 1 else 's'}"
        # mm³ as µm³, which the panel's other sizes are counted in.
        size = size_text(1e9 * voxels * self._voxel_size(3), 3)
        return counted if self._spacing is None else f"{counted} ({size})"

    @property
    def _data(self) -> npt.NDArray[np.uint8]:
        return np.asarray(self._labels.data)

    @property
    def _spacing(self) -> tuple[float, ...] | None:
        """Millimetres per voxel; None where not known."""
        steps, units = true_space(self._labels) or ((), ())
        factors = [millimeters(unit) for unit in units]
        known = [step * factor for step, factor in zip(steps, factors, strict=True) if factor is not None]
        return tuple(known) if known and len(known) == self._labels.ndim else None

    def _voxel_size(self, dims: int) -> float:
        """Of a voxel in mm³, or of its face in the slice in mm²; 1 where not known."""
        spacing = list(self._spacing or (1.0,) * self._labels.ndim)
        if dims == 2:
            spacing.pop(self.axis)
        return float(np.prod(spacing))

    def _values(self) -> list[int]:
        if not self.all_classes:
            return [self.value]
        present = np.unique(self._data)
        values = [c.value for c in self._classes() if c.value in present and c.value not in self._locks.locked]
        if not values:
            raise AnnotationError("No class that is not locked is drawn here; draw one first.")
        return values

    def _protected(self, values: Sequence[int]) -> frozenset[int]:
        """Locked classes, and all others but these unless they may be replaced."""
        others = frozenset() if self.overwrites else {c.value for c in self._classes()} - set(values)
        return self._locks.locked | others

    def _box(self, scope: str) -> Box | None:
        if scope != SCOPES[0]:
            return None
        sides = [(0, n) for n in self._data.shape]
        sides[self.axis] = (self.slice_index, self.slice_index + 1)
        return tuple(sides)

    def _where(self, scope: str) -> dict[str, Any]:
        """What the tools for parts and outlines are told of a scope."""
        return {"dims": 3 if scope == SCOPES[2] else 2, "axis": self.axis, "box": self._box(scope)}

    def _pointer(self) -> tuple[int, ...]:
        place = self._labels.world_to_data(self._cursor.position[-self._labels.ndim :])
        return tuple(round(float(p)) for p in place)

    # Which slices were drawn

    def _drawn_slices(self, values: Sequence[int], axis: int) -> list[int] | None:
        """Slices that hold a class, but not those that were interpolated and stayed so; None where nothing was."""
        filled = self._filled.get((axis, tuple(values)))
        if not filled:
            return None
        planes = np.moveaxis(np.isin(self._data, values), axis, 0)
        return [i for i, plane in enumerate(planes) if plane.any() and filled.get(i) != _checksum(plane)]

    def _remember_filled(self, filling: _Filling, change: LabelChange) -> None:
        axis, values = filling
        touched = np.flatnonzero(change.mask.any(axis=tuple(a for a in range(3) if a != axis)))
        planes = np.moveaxis(self._data, axis, 0)
        checksums = self._filled.setdefault(filling, {})
        for i in touched + change.box[axis][0]:
            checksums[int(i)] = _checksum(np.isin(planes[i], values))


def _checksum(plane: npt.NDArray[np.bool_]) -> int:
    return zlib.crc32(np.packbits(plane).data)
