"""The curves of the case on screen: they and its labels follow each other, and both are saved."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import napari
import numpy as np
import numpy.typing as npt
from napari.layers import Labels
from qtpy.QtCore import QObject, QTimer, Signal

from napari_medseg.annotation.acts import Changes
from napari_medseg.annotation.curve import Curve
from napari_medseg.annotation.curves import Curves
from napari_medseg.annotation.surfaces import Rows, pile_of
from napari_medseg.data import naming
from napari_medseg.data.boundaries import BoundaryStore
from napari_medseg.errors import AnnotationError, DatasetError
from napari_medseg.structures import DatasetInfo, Image
from napari_medseg.widgets.curve_history import CurveHistory
from napari_medseg.widgets.curve_labels import CurveLabels
from napari_medseg.widgets.curve_layers import CLEAR, CurveLayers
from napari_medseg.widgets.file_saving import FileSaving
from napari_medseg.widgets.window import quick_removal


class CaseCurves(QObject):
    """Curves of an OCT case, drawn over its B-scans and into its labels.

    Parameters
    ----------
    viewer, labels
        Where the case is shown.
    image
        Its image, ``yx`` or ``zyx``, grey or grey coded as colours.
    info
        Of its data set, which has surfaces.
    folder, case
        Of the data set, and the case's id.
    predicted
        Whether a model drew the case's labels, asked whenever curves are taken from them.

    Attributes
    ----------
    curves
        The model. Change it through `act` alone.
    trouble
        Why the file of boundaries could not be read; empty if it could.
    """

    #: Curves, the B-scan that is shown, or what is chosen changed; no arguments.
    changed = Signal()
    #: Curves could not be saved: one sentence.
    failed = Signal(str)

    def __init__(
        self,
        viewer: napari.Viewer,
        labels: Labels,
        image: Image,
        info: DatasetInfo,
        *,
        folder: Path,
        case: str,
        predicted: Callable[[], bool] = lambda: False,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._labels = labels
        self._image = image
        self._case = case
        self.surfaces = info.surfaces
        self.colors = _colors(info)
        shape = labels.data.shape
        bscans = 1 if labels.ndim == 2 else shape[0]
        self.curves = Curves(info.surfaces, (bscans, shape[-2], shape[-1]), self.picture)
        self.trouble = ""
        self.chosen = 0
        self.hidden: frozenset[int] = frozenset()
        #: The anchor that was grabbed last, a column of the chosen curve.
        self.grabbed: int | None = None
        self._drawing = CurveLabels(labels, self.curves, pile_of(info), predicted)
        self._kept_locked = False
        store = BoundaryStore(folder / "boundaries" / f"{naming.file_name(case)}.csv", [s.name for s in info.surfaces])
        kept = folder / "history" / "boundaries"
        self.saving = FileSaving(
            store.path, lambda: partial(store.write, *self._snapshot()), kept, what="Curves", parent=self
        )
        self.saving.failed.connect(self.failed)
        self._read(store)
        self.layers = CurveLayers(viewer, labels, case, self.colors)
        self.history = CurveHistory(
            labels, self.curves, on_stroke=self._follow_soon, before=self.follow, after=self._after_undo
        )
        # napari announces some changes before they are made.
        self._stroke = QTimer(self)
        self._stroke.setSingleShot(True)
        self._stroke.timeout.connect(self.follow)
        self._idle = QTimer(self)
        self._idle.timeout.connect(self._match_next)
        labels.events.data.connect(self._follow_soon)
        viewer.dims.events.current_step.connect(self._on_step)
        for event in (viewer.dims.events.ndisplay, viewer.dims.events.order):
            event.connect(self.show)
        self.show()

    # What is shown

    @property
    def bscan(self) -> int:
        """Index of the B-scan that is shown; 0 for a single one."""
        if self._labels.ndim == 2:
            return 0
        place = self._labels.world_to_data(self._viewer.dims.point)[0]
        return int(np.clip(round(place), 0, self.curves.shape[0] - 1))

    @property
    def can_draw(self) -> bool:
        """Whether a B-scan is shown flat and upright."""
        dims = self._viewer.dims
        return dims.ndisplay == 2 and tuple(dims.displayed) == (dims.ndim - 2, dims.ndim - 1)

    @property
    def rows(self) -> Rows:
        """Rows of the B-scan that is shown, float32 (surfaces, x)."""
        return self.curves.rows(self.bscan)

    @property
    def curve(self) -> Curve:
        """The chosen curve of the B-scan that is shown."""
        return self.curves.curve(self.bscan, self.chosen)

    def picture(self, bscan: int) -> npt.NDArray[np.generic]:
        """Brightness (y, x) of a B-scan."""
        return brightness(self._image, bscan)

    def drawn_bscans(self) -> list[int]:
        """B-scans that hold curves or layers, in order."""
        return self._drawing.drawn_bscans()

    def coverage(self) -> list[float]:
        """Share of the columns of the B-scan that is shown in which each surface is known."""
        return [float(share) for share in np.isfinite(self.rows).mean(axis=1)]

    def choose(self, surface: int) -> None:
        """Edit this surface from now on."""
        self.chosen = int(np.clip(surface, 0, len(self.surfaces) - 1))
        self.hidden -= {self.chosen}
        self.grabbed = None
        self.show()

    def hide(self, hidden: frozenset[int]) -> None:
        """Show all surfaces but these."""
        self.hidden = hidden
        self.show()

    def show(self, *_: object) -> None:
        """Draw the curves of the B-scan that is on screen."""
        self.layers.set_visible(self.can_draw)
        if self.can_draw:
            self._drawing.match(self.bscan)
            self.layers.show(self.rows, chosen=self.chosen, hidden=self.hidden)
            self.layers.show_anchors(self.curve, self.chosen, self.grabbed)
        self.changed.emit()

    def recolor(self, info: DatasetInfo) -> None:
        """Follow the classes' names and colours."""
        self.surfaces, self.colors = info.surfaces, _colors(info)
        self.layers.recolor(self.colors)
        self.show()

    # Acts

    @contextmanager
    def step(self) -> Iterator[None]:
        """Whatever is done inside is undone together, and at once where it would change a locked class."""
        self.follow()
        with self.history.step():
            yield
        self.show()
        if self._kept_locked:
            # A curve through a locked class would stand for other labels than there are.
            self._kept_locked = False
            self.history.undo()

    def act(self, do: Callable[..., Changes], *arguments: Any, **options: Any) -> bool:
        """Change the curves by one of the acts of `curves`, then the labels; inside of `step`.

        Parameters
        ----------
        do
            A method of `curves` that returns what changed.

        Returns
        -------
        whether anything changed.

        Raises
        ------
        AnnotationError
            It cannot be; nothing changed.
        """
        changes = do(*arguments, **options)
        if not changes:
            return False
        if not options.get("going_on"):
            self.history.note_act()
        for change in changes:
            self._kept_locked |= not self._drawing.draw(change)
        self.saving.note_change()
        return True

    def do(self, act: Callable[..., Changes], *arguments: Any, **options: Any) -> bool:
        """`act` as a step of its own."""
        with self.step():
            return self.act(act, *arguments, **options)

    def surfaces_in(self, prediction: npt.NDArray[np.uint8]) -> Rows:
        """Surfaces (surfaces, x) of predicted labels (y, x) of a B-scan, in the data set's values."""
        return self._drawing.surfaces_in(prediction)

    def carry_over(self, source: int, target: int) -> bool:
        """Draw the curves of one B-scan in another one, where it has none."""
        self._drawing.match(source)
        self._drawing.match(target)
        return self.do(self.curves.carry_on, source, target)

    def carry_on(self, by: int = 1) -> bool:
        """Take the curves along to the next B-scan (previous, if negative), and show that one; False at the end."""
        target = self.bscan + by
        if not 0 <= target < self.curves.shape[0]:
            return False
        self.carry_over(self.bscan, target)
        self.go_to(target)
        return True

    def gap_around(self) -> tuple[int, int] | None:
        """The annotated B-scans next to each other between which some are not, at or around the one on screen."""
        drawn = self.drawn_bscans()
        gaps = [(a, b) for a, b in itertools.pairwise(drawn) if b - a > 1]
        return min(gaps, key=lambda gap: max(gap[0] - self.bscan, self.bscan - gap[1]), default=None)

    def fill_between(self) -> int:
        """Draw the curves of the B-scans in `gap_around`; how many these are."""
        gap = self.gap_around()
        if gap is None:
            raise AnnotationError("No B-scan without curves lies between two that have some: draw two first.")
        for bscan in gap:
            self._drawing.match(bscan)
        self.do(self.curves.fill_between, *gap)
        return gap[1] - gap[0] - 1

    def go_to(self, bscan: int) -> None:
        """Show another B-scan."""
        dims = self._viewer.dims
        dims.set_point(dims.ndim - 3, float(self._labels.data_to_world((bscan, 0, 0))[0]))

    # Labels and curves follow each other

    def follow(self) -> None:
        """Let the curves follow what was painted since they last did."""
        self._stroke.stop()
        changed = [] if self.history.in_step else self._drawing.changed_bscans()
        here = self.bscan
        for bscan in changed:
            if bscan != here and not self.curves.pinned(bscan).any():
                self._drawing.match_later(bscan)
            elif self._drawing.follow(bscan):
                self.history.note_act()
        if changed:
            self._idle.start()
            self.show()
            self.saving.note_change()

    def _follow_soon(self, *_: object) -> None:
        self._stroke.start()

    def _match_next(self) -> None:
        if not self._drawing.match_next():
            self._idle.stop()
            self.saving.note_change()

    def _after_undo(self) -> None:
        # Labels count where they remember more steps than the curves do.
        for bscan in self._drawing.changed_bscans():
            self._drawing.match_later(bscan)
        self._idle.start()
        self.grabbed = None
        self.show()
        self.saving.note_change()

    # Files

    def flush(self) -> None:
        """Save now; raises `WriteError` when that fails."""
        self.follow()
        while self._idle.isActive():
            self._match_next()
        self.saving.flush()

    def close(self) -> None:
        """Stop, and take the layers away; call `flush` before."""
        self._stroke.stop()
        self._idle.stop()
        self._labels.events.data.disconnect(self._follow_soon)
        self._viewer.dims.events.current_step.disconnect(self._on_step)
        for event in (self._viewer.dims.events.ndisplay, self._viewer.dims.events.order):
            event.disconnect(self.show)
        self.history.stop()
        self.saving.stop()
        self.layers.stop()
        with quick_removal():
            for layer in self.layers.all:
                if layer in self._viewer.layers:
                    self._viewer.layers.remove(layer)

    def _read(self, store: BoundaryStore) -> None:
        try:
            found = store.read(self._labels.data.shape)
        except DatasetError as error:
            self.trouble = f"{error} The curves were taken from the labels; the file is kept when new ones are saved."
            return
        self.saving.trust_file()
        if found is None:
            return
        for bscan in np.flatnonzero(np.isfinite(found.rows).any(axis=(1, 2))).tolist():
            self.curves.set_rows(bscan, found.rows[bscan], pinned=found.pinned[bscan], remember=False)

    def _snapshot(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """All rows and pinned anchors as `BoundaryStore.write` takes them."""
        bscans = range(self.curves.shape[0])
        return np.stack([self.curves.rows(b) for b in bscans]), np.stack([self.curves.pinned(b) for b in bscans])

    def _on_step(self, *_: object) -> None:
        self.grabbed = None
        self.show()


def _colors(info: DatasetInfo) -> list[str]:
    """The colour of each surface: that of the class below it."""
    colors = {c.name: c.color for c in info.classes}
    return [colors.get(surface.below, CLEAR) for surface in info.surfaces]


def brightness(image: Image, bscan: int = 0) -> npt.NDArray[np.generic]:
    """Brightness (y, x) of a B-scan of an image, ``yx`` or ``zyx``, whatever way it is coded."""
    *_, height, width = image.spatial_shape
    box = ((0, height), (0, width))
    pixels = image.region(box if len(image.spatial_shape) == 2 else ((bscan, bscan + 1), *box))
    grey: npt.NDArray[np.generic] = pixels.reshape(len(pixels), height, width).mean(axis=0, dtype=np.float32)
    return grey


def bscans_text(bscans: Sequence[int], count: int) -> str:
    """Which B-scans are annotated, counted from 1.

    >>> bscans_text([2, 3, 4, 8], 49), bscans_text([], 49)
    ('B-scans 3-5, 9 of 49', 'none of 49 B-scans')
    """
    if not bscans:
        return f"none of {count} B-scans"
    parts = []
    for _, run in itertools.groupby(enumerate(bscans), key=lambda pair: pair[1] - pair[0]):
        members = [bscan + 1 for _, bscan in run]
        parts.append(str(members[0]) if len(members) == 1 else f"{members[0]}-{members[-1]}")
    return f"B-scans {', '.join(parts)} of {count}"
